"""How far one outline lies from another, in mm and with the sign, and how sure a model is of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import crop
from imaging.agreement.surface import surface_distances
from imaging.checks.base import CheckParameters
from imaging.checks.outline_parts import on_common_slices
from imaging.checks.places import equivalent_diameter_mm
from imaging.checks.probability import beyond_tolerance
from imaging.masks.measure import centroid
from imaging.types import Mask, PointMm, ProbabilityMap

SURELY_OUT = 0.1
SURELY_IN = 0.9
"""Voxel probabilities below and above which a model is sure of a voxel."""

_FARTHEST = 2.3
"""How much farther than on average careful outlines may lie apart at their worst places (95th percentile)."""

_OF_LENGTH = 0.75
"""An outline too wide by w is longer by 2 w; from this part of the length on it is rather too wide than too long."""


@dataclass(frozen=True, slots=True, eq=False)
class Deviation:
    """How one outline differs from one reference outline. ``shift_mm`` is the vector (x, y, z) from reference to label.

    ``kind``: ``over`` (drawn too wide), ``under`` (too tight), ``shift``, ``shape``, or ``within`` the tolerance.
    ``volume_ratio``: the label's over the reference's. ``over_mm`` and ``under_mm``: 95th percentile of how far the
    label lies outside the reference, and the reference outside the label.
    """

    kind: str
    bias_mm: float
    mean_mm: float
    hd95_mm: float
    shift_mm: PointMm
    tolerance_mm: float
    volume_ratio: float
    over_mm: float
    under_mm: float
    score: float

    @property
    def deviation_mm(self) -> float:
        """The mean symmetric surface distance or the distance of the centroids, whichever is larger."""
        return max(self.mean_mm, math.hypot(*self.shift_mm))


@dataclass(frozen=True, slots=True)
class CertainDifference:
    """Where a label contradicts a map of probabilities that is sure of itself.

    ``held_share``: voxels of the label that are surely outside, over the label's voxels. ``left_out_share``: voxels
    surely inside that the label leaves out, over the same. ``over_mm`` and ``under_mm``: the same two as the thickness
    of a layer on a ball of the label's size. ``certain_share``: of the difference between the label and the map cut
    at one half, the part that is sure; 1 where there is no difference. ``uncertain_share``: voxels that are neither
    surely in nor surely out, over those above one half. ``spread``: mean standard deviation there, None if not given.
    """

    held_share: float
    left_out_share: float
    over_mm: float
    under_mm: float
    certain_share: float
    uncertain_share: float
    spread: float | None


def measure_deviation(*, label: Mask, reference: Mask, parameters: CheckParameters) -> Deviation:
    """Return how far a label's outline lies from a reference outline on the same grid, and in which way.

    Score: the probability that the deviation exceeds the tolerance or, whichever is the likelier, that the 95th
    percentile of the distances exceeds 2.3 times as much: an outline that runs on along a vessel is wrong in one place.
    Raises NotApplicable for an empty mask, GeometryError for different grids.
    """
    distances = surface_distances(first=label, second=reference)
    centre, wanted = centroid(label), centroid(reference)
    shift = (centre[0] - wanted[0], centre[1] - wanted[1], centre[2] - wanted[2])
    moved = math.hypot(*shift)
    tolerance = tolerance_mm(reference=reference, parameters=parameters)
    deviation, farthest = max(distances.mean_mm, moved), _FARTHEST * tolerance
    if deviation <= tolerance:
        kind = "within" if distances.hd95_mm <= farthest else "shape"
    elif moved > tolerance and moved >= abs(distances.bias_mm):
        kind = "shift"
    elif abs(distances.bias_mm) >= distances.mean_mm / 2:
        kind = "over" if distances.bias_mm > 0 else "under"
    else:
        kind = "shape"
    return Deviation(
        kind=kind,
        bias_mm=distances.bias_mm,
        mean_mm=distances.mean_mm,
        hd95_mm=distances.hd95_mm,
        shift_mm=shift,
        tolerance_mm=tolerance,
        volume_ratio=label.count / reference.count,
        over_mm=max(0.0, float(np.percentile(distances.signed_first_to_second_mm, 95))),
        under_mm=max(0.0, float(np.percentile(distances.signed_second_to_first_mm, 95))),
        score=max(
            beyond_tolerance(deviation=deviation, tolerance=tolerance, spread=parameters.reader_spread_mm),
            beyond_tolerance(
                deviation=distances.hd95_mm, tolerance=farthest, spread=_FARTHEST * parameters.reader_spread_mm
            ),
        ),
    )


def only_at_the_ends(*, label: Mask, reference: Mask, length_mm: float, parameters: CheckParameters) -> bool:
    """Say whether two outlines agree on the slices that both reach, so that they differ by ``length_mm`` at the ends.

    They agree where the radii of their slices' areas, and the middles in the plane, differ by less than the tolerance
    on average, and the radii by much less than the length: an outline too wide all around is longer by that too.
    """
    common = on_common_slices(first=label, second=reference)
    if common is None:
        return False
    rows, columns = label.grid.spacing_mm[1:]
    areas = [np.zeros(0), np.zeros(0)]
    for number, mask in enumerate(common):
        per_slice = np.count_nonzero(mask.voxels, axis=(1, 2)) * rows * columns
        slices = common[0].grid.shape[0]
        areas[number] = np.zeros(slices)
        areas[number][mask.origin[0] : mask.origin[0] + len(per_slice)] = per_slice
    both = (areas[0] > 0) & (areas[1] > 0)
    if not both.any():
        return False
    radii = [np.sqrt(area[both] / math.pi) for area in areas]
    wider = float(np.average(np.abs(radii[0] - radii[1]), weights=areas[1][both]))
    first, second = (centroid(mask) for mask in common)
    tolerance = tolerance_mm(reference=reference, parameters=parameters)
    aside = math.dist(first[:2], second[:2])
    return wider <= tolerance and aside <= tolerance and 2 * wider < _OF_LENGTH * length_mm


def length_judged(*, length_mm: float, reference: Mask, parameters: CheckParameters) -> tuple[float, float]:
    """Return the tolerance for a length of slices at the ends of an outline, and the probability that it is exceeded.

    Half a slice more than an outline's own tolerance: the partial volume at the ends is taken differently.
    """
    step = reference.grid.spacing_mm[0]
    tolerance = tolerance_mm(reference=reference, parameters=parameters) + step / 2
    spread = max(parameters.reader_spread_mm, step / 2)
    return tolerance, beyond_tolerance(deviation=length_mm, tolerance=tolerance, spread=spread)


def tolerance_mm(*, reference: Mask, parameters: CheckParameters) -> float:
    """Return how far two careful outlines of the reference's size may lie apart on average."""
    share = parameters.boundary_tolerance_share * equivalent_diameter_mm(mask=reference)
    return parameters.boundary_tolerance_mm + share


