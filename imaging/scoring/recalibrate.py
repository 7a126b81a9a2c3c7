"""What a project's own verdicts say about the shipped calibration: a shift for each check, held back by a prior.

Verdicts come one by one, and of few kinds at first. So the log-odds of every check get an intercept with a normal
prior around nothing, and all checks together one slope with a normal prior around one; the most probable values given
the verdicts are used. Without verdicts the calibration stays what it was, and one verdict moves it little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from imaging.scoring.calibrator import expit, logit
from imaging.types import LabelIssue

SHIFT_SPREAD = 1.0
"""Prior standard deviation of a check's shift, log-odds: sites differ by a factor of about three in the odds."""

SLOPE_SPREAD = 0.25
"""Prior standard deviation of the common slope around 1."""

LEAST_SLOPE = 0.1
"""However the verdicts fall, what was likelier to be wrong stays likelier."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One settled flag: the check that led it, the probability before any recalibration, and whether it was right."""

    check: str
    probability: float
    label_was_wrong: bool


@dataclass(frozen=True, slots=True)
class Recalibration:
    """``log-odds' = slope * log-odds + shifts[check]``; ``verdicts`` says on how many settled flags a check's rests."""

    slope: float
    shifts: Mapping[str, float]
    verdicts: Mapping[str, int]

    def probability(self, *, check: str, probability: float) -> float:
        """Return the recalibrated probability, never decreasing in ``probability``; as it is where nothing is known."""
        if not self.verdicts:
            return probability
        return expit(self.slope * logit(probability) + self.shifts.get(check, 0.0))


NOTHING_SETTLED = Recalibration(slope=1.0, shifts={}, verdicts={})


def recalibration_from(*, settled: Sequence[Settled]) -> Recalibration:
    """Return the recalibration that is most probable after the verdicts (maximum a posteriori).

    The loss is convex, so the result depends on the verdicts alone, not on their order or on where the search starts.
    """
    if not settled:
        return NOTHING_SETTLED
    checks = sorted({one.check for one in settled})
    # In a fixed order: the one in which sums are taken must not show in what a run records.
    told = sorted(settled, key=lambda one: (one.check, one.probability, one.label_was_wrong))
    which = np.array([checks.index(one.check) for one in told])
    odds = np.array([logit(one.probability) for one in told])
    wrong = np.array([one.label_was_wrong for one in told], dtype=np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, shifts = parameters[0], parameters[1:]
        linear = slope * odds + shifts[which]
        residual = 1 / (1 + np.exp(-linear)) - wrong
        value = float(np.sum(np.logaddexp(0.0, linear) - wrong * linear))
        value += float(np.sum((shifts / SHIFT_SPREAD) ** 2) / 2 + ((slope - 1) / SLOPE_SPREAD) ** 2 / 2)
        pulls = np.bincount(which, weights=residual, minlength=len(checks)) + shifts / SHIFT_SPREAD**2
        steep = float(residual @ odds) + (slope - 1) / SLOPE_SPREAD**2
        return value, np.concatenate([[steep], pulls])

    start = np.concatenate([[1.0], np.zeros(len(checks))])
    bounds = [(LEAST_SLOPE, None), *((None, None) for _ in checks)]
    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 1000}
    fit = optimize.minimize(loss, x0=start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    slope, *shifts = (round(float(value), 6) for value in fit.x)
    counts = np.bincount(which, minlength=len(checks))
    return Recalibration(
        slope=slope,
        shifts=dict(zip(checks, shifts, strict=True)),
        verdicts={check: int(count) for check, count in zip(checks, counts, strict=True)},
    )


def recalibrated(*, issue: LabelIssue, recalibration: Recalibration) -> LabelIssue:
    """Return the issue with the project's probability as score; its evidence keeps the one before and says why."""
    number = recalibration.verdicts.get(issue.check, 0)
    evidence: dict[str, object] = {**issue.evidence, "probability_before_verdicts": issue.score}
    score = recalibration.probability(check=issue.check, probability=issue.score)
    if recalibration.verdicts:
        total = sum(recalibration.verdicts.values())
        evidence["score_basis"] = (
            f"{issue.evidence.get('score_basis', 'reasoned formula')}; shifted by this project's verdicts "
            f"({number} on this check, {total} in all)"
        )
    return replace(issue, score=score, evidence=evidence)
