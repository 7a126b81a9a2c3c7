"""Perceptual hashes of slices: bits that stay when a picture is copied, re-encoded or renamed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

WINDOW_HU = (-1000.0, 400.0)
SIDE = 32
KEPT = 8
BITS = KEPT * KEPT
_FLAT_SD = 2.0
"""Standard deviation, of 255 grey levels, below which a slice has no structure of its own: air above the patient."""


def slice_hashes(hounsfield: NDArray[np.int16]) -> tuple[str, ...]:
    """Return the 64-bit DCT hash of each slice, 16 hex digits each, in order; "" for a slice without structure.

    ``hounsfield``: (slices, rows, columns). A slice is clipped to ``WINDOW_HU``, averaged to 32 x 32 and transformed
    (DCT-II); bit i says whether the i-th of the 8 x 8 lowest frequencies, rows first, lies above their median. Copies
    of one slice differ in few bits whatever their compression, small crop or re-scaling.
    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), section 3.2.1.
    """
    planes = np.stack([_shrunk(plane) for plane in hounsfield]) if len(hounsfield) else np.zeros((0, SIDE, SIDE))
    # The mean of a slice is brightness, not structure; the median that follows does not miss it.
    low = fft.dctn(planes, axes=(1, 2), norm="ortho")[:, :KEPT, :KEPT].reshape(len(planes), BITS)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    packed = np.packbits(bits, axis=1)
    flat = planes.std(axis=(1, 2)) < _FLAT_SD
    return tuple("" if empty else row.tobytes().hex() for row, empty in zip(packed, flat, strict=True))


def hash_words(hashes: tuple[str, ...]) -> NDArray[np.uint64]:
    """Return the hashes of slices with structure as one 64-bit number each, in their order."""
    return np.array([int(one, 16) for one in hashes if one], dtype=np.uint64)


def _shrunk(plane: NDArray[np.int16]) -> NDArray[np.float64]:
    # A large slice is read at every second voxel or so: 32 x 32 means need no more, and this runs for every slice.
    step = max(1, min(plane.shape) // 256)
    low, high = WINDOW_HU
    grey = (np.clip(plane[::step, ::step], low, high) - low) * (255.0 / (high - low))
    rows = np.linspace(0, grey.shape[0], SIDE + 1).astype(np.intp)[:-1]
    columns = np.linspace(0, grey.shape[1], SIDE + 1).astype(np.intp)[:-1]
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff(np.append(rows, grey.shape[0])), np.diff(np.append(columns, grey.shape[1])))
    return np.asarray(sums / np.maximum(counts, 1), dtype=np.float64)
