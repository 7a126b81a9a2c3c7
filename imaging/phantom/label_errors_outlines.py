"""What goes wrong with one outline: moved, shrunk, grown, cut, run on, or joined with its neighbour; all in mm.

Masks are (slices, rows, columns) on one grid. Distances are Euclidean, with the grid's own spacing. Each function
returns None where the outline leaves no room for such an error, so that no outline ever comes back as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.masks.build import box_of, mask_from_voxels
from imaging.masks.overlap import jaccard
from imaging.types import Mask

LEAST_SLICES_LEFT = 2
LEAST_REACH_MM = 0.5
"""A run-on that the lung's wall cuts shorter than this share of a millimetre is none."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def moved(*, mask: Mask, vector_mm: tuple[float, float, float]) -> Mask | None:
    """Return the outline moved by (slice, row, column) mm along the grid's axes; None if it would leave the image."""
    spacing = np.array(mask.grid.spacing_mm)
    box = _Box.around(mask, pad_mm=float(np.linalg.norm(vector_mm)))
    shifted = ndimage.shift(box.signed_mm(), np.array(vector_mm) / spacing, order=1, mode="nearest") < 0.0
    if not _inside(mask, np.array(vector_mm) / spacing) or not shifted.any():
        return None
    return _changed(mask, box.mask(shifted))


def eroded(*, mask: Mask, distance_mm: float) -> Mask | None:
    """Return what of the outline lies deeper than ``distance_mm`` below its surface; None if nothing does."""
    box = _Box.around(mask, pad_mm=0.0)
    kept = box.signed_mm() < -distance_mm
    return _changed(mask, box.mask(kept)) if kept.any() else None


def dilated(*, mask: Mask, distance_mm: float, within: Bools) -> Mask | None:
    """Return the outline with all that lies nearer than ``distance_mm`` and in ``within`` (the lung, whole grid)."""
    box = _Box.around(mask, pad_mm=distance_mm)
    grown = box.inside | ((box.signed_mm() < distance_mm) & within[box.cut])
    return _changed(mask, box.mask(grown))


def without_pole(*, mask: Mask, length_mm: float, lower: bool) -> tuple[Mask, float] | None:
    """Return the outline without its slices at one end, at least ``length_mm`` of them, and the length cut off."""
    step = mask.grid.spacing_mm[0]
    count = _whole_slices(length_mm, step)
    slices = mask.voxels.shape[0]
    if slices - count < LEAST_SLICES_LEFT:
        return None
    voxels = mask.voxels[count:] if lower else mask.voxels[: slices - count]
    origin = (mask.origin[0] + (count if lower else 0), mask.origin[1], mask.origin[2])
    cut = mask_from_voxels(grid=mask.grid, voxels=voxels, origin=origin)
    return (cut, count * step) if cut.count else None


def without_inner_slices(*, mask: Mask, length_mm: float, where: float) -> tuple[Mask, float] | None:
    """Return the outline with a gap of at least ``length_mm`` between outlined slices, and the gap's length.

    ``where``: 0 to 1, lowest to highest place of the gap.
    """
    step = mask.grid.spacing_mm[0]
    count = _whole_slices(length_mm, step)
    room = mask.voxels.shape[0] - count - 2
    if room < 0:
        return None
    first = 1 + min(room, int(where * (room + 1)))
    voxels = mask.voxels.copy()
    if not voxels[first : first + count].any():
        return None
    voxels[first : first + count] = False
    return mask_from_voxels(grid=mask.grid, voxels=voxels, origin=mask.origin), count * step


def run_on(
    *, mask: Mask, reach_mm: float, towards: tuple[float, float, float], within: Bools
) -> tuple[Mask, float] | None:
    """Return the outline run on by ``reach_mm`` beyond its surface, and how far it really reaches beyond.

    ``towards``: direction (slice, row, column) in mm. The tongue is about half as thick as the outline, starts in its
    middle and stays in ``within`` (the lung, whole grid), so that it may come out shorter.
    """
    box = _Box.around(mask, pad_mm=reach_mm + 1.0)
    direction = np.array(towards) / float(np.linalg.norm(towards))
    places = np.argwhere(box.inside) * box.spacing
    middle = places.mean(axis=0)
    along = (places - middle) @ direction
    radius = float((3.0 * mask.count * np.prod(box.spacing) / (4.0 * np.pi)) ** (1.0 / 3.0))
    end = float(along.max()) + reach_mm
    offsets = np.stack(np.meshgrid(*[np.arange(size) for size in box.inside.shape], indexing="ij"), axis=-1)
    offsets = offsets * box.spacing - middle
    position = offsets @ direction
    nearest = np.clip(position, 0.0, end)[..., None] * direction
    thick = max(0.55 * radius, float(box.spacing.max()))
    # The far end is flat, so that the tongue is as long as it is said to be.
    tongue = (np.linalg.norm(offsets - nearest, axis=-1) <= thick) & (position >= 0.0) & (position <= end)
    joined = _connected(box.inside | (tongue & within[box.cut]), box.inside)
    beyond = box.outer_mm()[joined & ~box.inside]
    if not len(beyond) or float(beyond.max()) < LEAST_REACH_MM:
        return None
    return box.mask(joined), float(beyond.max())


