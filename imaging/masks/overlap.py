"""How much two regions on one grid share."""

from __future__ import annotations

import numpy as np

from imaging.errors import GeometryError, NotApplicable
from imaging.types import Mask


def shared_voxels(first: Mask, second: Mask) -> int:
    """Return how many voxels belong to both regions. Raises GeometryError ``another-grid`` if their grids differ."""
    if first.grid is not second.grid and first.grid != second.grid and first.grid.digest != second.grid.digest:
        raise GeometryError("another-grid", "Regions on different grids cannot be compared voxel by voxel.")
    low: list[int] = []
    high: list[int] = []
    for a, b, size_a, size_b in zip(first.origin, second.origin, first.voxels.shape, second.voxels.shape, strict=True):
        start, end = max(a, b), min(a + size_a, b + size_b)
        # Most pairs are far apart, and told by one axis.
        if end <= start:
            return 0
        low.append(start)
        high.append(end)
    cuts = [
        mask.voxels[tuple(slice(start - o, end - o) for start, end, o in zip(low, high, mask.origin, strict=True))]
        for mask in (first, second)
    ]
    return int(np.count_nonzero(cuts[0] & cuts[1]))


def dice(first: Mask, second: Mask) -> float:
    """Return twice the shared volume over the sum of both, 0 to 1 (Dice 1945).

    Raises NotApplicable ``empty-mask`` if both are empty, GeometryError ``another-grid`` if their grids differ.
    """
    total = first.count + second.count
    if not total:
        raise NotApplicable("empty-mask", "The overlap of two empty regions is not defined.")
    return 2.0 * shared_voxels(first, second) / total


def jaccard(first: Mask, second: Mask) -> float:
    """Return the shared volume over the volume of either, 0 to 1. Raises as ``dice`` does."""
    shared = shared_voxels(first, second)
    either = first.count + second.count - shared
    if not either:
        raise NotApplicable("empty-mask", "The overlap of two empty regions is not defined.")
    return shared / either
