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

_MOST_CROSSINGS = 20_000_000
"""An outline drawn around something crosses each row a few times; one that runs to and fro between all its vertices
crosses n * n, which some hundred kilobytes of a file can turn into terabytes."""


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
        # Half-open in rows, so that a vertex on a pixel row counts once.
        edge, row = _repeated(np.ceil(start[:, 0]).astype(np.int64), np.ceil(end[:, 0]).astype(np.int64))
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
    edge, slab = _repeated(np.searchsorted(levels, start[:, 0]), np.searchsorted(levels, end[:, 0]))
    middle, height = (levels[slab] + levels[slab + 1]) / 2.0, levels[slab + 1] - levels[slab]
    share = (middle - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])
    order = np.lexsort((crossing, slab))
    # Closed outlines cross each row an even number of times, so that leaving and entering alternate throughout.
    sides = np.where(np.arange(len(order)) % 2 == 1, 1.0, -1.0)
    return float((sides * crossing[order] * height[order]).sum())


def cross_each_other(outlines: Sequence[Outline]) -> bool:
    """Tell whether two outlines share pixels without one lying within the other, so that even-odd is a guess."""
    filled = [fill_even_odd([outline]) for outline in outlines if len(outline) >= 3]
    for index, (one, corner) in enumerate(filled):
        for other, beside in filled[index + 1 :]:
            low = np.maximum(corner, beside)
            high = np.minimum(np.add(corner, one.shape), np.add(beside, other.shape))
            if (high <= low).any():
                continue
            shared = np.count_nonzero(_window(one, corner, low, high) & _window(other, beside, low, high))
            if shared not in (0, np.count_nonzero(one), np.count_nonzero(other)):
                return True
    return False


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


def _window(
    box: NDArray[np.bool_], corner: tuple[int, int], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.bool_]:
    return box[low[0] - corner[0] : high[0] - corner[0], low[1] - corner[1] : high[1] - corner[1]]


def _repeated(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every (item, step) with ``min(first, last) <= step < max(first, last)`` of each item.

    Raises MemoryError, before any is taken, for more than ``_MOST_CROSSINGS`` of them.
    """
    low = np.minimum(first, last)
    counts = np.maximum(first, last) - low
    if counts.sum() > _MOST_CROSSINGS:
        raise MemoryError
    item = np.repeat(np.arange(len(first)), counts)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts) + low[item]


def _mark_edges(on_edge: NDArray[np.bool_], start: Outline, end: Outline) -> None:
    """Mark the pixels whose centres lie on an edge, within the tolerance along rows or columns."""
    # Walk along the axis that an edge follows more closely, so that each centre on it is met once.
    axis = (np.abs(end[:, 1] - start[:, 1]) > np.abs(end[:, 0] - start[:, 0])).astype(np.int64)
    number = np.arange(len(start))
    first, last = start[number, axis], end[number, axis]
    low = np.ceil(np.minimum(first, last) - EDGE_TOLERANCE_VOXELS).astype(np.int64)
    high = np.floor(np.maximum(first, last) + EDGE_TOLERANCE_VOXELS).astype(np.int64)
    edge, step = _repeated(low, np.maximum(high + 1, low))
    length = (last - first)[edge]
    share = np.divide(step - first[edge], length, out=np.zeros(len(edge)), where=length != 0)
    beside, beside_end = start[number, 1 - axis][edge], end[number, 1 - axis][edge]
    across = beside + np.clip(share, 0.0, 1.0) * (beside_end - beside)
    hit = np.abs(across - np.rint(across)) <= EDGE_TOLERANCE_VOXELS
    along, centre = step[hit], np.rint(across[hit]).astype(np.int64)
    upright = axis[edge][hit] == 0
    on_edge[np.where(upright, along, centre), np.where(upright, centre, along)] = True


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
