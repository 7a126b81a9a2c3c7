"""A nodule on the pleura has its middle in the wall, and is a candidate all the same."""

from __future__ import annotations

import numpy as np

from imaging.inference.outlines import WALL_MM, Outliner, find_peaks
from imaging.inference.sampling import WorkingVolume
from imaging.types import Grid

SPACING_MM = 1.25


def _peaks_at(distance_mm: float, *, outline_mm: float = 0.0) -> int:
    """How many peaks there are when the only one lies that far outside the lungs, in an outline of that diameter."""
    region = np.zeros((32, 32, 32), dtype=np.bool_)
    region[:, :, :16] = True
    centre = np.zeros((32, 32, 32), dtype=np.float32)
    centre[16, 16, 15 + round(distance_mm / SPACING_MM)] = 0.8
    rows = np.indices(centre.shape) - np.array([16, 16, 15 + round(distance_mm / SPACING_MM)]).reshape(3, 1, 1, 1)
    inside = np.sqrt((rows**2).sum(axis=0)) * SPACING_MM < outline_mm / 2.0
    mask = inside.astype(np.float32)
    affine = ((0.0, 0.0, 1.25, 0.0), (0.0, 1.25, 0.0, 0.0), (1.25, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    working = WorkingVolume(centre, np.zeros(3), np.ones(3), SPACING_MM)
    outliner = Outliner(mask_probability=mask, working=working, grid=Grid((32, 32, 32), affine, "1.2.3"))
    found = find_peaks(centre_probability=centre, region=region, outliner=outliner, spacing_mm=SPACING_MM)
    return len(found)


def test_a_centre_just_outside_the_lungs_counts() -> None:
    assert _peaks_at(0.0) == 1
    assert _peaks_at(WALL_MM - 0.5) == 1


def test_a_centre_deep_in_the_wall_does_not() -> None:
    assert _peaks_at(WALL_MM + 2.0) == 0


def test_the_middle_of_a_large_nodule_on_the_pleura_may_lie_deeper_in_the_wall() -> None:
    assert _peaks_at(5.0, outline_mm=26.0) == 1
    # Of this one the lungs hold next to nothing: it is the wall's.
    assert _peaks_at(10.0, outline_mm=22.0) == 0
