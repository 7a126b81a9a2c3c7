"""Fitting a bundle's scores to what is true of the trials, for one network or for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from imaging.inference.bundle import Bundle
from imaging.inference.places import nodule_probability
from imaging.inference.predict import predict, predict_scored
from imaging.training.fit_places import (
    Told,
    calibration_content,
    fit_nodules,
    fit_outlines,
    outline_voxels,
    unfitted,
    with_calibration,
)
from imaging.training.trials import FALSE, Outcome, assigned, calibration_of, calibration_trials, judge
from imaging.types import Candidate, Volume

THREADS = 2
VOXEL_SEED = 20_261_121
Floats = NDArray[np.float64]
Detector = Callable[[Volume], tuple[Candidate, ...]]


def detector_of(bundle: Bundle) -> Detector:
    """Return what runs a bundle over a volume."""

    def run(volume: Volume) -> tuple[Candidate, ...]:
        prediction = predict(
            volume, bundle, places=(), progress=lambda done, total: None, checkpoint_dir=None, threads=THREADS
        )
        return prediction.candidates

    return run


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What calibration found. ``bundle``: the one whose scores ``outcomes`` hold; ``content``: for the export.

    ``curve``: of the first network alone, as ``Settings.calibration``.
    """

    bundle: Bundle
    outcomes: tuple[Outcome, ...]
    curve: tuple[tuple[float, float], ...]
    content: dict[str, object]


def fit_first(*, bundle: Bundle, scans: Path) -> Fit:
    """Fit the probability of what the first network says. The returned bundle gives its raw scores."""
    raw = replace(bundle, settings=replace(bundle.settings, calibration=((0.0, 0.0), (1.0, 1.0))))
    detect = detector_of(raw)
    outcomes = tuple(
        judge(trial=trial, candidates=detect(trial.volume))
        for trial in tqdm(calibration_trials(scans), unit="scan", desc="calibrating")
    )
    calibration = calibration_of(outcomes)
    return Fit(raw, outcomes, tuple((a, b) for a, b in calibration), {"calibration": calibration})


def fit_both(*, bundle: Bundle, scans: Path) -> Fit:
    """Fit the probability of what both networks say, and of each voxel. The returned bundle gives probabilities."""
    raw = unfitted(bundle=bundle)
    generator = np.random.default_rng(VOXEL_SEED)
    told: list[Told] = []
    voxels: list[tuple[Floats, NDArray[np.bool_]]] = []
    seen = []
    for trial in tqdm(calibration_trials(scans), unit="scan", desc="calibrating"):
        prediction, scores = predict_scored(
            trial.volume,
            raw,
            places=[nodule.centre_mm for nodule in trial.nodules],
            progress=lambda done, total: None,
            checkpoint_dir=None,
            threads=THREADS,
        )
        numbers = assigned(trial=trial, candidates=prediction.candidates)
        told.extend(
            Told(one, None if number is None else number != FALSE) for one, number in zip(scores, numbers, strict=True)
        )
        voxels.extend(
            outline_voxels(opinion=opinion, truth=nodule.mask, generator=generator)
            for opinion, nodule in zip(prediction.outlines, trial.nodules, strict=True)
        )
        # Of the volume nothing is needed any more, and thirty of them are many gigabytes.
        seen.append((replace(trial, volume=_nothing(trial.volume)), prediction.candidates, scores))
    calibration, outline = fit_nodules(told), fit_outlines(voxels)
    outcomes, first = [], []
    for trial, candidates, scores in seen:
        both = [
            replace(
                one,
                probability=nodule_probability(raw=score.raw, nodule_logit=score.nodule_logit, calibration=calibration),
            )
            for one, score in zip(candidates, scores, strict=True)
        ]
        outcomes.append(judge(trial=trial, candidates=sorted(both, key=lambda one: -one.probability)))
        alone = [replace(one, probability=score.raw) for one, score in zip(candidates, scores, strict=True)]
        first.append(judge(trial=trial, candidates=sorted(alone, key=lambda one: -one.probability)))
    fitted = with_calibration(bundle=bundle, calibration=calibration, outline_calibration=outline)
    curve = calibration_of(first)
    content: dict[str, object] = {
        "calibration": curve,
        **dict(calibration_content(calibration=calibration, outline_calibration=outline)),
    }
    return Fit(fitted, tuple(outcomes), tuple((a, b) for a, b in curve), content)


def _nothing(volume: Volume) -> Volume:
    return replace(volume, hounsfield=np.zeros((0, 0, 0), dtype=np.int16))
