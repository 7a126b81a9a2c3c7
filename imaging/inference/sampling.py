"""Resampling between a scan's own grid and the network's isotropic one. Index order (slice, row, column)."""

from __future__ import annotations

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
) -> WorkingVolume:
    """Return voxels ``low`` (included) to ``high`` (excluded) of a scan, resampled to ``target_mm`` on each axis.

    Interpolation is linear; where the target is coarser than the scan the kernel widens with it, which averages the
    noise instead of aliasing it. ``spacing_mm``: (between slices, between rows, between columns).
    """
    box = hounsfield[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    weights = [_weights(size, spacing, target_mm) for size, spacing in zip(box.shape, spacing_mm, strict=True)]
    # Last axis first: it shrinks the most, and each product is one large matrix multiplication.
    by_column = box @ weights[2].T
    by_row = np.matmul(weights[1], by_column)
    slices, rows, columns = by_row.shape
    resampled = (weights[0] @ by_row.reshape(slices, rows * columns)).reshape(-1, rows, columns)
    ratio = [target_mm / spacing for spacing in spacing_mm]
    first = [start + 0.5 * step - 0.5 for start, step in zip(low, ratio, strict=True)]
    return WorkingVolume(
        hounsfield=np.ascontiguousarray(resampled),
        first=(first[0], first[1], first[2]),
        step=(ratio[0], ratio[1], ratio[2]),
        spacing_mm=target_mm,
    )


def _weights(size: int, spacing: float, target: float) -> Field:
    ratio = target / spacing
    count = max(1, round(size / ratio))
    place = (np.arange(count) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size)[None, :] - place[:, None]) / reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
