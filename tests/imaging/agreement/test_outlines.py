"""Overlap, surface distance and fusion of outlines, against sizes known in millimetres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.agreement.fusion import majority, staple
from imaging.agreement.overlap import align, containment, crop, dice, jaccard
from imaging.agreement.surface import surface_distances
from imaging.errors import GeometryError, NotApplicable
from imaging.masks.build import mask_from_voxels
from imaging.types import Index, Mask
from tests.factories.cases import ball, chest_grid

CENTRE = (0.75, 0.75, 1.0)
"""A voxel centre, so that balls are symmetrical."""


def box(origin: Index, shape: Index) -> Mask:
    return mask_from_voxels(grid=chest_grid(), voxels=np.ones(shape, dtype=bool), origin=origin)


EMPTY = mask_from_voxels(grid=chest_grid(), voxels=np.zeros((1, 1, 1), dtype=bool))


def test_overlap_of_two_boxes_by_hand() -> None:
    first, second = box((10, 10, 10), (2, 4, 4)), box((11, 10, 10), (2, 4, 4))
    assert dice(first, second) == 0.5
    assert jaccard(first, second) == pytest.approx(1 / 3)
    assert containment(first=first, second=second) == 0.5


def test_one_outline_inside_another_is_contained_whatever_its_size() -> None:
    assert (
        containment(first=ball(centre_mm=CENTRE, diameter_mm=6.0), second=ball(centre_mm=CENTRE, diameter_mm=20.0)) == 1
    )
    with pytest.raises(NotApplicable):
        containment(first=EMPTY, second=box((1, 1, 1), (1, 1, 1)))


def test_align_pastes_every_mask_at_its_place() -> None:
    aligned = align(masks=(box((1, 2, 3), (1, 1, 1)), box((4, 5, 6), (1, 1, 1)), EMPTY), margin_voxels=1)
    assert aligned.origin == (0, 1, 2)
    assert aligned.voxels.shape == (3, 6, 6, 6)
    assert np.argwhere(aligned.voxels).tolist() == [[0, 1, 1, 1], [1, 4, 4, 4]]


def test_align_refuses_two_grids_and_nothing_at_all() -> None:
    elsewhere = replace(chest_grid(), frame_of_reference_uid="2.25.999")
    foreign = mask_from_voxels(grid=elsewhere, voxels=np.ones((1, 1, 1), dtype=bool))
    with pytest.raises(GeometryError):
        align(masks=(foreign, box((1, 1, 1), (1, 1, 1))), margin_voxels=0)
    with pytest.raises(NotApplicable):
        align(masks=(EMPTY,), margin_voxels=0)


def test_crop_cuts_what_reaches_over_the_edge_of_the_image() -> None:
    mask = crop(grid=chest_grid(), origin=(-1, -2, 62), voxels=np.ones((3, 3, 4), dtype=bool))
    assert (mask.origin, mask.voxels.shape) == ((0, 0, 62), (2, 1, 2))
    assert crop(grid=chest_grid(), origin=(-9, 0, 0), voxels=np.ones((3, 3, 3), dtype=bool)).count == 0


def test_surface_distances_are_in_millimetres_along_each_axis() -> None:
    base = box((10, 20, 20), (6, 8, 8))
    # Three slices of 2 mm against three rows of 1.5 mm.
    along_slices = surface_distances(first=base, second=box((13, 20, 20), (6, 8, 8)))
    along_rows = surface_distances(first=base, second=box((10, 23, 20), (6, 8, 8)))
    assert along_slices.hausdorff_mm == pytest.approx(6.0)
    assert along_rows.hausdorff_mm == pytest.approx(4.5)


def test_the_sign_tells_too_wide_from_too_tight_and_swapping_turns_it() -> None:
    wide, tight = ball(centre_mm=CENTRE, diameter_mm=18.0), ball(centre_mm=CENTRE, diameter_mm=10.0)
    outward = surface_distances(first=wide, second=tight)
    inward = surface_distances(first=tight, second=wide)
    assert outward.bias_mm == pytest.approx(4.0, abs=0.5)
    assert inward.bias_mm == pytest.approx(-outward.bias_mm)
    assert outward.mean_mm == pytest.approx(inward.mean_mm)
    assert outward.hd95_mm == pytest.approx(inward.hd95_mm)


def test_a_shift_has_a_distance_but_hardly_a_bias() -> None:
    moved = surface_distances(
        first=ball(centre_mm=CENTRE, diameter_mm=12.0),
        second=ball(centre_mm=(CENTRE[0] + 6.0, CENTRE[1], CENTRE[2]), diameter_mm=12.0),
    )
    assert abs(moved.bias_mm) < 0.1
    assert moved.mean_mm > 2.0
    assert moved.hausdorff_mm == pytest.approx(6.0, abs=0.1)


def test_an_outline_is_no_distance_from_itself() -> None:
    mask = ball(centre_mm=CENTRE, diameter_mm=12.0)
    same = surface_distances(first=mask, second=mask)
    assert (same.mean_mm, same.bias_mm, same.hd95_mm) == (0.0, 0.0, 0.0)


def test_the_distance_to_an_empty_outline_is_refused_not_invented() -> None:
    mask = ball(centre_mm=CENTRE, diameter_mm=12.0)
    for first, second in ((mask, EMPTY), (EMPTY, mask)):
        with pytest.raises(NotApplicable):
            surface_distances(first=first, second=second)


def test_a_majority_is_more_than_half() -> None:
    common = box((10, 10, 10), (2, 2, 2))
    wide = box((10, 10, 10), (2, 2, 4))
    assert majority(masks=(common, common, wide)).count == common.count
    assert majority(masks=(common, wide)).count == common.count
    assert majority(masks=(wide,)).count == wide.count
    assert majority(masks=(box((1, 1, 1), (1, 1, 1)), box((5, 5, 5), (1, 1, 1)))).count == 0


def test_staple_trusts_the_readers_who_agree() -> None:
    good = ball(centre_mm=CENTRE, diameter_mm=14.0)
    poor = ball(centre_mm=(CENTRE[0] + 6.0, CENTRE[1], CENTRE[2]), diameter_mm=8.0)
    result = staple(masks=(good, good, good, poor), margin_voxels=4, maximum_iterations=100)
    assert dice(result.mask, good) > 0.98
    assert result.sensitivities[3] < min(result.sensitivities[:3])
    again = staple(masks=(good, good, good, poor), margin_voxels=4, maximum_iterations=100)
    assert np.array_equal(result.probability, again.probability)


def test_staple_needs_two_outlines_and_some_background() -> None:
    one = box((10, 10, 10), (2, 2, 2))
    with pytest.raises(NotApplicable, match="got 1"):
        staple(masks=(one, EMPTY), margin_voxels=2, maximum_iterations=50)
    with pytest.raises(NotApplicable, match="margin"):
        staple(masks=(one, one), margin_voxels=0, maximum_iterations=50)
