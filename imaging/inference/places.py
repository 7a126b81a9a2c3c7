"""The second opinion on single places: is it a nodule, and what is its outline voxel by voxel.

The place network looks at crops cut straight from the scan's own grid, finer than the grid of the first network, and
is told which lesion is meant by where the crop's middle lies: its outline is that lesion's, not a neighbour's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_index
from imaging.inference.crops import View, cut, put_back
from imaging.inference.network import TileRunner, scale_window
from imaging.inference.outlines import APART_MM, OUTLINE_AT, REACH_MM, Outliner, Peak
from imaging.inference.place_settings import PLACE_SIZE, OutlineCalibration, PlaceCalibration, PlaceSettings
from imaging.inference.sampling import WorkingVolume
from imaging.masks.build import mask_from_voxels
from imaging.types import Candidate, Mask, OutlineOpinion, PointMm, ProbabilityMap, Volume

MOST_RESCORED = 48
"""Candidates of the first network that are looked at again, highest score first; what it says of more is noise."""

COARSE_FROM_MM = 16.0
"""Lesions from here on are looked at in the coarse crop, whose field is 67 mm."""

FINE_BELOW_MM = 10.0
RIM = 2
"""Voxels at a crop's border: an outline that reaches them goes on outside."""

LEAST_PROBABILITY = 1e-4
MOST_LOGIT = float(np.log((1.0 - LEAST_PROBABILITY) / LEAST_PROBABILITY))
"""No score is believed further than this, so no logit is beyond it."""

DROPPED_BELOW = 0.005
REDRAWN_FROM = 0.02
FLIPS = tuple(tuple(axis for axis in range(3) if chosen[axis]) for chosen in itertools.product((0, 1), repeat=3))
ONE_VIEW: tuple[tuple[int, ...], ...] = ((),)

Field = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FirstSight:
    """What the first network says of a place: its raw score and the diameter of what it outlines there, mm."""

    raw: float
    diameter_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What the place network says of a place. ``nodule_logit``: of the nodule head, averaged over the views.

    ``origin``, ``probability``, ``spread``: the outline voxel by voxel on the scan's grid, calibrated; the spread is
    over the views. ``mask``: the connected part of probability one half and more that is meant, None where there is
    none. ``diameter_mm``: of the ball of its volume, 0 without one. ``cut_off``: whether it reaches the crop's border.
    """

    nodule_logit: float
    origin: tuple[int, int, int]
    probability: Field
    spread: Field
    mask: Mask | None
    diameter_mm: float
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """What a candidate's probability was made of: the first network's raw score, the place network's logit."""

    raw: float
    nodule_logit: float


