"""How far from the lungs a place of a case lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.checks.once import once
from imaging.geometry.affine import to_index
from imaging.geometry.regions import lung_region
from imaging.types import Case, PointMm

# Slices may be thinned further than pixels: a thin chest wall runs along the slices.
COARSE_STEPS_MM = (5.0, 3.0, 3.0)


def lungs_found(*, case: Case, closing_mm: float) -> bool:
    """Say whether there are lungs on the image at all."""
    return _field(case, closing_mm) is not None


def lung_distance_mm(*, case: Case, place_mm: PointMm, closing_mm: float) -> float | None:
    """Return how far a place lies from the nearest lung, 0 inside one; None where the image shows no lungs.

    ``closing_mm``: how wide vessels and nodules on the pleura may be to count as inside. Exact to some 5 mm: the lungs
    are found on a thinned image, once a case.
    """
    found = _field(case, closing_mm)
    if found is None:
        return None
    field, steps = found
    index = np.rint(np.array(to_index(case.volume.grid, place_mm)) / steps).astype(int)
    return float(field[tuple(np.clip(index, 0, np.array(field.shape) - 1))])


def _field(case: Case, closing_mm: float) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Return each coarse voxel's distance to the lungs and the steps (slice, row, column); None without lungs."""

    def compute() -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        spacing = case.volume.grid.spacing_mm
        steps = [max(1, round(wanted / step)) for wanted, step in zip(COARSE_STEPS_MM, spacing, strict=True)]
        sampling = (spacing[0] * steps[0], spacing[1] * steps[1], spacing[2] * steps[2])
        # On a real scan the lungs found so differ from those at full size in less than one voxel of a thousand.
        coarse = case.volume.hounsfield[:: steps[0], :: steps[1], :: steps[2]]
        lungs = lung_region(hounsfield=coarse, spacing_mm=sampling, closing_mm=closing_mm)
        if not lungs.any():
            return None
        field = ndimage.distance_transform_edt(~lungs, sampling=sampling).astype(np.float32)
        return field, np.array(steps, dtype=np.int64)

    return once(case=case, key=("lung_field", closing_mm), compute=compute)
