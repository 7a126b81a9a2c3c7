"""Where the lungs are said to be, against where they are."""

import numpy as np

from imaging.geometry.regions import lung_region
from imaging.phantom.chest import PhantomCase


def test_the_lungs_of_a_phantom_are_found_with_what_is_in_them(scan: PhantomCase) -> None:
    found = lung_region(hounsfield=scan.volume.hounsfield, spacing_mm=scan.volume.grid.spacing_mm, closing_mm=8.0)
    shared = np.count_nonzero(found & scan.lungs)
    assert shared / np.count_nonzero(scan.lungs) > 0.95
    assert shared / np.count_nonzero(found) > 0.85
    for nodule in scan.nodules:
        box = tuple(
            slice(start, start + size) for start, size in zip(nodule.mask.origin, nodule.mask.voxels.shape, strict=True)
        )
        assert found[box][nodule.mask.voxels].mean() > 0.5


def test_a_hollow_table_is_no_lung(scan: PhantomCase) -> None:
    hounsfield = scan.volume.hounsfield.copy()
    hounsfield[:, 98:112, 6:106] = 60
    hounsfield[:, 100:110, 8:104] = -980
    found = lung_region(hounsfield=hounsfield, spacing_mm=scan.volume.grid.spacing_mm, closing_mm=8.0)
    assert found.any()
    assert not found[:, 98:].any()


def test_a_scan_without_air_has_no_lungs(scan: PhantomCase) -> None:
    solid = np.full_like(scan.volume.hounsfield, 40)
    assert not lung_region(hounsfield=solid, spacing_mm=scan.volume.grid.spacing_mm, closing_mm=8.0).any()


def test_a_scan_of_air_alone_has_no_lungs(scan: PhantomCase) -> None:
    empty = np.full_like(scan.volume.hounsfield, -1000)
    assert not lung_region(hounsfield=empty, spacing_mm=scan.volume.grid.spacing_mm, closing_mm=8.0).any()