def grown(*, mask: Mask, by_mm: float) -> Mask:
    """Return the mask with its surface moved outwards by a distance in mm, inwards if negative, on its own grid.

    A mask that would vanish is returned as it is: what is thinner than the margin has no inner outline.
    """
    if by_mm == 0.0 or not mask.count:
        return mask
    spacing = mask.grid.spacing_mm
    pads = [int(np.ceil(abs(by_mm) / step)) + 1 for step in spacing]
    padded = np.pad(mask.voxels, [(pad, pad) for pad in pads])
    if by_mm > 0:
        voxels = ndimage.distance_transform_edt(~padded, sampling=spacing) <= by_mm
    else:
        voxels = ndimage.distance_transform_edt(padded, sampling=spacing) > -by_mm
    first, second, third = (start - pad for start, pad in zip(mask.origin, pads, strict=True))
    moved = crop(grid=mask.grid, origin=(first, second, third), voxels=np.asarray(voxels, dtype=np.bool_))
    return moved if moved.count else mask


def certain_difference(*, label: Mask, probability: ProbabilityMap, offset_mm: float) -> CertainDifference:
    """Return where a label contradicts a probability map on the same grid that is sure of itself.

    ``offset_mm``: how far outside the lesion the guideline has the label's surface lie. Outside its box the map is
    taken as 0.
    """
    low = np.minimum(label.origin, probability.origin)
    high = np.maximum(np.add(label.origin, label.voxels.shape), np.add(probability.origin, probability.values.shape))
    inside: NDArray[np.bool_] = np.zeros(high - low, dtype=np.bool_)
    inside[_slot(label.origin, label.voxels.shape, low)] = label.voxels
    values = np.zeros(inside.shape, dtype=np.float32)
    box = _slot(probability.origin, probability.values.shape, low)
    values[box] = probability.values
    possible, sure, half = values >= SURELY_OUT, values > SURELY_IN, values >= 0.5
    spacing = label.grid.spacing_mm
    if offset_mm > 0:
        possible, half = (
            ndimage.distance_transform_edt(~region, sampling=spacing) <= offset_mm for region in (possible, half)
        )
    elif offset_mm < 0:
        sure, half = (ndimage.distance_transform_edt(region, sampling=spacing) > -offset_mm for region in (sure, half))
    held, left_out = inside & ~possible, sure & ~inside
    count = max(label.count, 1)
    voxel = math.prod(spacing)
    surface = math.pi * equivalent_diameter_mm(mask=label) ** 2
    different = int(np.count_nonzero(inside ^ half))
    certain = int(np.count_nonzero(held)) + int(np.count_nonzero(left_out))
    unsure = (values >= SURELY_OUT) & (values <= SURELY_IN)
    spread = None
    if probability.spread is not None and unsure[box].any():
        spread = float(probability.spread[unsure[box]].mean())
    return CertainDifference(
        held_share=float(np.count_nonzero(held)) / count,
        left_out_share=float(np.count_nonzero(left_out)) / count,
        over_mm=float(np.count_nonzero(held)) * voxel / surface,
        under_mm=float(np.count_nonzero(left_out)) * voxel / surface,
        certain_share=min(certain / different, 1.0) if different else 1.0,
        uncertain_share=float(np.count_nonzero(unsure)) / max(int(np.count_nonzero(values >= 0.5)), 1),
        spread=spread,
    )


def _slot(origin: tuple[int, int, int], shape: tuple[int, ...], low: NDArray[np.int64]) -> tuple[slice, slice, slice]:
    first, second, third = (
        slice(int(start - base), int(start - base + size)) for start, base, size in zip(origin, low, shape, strict=True)
    )
    return first, second, third
