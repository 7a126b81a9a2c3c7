"""What an untrained blob filter gives, so that a trained network's figures have something beside them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from imaging.geometry.affine import to_patient
from imaging.geometry.regions import lung_region
from imaging.inference.predict import input_digest
from imaging.types import Candidate, ModelIdentity, Prediction, Volume

DIAMETERS_MM = (4.0, 6.0, 9.0, 13.0, 19.0)
KEPT = 30
WINDOW_HU = (-1000.0, 200.0)
CLOSING_MM = 10.0
IDENTITY = ModelIdentity(name="laplacian of Gaussian", version="1", bundle_sha256="0" * 64)


def blob_prediction(volume: Volume) -> Prediction:
    """Return the 30 strongest bright blobs inside the lungs as candidates; the filter outlines nothing.

    Scale-normalised Laplacian of Gaussian at five diameters (sigma = diameter / (2 sqrt 3)). A candidate's probability
    is its response, at most 1: an order, not a calibration.
    """
    spacing = np.array(volume.grid.spacing_mm)
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=volume.grid.spacing_mm, closing_mm=CLOSING_MM)
    low, high = WINDOW_HU
    grey = np.clip((volume.hounsfield.astype(np.float32) - low) / (high - low), 0, 1)
    best = np.zeros(grey.shape, dtype=np.float32)
    size = np.zeros(grey.shape, dtype=np.float32)
    for diameter in DIAMETERS_MM:
        sigma = diameter / (2 * np.sqrt(3))
        response = -(sigma**2) * _laplacian(grey, sigma / spacing, spacing)
        stronger = response > best
        best[stronger] = response[stronger]
        size[stronger] = diameter
    best[~lungs] = 0
    radius = np.maximum(1, np.rint(3.0 / spacing)).astype(int)
    peaks = np.argwhere((best == ndimage.maximum_filter(best, size=tuple(2 * radius + 1))) & (best > 0.05))
    order = sorted(peaks.tolist(), key=lambda index: -float(best[tuple(index)]))[:KEPT]
    candidates = tuple(
        Candidate(
            centre_mm=to_patient(volume.grid, (float(index[0]), float(index[1]), float(index[2]))),
            diameter_mm=float(size[tuple(index)]),
            probability=float(min(1.0, best[tuple(index)])),
        )
        for index in order
    )
    return Prediction(
        model=IDENTITY,
        input_sha256=input_digest(volume),
        backend="scipy",
        threshold=0.5,
        candidates=candidates,
        outlines=(),
        validated_diameters_mm=(4.0, 20.0),
        sensitivity_by_diameter=((4.0, 0.5),),
        seconds=0.0,
    )


def _laplacian(grey: np.ndarray, sigma_voxels: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Return the Laplacian of the smoothed image, per square millimetre."""
    total = np.zeros_like(grey)
    for axis in range(3):
        orders = [0, 0, 0]
        orders[axis] = 2
        total += ndimage.gaussian_filter(grey, sigma=tuple(sigma_voxels), order=tuple(orders)) / spacing_mm[axis] ** 2
    return total