def joined(*, first: Mask, second: Mask) -> Mask:
    """Return one outline around two, with what lies between them filled over a voxel or two."""
    low = np.minimum(first.origin, second.origin)
    ends = [np.array(one.origin) + one.voxels.shape for one in (first, second)]
    both = np.zeros(tuple(np.maximum(*ends) - low + 4), dtype=np.bool_)
    for one in (first, second):
        start = np.array(one.origin) - low + 2
        both[tuple(slice(a, a + size) for a, size in zip(start, one.voxels.shape, strict=True))] |= one.voxels
    closed = ndimage.binary_closing(both, structure=np.ones((1, 3, 3)), iterations=2) | both
    inner = closed[2:-2, 2:-2, 2:-2]
    return mask_from_voxels(grid=first.grid, voxels=inner, origin=(int(low[0]), int(low[1]), int(low[2])))


def touch(*, first: Mask, second: Mask) -> bool:
    """Tell whether two outlines share a voxel or have neighbouring ones, corners included."""
    low = np.maximum(first.origin, second.origin) - 1
    high = np.minimum(
        np.array(first.origin) + first.voxels.shape, np.array(second.origin) + np.array(second.voxels.shape)
    )
    if np.any(low - 1 >= high + 1):
        return False
    box = _Box.around(first, pad_mm=max(first.grid.spacing_mm))
    other = np.zeros_like(box.inside)
    at = np.argwhere(second.voxels) + np.array(second.origin) - box.low
    at = at[np.all((at >= 0) & (at < box.inside.shape), axis=1)]
    other[tuple(at.T)] = True
    return bool(np.any(ndimage.binary_dilation(box.inside, structure=np.ones((3, 3, 3))) & other))


class _Box:
    """A mask in a box with room around it, within the grid."""

    def __init__(self, mask: Mask, low: NDArray[np.int64], inside: Bools) -> None:
        self._grid = mask.grid
        self.low = low
        self.inside = inside
        self.spacing = np.array(mask.grid.spacing_mm)
        self.cut = tuple(slice(int(a), int(a + size)) for a, size in zip(low, inside.shape, strict=True))

    @classmethod
    def around(cls, mask: Mask, *, pad_mm: float) -> _Box:
        pad = np.ceil(pad_mm / np.array(mask.grid.spacing_mm)).astype(int) + 2
        low = np.maximum(np.array(mask.origin) - pad, 0)
        high = np.minimum(np.array(mask.origin) + mask.voxels.shape + pad, mask.grid.shape)
        inside = np.zeros(tuple(high - low), dtype=np.bool_)
        inside[tuple(slice(part.start - a, part.stop - a) for part, a in zip(box_of(mask), low, strict=True))] = (
            mask.voxels
        )
        return cls(mask, low, inside)

    def outer_mm(self) -> Floats:
        """Distance of each voxel's centre from the nearest centre inside."""
        return np.asarray(ndimage.distance_transform_edt(~self.inside, sampling=self.spacing))

    def signed_mm(self) -> Floats:
        """Distance from the surface, negative inside; the surface lies halfway between centres in and out."""
        half = 0.5 * float(self.spacing.min())
        # What lies beyond the image's edge is outside, also for an outline that reaches it.
        padded = np.pad(self.inside, 1)
        inner = ndimage.distance_transform_edt(padded, sampling=self.spacing)[1:-1, 1:-1, 1:-1]
        return np.asarray(np.where(self.inside, half - inner, self.outer_mm() - half))

    def mask(self, voxels: Bools) -> Mask:
        origin = (int(self.low[0]), int(self.low[1]), int(self.low[2]))
        return mask_from_voxels(grid=self._grid, voxels=voxels, origin=origin)


def _changed(before: Mask, after: Mask) -> Mask | None:
    return after if after.count and jaccard(before, after) < 1.0 else None


def _inside(mask: Mask, steps: Floats) -> bool:
    low = np.array(mask.origin) + steps
    high = low + np.array(mask.voxels.shape)
    return bool(np.all(low >= -0.5) and np.all(high <= np.array(mask.grid.shape) + 0.5))


def _whole_slices(length_mm: float, step_mm: float) -> int:
    return max(1, int(np.ceil(length_mm / step_mm - 1e-6)))


def _connected(voxels: Bools, seed: Bools) -> Bools:
    """Keep the parts that hold voxels of ``seed``: a wall may cut a tongue in two."""
    labels, _ = ndimage.label(voxels, structure=np.ones((3, 3, 3)))
    kept = np.unique(labels[seed])
    return np.asarray(np.isin(labels, kept[kept > 0]))
