"""Precision and recall at a budget, average precision with intervals over scans, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.phantom.label_errors import ErrorKind, InjectedError
from imaging.scoring.matching import Verdict
from imaging.training.spoilt import SpoiltCase
from tests.benchmarks.labels.flags import Flag, speaking_of
from tests.benchmarks.labels.matching import Judged, judge

BOOTSTRAPS = 1000
BOOTSTRAP_SEED = 50_000_000

Wanted = Callable[[SpoiltCase, InjectedError], bool]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """All flags that count, surest first: (n,) each. ``scan``: number of the flag's scan; ``errors``: (scans,) asked.

    Flags that are neither right nor wrong are not in it; ``neutral`` counts them.
    """

    found: NDArray[np.bool_]
    scan: NDArray[np.int64]
    scores: Floats
    errors: NDArray[np.int64]
    neutral: int

    @property
    def asked(self) -> int:
        """How many errors there are."""
        return int(self.errors.sum())


@dataclass(frozen=True, slots=True)
class AtBudget:
    """What a reviewer finds who looks at as many flags as there are errors. NaN where there is none."""

    budget: int
    looked_at: int
    found: int

    @property
    def precision(self) -> float:
        """Share of what was looked at that was an error."""
        return self.found / self.looked_at if self.looked_at else float("nan")

    @property
    def recall(self) -> float:
        """Share of the errors that were found."""
        return self.found / self.budget if self.budget else float("nan")


def rank(
    *,
    cases: Sequence[SpoiltCase],
    flags: Sequence[Sequence[Flag]],
    kinds: frozenset[ErrorKind] | None,
    wanted: Wanted,
) -> Ranking:
    """Return the ranking of all flags over all cases for the errors that are ``wanted``.

    ``kinds``: only flags that may mean one of them take part; None for all. Flags that meet an error which is not
    wanted are neutral. ``flags``: one sequence a case.
    """
    rows: list[tuple[float, bool, int]] = []
    neutral = 0
    scans = {seed: number for number, seed in enumerate(dict.fromkeys(case.seed for case in cases))}
    errors = np.zeros(len(scans), dtype=np.int64)
    for case, own in zip(cases, flags, strict=True):
        errors[scans[case.seed]] += sum(1 for error in case.errors if wanted(case, error))
        for entry in judge(case=case, flags=own if kinds is None else speaking_of(own, kinds)):
            counts = _counts(case, entry, wanted)
            if counts is None:
                neutral += 1
            else:
                rows.append((entry.flag.score, counts, scans[case.seed]))
    # Ties: right and wrong ones in the order in which they came, which knows nothing of the truth.
    rows.sort(key=lambda row: -row[0])
    return Ranking(
        found=np.array([row[1] for row in rows], dtype=np.bool_),
        scan=np.array([row[2] for row in rows], dtype=np.int64),
        scores=np.array([row[0] for row in rows], dtype=np.float64),
        errors=errors,
        neutral=neutral,
    )


def at_budget(ranking: Ranking) -> AtBudget:
    """Return what is found among as many flags as there are errors."""
    budget = ranking.asked
    looked_at = min(budget, len(ranking.found))
    return AtBudget(budget, looked_at, int(np.count_nonzero(ranking.found[:looked_at])))


def average_precision(ranking: Ranking) -> float:
    """Return the mean over all errors of the precision at the place where each was found, 0 for one never found.

    NaN without errors. No interpolation.
    """
    return float(_weighted_ap(ranking, np.ones((1, len(ranking.errors))))[0])


def scan_draws(*, scans: int) -> Floats:
    """Return (draws, scans): how often each scan is in each draw of as many scans with replacement."""
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = generator.integers(0, scans, size=(BOOTSTRAPS, scans))
    return np.stack([np.bincount(row, minlength=scans) for row in drawn]).astype(np.float64)


def average_precision_draws(ranking: Ranking) -> Floats:
    """Return the average precision of every draw of scans: (draws,). Rankings of one benchmark share the draws."""
    return _weighted_ap(ranking, scan_draws(scans=len(ranking.errors)))


def interval(draws: Floats) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of what is a number; NaN where nothing is."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def false_flags(*, cases: Sequence[SpoiltCase], flags: Sequence[Sequence[Flag]]) -> list[list[float]]:
    """Return the scores of the false flags of each case."""
    return [
        [entry.flag.score for entry in judge(case=case, flags=own) if entry.verdict is Verdict.FALSE]
        for case, own in zip(cases, flags, strict=True)
    ]


def threshold_for(*, scores: Sequence[Sequence[float]], a_case: float, least: float) -> float:
    """Return the lowest threshold, not below ``least``, at which there are at most ``a_case`` false flags a case."""
    every = sorted((score for own in scores for score in own), reverse=True)
    allowed = int(a_case * len(scores))
    if len(every) <= allowed:
        return least
    # Just above the first false flag that is one too many.
    return max(least, float(np.nextafter(every[allowed], np.inf)))


def rounded(value: float) -> float | None:
    """Return a figure as it is written down: three decimals, None for what has no value."""
    return round(value, 3) if np.isfinite(value) else None


def named(draws: Mapping[str, Floats]) -> dict[str, tuple[float | None, float | None]]:
    """Return the intervals of several draws."""
    return {name: (rounded(interval(one)[0]), rounded(interval(one)[1])) for name, one in draws.items()}


def _counts(case: SpoiltCase, entry: Judged, wanted: Wanted) -> bool | None:
    if entry.verdict is Verdict.FALSE:
        return False
    if entry.verdict is Verdict.FOUND and entry.error is not None and wanted(case, entry.error):
        return True
    return None


def _weighted_ap(ranking: Ranking, weights: Floats) -> Floats:
    """(draws, scans) weights to (draws,) average precisions."""
    asked = weights @ ranking.errors
    if not len(ranking.found):
        return np.where(asked > 0, 0.0, np.nan)
    drawn = weights[:, ranking.scan]
    right = np.cumsum(drawn * ranking.found, axis=1)
    every = np.cumsum(drawn, axis=1)
    precision = np.divide(right, every, out=np.zeros_like(right), where=every > 0)
    total = (drawn * ranking.found * precision).sum(axis=1)
    return np.divide(total, asked, out=np.full(len(asked), np.nan), where=asked > 0)
