"""From the network's voxel probabilities to outlines on the scan's own grid, and to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.inference.sampling import WorkingVolume
from imaging.masks.build import mask_from_voxels
from imaging.types import Candidate, Grid, Mask, OutlineOpinion, PointMm

OUTLINE_AT = 0.5
REACH_MM = 4.0
PEAK_AT = 0.02
APART_MM = 4.0
MOST_CANDIDATES = 100
LEAST_COMPONENT_MM = 5.0
LOOKED_AT = 400
FEW = 30
"""A map of which less than one voxel in so many is high has its peaks found voxel by voxel, which is quicker."""

SURE_PEAK = 0.15
WALL_MM = 4.0
"""How far outside the lungs a centre may lie: the middle of a nodule on the pleura belongs to the wall by density."""

LUNG_SHARE = 0.25
"""Least part in the lungs of an outline whose middle may lie further outside: of a large nodule on the pleura, most is
wall by density."""

Field = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """A place where the network sees something.

    ``index``: working index. ``raw``: score before calibration. ``height``: of the centre map there. ``label``: its
    component's number, 0 for none.
    """

    index: Floats
    raw: float
    height: float
    label: int
    diameter_mm: float


class Outliner:
    """Outlines at places of one scan: connected regions of mask probability of at least one half."""

    def __init__(self, *, mask_probability: Field, working: WorkingVolume, grid: Grid) -> None:
        self._probability = mask_probability
        self._working = working
        self._grid = grid
        self._labels, self._count = ndimage.label(mask_probability >= OUTLINE_AT)
        self._boxes = ndimage.find_objects(self._labels)

    def label_near(self, index: Floats, *, reach_mm: float) -> int:
        """Return the number of the component nearest to a working index within ``reach_mm``, 0 if there is none."""
        reach = int(np.ceil(reach_mm / self._working.spacing_mm))
        middle = np.rint(index).astype(int)
        low = np.maximum(middle - reach, 0)
        high = np.minimum(middle + reach + 1, self._labels.shape)
        if np.any(low >= high):
            return 0
        part = self._labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        filled = np.argwhere(part)
        if not len(filled):
            return 0
        distance = np.linalg.norm(filled + low - index, axis=1) * self._working.spacing_mm
        nearest = int(distance.argmin())
        return int(part[tuple(filled[nearest])]) if distance[nearest] <= reach_mm else 0

    def diameter_mm(self, label: int) -> float:
        """Return the diameter of the ball of a component's volume."""
        count = int(np.count_nonzero(self._labels[self._boxes[label - 1]] == label))
        return float((6.0 * count / np.pi) ** (1.0 / 3.0) * self._working.spacing_mm)

    def mean_probability(self, label: int) -> float:
        """Return the mean mask probability inside a component."""
        box = self._boxes[label - 1]
        return float(self._probability[box][self._labels[box] == label].mean())

    def weight(self, label: int) -> float:
        """Return how much a component alone speaks for a nodule, 0 to 0.9."""
        return 0.9 * self.mean_probability(label) * min(1.0, (self.diameter_mm(label) / 10.0) ** 2)

    def share_in(self, label: int, region: NDArray[np.bool_]) -> float:
        """Return which part of a component lies in ``region``, 0 to 1."""
        box = self._boxes[label - 1]
        return float(region[box][self._labels[box] == label].mean())

    def peaks_of_components(self, *, region: NDArray[np.bool_]) -> list[Peak]:
        """Return the components of at least 5 mm of which a quarter or more lies in ``region``, at their middles."""
        peaks = []
        for label in range(1, self._count + 1):
            if self.diameter_mm(label) < LEAST_COMPONENT_MM or self.share_in(label, region) < LUNG_SHARE:
                continue
            box = self._boxes[label - 1]
            own = self._labels[box] == label
            middle = np.argwhere(own).mean(axis=0) + np.array([span.start for span in box])
            peaks.append(Peak(middle, self.weight(label), 0.0, label, self.diameter_mm(label)))
        return peaks

    def mask(self, label: int) -> Mask | None:
        """Return a component on the scan's grid, or None if it holds no voxel centre of the scan.

        The probability is read between working voxels, so the outline is as smooth as the scan's grid allows.
        """
        spans = self._boxes[label - 1]
        start = np.array([max(0, span.start - 2) for span in spans])
        stop = np.array([min(size, span.stop + 2) for span, size in zip(spans, self._labels.shape, strict=True)])
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        # One voxel of rim is kept, in which the probability falls through one half.
        own = ndimage.binary_dilation(self._labels[box] == label)
        probability = np.where(own, self._probability[box], np.float32(0.0))
        corners = self._working.to_scan(np.stack([start, stop - 1]).astype(np.float64))
        low = np.maximum(np.floor(corners[0]).astype(int), 0)
        high = np.minimum(np.ceil(corners[1]).astype(int) + 1, self._grid.shape)
        if np.any(low >= high):
            return None
        axes = [np.arange(a, b, dtype=np.float64) for a, b in zip(low, high, strict=True)]
        places = [
            (axis - first) / step - begin
            for axis, first, step, begin in zip(axes, self._working.first, self._working.step, start, strict=True)
        ]
        sampled = ndimage.map_coordinates(probability, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
        inside = sampled >= OUTLINE_AT
        if not inside.any():
            return None
        return mask_from_voxels(grid=self._grid, voxels=inside, origin=(int(low[0]), int(low[1]), int(low[2])))

    def opinion(self, place_mm: PointMm) -> OutlineOpinion:
        """Return what the network would outline at a place, LPS mm."""
        index = np.linalg.solve(self._grid.matrix, np.array([*place_mm, 1.0]))[:3]
        working = self._working.from_scan(index[None])[0]
        label = self.label_near(working, reach_mm=REACH_MM)
        mask = self.mask(label) if label else None
        return OutlineOpinion(place_mm, mask, self.mean_probability(label) if mask is not None else 0.0)


def find_peaks(
    *, centre_probability: Field, region: NDArray[np.bool_], outliner: Outliner, spacing_mm: float
) -> list[Peak]:
    """Return where the network sees something in ``region`` or on its wall, highest score first, one a thing.

    On the wall is what lies within 4 mm of it, and what belongs to a component of which a quarter lies in ``region``.
    These are the peaks of the centre map, and the components of the mask of at least 5 mm, since the centre of a large
    nodule is easily missed. A component speaks for itself by its mean probability, fully from 10 mm on; the score is
    the higher of both. A lower one is dropped within 4 mm of a higher one, or within half the diameter of its
    component, or on the same component. Equals are taken in index order, so that the answer does not depend on chance.
    """
    size = 2 * round(APART_MM / spacing_mm / 2.0) + 1
    places = _summits(centre_probability, size // 2)
    inside = _near(places, region, WALL_MM / spacing_mm)
    for number in np.flatnonzero(~inside & (centre_probability[tuple(places.T)] >= SURE_PEAK)):
        label = outliner.label_near(places[number].astype(np.float64), reach_mm=2.5)
        inside[number] = label > 0 and outliner.share_in(label, region) >= LUNG_SHARE
    places = places[inside]
    # Of the thousands of ripples only the highest can be among the candidates in the end.
    places = places[np.argsort(-centre_probability[tuple(places.T)], kind="stable")[:LOOKED_AT]]
    found: list[Peak] = []
    for place, height in zip(places, centre_probability[tuple(places.T)], strict=True):
        index = place.astype(np.float64)
        label = outliner.label_near(index, reach_mm=2.5)
        diameter = outliner.diameter_mm(label) if label else APART_MM
        # A centre that hardly shows says less about where the middle is than the outline does.
        sure = label and height >= SURE_PEAK
        raw = max(float(height), outliner.weight(label)) if sure else float(height)
        found.append(Peak(index, raw, float(height), label, diameter))
    found.extend(outliner.peaks_of_components(region=region))
    kept: list[Peak] = []
    taken: set[int] = set()
    # Several peaks of one component share its score: the one where the centre map is highest is its place.
    for peak in sorted(found, key=lambda peak: (-peak.raw, -peak.height)):
        if peak.label and peak.label in taken:
            continue
        if any(
            np.linalg.norm(peak.index - other.index) * spacing_mm < max(APART_MM, 0.5 * other.diameter_mm)
            for other in kept
        ):
            continue
        taken.add(peak.label)
        kept.append(peak)
        if len(kept) == MOST_CANDIDATES:
            break
    return kept


def _summits(values: Field, reach: int) -> NDArray[np.int64]:
    """Return the voxels above ``PEAK_AT`` with none higher within ``reach`` along each axis, (n, 3), in index order."""
    high = values > PEAK_AT
    if np.count_nonzero(high) > values.size // FEW:
        # A map that is high all over would make lists larger than itself.
        return np.argwhere(high & (values == ndimage.maximum_filter(values, size=2 * reach + 1, mode="constant")))
    places = np.argwhere(high)
    padded = np.pad(values, reach)
    flat = padded.ravel()
    at = np.ravel_multi_index(tuple((places + reach).T), padded.shape)
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    # Nearest first: most voxels that are no summit fall at the first neighbours.
    for offset in offsets[np.argsort((offsets**2).sum(axis=1), kind="stable")]:
        kept = flat[at] >= flat[at + int((offset * steps).sum())]
        places, at = places[kept], at[kept]
    return places


def _near(places: NDArray[np.int64], region: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Return for each (n, 3) voxel whether ``region`` has one within ``reach`` voxels of it."""
    axis = np.arange(-int(reach), int(reach) + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    found = np.zeros(len(places), dtype=np.bool_)
    for offset in offsets[np.linalg.norm(offsets, axis=1) <= reach]:
        around = places + offset
        inside = np.all((around >= 0) & (around < np.array(region.shape)), axis=1)
        found[inside] |= region[tuple(around[inside].T)]
    return found


def calibrated(*, raw: float, calibration: Sequence[tuple[float, float]]) -> float:
    """Return the probability of a raw score, by straight lines between the calibration's points."""
    scores, probabilities = zip(*calibration, strict=True)
    return float(np.clip(np.interp(raw, scores, probabilities), 0.0, 1.0))


def to_candidates(
    *,
    peaks: Sequence[Peak],
    outliner: Outliner,
    working: WorkingVolume,
    grid: Grid,
    calibration: Sequence[tuple[float, float]],
) -> tuple[Candidate, ...]:
    """Return candidates, most probable first, in patient space."""
    candidates = []
    for peak in peaks:
        index = working.to_scan(peak.index[None])[0]
        x, y, z, _ = grid.matrix @ np.array([*index, 1.0])
        candidates.append(
            Candidate(
                centre_mm=(float(x), float(y), float(z)),
                diameter_mm=peak.diameter_mm,
                probability=calibrated(raw=peak.raw, calibration=calibration),
                mask=outliner.mask(peak.label) if peak.label else None,
            )
        )
    return tuple(candidates)
