"""A mask's hash is the mask's: the same region has the same bytes however its box was cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from imaging.errors import GeometryError, UnreadableFile
from imaging.masks.build import full_voxels, mask_from_voxels
from imaging.masks.canonical import mask_bytes, mask_digest, read_mask
from imaging.types import Mask
from tests.imaging.masks.shapes import a_grid, a_mask

GRID = a_grid(shape=(5, 7, 9))
regions = hnp.arrays(np.bool_, GRID.shape, elements=st.booleans())


@given(region=regions)
def test_a_mask_comes_back_from_its_bytes_voxel_by_voxel(region: NDArray[np.bool_]) -> None:
    mask = mask_from_voxels(grid=GRID, voxels=region)
    again = read_mask(mask_bytes(mask), GRID)
    assert np.array_equal(full_voxels(again), region)
    assert (again.origin, again.voxels.shape) == (mask.origin, mask.voxels.shape)


@given(region=regions, low=st.tuples(*[st.integers(0, 4)] * 3), data=st.data())
def test_the_hash_does_not_depend_on_how_the_box_was_cut(
    region: NDArray[np.bool_], low: tuple[int, int, int], data: st.DataObject
) -> None:
    tight = mask_from_voxels(grid=GRID, voxels=region)
    cuts = [
        (
            data.draw(st.integers(0, start if size else limit)),
            data.draw(st.integers(start + size, limit)) if size else limit,
        )
        for start, size, limit in zip(tight.origin, tight.voxels.shape, GRID.shape, strict=True)
    ]
    box = region[tuple(slice(first, last) for first, last in cuts)]
    loose = Mask(grid=GRID, origin=(cuts[0][0], cuts[1][0], cuts[2][0]), voxels=box)
    assert mask_digest(loose) == mask_digest(tight)


@given(first=regions, second=regions)
def test_different_regions_have_different_bytes(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
    same = bool(np.array_equal(first, second))
    bytes_of = [mask_bytes(mask_from_voxels(grid=GRID, voxels=region)) for region in (first, second)]
    assert (bytes_of[0] == bytes_of[1]) is same


def test_the_same_voxels_on_another_grid_are_another_mask() -> None:
    moved = dataclasses.replace(GRID, frame_of_reference_uid="1.2.4")
    here, there = a_mask(GRID, (1, 2, 3)), a_mask(moved, (1, 2, 3))
    assert mask_digest(here) != mask_digest(there)
    with pytest.raises(GeometryError, match="another grid") as caught:
        read_mask(mask_bytes(there), GRID)
    assert caught.value.code == "another-grid"


def test_the_bytes_are_those_of_the_written_layout() -> None:
    mask = a_mask(GRID, (1, 2, 3), (1, 2, 5), (2, 2, 3))
    head = b"LQAMASK1" + bytes.fromhex(GRID.digest)
    box = b"".join(number.to_bytes(4, "little") for number in (1, 2, 3, 2, 1, 3))
    # Slice 1: columns 3..5 are 1 0 1; slice 2: 1 0 0; six bits, then two zeros.
    assert mask_bytes(mask) == head + box + bytes([0b10110000])


def test_an_empty_mask_has_one_form() -> None:
    empty = mask_from_voxels(grid=GRID, voxels=np.zeros((2, 2, 2), dtype=np.bool_), origin=(3, 3, 3))
    assert mask_bytes(empty) == mask_bytes(a_mask(GRID))
    assert read_mask(mask_bytes(empty), GRID).count == 0


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda data: b"", "not-a-mask"),
        (lambda data: b"X" + data[1:], "not-a-mask"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: data + b"\x00", "truncated"),
        (lambda data: data[:-1] + bytes([data[-1] & 0b01111111]), "not-canonical"),
        (lambda data: data[:-1] + bytes([data[-1] | 1]), "not-canonical"),
        (lambda data: data[:40] + (200).to_bytes(4, "little") + data[44:], "not-canonical"),
    ],
    ids=["empty", "another mark", "cut short", "too long", "box not tight", "bits behind the end", "beyond the grid"],
)
def test_bytes_that_no_mask_writes_are_refused_by_name(damage: object, code: str) -> None:
    assert callable(damage)
    with pytest.raises(UnreadableFile) as caught:
        read_mask(damage(mask_bytes(a_mask(GRID, (1, 2, 3), (1, 2, 5), (2, 2, 4)))), GRID)
    assert caught.value.code == code


def test_a_mask_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="read-only"):
        a_mask(GRID, (1, 2, 3)).voxels[0, 0, 0] = False


def test_a_region_that_leaves_the_grid_is_refused() -> None:
    with pytest.raises(GeometryError) as caught:
        mask_from_voxels(grid=GRID, voxels=np.ones((2, 2, 2), dtype=np.bool_), origin=(4, 0, 0))
    assert caught.value.code == "label-outside-image"
