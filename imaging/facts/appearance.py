"""How an image looks, as a short vector: no network, nothing learnt, the same on every machine.

What differs between scanners, kernels, protocols and broken files shows in it: the distribution of Hounsfield units in
lung and soft tissue, noise, sharpness by spatial frequency, sampling and coverage. What differs between patients of
one protocol shows little. Components are scaled so that a difference of 1 is large for each; the version names layout
and scaling together.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from imaging.facts.lungs import CoarseLungs
from imaging.types import Volume

EMBEDDING_VERSION = "appearance-1"

_LUNG_EDGES_HU = np.array([-2000, -960, -920, -880, -840, -800, -750, -700, -600, -400, 4000])
_TISSUE_EDGES_HU = np.array([-250, -150, -110, -80, -40, 0, 20, 40, 60, 80, 120, 300])
_BANDS_PER_MM = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
"""Borders of spatial frequencies in cycles a millimetre; what a grid cannot hold counts as its own lowest power."""

_SLICES = 12
_CROP = 256

EMBEDDING_NAMES: tuple[str, ...] = (
    *(f"lung share {low} to {high} HU" for low, high in itertools.pairwise(_LUNG_EDGES_HU)),
    *(f"tissue share {low} to {high} HU" for low, high in itertools.pairwise(_TISSUE_EDGES_HU)),
    "noise",
    *(f"power {low:g} to {high:g} /mm" for low, high in itertools.pairwise(_BANDS_PER_MM)),
    "slice spacing",
    "row spacing",
    "coverage",
    "field of view",
    "lung volume",
    "share below the scale of air",
)


def appearance(*, volume: Volume, lungs: CoarseLungs) -> tuple[float, ...]:
    """Return the embedding of a volume, in the order of ``EMBEDDING_NAMES``; rounded to six decimals.

    Shares enter as square roots (the distance between two is then Hellinger's), lengths, volumes, noise and power as
    natural logarithms, power relative to the lowest band.
    """
    slices, rows, columns = volume.grid.spacing_mm
    depth, height, width = volume.grid.shape
    planes = _planes(volume)
    voxel_ml = float(np.prod(lungs.sampling_mm)) / 1000.0
    body = lungs.hounsfield[~lungs.region]
    parts = [
        _shares(lungs.hounsfield[lungs.region], _LUNG_EDGES_HU),
        _shares(body[(body >= _TISSUE_EDGES_HU[0]) & (body < _TISSUE_EDGES_HU[-1])], _TISSUE_EDGES_HU),
        np.array([math.log(_noise_hu(planes) + 1.0)]),
        _powers(planes, (rows, columns)),
        np.array(
            [
                math.log(slices),
                math.log(rows),
                math.log(depth * slices),
                math.log(math.sqrt(height * rows * width * columns)),
                math.log1p(float(np.count_nonzero(lungs.region)) * voxel_ml / 1000.0),
                math.sqrt(float(np.mean(lungs.hounsfield < -1024))),
            ]
        ),
    ]
    return tuple(round(float(value), 6) for value in np.concatenate(parts))


def _planes(volume: Volume) -> NDArray[np.float32]:
    """The middle of slices spread over the scan, (n, rows, columns) float32, at full resolution."""
    depth, height, width = volume.grid.shape
    chosen = np.unique(np.linspace(0.1 * (depth - 1), 0.9 * (depth - 1), min(_SLICES, depth)).round().astype(int))
    side = min(_CROP, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.asarray(volume.hounsfield[chosen, top : top + side, left : left + side], dtype=np.float32)


def _shares(values: NDArray[np.int16], edges: NDArray[np.int_]) -> NDArray[np.float64]:
    counts = np.histogram(values, bins=edges)[0].astype(np.float64)
    return np.asarray(np.sqrt(counts / max(1.0, counts.sum())))


def _noise_hu(planes: NDArray[np.float32]) -> float:
    """Standard deviation of noise in HU: median absolute residual of Immerkaer's mask, which edges hardly touch.

    Source: Immerkaer, Fast noise variance estimation, CVIU 64 (1996); the median in place of the mean.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)[None]
    residual = ndimage.convolve(planes, mask, mode="reflect")
    return float(np.median(np.abs(residual)) / 0.6745 / 6.0)


def _powers(planes: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Logarithm of mean spectral power by band of radial frequency, relative to the lowest band."""
    side = planes.shape[1]
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    clipped = np.clip(planes, -1000.0, 400.0)
    spectrum = fft.rfft2((clipped - clipped.mean(axis=(1, 2), keepdims=True)) * window)
    power = np.mean(np.abs(spectrum) ** 2, axis=0)
    radial = np.hypot(fft.fftfreq(side, spacing_mm[0])[:, None], fft.rfftfreq(side, spacing_mm[1])[None, :])
    band = np.digitize(radial, _BANDS_PER_MM) - 1
    means = np.full(len(_BANDS_PER_MM) - 1, np.nan)
    for index in range(len(means)):
        inside = band == index
        if inside.any():
            means[index] = math.log(float(power[inside].mean()) + 1.0)
    floor = float(np.nanmin(means)) if np.isfinite(means).any() else 0.0
    filled = np.where(np.isnan(means), floor, means)
    return np.asarray(filled - filled[0])
