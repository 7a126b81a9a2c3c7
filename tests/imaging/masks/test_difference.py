"""What changed from one outline to another, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.errors import GeometryError
from imaging.masks.build import mask_from_voxels
from imaging.masks.difference import difference
from imaging.types import Grid, Mask
from tests.factories.cases import chest_grid


def mask(*filled: tuple[slice, slice, slice]) -> Mask:
    grid = chest_grid()
    voxels = np.zeros(grid.shape, dtype=bool)
    for one in filled:
        voxels[one] = True
    return mask_from_voxels(grid=grid, voxels=voxels)


def test_voxels_volumes_dice_and_the_slice_of_most_change_are_those_counted_by_hand():
    before = mask(np.s_[4:6, 10:12, 10:14])  # 2 x 2 x 4 = 16
    after = mask(np.s_[5:6, 10:12, 12:16], np.s_[7:8, 20:23, 10:13])  # 8, and 9 elsewhere
    found = difference(grid=chest_grid(), before=before, after=after)
    assert (found.kept, found.added, found.removed) == (4, 4 + 9, 12)
    assert found.voxel_mm3 == pytest.approx(2.0 * 1.5 * 1.5)
    assert (found.before_mm3, found.after_mm3) == (pytest.approx(16 * 4.5), pytest.approx(17 * 4.5))
    assert (found.added_mm3, found.removed_mm3) == (pytest.approx(13 * 4.5), pytest.approx(12 * 4.5))
    assert found.dice == pytest.approx(2 * 4 / 33)
    # Slice 4 lost 8, slice 5 changed 8, slice 7 gained 9.
    assert found.slice_index == 7
    x, y, z = (chest_grid().matrix @ [7, 21, 11, 1])[:3]
    assert found.centre_mm == pytest.approx((x, y, z))


def test_an_outline_that_appears_vanishes_or_stays_is_told_as_such():
    one, grid = mask(np.s_[4:6, 10:12, 10:14]), chest_grid()
    new, gone = difference(grid=grid, before=None, after=one), difference(grid=grid, before=one, after=None)
    assert (new.added, new.removed, new.dice) == (16, 0, 0.0) and (gone.added, gone.removed) == (0, 16)
    same = difference(grid=grid, before=one, after=one)
    assert (same.kept, same.added, same.removed, same.dice, same.slice_index) == (16, 0, 0, 1.0, 4)
    nothing = difference(grid=grid, before=None, after=mask())
    assert (nothing.dice, nothing.slice_index, nothing.centre_mm) == (None, None, None)


def test_outlines_on_other_grids_are_not_compared():
    grid = chest_grid()
    other = Grid(shape=grid.shape, affine=grid.affine, frame_of_reference_uid="2.25.999")
    with pytest.raises(GeometryError, match="different grids"):
        difference(grid=other, before=mask(np.s_[4:6, 10:12, 10:14]), after=None)
