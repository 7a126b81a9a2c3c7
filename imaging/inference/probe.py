"""A fixed tile, and torch's answer to it as a bundle keeps it: what every way of running the network is held against.

The answer is stored when the bundle is written, so that a worker need not load torch (seconds, and half a gigabyte)
to know that another library computes the same. Where a bundle holds none, torch is asked on the spot.
"""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from imaging.inference.network import Field, scale_window

EVERY = 5
"""Every fifth voxel is kept along each axis: odd, so that no place in the network's grid of strides goes unseen."""

SIDE = 64
"""Voxels along the probe, or as many as the network takes where that is fewer: it holds every place in its grid."""

_SEED = 20_261_122
_LUNG_HU = -850
_TISSUE_HU = 30
_NOISE_HU = 60
_BALLS = 24


def probe_tile(tile: int) -> Field:
    """Return the fixed tile, (tile, tile, tile) float32, scaled as the network takes it: lung, balls, noise.

    Made in whole numbers but for the scaling, so that it is the same to the bit on every machine.
    """
    generator = np.random.Generator(np.random.PCG64(_SEED))
    hounsfield = np.full((tile, tile, tile), _LUNG_HU, dtype=np.int64)
    axes = np.ogrid[:tile, :tile, :tile]
    for _ in range(_BALLS):
        centre = [int(value) for value in generator.integers(0, tile, size=3)]
        radius = int(generator.integers(2, max(3, tile // 12)))
        squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True))
        # One voxel of rim at half height, since no edge in a scan is sharp.
        hounsfield[squared <= (radius + 1) ** 2] = (_LUNG_HU + _TISSUE_HU) // 2
        hounsfield[squared <= radius**2] = _TISSUE_HU
    # The sides are wall, as at the edge of a lung.
    hounsfield[:, :, : tile // 16] = _TISSUE_HU
    hounsfield += generator.integers(-_NOISE_HU, _NOISE_HU + 1, size=hounsfield.shape)
    return scale_window(hounsfield.astype(np.float32))


def probe_digest(tile: Field) -> str:
    """Return SHA-256 (hex) over a probe's bytes: an answer counts only for the very tile that it was given to."""
    return hashlib.sha256(np.ascontiguousarray(tile, dtype="<f4").tobytes()).hexdigest()


def sparse(probability: NDArray[np.floating]) -> Field:
    """Return every fifth voxel of (2, d, h, w) probabilities along each axis, float32."""
    first = EVERY // 2
    return np.ascontiguousarray(probability[:, first::EVERY, first::EVERY, first::EVERY], dtype=np.float32)


def reference_bytes(*, tile: Field, probability: Field) -> bytes:
    """Return torch's answer to a probe as the file that a bundle keeps. The same answer gives the same bytes."""
    kept = {
        "input_sha256": np.array(probe_digest(tile)),
        "side": np.array(tile.shape[0]),
        "probability": sparse(probability),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in kept.items():
            content = io.BytesIO()
            np.save(content, value, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue())
    return buffer.getvalue()


def probe_side(*, data: bytes | None, size: int) -> int:
    """Return the side of the probe that a bundle's kept answer was given to.

    ``size``: voxels a side that the network takes, which is the probe's where an answer of older bundles does not say.
    """
    if data is None:
        return min(SIDE, size)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            side = int(kept["side"]) if "side" in kept else size
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return min(SIDE, size)
    return side if 0 < side <= size else min(SIDE, size)


def stored_reference(*, data: bytes | None, tile: Field) -> Field | None:
    """Return the answer kept in a bundle, as ``sparse`` gives it, or None where it has none to this very tile."""
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            if str(kept["input_sha256"]) != probe_digest(tile):
                return None
            probability = np.asarray(kept["probability"], dtype=np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    expected = (2, *(len(range(EVERY // 2, size, EVERY)) for size in tile.shape))
    return probability if probability.shape == expected else None


def worst_difference(*, answer: NDArray[np.floating], reference: Field) -> float:
    """Return how far an answer, as ``sparse`` gives it, lies from the reference at the worst voxel.

    Infinite where shapes differ or a value is not finite.
    """
    if answer.shape != reference.shape or not np.isfinite(answer).all() or not np.isfinite(reference).all():
        return float("inf")
    return float(np.abs(answer - reference).max())
