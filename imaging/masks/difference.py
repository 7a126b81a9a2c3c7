"""What one outline has that another lacks: voxels added and removed, their volumes, and where it is seen best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError
from imaging.types import Grid, Mask, PointMm


@dataclass(frozen=True, slots=True)
class MaskDifference:
    """The change from one region to another on one grid.

    Counts are voxels, volumes mm3 (count times the voxel's volume). ``dice`` is None where both are empty.
    ``slice_index`` is the slice on which most voxels differ (the lowest of equals; where none differs, the one on which
    most are filled), None where both are empty; ``centre_mm`` is the middle of what either fills on that slice, LPS.
    """

    kept: int
    added: int
    removed: int
    voxel_mm3: float
    dice: float | None
    slice_index: int | None
    centre_mm: PointMm | None

    @property
    def before_mm3(self) -> float:
        """Volume of the region before."""
        return (self.kept + self.removed) * self.voxel_mm3

    @property
    def after_mm3(self) -> float:
        """Volume of the region after."""
        return (self.kept + self.added) * self.voxel_mm3

    @property
    def added_mm3(self) -> float:
        """Volume that the region gained."""
        return self.added * self.voxel_mm3

    @property
    def removed_mm3(self) -> float:
        """Volume that the region lost."""
        return self.removed * self.voxel_mm3


def difference(*, grid: Grid, before: Mask | None, after: Mask | None) -> MaskDifference:
    """Return what changed from ``before`` to ``after``; None stands for no outline at all.

    Raises GeometryError ``another-grid`` if either lies on another grid than ``grid``.
    """
    for mask in (before, after):
        if mask is not None and mask.grid is not grid and mask.grid.digest != grid.digest:
            raise GeometryError("another-grid", "Regions on different grids cannot be compared voxel by voxel.")
    voxel = abs(float(np.linalg.det(grid.matrix[:3, :3])))
    filled = [mask for mask in (before, after) if mask is not None and mask.count]
    if not filled:
        return MaskDifference(0, 0, 0, voxel, None, None, None)
    low = np.min([mask.origin for mask in filled], axis=0)
    high = np.max([np.add(mask.origin, mask.voxels.shape) for mask in filled], axis=0)
    old, new = (_within(mask, low, high) for mask in (before, after))
    kept, added, removed = (int(np.count_nonzero(part)) for part in (old & new, new & ~old, old & ~new))
    differing = (old ^ new).sum(axis=(1, 2))
    plane = int(np.argmax(differing if differing.any() else (old | new).sum(axis=(1, 2))))
    rows, columns = np.nonzero((old | new)[plane])
    centre = grid.matrix @ [low[0] + plane, low[1] + rows.mean(), low[2] + columns.mean(), 1.0]
    return MaskDifference(
        kept=kept,
        added=added,
        removed=removed,
        voxel_mm3=voxel,
        dice=2.0 * kept / (2 * kept + added + removed),
        slice_index=int(low[0]) + plane,
        centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
    )


def _within(mask: Mask | None, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    box = np.zeros(tuple(int(size) for size in high - low), dtype=np.bool_)
    if mask is not None and mask.count:
        start = np.subtract(mask.origin, low)
        end = start + mask.voxels.shape
        box[tuple(slice(int(first), int(last)) for first, last in zip(start, end, strict=True))] = mask.voxels
    return box
