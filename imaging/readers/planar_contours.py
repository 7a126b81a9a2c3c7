"""Closed outlines in one slice: which pixels they enclose, their area, and how far they lie from a mask's border.

Outlines are (n, 2) float64 arrays of (row, column), 0-based, at pixel centres, fractions allowed; the last vertex joins
the first. Several outlines of one slice are read by the even-odd rule: what lies inside an odd number of them belongs,
so that an outline within another is a hole, as is a keyhole that turns back on itself (DICOM PS3.3 C.8.8.6.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Outline = NDArray[np.float64]

EDGE_TOLERANCE_VOXELS = 1e-3
"""A pixel centre this near an edge lies on it: what is left of positions that were written to the micrometre."""

_NEAREST_FACES = 16


def fill_even_odd(outlines: Sequence[Outline]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return the pixels whose centres lie inside or on the outlines, as a box and its first (row, column).

    A pixel centre on an edge belongs. The box covers the outlines and may reach beyond any image. Fewer than three
    vertices enclose nothing.
    """
    closed = [outline for outline in outlines if len(outline) >= 3]
    if not closed:
        return np.zeros((0, 0), dtype=np.bool_), (0, 0)
    low = np.floor(np.min([outline.min(axis=0) for outline in closed], axis=0)).astype(np.int64)
    high = np.ceil(np.max([outline.max(axis=0) for outline in closed], axis=0)).astype(np.int64)
    rows, columns = (high - low + 1).tolist()
    parity = np.zeros((rows, columns + 1), dtype=np.int64)
    on_edge = np.zeros((rows, columns), dtype=np.bool_)
    for outline in closed:
        start = outline - low
        end = np.roll(start, -1, axis=0)
        edge, row = _crossed_rows(start[:, 0], end[:, 0])
        share = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
        crossing = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])
        np.add.at(parity, (row, np.clip(np.ceil(crossing - EDGE_TOLERANCE_VOXELS), 0, columns).astype(np.int64)), 1)
        _mark_edges(on_edge, start, end)
    inside = np.cumsum(parity, axis=1)[:, :columns] % 2 == 1
    return inside | on_edge, (int(low[0]), int(low[1]))


def even_odd_area(outlines: Sequence[Outline]) -> float:
    """Return the area, in pixels, of what the outlines enclose.

    Exact where outlines do not cross one another or themselves, else close to it: between two neighbouring vertex rows
    the width then changes linearly but for the crossings.
    """
    closed = [outline for outline in outlines if len(outline) >= 3]
    if not closed:
        return 0.0
    start = np.concatenate(closed)
    end = np.concatenate([np.roll(outline, -1, axis=0) for outline in closed])
    levels = np.unique(start[:, 0])
    middles, heights = (levels[1:] + levels[:-1]) / 2.0, np.diff(levels)
    total = 0.0
    for middle, height in zip(middles, heights, strict=True):
        hit = (start[:, 0] <= middle) != (end[:, 0] <= middle)
        share = (middle - start[hit, 0]) / (end[hit, 0] - start[hit, 0])
        crossings = np.sort(start[hit, 1] + share * (end[hit, 1] - start[hit, 1]))
        total += height * float((crossings[1::2] - crossings[::2]).sum())
    return total


def cross_each_other(outlines: Sequence[Outline]) -> bool:
    """Tell whether two outlines share pixels without one lying within the other, so that even-odd is a guess."""
    filled = [fill_even_odd([outline]) for outline in outlines if len(outline) >= 3]
    sets = [{(row + top, column + left) for row, column in np.argwhere(box).tolist()} for box, (top, left) in filled]
    return any(
        one & other and not one <= other and not other <= one
        for index, one in enumerate(sets)
        for other in sets[index + 1 :]
    )


def border_offset(
    *,
    region: NDArray[np.bool_],
    corner: Sequence[int],
    vertices: NDArray[np.float64],
    spacing_mm: Sequence[float],
) -> tuple[float, float]:
    """Return how far the farthest vertex lies from a region's border: (voxels, millimetres).

    ``region`` is one slice (row, column) or a volume (slice, row, column) of a mask, its first voxel at ``corner``;
    the border runs along the faces between voxels inside and outside. ``vertices`` are (n, 2) or (n, 3) in the same
    axes, ``spacing_mm`` the steps along them. Voxels are along the axis where it is worst.
    Raises ValueError if the region is empty, for it then has no border.
    """
    faces, half = _faces(region, corner)
    if not len(faces):
        raise ValueError("an empty region has no border")
    spacing = np.array(spacing_mm)
    _, found = KDTree(faces * spacing).query(vertices * spacing, k=min(_NEAREST_FACES, len(faces)))
    nearest = np.asarray(found).reshape(len(vertices), -1)
    beyond = np.maximum(np.abs(vertices[:, None, :] - faces[nearest]) - half[nearest], 0.0)
    lengths = np.linalg.norm(beyond * spacing, axis=-1)
    best = np.argmin(lengths, axis=1)
    farthest = int(np.argmax(lengths[np.arange(len(vertices)), best]))
    return (
        float(beyond[farthest, best[farthest]].max()),
        float(lengths[farthest, best[farthest]]),
    )


def _crossed_rows(first: NDArray[np.float64], last: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each (edge, row) where an edge crosses a pixel row; half-open, so that a vertex on a row counts once."""
    low = np.ceil(np.minimum(first, last)).astype(np.int64)
    high = np.ceil(np.maximum(first, last)).astype(np.int64)
    counts = high - low
    edge = np.repeat(np.arange(len(first)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + low[edge]
    return edge, row


def _mark_edges(on_edge: NDArray[np.bool_], start: Outline, end: Outline) -> None:
    """Mark the pixels whose centres lie on an edge, within the tolerance along rows or columns."""
    for first, last in zip(start, end, strict=True):
        # Walk along the axis that the edge follows more closely, so that each centre on it is met once.
        axis = int(abs(last[1] - first[1]) > abs(last[0] - first[0]))
        low, high = sorted((first[axis], last[axis]))
        steps = np.arange(np.ceil(low - EDGE_TOLERANCE_VOXELS), np.floor(high + EDGE_TOLERANCE_VOXELS) + 1)
        if not len(steps):
            continue
        length = last[axis] - first[axis]
        share = np.clip((steps - first[axis]) / length, 0.0, 1.0) if length else np.zeros(len(steps))
        across = first[1 - axis] + share * (last[1 - axis] - first[1 - axis])
        hit = np.abs(across - np.rint(across)) <= EDGE_TOLERANCE_VOXELS
        along, beside = steps[hit].astype(np.int64), np.rint(across[hit]).astype(np.int64)
        places = (along, beside) if axis == 0 else (beside, along)
        on_edge[places] = True


def _faces(region: NDArray[np.bool_], corner: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The border of a region as voxel faces (pixel edges in a plane): midpoints and half lengths along each axis."""
    padded = np.pad(region, 1).astype(np.int8)
    middles: list[NDArray[np.float64]] = []
    halves: list[NDArray[np.float64]] = []
    for axis in range(region.ndim):
        across = np.eye(region.ndim)[axis] / 2.0
        found = np.argwhere(np.diff(padded, axis=axis) != 0) + across
        middles.append(found - 1.0 + np.array(corner))
        halves.append(np.tile(0.5 - across, (len(found), 1)))
    return np.concatenate(middles), np.concatenate(halves)
