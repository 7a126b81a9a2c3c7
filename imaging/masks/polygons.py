"""Which voxels of a slice a closed outline encloses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.types import Index


def polygon_interior(*, vertices: Sequence[tuple[float, float]]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return the pixels whose centres lie strictly inside a closed polygon, as a box and its first (row, column).

    ``vertices`` are (row, column), 0-based, at pixel centres; the last joins the first. A pixel whose centre lies on
    an edge or a vertex does not belong: the rule of contours drawn along the first pixels outside a region. Whole
    numbers are treated exactly. Inside means a winding number other than zero, so an outline that is traced twice or
    crosses itself keeps what it goes around. Fewer than three vertices enclose nothing.
    """
    return _classify(vertices)[0], _first_corner(vertices)


def polygon_outline(*, vertices: Sequence[tuple[float, float]]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return the pixels whose centres lie exactly on a closed polygon's edges, as a box and its first (row, column)."""
    return _classify(vertices)[1], _first_corner(vertices)


def place_in_slice(
    *, box: NDArray[np.bool_], corner: tuple[int, int], slice_index: int, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], Index]:
    """Return a slice's box cut to the image of ``shape`` (rows, columns), and its index (slice, row, column)."""
    top, left = max(0, -corner[0]), max(0, -corner[1])
    bottom, right = max(0, shape[0] - corner[0]), max(0, shape[1] - corner[1])
    return box[top:bottom, left:right], (slice_index, corner[0] + top, corner[1] + left)


def _first_corner(vertices: Sequence[tuple[float, float]]) -> tuple[int, int]:
    if not vertices:
        return (0, 0)
    return (int(np.floor(min(row for row, _ in vertices))), int(np.floor(min(column for _, column in vertices))))


def _classify(vertices: Sequence[tuple[float, float]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if not vertices:
        nothing = np.zeros((0, 0), dtype=np.bool_)
        return nothing, nothing
    points = np.array(vertices, dtype=np.float64)
    corner = np.floor(points.min(axis=0))
    shape = (np.ceil(points.max(axis=0)) - corner).astype(np.int64) + 1
    points = points - corner
    rows = np.arange(shape[0], dtype=np.float64)[:, None]
    columns = np.arange(shape[1], dtype=np.float64)[None, :]
    winding = np.zeros(tuple(shape), dtype=np.int32)
    outline = np.zeros(tuple(shape), dtype=np.bool_)
    for (row, column), (next_row, next_column) in zip(points, np.roll(points, -1, axis=0), strict=True):
        side = (next_column - column) * (rows - row) - (columns - column) * (next_row - row)
        outline |= (
            (side == 0)
            & (rows >= min(row, next_row))
            & (rows <= max(row, next_row))
            & (columns >= min(column, next_column))
            & (columns <= max(column, next_column))
        )
        # Half-open in rows, so that a vertex on a pixel row counts once (Sunday's winding number).
        winding += ((row <= rows) & (rows < next_row) & (side > 0)).astype(np.int32)
        winding -= ((next_row <= rows) & (rows < row) & (side < 0)).astype(np.int32)
    return (winding != 0) & ~outline, outline
