"""The lungs of a series on a coarse grid: enough for histograms and for how deep in the lung a finding lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_index
from imaging.geometry.regions import lung_region
from imaging.types import PointMm, Volume

SLICE_STEP_MM = 5.0
IN_PLANE_STEP_MM = 3.0
"""Between the lungs and outside the chest a wall may be a centimetre thin in the slice, and has to be seen."""

CLOSING_MM = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class CoarseLungs:
    """A volume at 3 to 5 mm and where its lungs are.

    ``hounsfield`` and ``region``: (slices, rows, columns), every ``steps``-th voxel of the volume along each axis.
    ``depth_mm``: distance to the border of the lungs, positive inside, negative outside; None where there are none.
    """

    hounsfield: NDArray[np.int16]
    region: NDArray[np.bool_]
    steps: tuple[int, int, int]
    sampling_mm: tuple[float, float, float]
    depth_mm: NDArray[np.float32] | None


def coarse_lungs(volume: Volume) -> CoarseLungs:
    """Return the lungs of a volume, every few millimetres; ``regions.lung_region`` says what counts as lung."""
    spacing = volume.grid.spacing_mm
    first, second, third = (
        max(1, int(limit / step))
        for limit, step in zip((SLICE_STEP_MM, IN_PLANE_STEP_MM, IN_PLANE_STEP_MM), spacing, strict=True)
    )
    coarse = np.ascontiguousarray(volume.hounsfield[::first, ::second, ::third])
    sampling = (first * spacing[0], second * spacing[1], third * spacing[2])
    region = lung_region(hounsfield=coarse, spacing_mm=sampling, closing_mm=CLOSING_MM)
    return CoarseLungs(coarse, region, (first, second, third), sampling, _depth(region, sampling))


def depth_at_mm(*, lungs: CoarseLungs, volume: Volume, place_mm: PointMm) -> float | None:
    """Return how deep a place (LPS mm) lies in the lungs, negative outside; None off the image or without lungs."""
    if lungs.depth_mm is None:
        return None
    index = to_index(volume.grid, place_mm)
    at = tuple(round(value / step) for value, step in zip(index, lungs.steps, strict=True))
    if any(not 0 <= one < size for one, size in zip(at, lungs.depth_mm.shape, strict=True)):
        return None
    return float(lungs.depth_mm[at])


def _depth(region: NDArray[np.bool_], sampling: tuple[float, float, float]) -> NDArray[np.float32] | None:
    if not region.any() or region.all():
        return None
    inside = ndimage.distance_transform_edt(region, sampling=sampling)
    outside = ndimage.distance_transform_edt(~region, sampling=sampling)
    return np.asarray(inside - outside, dtype=np.float32)
