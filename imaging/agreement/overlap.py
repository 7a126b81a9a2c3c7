"""Overlap of two outlines on one grid, and the shared box that every comparison of outlines starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError, NotApplicable
from imaging.masks.build import mask_from_voxels
from imaging.masks.overlap import dice, jaccard, shared_voxels
from imaging.types import Grid, Index, Mask

__all__ = ["AlignedMasks", "align", "containment", "crop", "dice", "jaccard"]


@dataclass(frozen=True, slots=True, eq=False)
class AlignedMasks:
    """Several masks in one box of their common grid.

    ``voxels`` is (masks, slices, rows, columns) bool, read-only; ``origin`` is the grid index of
    ``voxels[:, 0, 0, 0]`` and may be negative, since the margin is not cut off at the edge of the grid.
    """

    grid: Grid
    origin: Index
    voxels: NDArray[np.bool_]


def align(*, masks: Sequence[Mask], margin_voxels: int) -> AlignedMasks:
    """Return the masks pasted into the smallest box that holds all of them, ``margin_voxels`` wider on every side.

    Empty masks take part as empty planes of the stack and do not widen the box.
    Raises GeometryError if the masks do not lie on one grid, NotApplicable if none has a voxel.
    """
    grids = {mask.grid.digest for mask in masks}
    if len(grids) > 1:
        raise GeometryError("grids-differ", "outlines can only be compared on one grid; these lie on different ones")
    filled = [mask for mask in masks if mask.voxels.size and mask.count]
    if not filled:
        raise NotApplicable("empty-masks", "there is no outline to compare: every mask is empty")
    lower = np.min([mask.origin for mask in filled], axis=0) - margin_voxels
    upper = np.max([np.add(mask.origin, mask.voxels.shape) for mask in filled], axis=0) + margin_voxels
    stack = np.zeros((len(masks), *(upper - lower)), dtype=np.bool_)
    for plane, mask in zip(stack, masks, strict=True):
        if not mask.voxels.size or not mask.count:
            continue
        start = np.subtract(mask.origin, lower)
        stop = start + mask.voxels.shape
        plane[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = mask.voxels
    stack.setflags(write=False)
    return AlignedMasks(grid=filled[0].grid, origin=(int(lower[0]), int(lower[1]), int(lower[2])), voxels=stack)


def crop(*, grid: Grid, origin: Index, voxels: NDArray[np.bool_]) -> Mask:
    """Return the tight mask of ``voxels`` (slices, rows, columns), whose first voxel has the grid index ``origin``.

    What reaches over the edge of the image is cut off. Nothing inside gives an empty mask.
    """
    lower = np.maximum(0, -np.array(origin))
    upper = np.maximum(lower, np.minimum(voxels.shape, np.array(grid.shape) - origin))
    inside = voxels[lower[0] : upper[0], lower[1] : upper[1], lower[2] : upper[2]]
    first = lower + origin
    return mask_from_voxels(grid=grid, voxels=inside, origin=(int(first[0]), int(first[1]), int(first[2])))


def containment(*, first: Mask, second: Mask) -> float:
    """Return the common volume over the smaller of the two (Szymkiewicz-Simpson), in [0, 1].

    One outline drawn inside another gives 1, which ``dice`` hides. Raises NotApplicable when either is empty.
    """
    smaller = min(first.count, second.count)
    if smaller == 0:
        raise NotApplicable("empty-mask", "an empty outline lies in every other one; containment says nothing")
    return shared_voxels(first, second) / smaller
