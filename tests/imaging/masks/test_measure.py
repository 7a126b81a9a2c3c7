"""Sizes in millimetres, against shapes whose sizes are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import GeometryError, NotApplicable
from imaging.masks.build import mask_from_sphere, mask_from_voxels
from imaging.masks.measure import measure
from imaging.masks.overlap import dice, jaccard, shared_voxels
from imaging.types import Sphere
from tests.imaging.masks.shapes import a_ball, a_grid, a_mask

FINE = a_grid(shape=(60, 120, 120), spacing_mm=(0.5, 0.25, 0.25))


@settings(max_examples=20, deadline=None)
@given(diameter=st.floats(4.0, 20.0), shift=st.tuples(*[st.floats(0, 0.5) for _ in range(3)]))
def test_a_ball_measures_as_its_diameter_in_every_way(diameter: float, shift: tuple[float, float, float]) -> None:
    centre = (15.0 + shift[0], 15.0 + shift[1], 15.0 + shift[2])
    found = measure(a_ball(FINE, centre, diameter))
    assert found.long_axis_mm == pytest.approx(diameter, abs=0.4)
    assert found.short_axis_mm == pytest.approx(diameter, abs=0.4)
    assert found.mean_mm == pytest.approx((found.long_axis_mm + found.short_axis_mm) / 2)
    assert found.equivalent_diameter_mm == pytest.approx(diameter, abs=0.15)
    assert found.volume_mm3 == pytest.approx(math.pi * diameter**3 / 6, rel=0.06)
    assert found.centroid_mm == pytest.approx(centre, abs=0.1)


def test_axes_are_taken_at_right_angles_in_the_slice_where_the_long_axis_is_greatest() -> None:
    grid = a_grid(spacing_mm=(2.0, 0.5, 1.0))
    whole = np.zeros(grid.shape, dtype=np.bool_)
    whole[5, 10:20, 10:13] = True  # 5 mm x 3 mm
    whole[6, 10:12, 10:30] = True  # 1 mm x 20 mm
    found = measure(mask_from_voxels(grid=grid, voxels=whole))
    assert found.slice_index == 6
    # The corners of the rectangle are cut by half a pixel, so the caliper may lean a little.
    assert found.long_axis_mm == pytest.approx(20.0, abs=0.05)
    assert found.short_axis_mm == pytest.approx(1.0, abs=0.6)
    assert found.volume_mm3 == pytest.approx((30 + 40) * 1.0)
    assert "right angles" in found.method


def test_a_single_voxel_is_as_wide_as_its_spacing() -> None:
    found = measure(a_mask(a_grid(spacing_mm=(2.5, 0.7, 0.7)), (3, 4, 5)))
    assert found.long_axis_mm == pytest.approx(0.7)
    assert found.volume_mm3 == pytest.approx(2.5 * 0.49)
    assert found.centroid_mm == pytest.approx((3.5, 2.8, 7.5))


def test_an_empty_region_has_no_size() -> None:
    with pytest.raises(NotApplicable) as caught:
        measure(a_mask(a_grid()))
    assert caught.value.code == "empty-mask"


def test_a_sphere_smaller_than_a_voxel_still_marks_its_voxel() -> None:
    grid = a_grid(spacing_mm=(5.0, 1.0, 1.0))
    mask = mask_from_sphere(grid=grid, sphere=Sphere((10.4, 12.4, 52.0), 0.2))
    assert (mask.count, mask.origin) == (1, (10, 12, 10))


def test_a_sphere_off_the_grid_marks_nothing() -> None:
    assert mask_from_sphere(grid=a_grid(), sphere=Sphere((-50.0, 0.0, 0.0), 10.0)).count == 0


def test_overlap_counts_shared_voxels_whatever_the_boxes() -> None:
    grid = a_grid()
    first = a_mask(grid, (1, 1, 1), (1, 1, 2), (3, 5, 9))
    second = a_mask(grid, (1, 1, 2), (3, 5, 9), (20, 30, 40), (21, 30, 40))
    assert shared_voxels(first, second) == 2
    assert dice(first, second) == pytest.approx(4 / 7)
    assert jaccard(first, second) == pytest.approx(2 / 5)
    assert dice(first, a_mask(grid, (30, 30, 30))) == 0.0


def test_regions_on_different_grids_are_not_compared() -> None:
    with pytest.raises(GeometryError) as caught:
        dice(a_mask(a_grid(), (1, 1, 1)), a_mask(a_grid(spacing_mm=(1.0, 0.6, 0.6)), (1, 1, 1)))
    assert caught.value.code == "another-grid"


def test_two_empty_regions_have_no_overlap_to_speak_of() -> None:
    for question in (dice, jaccard):
        with pytest.raises(NotApplicable):
            question(a_mask(a_grid()), a_mask(a_grid()))
