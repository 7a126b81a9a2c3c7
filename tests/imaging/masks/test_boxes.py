"""Boxes on a grid: how far they reach, what they hold, and where they lie as findings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.geometry.affine import as_affine, to_patient, voxel_to_patient
from imaging.masks.boxes import (
    box_around,
    box_centre,
    box_containment,
    box_diameter_mm,
    box_extents_mm,
    box_holds,
    box_on_image,
    box_spans,
    mask_share_in_box,
)
from imaging.masks.build import mask_from_voxels
from imaging.masks.matching import match_lesions
from imaging.masks.place import centre_of, radius_of
from imaging.types import AnnotationSet, Box, Category, Finding, Grid, PointMm, SetKind
from tests.imaging.masks.shapes import a_ball, a_grid

GRID = a_grid()


def oblique(turn_degrees: float) -> Grid:
    """A grid turned in the slice plane, its first voxel away from the origin."""
    turn = np.deg2rad(turn_degrees)
    matrix = voxel_to_patient(
        position_mm=(-20.0, 35.0, 12.0),
        orientation=(np.cos(turn), np.sin(turn), 0.0, -np.sin(turn), np.cos(turn), 0.0),
        pixel_spacing_mm=(0.7, 0.7),
        slice_step_mm=2.5,
    )
    return Grid((20, 60, 50), as_affine(matrix), "1.2.3")


def box_of_indices(grid: Grid, low: tuple[float, ...], high: tuple[float, ...]) -> Box:
    return Box(corner_mm=to_patient(grid, low), opposite_corner_mm=to_patient(grid, high))


def boxed(name: str, box: Box, category: Category = Category.NODULE_GE_3MM) -> Finding:
    return Finding(name, category, box=box)


def reader(set_id: str, *findings: Finding) -> AnnotationSet:
    return AnnotationSet(set_id, set_id, SetKind.READER, True, findings)


@given(
    turn=st.floats(-180, 180),
    low=st.tuples(st.integers(0, 15), st.integers(0, 50), st.integers(0, 40)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)),
)
def test_a_box_around_voxels_spans_whole_voxels_whichever_way_the_image_lies(turn, low, size) -> None:
    grid = oblique(turn)
    mask = mask_from_voxels(grid=grid, voxels=np.ones(size, dtype=np.bool_), origin=low)
    box = box_around(mask)
    spans = box_spans(box=box, grid=grid)
    assert spans == tuple(
        (pytest.approx(start - 0.5, abs=1e-6), pytest.approx(start + number - 0.5, abs=1e-6))
        for start, number in zip(low, size, strict=True)
    )
    expected = [number * step for number, step in zip(size, grid.spacing_mm, strict=True)]
    assert box_extents_mm(box=box, grid=grid) == pytest.approx(expected)
    assert box_centre(box) == pytest.approx(centre_of(Finding("m", Category.NODULE_GE_3MM, mask=mask)))
    assert mask_share_in_box(mask=mask, box=box) == 1.0
    assert box_on_image(box=box, grid=grid)


@given(turn=st.floats(-180, 180))
def test_a_box_is_as_large_whichever_way_the_image_lies(turn) -> None:
    box = box_of_indices(oblique(turn), (4.5, 9.5, 9.5), (6.5, 19.5, 14.5))
    still = box_of_indices(oblique(0.0), (4.5, 9.5, 9.5), (6.5, 19.5, 14.5))
    assert box_diameter_mm(box) == pytest.approx(box_diameter_mm(still))


def test_the_box_around_a_ball_has_the_balls_size_and_a_thin_axis_does_not_make_a_box_small() -> None:
    ball = a_ball(GRID, (16.0, 16.0, 20.0), 10.0)
    assert box_diameter_mm(box_around(ball)) == pytest.approx(10.0, abs=1.0)
    on_one_slice = Box(corner_mm=(0.0, 0.0, 0.0), opposite_corner_mm=(10.0, 10.0, 1.0))
    assert box_diameter_mm(on_one_slice) > 8.0


def test_the_corners_may_come_in_any_order() -> None:
    low, high = (10.0, 12.0, 14.0), (18.0, 20.0, 22.0)
    first = Box(corner_mm=low, opposite_corner_mm=high)
    second = Box(corner_mm=(high[0], low[1], high[2]), opposite_corner_mm=(low[0], high[1], low[2]))
    assert box_centre(first) == box_centre(second)
    assert box_diameter_mm(first) == pytest.approx(box_diameter_mm(second))
    assert box_spans(box=first, grid=GRID) == box_spans(box=second, grid=GRID)


def test_a_place_on_a_face_belongs_to_the_box_and_one_beyond_does_not() -> None:
    box = Box(corner_mm=(4.0, 4.0, 4.0), opposite_corner_mm=(8.0, 8.0, 8.0))
    assert box_holds(box=box, grid=GRID, place_mm=(8.0, 6.0, 4.0))
    assert not box_holds(box=box, grid=GRID, place_mm=(8.1, 6.0, 4.0))


def test_what_two_boxes_share_is_measured_on_the_smaller_one() -> None:
    large = Box(corner_mm=(0.0, 0.0, 0.0), opposite_corner_mm=(10.0, 10.0, 10.0))
    half_in = Box(corner_mm=(8.0, 2.0, 2.0), opposite_corner_mm=(12.0, 6.0, 6.0))
    apart = Box(corner_mm=(0.0, 0.0, 10.0), opposite_corner_mm=(10.0, 10.0, 20.0))
    flat = Box(corner_mm=(1.0, 1.0, 1.0), opposite_corner_mm=(2.0, 2.0, 1.0))
    assert box_containment(first=large, second=half_in, grid=GRID) == pytest.approx(0.5)
    assert box_containment(first=half_in, second=large, grid=GRID) == pytest.approx(0.5)
    assert box_containment(first=large, second=apart, grid=GRID) == 0.0
    assert box_containment(first=large, second=flat, grid=GRID) == 0.0


def test_a_mask_lies_in_a_box_as_far_as_its_voxels_do() -> None:
    mask = mask_from_voxels(grid=GRID, voxels=np.ones((2, 4, 4), dtype=np.bool_), origin=(10, 20, 20))
    half = box_of_indices(GRID, (9.5, 19.5, 19.5), (11.5, 23.5, 21.5))
    assert mask_share_in_box(mask=mask, box=half) == pytest.approx(0.5)
    nothing = mask_from_voxels(grid=GRID, voxels=np.zeros((1, 1, 1), dtype=np.bool_))
    assert mask_share_in_box(mask=nothing, box=half) == 0.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ((-0.5, -0.5, -0.5), (3.5, 9.5, 9.5), True),
        ((0.0, -1.0, -1.0), (3.0, 8.0, 8.0), True),
        ((0.0, -3.0, 4.0), (3.0, 8.0, 8.0), False),
        ((41.0, 4.0, 4.0), (43.0, 8.0, 8.0), False),
    ],
)
def test_a_box_lies_on_the_image_if_it_reaches_over_its_edge_by_a_pixel_at_most(low, high, expected) -> None:
    assert box_on_image(box=box_of_indices(GRID, low, high), grid=GRID) is expected


def test_a_box_is_found_at_its_middle_and_with_its_size() -> None:
    box = Box(corner_mm=(4.0, 4.0, 4.0), opposite_corner_mm=(8.0, 10.0, 12.0))
    assert centre_of(boxed("a", box)) == (6.0, 7.0, 8.0)
    assert radius_of(boxed("a", box)) == pytest.approx(box_diameter_mm(box) / 2)


def test_boxes_of_two_readers_on_one_thing_are_one_lesion_and_neighbours_are_two() -> None:
    def at(place: PointMm, size: float) -> Box:
        low = tuple(value - size / 2 for value in place)
        high = tuple(value + size / 2 for value in place)
        return Box(corner_mm=low, opposite_corner_mm=high)

    same = match_lesions(
        [reader("a", boxed("a1", at((15, 15, 20), 8))), reader("b", boxed("b1", at((17, 15, 20), 10)))]
    )
    assert [lesion.members for lesion in same] == [(("a", "a1"), ("b", "b1"))]
    apart = match_lesions(
        [reader("a", boxed("a1", at((10, 15, 20), 8))), reader("b", boxed("b1", at((19, 15, 20), 8)))]
    )
    assert len(apart) == 2


def test_a_box_and_the_outline_in_it_are_one_lesion() -> None:
    ball = a_ball(GRID, (15, 15, 20), 8.0)
    outlined = Finding("b1", Category.NODULE_GE_3MM, mask=ball)
    [lesion] = match_lesions([reader("a", boxed("a1", box_around(ball))), reader("b", outlined)])
    assert lesion.members == (("a", "a1"), ("b", "b1"))


def test_other_structures_are_no_lesions_neither_with_nodules_nor_with_each_other() -> None:
    ball = a_ball(GRID, (15, 15, 20), 8.0)
    organ = Finding("organ", Category.STRUCTURE, mask=ball)
    nodule = Finding("nodule", Category.NODULE_GE_3MM, mask=ball)
    lesions = match_lesions([reader("a", organ), reader("b", organ, nodule)])
    assert [lesion.members for lesion in lesions] == [(("b", "nodule"),)]
