"""Sizes of a region, each with the convention that it follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from imaging.errors import NotApplicable
from imaging.types import Mask, PointMm

METHOD = (
    "axes: caliper widths of the outline in the stored slice where the long axis is greatest, outline half a voxel "
    "outside the border voxels' centres, short axis at right angles to the long; volume: voxel count"
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The size of one region. Lengths are millimetres, the volume cubic millimetres, unrounded.

    ``long_axis_mm`` is the greatest width in any stored slice, ``short_axis_mm`` the width at right angles to it in
    that slice (index ``slice_index``), ``mean_mm`` their mean. ``equivalent_diameter_mm`` is that of the ball of equal
    volume. ``centroid_mm`` is the mean of the voxel centres, LPS.
    """

    long_axis_mm: float
    short_axis_mm: float
    mean_mm: float
    volume_mm3: float
    equivalent_diameter_mm: float
    centroid_mm: PointMm
    slice_index: int
    method: str


def measure(mask: Mask) -> Measurement:
    """Return the size of a region by ``METHOD``. Raises NotApplicable ``empty-mask`` if there is nothing in it."""
    filled = np.argwhere(mask.voxels)
    if not len(filled):
        raise NotApplicable("empty-mask", "An empty region has no size.")
    steps = mask.grid.spacing_mm
    # Equal axes occur (symmetrical shapes): the lowest slice wins, so that the answer does not depend on luck.
    axes = [(_axes(mask.voxels[index], (steps[1], steps[2])), -index) for index in range(mask.voxels.shape[0])]
    (long_axis, short_axis), negative_index = max(axes, key=lambda entry: (entry[0][0], entry[1]))
    volume = len(filled) * abs(float(np.linalg.det(mask.grid.matrix[:3, :3])))
    return Measurement(
        long_axis_mm=long_axis,
        short_axis_mm=short_axis,
        mean_mm=(long_axis + short_axis) / 2.0,
        volume_mm3=volume,
        equivalent_diameter_mm=(6.0 * volume / math.pi) ** (1.0 / 3.0),
        centroid_mm=centroid(mask),
        slice_index=mask.origin[0] - negative_index,
        method=METHOD,
    )


def centroid(mask: Mask) -> PointMm:
    """Return the mean of the voxel centres, LPS millimetres. Raises NotApplicable ``empty-mask``."""
    filled = np.argwhere(mask.voxels)
    if not len(filled):
        raise NotApplicable("empty-mask", "An empty region has no centre.")
    index = filled.mean(axis=0) + np.array(mask.origin)
    place = mask.grid.matrix @ np.array([*index, 1.0])
    return (float(place[0]), float(place[1]), float(place[2]))


def _axes(plane: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Greatest width of one slice's region and the width at right angles to it, millimetres; zeros if empty."""
    points = _outline_points(plane) * np.array(spacing_mm)
    if not len(points):
        return (0.0, 0.0)
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        corners = points
    differences = corners[:, None, :] - corners[None, :, :]
    lengths = np.linalg.norm(differences, axis=-1)
    first, second = np.unravel_index(int(np.argmax(lengths)), lengths.shape)
    direction = differences[first, second] / lengths[first, second]
    across = corners @ np.array([-direction[1], direction[0]])
    return (float(lengths[first, second]), float(across.max() - across.min()))


def _outline_points(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Midpoints of the pixel edges between inside and outside, (n, 2) in pixels (row, column)."""
    padded = np.pad(plane, 1)
    across_rows = np.argwhere(padded[1:, :] != padded[:-1, :]) + np.array([0.5, 0.0])
    across_columns = np.argwhere(padded[:, 1:] != padded[:, :-1]) + np.array([0.0, 0.5])
    points: NDArray[np.float64] = np.concatenate([across_rows, across_columns]) - 1.0
    return points
