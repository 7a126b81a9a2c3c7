"""Voxels to patient millimetres and back, against the standard's own equation and against hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import GeometryError
from imaging.geometry.affine import (
    as_affine,
    contains_index,
    orientation_letters,
    to_index,
    to_patient,
    voxel_to_patient,
)
from imaging.types import Grid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def grid_of(*, orientation: tuple[float, ...] = AXIAL, step: float = 2.5) -> Grid:
    matrix = voxel_to_patient(
        position_mm=(-160.0, -170.0, -300.0), orientation=orientation, pixel_spacing_mm=(0.5, 0.8), slice_step_mm=step
    )
    return Grid((40, 100, 120), as_affine(matrix), "1.2.3")


def test_the_affine_repeats_the_equation_of_the_standard() -> None:
    orientation = (0.6, 0.8, 0.0, -0.8, 0.6, 0.0)
    position = np.array([10.0, -20.0, 30.0])
    matrix = voxel_to_patient(
        position_mm=position.tolist(), orientation=orientation, pixel_spacing_mm=(0.5, 0.8), slice_step_mm=1.25
    )
    row, column = 7, 11
    # PS3.3 C.7.6.2.1-1: P = S + X * column spacing * column index + Y * row spacing * row index.
    expected = position + np.array(orientation[:3]) * 0.8 * column + np.array(orientation[3:]) * 0.5 * row
    assert np.allclose((matrix @ [0, row, column, 1])[:3], expected)
    assert np.allclose((matrix @ [2, row, column, 1])[:3], expected + np.array([0.0, 0.0, 2.5]))


def test_pixel_spacing_is_between_rows_then_between_columns() -> None:
    assert grid_of().spacing_mm == pytest.approx((2.5, 0.5, 0.8))


quaternions = st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: sum(v * v for v in q) > 0.01)


def rotated(quaternion: tuple[float, float, float, float]) -> tuple[float, ...]:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    along_row = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    along_column = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    return (*along_row, *along_column)


@given(
    quaternion=quaternions,
    spacing=st.tuples(st.floats(0.1, 5.0), st.floats(0.1, 5.0)),
    step=st.floats(0.1, 10.0) | st.floats(-10.0, -0.1),
    position=st.tuples(*[st.floats(-1000, 1000) for _ in range(3)]),
    index=st.tuples(*[st.floats(-50, 600) for _ in range(3)]),
)
def test_an_index_comes_back_from_patient_space_unchanged(
    quaternion: tuple[float, float, float, float],
    spacing: tuple[float, float],
    step: float,
    position: tuple[float, float, float],
    index: tuple[float, float, float],
) -> None:
    matrix = voxel_to_patient(
        position_mm=position, orientation=rotated(quaternion), pixel_spacing_mm=spacing, slice_step_mm=step
    )
    grid = Grid((10, 10, 10), as_affine(matrix), "1.2.3")
    assert to_index(grid, to_patient(grid, index)) == pytest.approx(index, abs=1e-6)


@pytest.mark.parametrize(
    ("orientation", "left", "right", "top", "bottom"),
    [
        (AXIAL, "R", "L", "A", "P"),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "L", "R", "P", "A"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "R", "L", "H", "F"),
        ((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "A", "P", "H", "F"),
    ],
    ids=["axial", "axial, turned half around", "coronal", "sagittal"],
)
def test_a_slice_names_the_patient_side_at_each_edge(
    orientation: tuple[float, ...], left: str, right: str, top: str, bottom: str
) -> None:
    letters = orientation_letters(grid_of(orientation=orientation))
    assert (letters.left, letters.right, letters.top, letters.bottom) == (left, right, top, bottom)


def test_an_oblique_edge_gets_both_letters_the_stronger_first() -> None:
    letters = orientation_letters(grid_of(orientation=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0)))
    assert (letters.left, letters.right) == ("RA", "LP")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orientation": (1.0, 0.0, 0.0, 0.1, 1.0, 0.0)}, "not-orthonormal"),
        ({"orientation": (1.0, 0.0, 0.0, 0.0, 0.9, 0.0)}, "not-orthonormal"),
        ({"orientation": (1.0, 0.0, 0.0)}, "not-orthonormal"),
        ({"pixel_spacing_mm": (0.0, 0.7)}, "bad-pixel-spacing"),
        ({"pixel_spacing_mm": (0.7, float("nan"))}, "bad-pixel-spacing"),
        ({"slice_step_mm": 0.0}, "bad-slice-step"),
        ({"slice_step_mm": float("inf")}, "bad-slice-step"),
        ({"position_mm": (0.0, float("nan"), 0.0)}, "bad-position"),
    ],
)
def test_a_frame_that_is_not_rigid_is_refused_and_not_repaired(changes: dict[str, object], code: str) -> None:
    sound: dict[str, object] = {
        "position_mm": (0.0, 0.0, 0.0),
        "orientation": AXIAL,
        "pixel_spacing_mm": (0.7, 0.7),
        "slice_step_mm": 1.0,
    }
    with pytest.raises(GeometryError) as caught:
        voxel_to_patient(**{**sound, **changes})  # type: ignore[arg-type]  # wrong values on purpose
    assert caught.value.code == code


def test_an_index_is_within_the_grid_up_to_half_a_voxel() -> None:
    grid = grid_of()
    assert contains_index(grid, (-0.4, 0.0, 119.4))
    assert not contains_index(grid, (-0.6, 0.0, 0.0))
    assert not contains_index(grid, (0.0, 99.6, 0.0))