class Places:
    """The place network over one volume. ``run``: takes a scaled crop, called from ``threads`` threads at a time."""

    def __init__(self, *, volume: Volume, settings: PlaceSettings, run: TileRunner, threads: int) -> None:
        self._volume = volume
        self._settings = settings
        self._run = run
        self._threads = threads

    def candidates(
        self, *, peaks: Sequence[Peak], working: WorkingVolume, outliner: Outliner
    ) -> tuple[tuple[Candidate, ...], tuple[Scores, ...]]:
        """Return what both networks together hold for a nodule, most probable first, and what each made of it.

        Two that turn out to be the same lesion are one. What hardly anything speaks for is left out.
        """
        looked = [peak for peak in peaks[:MOST_RESCORED] if self._may_stay(peak)]
        indices = [np.asarray(working.to_scan(peak.index[None])[0], dtype=np.float64) for peak in looked]
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            sights = list(pool.map(self._glance, indices, looked))
        found: list[tuple[Candidate, Scores]] = []
        for peak, index, sight in zip(looked, indices, sights, strict=True):
            probability = nodule_probability(
                raw=peak.raw, nodule_logit=sight.nodule_logit, calibration=self._settings.calibration
            )
            if probability < DROPPED_BELOW:
                continue
            mask, diameter = outliner.mask(peak.label) if peak.label else None, peak.diameter_mm
            if sight.mask is not None and _logistic(sight.nodule_logit) >= REDRAWN_FROM:
                mask, diameter = sight.mask, sight.diameter_mm
                index = np.argwhere(mask.voxels).mean(axis=0) + np.array(mask.origin)
            x, y, z, _ = self._volume.grid.matrix @ np.array([*index, 1.0])
            candidate = Candidate((float(x), float(y), float(z)), diameter, probability, mask)
            found.append((candidate, Scores(peak.raw, sight.nodule_logit)))
        # Sorting keeps equals in the order of the first network, which does not depend on chance.
        found.sort(key=lambda one: -one[0].probability)
        kept: list[tuple[Candidate, Scores]] = []
        for one in found:
            if not any(_same_lesion(one[0], other[0]) for other in kept):
                kept.append(one)
        return tuple(candidate for candidate, _ in kept), tuple(scores for _, scores in kept)

    def opinion(self, *, place_mm: PointMm, first: FirstSight) -> OutlineOpinion:
        """Return what there is to outline at a place, LPS mm, and how certain that is, from eight mirrored views."""
        index = np.array(to_index(self._volume.grid, place_mm))
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            sight = self._look(index, first.diameter_mm, FLIPS, pool)
        certain = 0.0
        if sight.mask is not None:
            box = _within(sight.mask, sight.origin)
            certain = float(sight.probability[box][sight.mask.voxels].mean())
        return OutlineOpinion(
            place_mm=place_mm,
            mask=sight.mask,
            mean_probability=certain,
            nodule_probability=nodule_probability(
                raw=first.raw, nodule_logit=sight.nodule_logit, calibration=self._settings.calibration
            ),
            probability=ProbabilityMap(self._volume.grid, sight.origin, sight.probability, sight.spread),
        )

    def _may_stay(self, peak: Peak) -> bool:
        """Whether anything that the place network can say would keep a candidate."""
        calibration = self._settings.calibration
        said = (
            nodule_probability(raw=peak.raw, nodule_logit=logit, calibration=calibration)
            for logit in (-MOST_LOGIT, MOST_LOGIT)
        )
        return max(said) >= DROPPED_BELOW

    def _glance(self, index: Floats, peak: Peak) -> Sight:
        return self._look(index, peak.diameter_mm, ONE_VIEW, None)

    def _look(
        self,
        index: Floats,
        expected_mm: float,
        flips: Sequence[tuple[int, ...]],
        pool: ThreadPoolExecutor | None,
    ) -> Sight:
        """Look with the crop that fits what is expected, and with the other where what is seen does not fit it."""
        fine, coarse = self._settings.voxel_mm
        if expected_mm <= COARSE_FROM_MM:
            sight = self._see(index, fine, flips, pool)
            too_large = sight.cut_off or sight.diameter_mm > COARSE_FROM_MM
            return self._see(index, coarse, flips, pool) if too_large else sight
        sight = self._see(index, coarse, flips, pool)
        return self._see(index, fine, flips, pool) if sight.diameter_mm < FINE_BELOW_MM else sight

    def _see(
        self,
        index: Floats,
        voxel_mm: float,
        flips: Sequence[tuple[int, ...]],
        pool: ThreadPoolExecutor | None,
    ) -> Sight:
        grid = self._volume.grid
        view = View((float(index[0]), float(index[1]), float(index[2])), grid.spacing_mm, voxel_mm)
        box = view.box(grid.shape)
        crop = cut(values=self._volume.hounsfield[box], first=[span.start for span in box], view=view)
        image = scale_window(crop)
        mirrored = [np.ascontiguousarray(np.flip(image, axes)) for axes in flips]
        answers = list(map(self._run, mirrored) if pool is None else pool.map(self._run, mirrored))
        logit = float(np.mean([_logit(answer[1].reshape(-1)[:1])[0] for answer in answers]))
        seen = [
            voxel_probability(raw=np.flip(answer[0], axes), calibration=self._settings.outline_calibration)
            for axes, answer in zip(flips, answers, strict=True)
        ]
        stack = np.stack(seen)
        mean = np.asarray(stack.mean(axis=0), dtype=np.float32)
        origin, probability = put_back(crop=mean, view=view, shape=grid.shape)
        spread = np.zeros_like(probability)
        if len(seen) > 1:
            _, spread = put_back(crop=np.asarray(stack.std(axis=0), dtype=np.float32), view=view, shape=grid.shape)
        for field in (probability, spread):
            field.setflags(write=False)
        own = _component(probability, index - np.array(origin), grid.spacing_mm)
        mask = None if own is None else mask_from_voxels(grid=grid, voxels=own, origin=origin)
        diameter = 0.0
        if mask is not None:
            diameter = float((6.0 * mask.count * np.prod(grid.spacing_mm) / np.pi) ** (1.0 / 3.0))
        cut_off = mask is not None and _reaches_border(mask, view)
        return Sight(logit, origin, probability, spread, mask, diameter, cut_off)


