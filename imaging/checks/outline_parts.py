"""What is wrong with an outline by itself: stray pieces beside it, holes in it, slices at its ends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import crop
from imaging.masks.build import box_of, mask_from_voxels
from imaging.types import Mask, Volume

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_LEAST_PIECE = 3
_LEAST_HOLE = 5
_POLE_SHARE = 0.1
"""A slice belongs to a lesion's extent from this share of its largest slice on; the tip of a ball says little."""


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """Pieces of an outline that touch its main body nowhere, not even at a corner.

    ``voxels``: in all of them. ``share``: of the outline. ``apart_mm``: from the farthest piece to the body. ``rest``:
    the outline without them. ``strays``: they alone.
    """

    pieces: int
    voxels: int
    share: float
    apart_mm: float
    rest: Mask
    strays: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Holes:
    """Voxels that an outline leaves out though it surrounds them in their slice.

    ``hounsfield_gap``: their mean less the mean of the outline, in HU: far below zero is a cavity, drawn on purpose.
    ``filled``: the outline with them.
    """

    voxels: int
    share: float
    hounsfield_gap: float
    filled: Mask


@dataclass(frozen=True, slots=True)
class Extent:
    """How far an outline reaches beyond another along the slices, at both ends together.

    ``extra_slices`` of the first beyond the second, ``missing_slices`` of the second beyond the first.
    """

    extra_slices: int
    missing_slices: int


def fragments(*, mask: Mask) -> Fragments | None:
    """Return the stray pieces of an outline; None without any of at least 3 voxels.

    Pieces that empty slices alone part from the body, lying above or below it, are a gap and no stray pieces.
    """
    labels, count = ndimage.label(_bridged(mask.voxels), structure=_TOUCHING)
    if count < 2:
        return None
    sizes = np.bincount(labels[mask.voxels], minlength=count + 1)
    sizes[0] = 0
    body_label = int(np.argmax(sizes))
    strays = [number for number in range(1, count + 1) if number != body_label and sizes[number] >= _LEAST_PIECE]
    if not strays:
        return None
    body = (labels == body_label) & mask.voxels
    stray: NDArray[np.bool_] = np.isin(labels, strays) & mask.voxels
    away = ndimage.distance_transform_edt(~body, sampling=mask.grid.spacing_mm)
    farthest = max(float(away[(labels == number) & mask.voxels].min()) for number in strays)
    return Fragments(
        pieces=len(strays),
        voxels=int(np.count_nonzero(stray)),
        share=float(np.count_nonzero(stray)) / mask.count,
        apart_mm=farthest,
        rest=crop(grid=mask.grid, origin=mask.origin, voxels=body),
        strays=crop(grid=mask.grid, origin=mask.origin, voxels=stray),
    )


def holes(*, mask: Mask, volume: Volume) -> Holes | None:
    """Return the holes of an outline, slice by slice; None without any of at least 5 voxels in one slice."""
    hollow: NDArray[np.bool_] = np.zeros(mask.voxels.shape, dtype=np.bool_)
    for plane, into in zip(mask.voxels, hollow, strict=True):
        # A face neighbour closes a contour no more than a corner does; what only corners close is no hole.
        into |= ndimage.binary_fill_holes(plane) & ~plane
    if not hollow.any() or int(hollow.sum(axis=(1, 2)).max()) < _LEAST_HOLE:
        return None
    values = volume.hounsfield[box_of(mask)].astype(np.float32)
    return Holes(
        voxels=int(np.count_nonzero(hollow)),
        share=float(np.count_nonzero(hollow)) / mask.count,
        hounsfield_gap=float(values[hollow].mean() - values[mask.voxels].mean()),
        filled=mask_from_voxels(grid=mask.grid, voxels=mask.voxels | hollow, origin=mask.origin),
    )


def extent_beyond(*, label: Mask, reference: Mask, slices: tuple[int, int]) -> Extent:
    """Return how many slices a label reaches beyond ``slices`` (lowest, highest), and the reference beyond the label.

    Both lie on one grid. Slices in which an outline is smaller than a tenth of its largest slice do not count, but for
    an extent's end they are there: a label is missing a slice only if it has nothing on it.
    """
    own, own_full = _slices(label)
    _, wanted_full = _slices(reference)
    extra = sum(number < slices[0] or number > slices[1] for number in own_full)
    return Extent(extra_slices=extra, missing_slices=len(_beyond(wanted_full, own)))


def on_common_slices(*, first: Mask, second: Mask) -> tuple[Mask, Mask] | None:
    """Return two outlines on the slices that both reach, None where there is none."""
    low = max(first.origin[0], second.origin[0])
    high = min(first.origin[0] + first.voxels.shape[0], second.origin[0] + second.voxels.shape[0])
    if high <= low:
        return None
    kept = [
        crop(
            grid=mask.grid,
            origin=(low, mask.origin[1], mask.origin[2]),
            voxels=mask.voxels[low - mask.origin[0] : high - mask.origin[0]],
        )
        for mask in (first, second)
    ]
    return (kept[0], kept[1]) if kept[0].count and kept[1].count else None


def _slices(mask: Mask) -> tuple[set[int], set[int]]:
    areas = np.count_nonzero(mask.voxels, axis=(1, 2))
    there = {mask.origin[0] + int(number) for number in np.flatnonzero(areas)}
    full = {mask.origin[0] + int(number) for number in np.flatnonzero(areas >= _POLE_SHARE * areas.max())}
    return there, full


def _beyond(wanted: set[int], own: set[int]) -> set[int]:
    """Return the wanted slices above or below all own ones; gaps between own slices are another question."""
    return {number for number in wanted if number < min(own) or number > max(own)}


def _bridged(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill empty slices between filled ones with both neighbours, so that a gap parts nothing."""
    filled = np.flatnonzero(voxels.any(axis=(1, 2)))
    bridged = voxels.copy()
    for lower, upper in pairwise(filled):
        if upper - lower > 1:
            bridged[lower + 1 : upper] = voxels[lower] | voxels[upper]
    return bridged
