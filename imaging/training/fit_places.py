"""Fitting what the place network says to what is true: of a nodule, and of each voxel of its outline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from imaging.inference.bundle import Bundle
from imaging.inference.place_settings import UNFITTED_OUTLINE, OutlineCalibration, PlaceCalibration, PlaceSettings
from imaging.inference.places import Scores
from imaging.types import Mask, OutlineOpinion

MOST_VOXELS = 1500
"""Of each lesion, so that the large ones do not decide for all."""

RING = 2
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """One candidate of a trial: what was said of it, and whether it is a nodule. None where neither counts."""

    scores: Scores
    nodule: bool | None


def settings_of(bundle: Bundle) -> PlaceSettings:
    """Return how the bundle's place network is run. Raises ValueError where it has none."""
    if bundle.settings.places is None:
        raise ValueError("the bundle has no place network")
    return bundle.settings.places


def with_calibration(
    *, bundle: Bundle, calibration: PlaceCalibration, outline_calibration: OutlineCalibration
) -> Bundle:
    """Return the bundle as if it carried these calibrations."""
    places = replace(settings_of(bundle), calibration=calibration, outline_calibration=outline_calibration)
    return replace(bundle, settings=replace(bundle.settings, places=places))


def unfitted(*, bundle: Bundle) -> Bundle:
    """Return the bundle with everything that calibration did taken out, dropping no candidate for its scores."""
    flat = PlaceCalibration(intercept=0.0, first=0.1, place=0.1)
    return with_calibration(bundle=bundle, calibration=flat, outline_calibration=UNFITTED_OUTLINE)


def fit_nodules(told: Sequence[Told]) -> PlaceCalibration:
    """Return the logistic curve in both networks' logits (Platt 1999) that says best which candidates are nodules.

    Neither network may speak against what it holds for likely, so both slopes are at least zero.
    """
    counted = [(one.scores, one.nodule) for one in told if one.nodule is not None]
    first = _logit(np.array([scores.raw for scores, _ in counted]))
    place = np.array([scores.nodule_logit for scores, _ in counted])
    truth = np.array([float(nodule) for _, nodule in counted])

    def surprise(line: Floats) -> float:
        margin = line[0] + line[1] * first + line[2] * place
        return float(np.logaddexp(0.0, margin).sum() - (truth * margin).sum() + 0.005 * (line[1:] ** 2).sum())

    bounds = [(None, None), (0.0, None), (0.0, None)]
    line = optimize.minimize(surprise, x0=np.array([0.0, 0.5, 0.5]), bounds=bounds).x
    return PlaceCalibration(*(round(float(value), 4) for value in line))


def outline_voxels(
    *, opinion: OutlineOpinion, truth: Mask, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (probability, whether it belongs) of voxels in and near a lesion, at most 1,500. Empty without a map."""
    found = opinion.probability
    if found is None:
        return np.zeros(0), np.zeros(0, dtype=np.bool_)
    inside = np.zeros(found.values.shape, dtype=np.bool_)
    offset = np.array(truth.origin) - np.array(found.origin)
    low, high = np.maximum(offset, 0), np.minimum(offset + np.array(truth.voxels.shape), inside.shape)
    if np.any(low >= high):
        return np.zeros(0), np.zeros(0, dtype=np.bool_)
    inner = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
    inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = truth.voxels[inner]
    # Where the border may be: everything farther off is certain, and would hide how uncertain the border is.
    near = np.flatnonzero(ndimage.binary_dilation(inside, iterations=RING))
    if len(near) > MOST_VOXELS:
        near = generator.choice(near, MOST_VOXELS, replace=False)
    return found.values.ravel()[near].astype(np.float64), inside.ravel()[near]


def fit_outlines(samples: Sequence[tuple[Floats, NDArray[np.bool_]]]) -> OutlineCalibration:
    """Return the logistic curve that says best which voxels belong; each lesion counts the same."""
    filled = [(probability, belongs) for probability, belongs in samples if len(probability)]
    if not filled:
        return UNFITTED_OUTLINE
    logit = _logit(np.concatenate([probability for probability, _ in filled]))
    truth = np.concatenate([belongs for _, belongs in filled]).astype(np.float64)
    weight = np.concatenate([np.full(len(belongs), 1.0 / len(belongs)) for _, belongs in filled])

    def surprise(line: Floats) -> float:
        margin = line[0] * logit + line[1]
        return float((weight * (np.logaddexp(0.0, margin) - truth * margin)).sum())

    line = optimize.minimize(surprise, x0=np.array([1.0, 0.0]), bounds=[(0.05, 5.0), (-5.0, 5.0)]).x
    return OutlineCalibration(round(float(line[0]), 4), round(float(line[1]), 4))


def calibration_content(
    *, calibration: PlaceCalibration, outline_calibration: OutlineCalibration
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what ``imaging.training.export`` writes into the bundle, by name."""
    yield (
        "place_calibration",
        {"intercept": calibration.intercept, "first": calibration.first, "place": calibration.place},
    )
    yield "outline_calibration", {"scale": outline_calibration.scale, "offset": outline_calibration.offset}


def _logit(probability: NDArray[np.floating]) -> Floats:
    safe = np.clip(np.asarray(probability, dtype=np.float64), 1e-4, 1.0 - 1e-4)
    return np.asarray(np.log(safe / (1.0 - safe)), dtype=np.float64)
