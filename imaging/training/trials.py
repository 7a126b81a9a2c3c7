"""Trials: scans whose nodules are known, what a detector made of them, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from imaging.masks.overlap import dice
from imaging.training.backgrounds import SOURCES
from imaging.training.calibration_set import fit_phantoms
from imaging.training.scans import read_scan
from imaging.training.trial_nodules import TrialNodule, insert_trial_nodules
from imaging.types import Candidate, PointMm, Sphere, Volume

DIAMETERS_MM = (3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 26.0)
BACKGROUND_REPEATS = 2
FALSE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A scan with nodules that are known, and places where nothing counts."""

    name: str
    volume: Volume
    nodules: tuple[TrialNodule, ...]
    ignored: tuple[Sphere, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector made of one trial. ``hits``: (diameter, score or None where missed, Dice or None)."""

    hits: tuple[tuple[float, float | None, float | None], ...]
    false_scores: tuple[float, ...]


def assigned(*, trial: Trial, candidates: Sequence[Candidate]) -> tuple[int | None, ...]:
    """Match candidates to nodules, best first, one to one, within max(diameter / 2, 2.5 mm) in space.

    Returns for each candidate its nodule's number, ``FALSE`` where there is none, or None where nothing counts.
    """
    told: list[int | None] = []
    for candidate in candidates:
        near = [
            (float(np.linalg.norm(np.subtract(candidate.centre_mm, nodule.centre_mm))), number)
            for number, nodule in enumerate(trial.nodules)
        ]
        inside = [(gap, number) for gap, number in near if gap <= max(trial.nodules[number].diameter_mm / 2.0, 2.5)]
        free = [number for _, number in sorted(inside) if number not in told]
        if free:
            told.append(free[0])
        elif not inside and not any(_within(candidate.centre_mm, sphere) for sphere in trial.ignored):
            told.append(FALSE)
        else:
            told.append(None)
    return tuple(told)


def judge(*, trial: Trial, candidates: Sequence[Candidate]) -> Outcome:
    """Return what was found of a trial's nodules, and the scores of what is none."""
    told = assigned(trial=trial, candidates=candidates)
    found = {number: one for number, one in zip(told, candidates, strict=True) if number not in (None, FALSE)}
    false_scores = [one.probability for number, one in zip(told, candidates, strict=True) if number == FALSE]
    hits = []
    for number, nodule in enumerate(trial.nodules):
        candidate_found = found.get(number)
        overlap = None
        if candidate_found is not None and candidate_found.mask is not None:
            overlap = dice(candidate_found.mask, nodule.mask)
        score = None if candidate_found is None else candidate_found.probability
        hits.append((nodule.diameter_mm, score, overlap))
    return Outcome(tuple(hits), tuple(false_scores))


def sensitivity_at(*, outcomes: Sequence[Outcome], false_per_scan: float, low: float, high: float) -> tuple[int, int]:
    """Return (found, all) of nodules of ``low`` to below ``high`` mm with that many false candidates a scan."""
    threshold = threshold_at(outcomes=outcomes, false_per_scan=false_per_scan)
    own = [score for outcome in outcomes for size, score, _ in outcome.hits if low <= size < high]
    return sum(score is not None and score > threshold for score in own), len(own)


def threshold_at(*, outcomes: Sequence[Outcome], false_per_scan: float) -> float:
    """Return the score above which there are at most that many false candidates a scan."""
    false = sorted((score for outcome in outcomes for score in outcome.false_scores), reverse=True)
    allowed = int(false_per_scan * len(outcomes))
    return false[allowed] if allowed < len(false) else 0.0


def calibration_of(outcomes: Sequence[Outcome]) -> list[list[float]]:
    """Return (raw, probability) pairs of a logistic curve in the raw score's logit (Platt 1999)."""
    raw = [score for outcome in outcomes for _, score, _ in outcome.hits if score is not None]
    false = [score for outcome in outcomes for score in outcome.false_scores]
    truth = np.array([1.0] * len(raw) + [0.0] * len(false))

    def surprise(line: NDArray[np.float64]) -> float:
        margin = line[0] * _logit(np.array(raw + false)) + line[1]
        return float(np.logaddexp(0.0, margin).sum() - (truth * margin).sum() + 0.005 * line[0] ** 2)

    line = optimize.minimize(surprise, x0=np.array([1.0, 0.0])).x
    grid = np.concatenate([[0.0], np.linspace(0.02, 0.98, 33), [1.0]])
    curve = 1.0 / (1.0 + np.exp(-(line[0] * _logit(grid) + line[1])))
    return [[round(float(a), 4), round(float(b), 4)] for a, b in zip(grid, curve, strict=True)]


def _logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.clip(scores, 1e-3, 1.0 - 1e-3)
    return np.asarray(np.log(safe / (1.0 - safe)))


def calibration_trials(scans: Path) -> Iterator[Trial]:
    """Fresh phantoms with their own nodules, and trial nodules in the background scans."""
    for planned in fit_phantoms():
        case = planned.make()
        own = tuple(
            TrialNodule(one.centre_mm, one.diameter_mm, one.attenuation.value, one.mask, one.shows)
            for one in case.nodules
        )
        yield Trial(f"phantom-{planned.seed}", case.volume, own, ())
    for source in SOURCES:
        scan = read_scan(folder=scans, name=source.name, usable_mm=source.usable_mm)
        if scan is None:
            continue
        ignored = tuple(ball_around(low, high) for low, high in scan.lesion_boxes)
        for repeat in range(BACKGROUND_REPEATS):
            yield trial_of(f"{source.name}-{repeat}", scan.volume, ignored, repeat)


def trial_of(name: str, volume: Volume, ignored: tuple[Sphere, ...], seed: int) -> Trial:
    changed, nodules = insert_trial_nodules(volume=volume, diameters_mm=DIAMETERS_MM, keep_clear=ignored, seed=seed)
    return Trial(name, changed, nodules, ignored)


def ball_around(low: PointMm, high: PointMm) -> Sphere:
    centre = tuple(0.5 * (a + b) for a, b in zip(low, high, strict=True))
    return Sphere((centre[0], centre[1], centre[2]), float(np.linalg.norm(np.subtract(high, low))))


def _within(place: PointMm, sphere: Sphere) -> bool:
    return float(np.linalg.norm(np.subtract(place, sphere.centre_mm))) <= max(sphere.diameter_mm / 2.0, 5.0)
