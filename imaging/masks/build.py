"""Making masks: cut tight, checked against the grid, read-only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError
from imaging.geometry.affine import to_index
from imaging.types import Grid, Index, Mask, Sphere


def mask_from_voxels(*, grid: Grid, voxels: NDArray[np.bool_], origin: Index = (0, 0, 0)) -> Mask:
    """Return the mask of the voxels that are True, its box cut tight.

    ``voxels`` is (slices, rows, columns); ``origin`` is the grid index of ``voxels[0, 0, 0]``, the grid's first voxel
    unless said otherwise. The array is copied. An empty mask has origin (0, 0, 0) and shape (0, 0, 0).
    Raises GeometryError ``label-outside-image`` if a True voxel lies outside the grid.
    """
    if voxels.ndim != 3:
        raise GeometryError("bad-mask", f"A mask has three axes (slice, row, column), not {voxels.ndim}.")
    filled = voxels.astype(np.bool_, copy=False)
    # One axis after the other: much cheaper than listing every voxel of a whole chest.
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(filled.any(axis=others))
        if not hits.size:
            return _frozen(grid, (0, 0, 0), np.zeros((0, 0, 0), dtype=np.bool_))
        spans.append((int(hits[0]), int(hits[-1]) + 1))
    starts = [start + span[0] for start, span in zip(origin, spans, strict=True)]
    ends = [start + span[1] for start, span in zip(origin, spans, strict=True)]
    if min(starts) < 0 or any(end > size for end, size in zip(ends, grid.shape, strict=True)):
        raise GeometryError(
            "label-outside-image",
            f"The mask spans voxels {tuple(starts)} to {tuple(end - 1 for end in ends)} of a grid of {grid.shape}.",
        )
    box = filled[tuple(slice(first, last) for first, last in spans)]
    return _frozen(grid, (starts[0], starts[1], starts[2]), np.array(box, order="C"))


def mask_from_sphere(*, grid: Grid, sphere: Sphere) -> Mask:
    """Return the voxels whose centres lie within a sphere (LPS, millimetres), those outside the grid left out.

    A sphere too small to hold a voxel centre gives the voxel that holds its own centre, if there is one.
    """
    radius = sphere.diameter_mm / 2.0
    centre = to_index(grid, sphere.centre_mm)
    # Half a voxel beyond the radius along each axis; enough also for the slightly leaning axes of a tilted stack.
    reach = [radius / step + 1.0 for step in grid.spacing_mm]
    low = [max(0, int(np.floor(middle - span))) for middle, span in zip(centre, reach, strict=True)]
    high = [
        min(size, int(np.ceil(middle + span)) + 1) for middle, span, size in zip(centre, reach, grid.shape, strict=True)
    ]
    if any(end <= start for start, end in zip(low, high, strict=True)):
        return mask_from_voxels(grid=grid, voxels=np.zeros((0, 0, 0), dtype=np.bool_))
    axes = [
        np.arange(start, end, dtype=np.float64) - middle for start, end, middle in zip(low, high, centre, strict=True)
    ]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ grid.matrix[:3, :3].T
    inside = np.einsum("...i,...i->...", offsets, offsets) <= radius**2
    if not inside.any():
        nearest = tuple(round(middle) for middle in centre)
        if all(start <= place < end for place, start, end in zip(nearest, low, high, strict=True)):
            inside[tuple(place - start for place, start in zip(nearest, low, strict=True))] = True
    return mask_from_voxels(grid=grid, voxels=inside, origin=(low[0], low[1], low[2]))


def full_voxels(mask: Mask) -> NDArray[np.bool_]:
    """Return the mask on its whole grid: (slices, rows, columns) bool, a fresh array."""
    whole = np.zeros(mask.grid.shape, dtype=np.bool_)
    whole[box_of(mask)] = mask.voxels
    return whole


def box_of(mask: Mask) -> tuple[slice, slice, slice]:
    """Return where the mask's box lies in its grid, as an index (slice, row, column) into the volume's array."""
    ends = [start + size for start, size in zip(mask.origin, mask.voxels.shape, strict=True)]
    return (slice(mask.origin[0], ends[0]), slice(mask.origin[1], ends[1]), slice(mask.origin[2], ends[2]))


def contains(mask: Mask, index: Index) -> bool:
    """Tell whether a voxel (slice, row, column) belongs to the mask."""
    inner = tuple(place - start for place, start in zip(index, mask.origin, strict=True))
    if any(place < 0 or place >= size for place, size in zip(inner, mask.voxels.shape, strict=True)):
        return False
    return bool(mask.voxels[inner])


def _frozen(grid: Grid, origin: Index, voxels: NDArray[np.bool_]) -> Mask:
    voxels.setflags(write=False)
    return Mask(grid=grid, origin=origin, voxels=voxels)
