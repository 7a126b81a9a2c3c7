"""Resampling between a scan's own grid and the network's isotropic one. Index order (slice, row, column)."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.types import Index

Floats = NDArray[np.float64]
Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class WorkingVolume:
    """A box of a scan on the network's grid.

    ``hounsfield``: (slices, rows, columns) float32 HU. A working index ``w`` lies at the scan's fractional index
    ``first + w * step``, axis by axis. ``spacing_mm``: between working voxels on each axis.
    """

    hounsfield: Field
    first: tuple[float, float, float]
    step: tuple[float, float, float]
    spacing_mm: float

    def to_scan(self, indices: Floats) -> Floats:
        """(n, 3) working indices to (n, 3) fractional indices of the scan."""
        return np.asarray(np.array(self.first) + indices * np.array(self.step), dtype=np.float64)

    def from_scan(self, indices: Floats) -> Floats:
        """(n, 3) fractional indices of the scan to (n, 3) working indices."""
        return np.asarray((indices - np.array(self.first)) / np.array(self.step), dtype=np.float64)


def resample_box(
    *,
    hounsfield: NDArray[np.integer | np.floating],
    spacing_mm: tuple[float, float, float],
    low: Index,
    high: Index,
    target_mm: float,
    threads: int = 1,
) -> WorkingVolume:
    """Return voxels ``low`` (included) to ``high`` (excluded) of a scan, resampled to ``target_mm`` on each axis.

    Interpolation is linear; where the target is coarser than the scan the kernel widens with it, which averages the
    noise instead of aliasing it. ``spacing_mm``: (between slices, between rows, between columns). ``threads``: planes
    computed at a time.
    """
    box = hounsfield[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    taps = [_taps(size, spacing, target_mm) for size, spacing in zip(box.shape, spacing_mm, strict=True)]
    resampled = np.empty([len(weights) for _, weights in taps], dtype=np.float32)

    def fill(number: int) -> None:
        # A plane of the result at a time: only a few slices are ever held as floating point.
        index, weights = taps[0][0][number], taps[0][1][number]
        plane = weights[0] * box[index[0]].astype(np.float32)
        for place, weight in zip(index[1:], weights[1:], strict=True):
            if weight:
                plane += weight * box[place].astype(np.float32)
        by_row = _gather(plane, *taps[1])
        resampled[number] = _gather(np.ascontiguousarray(by_row.T), *taps[2]).T

    with ThreadPoolExecutor(max_workers=threads) as pool:
        # Each plane is computed the same way whoever does it, so that the number of threads changes nothing.
        deque(pool.map(fill, range(len(resampled))), maxlen=0)
    ratio = [target_mm / spacing for spacing in spacing_mm]
    first = [start + 0.5 * step - 0.5 for start, step in zip(low, ratio, strict=True)]
    return WorkingVolume(
        hounsfield=resampled,
        first=(first[0], first[1], first[2]),
        step=(ratio[0], ratio[1], ratio[2]),
        spacing_mm=target_mm,
    )


def _taps(size: int, spacing: float, target: float) -> tuple[NDArray[np.intp], Field]:
    """Return which voxels make each voxel of the result, and their weights, both (result, taps)."""
    ratio = target / spacing
    count = max(1, round(size / ratio))
    place = (np.arange(count) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    first = np.floor(place - reach).astype(np.intp) + 1
    index = first[:, None] + np.arange(int(np.ceil(2.0 * reach)))[None, :]
    weights = np.maximum(0.0, 1.0 - np.abs(index - place[:, None]) / reach)
    weights[(index < 0) | (index >= size)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, size - 1), np.asarray(weights, dtype=np.float32)


def _gather(plane: Field, index: NDArray[np.intp], weights: Field) -> Field:
    """Return (result, columns): the rows of ``plane`` added up by their weights."""
    total = weights[:, :1] * plane[index[:, 0]]
    for tap in range(1, index.shape[1]):
        total += weights[:, tap : tap + 1] * plane[index[:, tap]]
    return np.asarray(total, dtype=np.float32)
