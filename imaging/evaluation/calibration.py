"""How far a score may be read as a probability."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from imaging.errors import NotApplicable

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """One bin: its range of scores, how many fell in, their mean score and the share that was true."""

    lower: float
    upper: float
    count: int
    mean_score: float
    observed_share: float


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The logistic recalibration of Cox (1958): ``logit P(true) = intercept + slope * logit(score)``.

    A slope below 1 means scores too extreme, above 1 too timid. A perfect score has intercept 0 and slope 1.
    """

    intercept: float
    slope: float


def reliability_table(*, scores: FloatArray, truths: BoolArray, bins: int) -> tuple[ReliabilityRow, ...]:
    """Return the reliability table over bins of (nearly) equal mass, lowest scores first.

    Equal scores are never divided between two bins, so fewer bins than asked for may come back.
    Raises NotApplicable without scores, ValueError for scores outside [0, 1] or arrays of different length.
    """
    _require(scores, truths)
    order = np.argsort(scores, kind="stable")
    sorted_scores, sorted_truths = scores[order], truths[order]
    edges = [0]
    for number in range(1, bins):
        edge = round(number * len(scores) / bins)
        while 0 < edge < len(scores) and sorted_scores[edge] == sorted_scores[edge - 1]:
            edge += 1
        if edges[-1] < edge < len(scores):
            edges.append(edge)
    edges.append(len(scores))
    return tuple(
        ReliabilityRow(
            lower=float(sorted_scores[start]),
            upper=float(sorted_scores[stop - 1]),
            count=stop - start,
            mean_score=float(sorted_scores[start:stop].mean()),
            observed_share=float(sorted_truths[start:stop].mean()),
        )
        for start, stop in pairwise(edges)
    )


def expected_calibration_error(*, scores: FloatArray, truths: BoolArray, bins: int) -> float:
    """Return the expected calibration error over equal-mass bins: the mean gap between score and share, by count."""
    table = reliability_table(scores=scores, truths=truths, bins=bins)
    return sum(row.count * abs(row.mean_score - row.observed_share) for row in table) / len(scores)


def brier_score(*, scores: FloatArray, truths: BoolArray) -> float:
    """Return the mean squared difference between score and outcome (Brier 1950); 0 is perfect."""
    _require(scores, truths)
    return float(np.mean((scores - truths) ** 2))


def brier_skill(*, scores: FloatArray, truths: BoolArray) -> float:
    """Return 1 - Brier / Brier of always saying the prevalence; above 0 means better than knowing the prevalence.

    Raises NotApplicable when all outcomes are alike: saying the prevalence is then perfect.
    """
    share = float(np.mean(truths)) if len(truths) else 0.0
    score = brier_score(scores=scores, truths=truths)
    if share in (0.0, 1.0):
        raise NotApplicable("one-outcome", "all outcomes are alike; skill against the prevalence has no value")
    return 1 - score / (share * (1 - share))


def recalibration(*, scores: FloatArray, truths: BoolArray) -> Recalibration:
    """Return intercept and slope of the logistic recalibration, by maximum likelihood.

    Scores of exactly 0 and 1 are moved in by 1e-6, for their logits are infinite. Raises NotApplicable when outcomes
    or scores are all alike, or when the scores separate the outcomes perfectly, for then no finite slope fits best.
    """
    _require(scores, truths)
    if truths.all() or not truths.any() or np.ptp(scores) == 0:
        raise NotApplicable("one-outcome", "a calibration slope needs both outcomes and more than one score")
    low, high = scores[~truths], scores[truths]
    if low.max() <= high.min() or high.max() <= low.min():
        raise NotApplicable("separated", "the scores separate the outcomes perfectly; no finite slope fits best")
    logits = special.logit(np.clip(scores, 1e-6, 1 - 1e-6))
    outcome = truths.astype(np.float64)

    def loss(parameters: FloatArray) -> float:
        linear = parameters[0] + parameters[1] * logits
        return float(np.mean(np.logaddexp(0.0, linear) - outcome * linear))

    def gradient(parameters: FloatArray) -> FloatArray:
        residual = special.expit(parameters[0] + parameters[1] * logits) - outcome
        return np.array([residual.mean(), (residual * logits).mean()])

    fit = optimize.minimize(loss, x0=np.array([0.0, 1.0]), jac=gradient, method="BFGS")
    return Recalibration(intercept=float(fit.x[0]), slope=float(fit.x[1]))


def _require(scores: FloatArray, truths: BoolArray) -> None:
    if len(scores) != len(truths):
        raise ValueError(f"{len(scores)} scores for {len(truths)} outcomes")
    if len(scores) == 0:
        raise NotApplicable("no-scores", "calibration needs at least one score")
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("a score outside [0, 1] is no probability")
