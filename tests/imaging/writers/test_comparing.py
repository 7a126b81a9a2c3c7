"""How a difference is found and told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from imaging.errors import WriteMismatch
from imaging.masks.build import mask_from_sphere, mask_from_voxels
from imaging.types import Category, Finding, Sphere
from imaging.writers.coco import run_lengths
from imaging.writers.comparing import compare, differing_voxels, sphere_voxels_off
from imaging.writers.registry import LABEL_WRITERS
from tests.imaging.writers.made import a_grid, a_mask, at

GRID = a_grid()
SEG = LABEL_WRITERS["dicom-seg"].carries
TABLE = LABEL_WRITERS["luna16-csv"].carries


def a_finding(**changes: object) -> Finding:
    base = Finding("f", Category.NODULE_GE_3MM, mask=a_mask(GRID), tracking_uid="2.25.1", source_label="n")
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # one test, one change


def told(expected: Finding, *found: Finding, carries: object = SEG) -> WriteMismatch:
    with pytest.raises(WriteMismatch) as raised:
        compare(expected=[expected], found=found, carries=carries, grid=GRID, tolerance_mm=0.01)  # type: ignore[arg-type]
    assert raised.value.subjects
    return raised.value


def test_voxels_differ_wherever_boxes_are_cut():
    one = a_mask(GRID, origin=(3, 10, 12), shape=(3, 6, 7))
    assert differing_voxels(one, one) == 0
    assert differing_voxels(one, a_mask(GRID, origin=(3, 10, 13), shape=(3, 6, 7))) == 2 * 3 * 6
    assert differing_voxels(one, a_mask(GRID, origin=(8, 30, 30), shape=(1, 1, 1))) == one.count + 1
    empty = mask_from_voxels(grid=GRID, voxels=np.zeros((1, 1, 1), dtype=np.bool_))
    assert differing_voxels(one, empty) == differing_voxels(empty, one) == one.count
    assert differing_voxels(empty, empty) == 0


def test_a_difference_names_the_finding_and_what_differs():
    shorter = a_mask(GRID, shape=(3, 6, 6))
    other = told(a_finding(), a_finding(mask=shorter))
    assert (other.code, other.subjects) == ("mask-differs", ("f",))
    assert other.message == "f: 18 of its 126 voxels read back otherwise."
    lost = told(a_finding(), a_finding(tracking_uid="2.25.2", mask=shorter))
    assert lost.code == "finding-lost" and "18 of its 126 voxels" in lost.message
    assert told(a_finding(), a_finding(), a_finding(tracking_uid="2.25.3")).code == "finding-made-up"
    assert told(a_finding(), a_finding(source_label="m")).code == "name-differs"
    assert told(a_finding(), a_finding(category=Category.NON_NODULE)).code == "category-differs"
    assert told(a_finding(), a_finding(mask=None, point_mm=at(GRID, 4, 12, 15))).code == "shape-differs"


def test_on_which_side_of_3_mm_a_nodule_is_put_is_measured_again_where_the_format_tells_only_the_kind():
    smaller = a_finding(category=Category.NODULE_LT_3MM)
    compare(expected=[a_finding()], found=[smaller], carries=SEG, grid=GRID, tolerance_mm=0.01)
    exact = LABEL_WRITERS["coco-json"].carries
    assert told(a_finding(), smaller, carries=exact).code == "category-differs"


def test_a_sphere_may_be_off_by_the_tolerance_and_no_more():
    sphere = Sphere(at(GRID, 5, 20, 25), 9.0)
    given = a_finding(mask=None, sphere=sphere, tracking_uid="")
    near = dataclasses.replace(sphere, diameter_mm=9.005)
    far = dataclasses.replace(sphere, diameter_mm=9.02)
    compare(
        expected=[given], found=[dataclasses.replace(given, sphere=near)], carries=TABLE, grid=GRID, tolerance_mm=0.01
    )
    lost = told(given, dataclasses.replace(given, sphere=far), carries=TABLE)
    assert lost.code == "finding-lost" and "0.020 mm off" in lost.message


def test_an_ellipsoid_that_reads_as_voxels_must_be_the_spheres_own():
    sphere = Sphere(at(GRID, 5, 20, 25), 9.0)
    mask = mask_from_sphere(grid=GRID, sphere=sphere)
    assert sphere_voxels_off(sphere, mask, 0.01) == 0
    assert sphere_voxels_off(dataclasses.replace(sphere, diameter_mm=12.0), mask, 0.01) > 0
    assert sphere_voxels_off(dataclasses.replace(sphere, diameter_mm=6.0), mask, 0.01) > 0


def test_of_several_at_one_place_the_one_that_agrees_is_taken():
    first = a_finding(tracking_uid="", source_label="")
    second = dataclasses.replace(first, finding_id="g", category=Category.NON_NODULE)
    exact = LABEL_WRITERS["coco-json"].carries
    compare(expected=[first, second], found=[second, first], carries=exact, grid=GRID, tolerance_mm=0.01)


def test_run_lengths_go_down_the_columns_and_begin_outside():
    assert run_lengths(np.array([[False, True], [True, True]])) == [1, 3]
    assert run_lengths(np.array([[True, False], [False, False]])) == [0, 1, 3]
    assert run_lengths(np.zeros((2, 2), dtype=np.bool_)) == [4]
