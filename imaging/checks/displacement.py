"""Whether a set of outlines would fit its image better moved by whole slices, or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imaging.checks.base import CheckParameters
from imaging.masks.overlap import jaccard
from imaging.types import Mask

_AXES = ("slices", "rows", "columns")


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
    present = float(np.mean(best_overlaps(outlines=outlines, references=references)))
    reach = parameters.maximum_shift_slices
    tried = [Displacement(slices=step, mirrored=None) for step in sorted(range(-reach, reach + 1), key=abs) if step]
    tried += [Displacement(slices=0, mirrored=axis) for axis in _AXES]
    best: BetterFit | None = None
    for displacement in tried:
        moved = tuple(displace(mask=mask, displacement=displacement) for mask in outlines)
        overlaps = best_overlaps(outlines=moved, references=references)
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
    if not references:
        return tuple(0.0 for _ in outlines)
    lows = np.array([reference.origin for reference in references])
    highs = lows + np.array([reference.voxels.shape for reference in references])
    found = []
    for mask in outlines:
        best = 0.0
        if mask is not None:
            # Boxes that do not meet share no voxel; most do not.
            low = np.array(mask.origin)
            meet = np.all((lows < low + mask.voxels.shape) & (highs > low), axis=1)
            best = max((jaccard(mask, references[number]) for number in np.flatnonzero(meet)), default=0.0)
        found.append(best)
    return tuple(found)
