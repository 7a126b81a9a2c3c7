"""A crop lies where its view says, and what is seen in it lies there again on the scan's own voxels."""

import numpy as np
import pytest

from imaging.inference.crops import View, cut, put_back
from imaging.inference.place_settings import PLACE_SIZE

SHAPE = (40, 90, 100)
SPACING = (2.0, 0.8, 0.7)
MIDDLE = 0.5 * (PLACE_SIZE - 1)


def ramp() -> np.ndarray:
    """Millimetres along a slanted line: linear, so that interpolation makes no error."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (3.0 * z * SPACING[0] + 2.0 * y * SPACING[1] - x * SPACING[2]).astype(np.float32)


@pytest.mark.parametrize("voxel_mm", [0.6, 0.7, 1.4])
def test_a_crop_voxel_holds_what_lies_at_its_millimetres_from_the_place(voxel_mm: float) -> None:
    view = View((20.3, 45.2, 50.4), SPACING, voxel_mm)
    crop = cut(values=ramp(), first=(0, 0, 0), view=view)
    assert crop.shape == (PLACE_SIZE,) * 3
    at_place = 3.0 * 20.3 * SPACING[0] + 2.0 * 45.2 * SPACING[1] - 50.4 * SPACING[2]
    away = (np.arange(PLACE_SIZE) - MIDDLE) * voxel_mm
    expected = at_place + 3.0 * away[:, None, None] + 2.0 * away[None, :, None] - away[None, None, :]
    # Where the crop is inside the scan: the ramp ends where the scan does. A kernel that is wider than a voxel holds
    # more of them on one side than on the other, which moves it by a few hundredths of a millimetre.
    inner, allowed = slice(12, 36), 0.02 if voxel_mm < 0.8 else 0.15
    np.testing.assert_allclose(crop[inner, inner, inner], expected[inner, inner, inner], atol=allowed)


def test_the_box_that_a_view_names_is_all_that_its_crop_rests_on() -> None:
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    for voxel_mm, centre in ((0.7, (20.0, 45.0, 50.0)), (1.4, (1.0, 3.0, 97.0)), (0.7, (39.4, 0.0, 99.0))):
        view = View(centre, SPACING, voxel_mm)
        box = view.box(SHAPE)
        part = cut(values=values[box], first=[span.start for span in box], view=view)
        assert np.array_equal(part, cut(values=values, first=(0, 0, 0), view=view))


def test_outside_the_scan_its_outermost_voxels_go_on() -> None:
    values = np.broadcast_to(np.arange(SHAPE[0], dtype=np.float32)[:, None, None], SHAPE)
    crop = cut(values=values, first=(0, 0, 0), view=View((39.0, 45.0, 50.0), SPACING, 0.7))
    np.testing.assert_allclose(crop[-10:], SHAPE[0] - 1.0)


def test_noise_is_averaged_where_the_crop_is_coarser_than_the_scan() -> None:
    values = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    fine, coarse = (
        cut(values=values, first=(0, 0, 0), view=View((20.0, 45.0, 50.0), SPACING, size))[16:32, 16:32, 16:32].std()
        for size in (0.7, 1.4)
    )
    assert coarse < 0.75 * fine


def test_what_was_cut_lies_where_it_was_when_put_back() -> None:
    view = View((20.3, 45.2, 50.4), SPACING, 0.7)
    values = ramp()
    origin, box = put_back(crop=cut(values=values, first=(0, 0, 0), view=view), view=view, shape=SHAPE)
    there = tuple(slice(start, start + size) for start, size in zip(origin, box.shape, strict=True))
    # 48 voxels of 0.7 mm reach 16.45 mm to each side of the place.
    assert box.shape == (16, 41, 47)
    np.testing.assert_allclose(box, values[there], atol=0.01)


def test_what_is_put_back_ends_where_the_scan_ends() -> None:
    view = View((0.0, 89.0, 50.0), SPACING, 0.7)
    origin, box = put_back(crop=np.ones((PLACE_SIZE,) * 3, dtype=np.float32), view=view, shape=SHAPE)
    assert origin[0] == 0
    assert (box.shape[0], origin[1] + box.shape[1]) == (9, SHAPE[1])
    np.testing.assert_allclose(box, 1.0, rtol=1e-6)
