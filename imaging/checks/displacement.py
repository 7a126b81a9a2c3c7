"""Whether a set of outlines would fit its image better moved by whole slices, or mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from imaging.checks.base import CheckParameters
from imaging.masks.overlap import jaccard
from imaging.types import Index, Mask

_AXES = ("slices", "rows", "columns")
_CELL = (8, 24, 24)
"""Voxels of a cell: about as large as a nodule."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """One way of moving every outline of a set: by ``slices``, or mirrored on ``mirrored`` ("rows", say)."""

    slices: int
    mirrored: str | None

    def words(self) -> str:
        """Return the displacement in words, as the suggestion that a reason makes."""
        if self.mirrored is not None:
            return f"mirrored along the {self.mirrored} of the image"
        direction = "up" if self.slices > 0 else "down"
        return f"moved {abs(self.slices)} {'slice' if abs(self.slices) == 1 else 'slices'} {direction} the stack"


@dataclass(frozen=True, slots=True, eq=False)
class BetterFit:
    """A displacement that fits better. Overlaps are mean IoU with the best matching reference, now and displaced.

    ``moved`` holds the displaced outlines in the order of the input; ``overlaps`` their single overlaps.
    """

    displacement: Displacement
    present_overlap: float
    displaced_overlap: float
    moved: tuple[Mask | None, ...]
    overlaps: tuple[float, ...]


def find_better_fit(
    *, outlines: Sequence[Mask], references: Sequence[Mask], parameters: CheckParameters
) -> BetterFit | None:
    """Return the whole-slice shift or mirroring under which the outlines meet the references far better than now.

    One displacement moves all outlines, as one wrong file would; outlines pushed out of the image count as no overlap.
    It must reach ``shift_overlap`` on average and beat the present place by ``shift_gain``; of equals the smallest
    shift is taken. Returns None where none does, or where there is nothing to compare.
    """
    if not outlines or not references:
        return None
    near = _by_cell(references)
    present = float(np.mean(_overlaps(outlines, near)))
    reach = parameters.maximum_shift_slices
    tried = [Displacement(slices=step, mirrored=None) for step in sorted(range(-reach, reach + 1), key=abs) if step]
    tried += [Displacement(slices=0, mirrored=axis) for axis in _AXES]
    best: BetterFit | None = None
    for displacement in tried:
        moved = tuple(displace(mask=mask, displacement=displacement) for mask in outlines)
        overlaps = _overlaps(moved, near)
        overlap = float(np.mean(overlaps))
        if best is None or overlap > best.displaced_overlap + 1e-9:
            best = BetterFit(displacement, present, overlap, moved, overlaps)
    if best is None or best.displaced_overlap < parameters.shift_overlap:
        return None
    return best if best.displaced_overlap - present >= parameters.shift_gain else None


def displace(*, mask: Mask, displacement: Displacement) -> Mask | None:
    """Return the mask displaced on its own grid, None where that would push a part of it out of the image."""
    origin = list(mask.origin)
    voxels = mask.voxels
    if displacement.mirrored is not None:
        axis = _AXES.index(displacement.mirrored)
        origin[axis] = mask.grid.shape[axis] - origin[axis] - voxels.shape[axis]
        voxels = np.flip(voxels, axis=axis)
    origin[0] += displacement.slices
    if origin[0] < 0 or origin[0] + voxels.shape[0] > mask.grid.shape[0]:
        return None
    return Mask(grid=mask.grid, origin=(origin[0], origin[1], origin[2]), voxels=voxels)


def best_overlaps(*, outlines: Sequence[Mask | None], references: Sequence[Mask]) -> tuple[float, ...]:
    """Return each outline's IoU with the reference that it overlaps best; 0 for None, and where it meets none."""
    return _overlaps(outlines, _by_cell(references))


def _overlaps(outlines: Sequence[Mask | None], references: Mapping[Index, Sequence[Mask]]) -> tuple[float, ...]:
    found = []
    for mask in outlines:
        # Boxes in no common cell of the grid share no voxel; most are not.
        near = () if mask is None else dict.fromkeys(one for cell in _cells(mask) for one in references.get(cell, ()))
        found.append(0.0 if mask is None else max((jaccard(mask, one) for one in near), default=0.0))
    return tuple(found)


def _by_cell(references: Sequence[Mask]) -> dict[Index, list[Mask]]:
    found: dict[Index, list[Mask]] = {}
    for reference in references:
        for cell in _cells(reference):
            found.setdefault(cell, []).append(reference)
    return found


def _cells(mask: Mask) -> Iterator[Index]:
    axes = (
        range(start // size, (start + extent - 1) // size + 1)
        for start, extent, size in zip(mask.origin, mask.voxels.shape, _CELL, strict=True)
    )
    yield from product(*axes)
