"""Two-sided confidence intervals for proportions and for statistics over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special

from imaging.errors import NotApplicable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with its limits. ``method`` names how the limits came about."""

    estimate: float
    lower: float
    upper: float
    confidence: float
    method: str


def wilson(*, successes: int, total: int, confidence: float) -> Interval:
    """Return Wilson's score interval (1927) for a proportion, without continuity correction.

    Raises NotApplicable for no trials, ValueError for impossible counts.
    """
    _require_counts(successes, total)
    z = float(special.ndtri(0.5 + confidence / 2))
    share = successes / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / denominator
    # At the extremes the limit is exact in algebra and off by 1e-17 in floating point.
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == total else min(1.0, centre + half)
    return Interval(estimate=share, lower=lower, upper=upper, confidence=confidence, method="Wilson score")


def clopper_pearson(*, successes: int, total: int, confidence: float) -> Interval:
    """Return the exact (Clopper-Pearson 1934) interval for a proportion, from the beta distribution."""
    _require_counts(successes, total)
    alpha = 1 - confidence
    lower = 0.0 if successes == 0 else float(special.betaincinv(successes, total - successes + 1, alpha / 2))
    upper = 1.0 if successes == total else float(special.betaincinv(successes + 1, total - successes, 1 - alpha / 2))
    return Interval(
        estimate=successes / total, lower=lower, upper=upper, confidence=confidence, method="Clopper-Pearson exact"
    )


def proportion(*, successes: int, total: int, confidence: float) -> Interval:
    """Return the interval a report prints: Wilson's, but Clopper-Pearson's when none or all succeed."""
    _require_counts(successes, total)
    if successes in (0, total):
        return clopper_pearson(successes=successes, total=total, confidence=confidence)
    return wilson(successes=successes, total=total, confidence=confidence)


def cluster_bootstrap(
    *,
    clusters: Sequence[Sequence[T]],
    statistic: Callable[[Sequence[T]], float],
    resamples: int,
    seed: int,
    confidence: float,
) -> Interval:
    """Return the percentile bootstrap interval of ``statistic`` with whole clusters (patients) drawn with replacement.

    ``statistic`` gets the pooled members of the drawn clusters. Draws on which it raises NotApplicable (no lesion in
    the draw, say) are left out and counted in ``method``; the seed makes the limits repeatable.
    Raises NotApplicable with no clusters, or when more than half of the draws give no value.
    """
    if not clusters:
        raise NotApplicable("no-clusters", "a bootstrap over patients needs at least one patient")
    estimate = statistic([member for cluster in clusters for member in cluster])
    generator = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(resamples):
        drawn = generator.integers(0, len(clusters), size=len(clusters))
        try:
            values.append(statistic([member for index in drawn for member in clusters[index]]))
        except NotApplicable:
            continue
    if len(values) * 2 < resamples:
        raise NotApplicable("too-few-draws", f"only {len(values)} of {resamples} bootstrap draws gave a value")
    lower, upper = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    left_out = resamples - len(values)
    note = f", {left_out} draws without a value" if left_out else ""
    return Interval(
        estimate=estimate,
        lower=float(lower),
        upper=float(upper),
        confidence=confidence,
        method=f"percentile bootstrap over {len(clusters)} clusters, {resamples} draws, seed {seed}{note}",
    )


def _require_counts(successes: int, total: int) -> None:
    if total == 0:
        raise NotApplicable("no-trials", "a proportion of nothing has no value")
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is not a proportion")
