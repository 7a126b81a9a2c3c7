"""How far an outline that is drawn again from held pixels lies from the one that a source gave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imaging.readers.shapes import NOTHING_MOVED
from imaging.types import RoundTrip


def pixel_edges(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the outline of a slice's region, along the edges of its pixels: (n, 2) as (row, column).

    Middles and ends of every pixel edge between inside and outside, in pixels, pixel centres at whole numbers.
    """
    padded = np.pad(pixels, 1)
    along_rows = np.argwhere(padded[1:] != padded[:-1]) + np.array([-0.5, -1.0])
    along_columns = np.argwhere(padded[:, 1:] != padded[:, :-1]) + np.array([-1.0, -0.5])
    half_row, half_column = np.array([0.5, 0.0]), np.array([0.0, 0.5])
    return np.concatenate(
        [
            along_rows,
            along_rows - half_column,
            along_rows + half_column,
            along_columns,
            along_columns - half_row,
            along_columns + half_row,
        ]
    )


def worst_gap(points: NDArray[np.float64], outline: NDArray[np.float64], spacing_mm: tuple[float, ...]) -> RoundTrip:
    """Return how far at worst a point lies from the nearest point of an outline.

    Both are (n, axes) in pixels or voxels, ``spacing_mm`` one number an axis. Voxels are counted along the axis where
    that gap is widest. Nothing to compare gives zero.
    """
    if not len(points) or not len(outline):
        return NOTHING_MOVED
    scale = np.array(spacing_mm, dtype=np.float64)
    gaps, nearest = cKDTree(outline * scale).query(points * scale)
    worst = int(np.argmax(gaps))
    voxels = float(np.abs(points[worst] - outline[int(nearest[worst])]).max())
    return RoundTrip(voxels, float(gaps[worst]))


def wider(first: RoundTrip, second: RoundTrip) -> RoundTrip:
    """Return the worse of two."""
    return first if first.mm >= second.mm else second
