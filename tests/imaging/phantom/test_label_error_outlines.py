"""What goes wrong with one outline goes wrong by as many millimetres as stated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imaging.masks.build import full_voxels, mask_from_sphere
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import centre_of
from imaging.phantom.label_errors_outlines import (
    dilated,
    eroded,
    joined,
    moved,
    run_on,
    touch,
    without_inner_slices,
    without_pole,
)
from imaging.types import Category, Finding, Grid, Mask, Sphere

SPACING = (1.25, 0.8, 0.8)
GRID = Grid(
    (48, 70, 70), ((0.0, 0.0, 0.8, 0.0), (0.0, 0.8, 0.0, 0.0), (1.25, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), "frame"
)
EVERYWHERE = np.ones(GRID.shape, dtype=np.bool_)
MIDDLE = (28.0, 28.0, 30.0)
VOXEL_MM = max(SPACING)


def ball(diameter_mm: float) -> Mask:
    return mask_from_sphere(grid=GRID, sphere=Sphere(MIDDLE, diameter_mm))


def depth_mm(mask: Mask) -> np.ndarray:
    """How deep each voxel lies below the surface, measured to the nearest voxel outside."""
    return np.asarray(ndimage.distance_transform_edt(full_voxels(mask), sampling=SPACING))


def ball_diameter_mm(mask: Mask) -> float:
    return float((6.0 * mask.count * np.prod(SPACING) / np.pi) ** (1.0 / 3.0))


@settings(max_examples=20, deadline=None)
@given(diameter=st.floats(8.0, 16.0), distance=st.floats(0.8, 3.0))
def test_erosion_takes_the_stated_distance_off_all_round(diameter: float, distance: float) -> None:
    before = ball(diameter)
    after = eroded(mask=before, distance_mm=distance)
    assert after is not None
    assert shared_voxels(before, after) == after.count < before.count
    assert ball_diameter_mm(before) - ball_diameter_mm(after) == pytest.approx(2.0 * distance, abs=VOXEL_MM)
    assert depth_mm(before)[full_voxels(after)].min() > distance


@settings(max_examples=20, deadline=None)
@given(diameter=st.floats(4.0, 14.0), distance=st.floats(0.9, 3.0))
def test_dilation_puts_the_stated_distance_on_all_round(diameter: float, distance: float) -> None:
    before = ball(diameter)
    after = dilated(mask=before, distance_mm=distance, within=EVERYWHERE)
    assert after is not None
    assert shared_voxels(before, after) == before.count < after.count
    assert ball_diameter_mm(after) - ball_diameter_mm(before) == pytest.approx(2.0 * distance, abs=VOXEL_MM)


def test_dilation_stays_in_the_lung() -> None:
    half = EVERYWHERE.copy()
    half[:, 35:] = False
    before = ball(8.0)
    after = dilated(mask=before, distance_mm=3.0, within=half)
    assert after is not None
    assert not np.any(full_voxels(after) & ~half & ~full_voxels(before))


def test_an_outline_too_small_to_be_eroded_is_left_for_another_error() -> None:
    assert eroded(mask=ball(4.0), distance_mm=3.0) is None


@settings(max_examples=20, deadline=None)
@given(
    length=st.floats(2.0, 7.0),
    turn=st.floats(0.0, 6.28),
    lift=st.floats(-0.3, 0.3),
)
def test_a_moved_outline_lies_as_far_away_as_stated(length: float, turn: float, lift: float) -> None:
    before = ball(9.0)
    way = np.array([lift, np.sin(turn), np.cos(turn)])
    way *= length / np.linalg.norm(way)
    after = moved(mask=before, vector_mm=(float(way[0]), float(way[1]), float(way[2])))
    assert after is not None
    gone = np.linalg.norm(np.subtract(centre(after), centre(before)))
    assert gone == pytest.approx(length, abs=0.5)
    assert after.count == pytest.approx(before.count, rel=0.15)


def test_an_outline_is_not_moved_out_of_the_image() -> None:
    assert moved(mask=ball(9.0), vector_mm=(0.0, 0.0, 60.0)) is None


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("length", [2.0, 4.0, 7.0])
def test_a_missing_pole_is_whole_slices_of_at_least_the_stated_length(length: float, lower: bool) -> None:
    before = ball(14.0)
    done = without_pole(mask=before, length_mm=length, lower=lower)
    assert done is not None
    after, cut = done
    assert length <= cut < length + SPACING[0]
    was, left = slices(before), slices(after)
    gone = sorted(set(was) - set(left))
    assert len(gone) * SPACING[0] == pytest.approx(cut)
    assert gone == (was[: len(gone)] if lower else was[-len(gone) :])
    assert np.array_equal(full_voxels(after)[left], full_voxels(before)[left])


@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("length", [1.0, 2.5, 5.0])
def test_a_gap_lies_between_outlined_slices(length: float, where: float) -> None:
    before = ball(14.0)
    done = without_inner_slices(mask=before, length_mm=length, where=where)
    assert done is not None
    after, gap = done
    assert length <= gap < length + SPACING[0]
    left = slices(after)
    gone = sorted(set(slices(before)) - set(left))
    assert len(gone) * SPACING[0] == pytest.approx(gap)
    assert left[0] < gone[0] and gone[-1] < left[-1]
    assert gone == list(range(gone[0], gone[-1] + 1))


def test_an_outline_on_too_few_slices_loses_none() -> None:
    flat = ball(3.0)
    assert without_pole(mask=flat, length_mm=4.0, lower=True) is None
    assert without_inner_slices(mask=flat, length_mm=5.0, where=0.5) is None


@settings(max_examples=15, deadline=None)
@given(reach=st.floats(3.0, 8.0), turn=st.floats(0.0, 6.28))
def test_an_outline_runs_on_as_far_as_stated_and_keeps_what_it_had(reach: float, turn: float) -> None:
    before = ball(8.0)
    done = run_on(
        mask=before, reach_mm=reach, towards=(0.0, float(np.sin(turn)), float(np.cos(turn))), within=EVERYWHERE
    )
    assert done is not None
    after, beyond = done
    assert beyond == pytest.approx(reach, abs=1.2)
    assert shared_voxels(before, after) == before.count < after.count
    assert ndimage.label(after.voxels)[1] == 1


def test_an_outline_does_not_run_on_through_the_wall_of_the_lung() -> None:
    wall = EVERYWHERE.copy()
    wall[:, :, 40:] = False
    done = run_on(mask=ball(8.0), reach_mm=8.0, towards=(0.0, 0.0, 1.0), within=wall)
    assert done is None or done[1] < 4.0


def test_two_outlines_joined_hold_both_in_one_piece() -> None:
    one = ball(8.0)
    other = mask_from_sphere(grid=GRID, sphere=Sphere((MIDDLE[0] + 7.0, MIDDLE[1], MIDDLE[2]), 6.0))
    both = joined(first=one, second=other)
    assert shared_voxels(both, one) == one.count and shared_voxels(both, other) == other.count
    assert ndimage.label(both.voxels)[1] == 1


def test_outlines_touch_from_neighbouring_voxels_on() -> None:
    one = ball(8.0)
    near = mask_from_sphere(grid=GRID, sphere=Sphere((MIDDLE[0] + 7.2, MIDDLE[1], MIDDLE[2]), 6.0))
    far = mask_from_sphere(grid=GRID, sphere=Sphere((MIDDLE[0] + 11.0, MIDDLE[1], MIDDLE[2]), 6.0))
    assert touch(first=one, second=near) and touch(first=near, second=one)
    assert not touch(first=one, second=far)


def centre(mask: Mask) -> tuple[float, float, float]:
    return centre_of(Finding("any", Category.NODULE_GE_3MM, mask=mask))


def slices(mask: Mask) -> list[int]:
    return [int(number) for number in np.flatnonzero(full_voxels(mask).any(axis=(1, 2)))]