def first_sight(
    *, place_mm: PointMm, volume: Volume, working: WorkingVolume, centre_probability: Field, outliner: Outliner
) -> FirstSight:
    """Return what the first network says of a place, LPS mm: the highest it says within 4 mm."""
    index = working.from_scan(np.array(to_index(volume.grid, place_mm))[None])[0]
    label = outliner.label_near(index, reach_mm=REACH_MM)
    reach = REACH_MM / working.spacing_mm
    low = np.maximum(np.ceil(index - reach).astype(int), 0)
    high = np.minimum(np.floor(index + reach).astype(int) + 1, centre_probability.shape)
    raw = outliner.weight(label) if label else 0.0
    if np.all(low < high):
        around = centre_probability[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        raw = max(raw, float(around.max()))
    return FirstSight(raw, outliner.diameter_mm(label) if label else APART_MM)


def nodule_probability(*, raw: float, nodule_logit: float, calibration: PlaceCalibration) -> float:
    """Return the calibrated probability of a nodule from what both networks say."""
    first = float(_logit(np.array([raw]))[0])
    return _logistic(calibration.intercept + calibration.first * first + calibration.place * nodule_logit)


def voxel_probability(*, raw: Field, calibration: OutlineCalibration) -> Field:
    """Return the network's voxel probabilities calibrated, the same shape."""
    if calibration.scale == 1.0 and calibration.offset == 0.0:
        return np.ascontiguousarray(raw)
    margin = calibration.scale * _logit(raw) + calibration.offset
    return np.asarray(1.0 / (1.0 + np.exp(-margin)), dtype=np.float32)


def _logit(probability: NDArray[np.floating]) -> Floats:
    safe = np.clip(np.asarray(probability, dtype=np.float64), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.asarray(np.log(safe / (1.0 - safe)), dtype=np.float64)


def _logistic(margin: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(margin, -60.0, 60.0))))


def _component(probability: Field, place: Floats, spacing_mm: Sequence[float]) -> NDArray[np.bool_] | None:
    """Return the connected part nearest to a place within 4 mm, None where there is none."""
    labels, count = ndimage.label(probability >= OUTLINE_AT)
    if not count:
        return None
    filled = np.argwhere(labels)
    distance = np.linalg.norm((filled - place) * np.array(spacing_mm), axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] > REACH_MM:
        return None
    return np.asarray(labels == labels[tuple(filled[nearest])], dtype=np.bool_)


def _reaches_border(mask: Mask, view: View) -> bool:
    """Whether an outline comes within two voxels of its crop's border; the end of the scan is no border."""
    reach = (0.5 * (PLACE_SIZE - 1) - RIM) * view.voxel_mm / np.array(view.spacing_mm)
    low = np.array(mask.origin) - np.array(view.centre)
    high = low + np.array(mask.voxels.shape) - 1
    return bool(np.any(low < -reach) or np.any(high > reach))


def _within(mask: Mask, origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a - b, a - b + size) for a, b, size in zip(mask.origin, origin, mask.voxels.shape, strict=True))


def _same_lesion(one: Candidate, other: Candidate) -> bool:
    apart = float(np.linalg.norm(np.subtract(one.centre_mm, other.centre_mm)))
    return apart < max(APART_MM, 0.5 * (other.diameter_mm or 0.0))
