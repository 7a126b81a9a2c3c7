"""Crops around a place, cut straight from a scan's own grid, and what was seen in them put back on it.

Index order (slice, row, column). Voxel ``i`` of a crop of ``n`` lies ``(i - (n - 1) / 2) * voxel_mm`` from its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.inference.place_settings import PLACE_SIZE

Field = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """A crop of 48 voxels a side around a place of a scan.

    ``centre``: fractional index of the scan. ``spacing_mm``: the scan's (slices, rows, columns). ``voxel_mm``: of the
    crop, the same along each axis.
    """

    centre: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    voxel_mm: float

    def places(self) -> tuple[Floats, Floats, Floats]:
        """Return the scan's fractional indices of the crop's voxels along each axis."""
        offsets = (np.arange(PLACE_SIZE) - 0.5 * (PLACE_SIZE - 1)) * self.voxel_mm
        z, y, x = (
            np.asarray(middle + offsets / step, dtype=np.float64)
            for middle, step in zip(self.centre, self.spacing_mm, strict=True)
        )
        return z, y, x

    def box(self, shape: Sequence[int]) -> tuple[slice, slice, slice]:
        """Return the voxels of a scan of ``shape`` that the crop rests on, one at least along each axis."""
        spans = []
        for places, step, size in zip(self.places(), self.spacing_mm, shape, strict=True):
            reach = max(1.0, self.voxel_mm / step)
            low = int(np.clip(np.floor(places[0] - reach), 0, size - 1))
            spans.append(slice(low, int(np.clip(np.ceil(places[-1] + reach) + 1, low + 1, size))))
        return spans[0], spans[1], spans[2]


def cut(*, values: NDArray[np.generic], first: Sequence[int], view: View) -> Field:
    """Return the crop, (48, 48, 48) float32.

    ``values``: the scan, or the box of it that ``view.box`` names; ``first``: the scan's index of its first voxel.
    Interpolation is linear; where the crop is coarser than the scan the kernel widens with it, which averages the noise
    instead of aliasing it. Outside the scan its outermost voxels go on.
    """
    taps = []
    for places, start, step, size in zip(view.places(), first, view.spacing_mm, values.shape, strict=True):
        taps.append(_taps(np.asarray(places - start, dtype=np.float64), size, view.voxel_mm / step))
    crop = _gather(values, *taps[0])
    crop = _gather(crop.transpose(1, 0, 2), *taps[1])
    # Both passes left their own axis in front: back to (slices, rows, columns) at the end.
    crop = _gather(crop.transpose(2, 1, 0), *taps[2])
    return np.ascontiguousarray(crop.transpose(1, 2, 0))


def put_back(*, crop: Field, view: View, shape: Sequence[int]) -> tuple[tuple[int, int, int], Field]:
    """Return a crop's values at the scan's voxels within it: the index of the first, and the box of them.

    Interpolation is linear between the crop's voxels. The box is empty where no voxel centre lies within the crop.
    """
    origin, taps = [], []
    for middle, step, size in zip(view.centre, view.spacing_mm, shape, strict=True):
        reach = 0.5 * (PLACE_SIZE - 1) * view.voxel_mm / step
        low, high = max(0, int(np.ceil(middle - reach))), min(size - 1, int(np.floor(middle + reach)))
        places = (np.arange(low, high + 1, dtype=np.float64) - middle) * step / view.voxel_mm + 0.5 * (PLACE_SIZE - 1)
        origin.append(low)
        taps.append(_taps(np.asarray(places, dtype=np.float64), PLACE_SIZE, 1.0))
    box = _gather(crop, *taps[0])
    box = _gather(box.transpose(1, 0, 2), *taps[1])
    box = _gather(box.transpose(2, 1, 0), *taps[2])
    return (origin[0], origin[1], origin[2]), np.ascontiguousarray(box.transpose(1, 2, 0))


def _taps(places: Floats, size: int, ratio: float) -> tuple[NDArray[np.intp], Field]:
    """Return which voxels make each place, and their weights, both (places, taps)."""
    within = np.clip(places, 0.0, size - 1.0)
    reach = max(1.0, ratio)
    first = np.floor(within - reach).astype(np.intp) + 1
    index = first[:, None] + np.arange(int(np.ceil(2.0 * reach)))[None, :]
    weights = np.maximum(0.0, 1.0 - np.abs(index - within[:, None]) / reach)
    weights[(index < 0) | (index >= size)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, size - 1), np.asarray(weights, dtype=np.float32)


def _gather(values: NDArray[np.generic], index: NDArray[np.intp], weights: Field) -> Field:
    """Return (places, ...): slabs of ``values`` along its first axis, added up by their weights.

    Term by term, never by a matrix product: its order of summing is the library's and may follow the threads.
    """
    total = weights[:, 0, None, None] * values[index[:, 0]].astype(np.float32)
    for tap in range(1, index.shape[1]):
        total += weights[:, tap, None, None] * values[index[:, tap]].astype(np.float32)
    return np.asarray(total, dtype=np.float32)
