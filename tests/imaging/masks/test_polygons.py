"""Which voxels an outline encloses, against an independent rasteriser and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.draw import polygon

from imaging.masks.polygons import place_in_slice, polygon_interior, polygon_outline

SHAPE = (40, 40)


def interior(vertices: list[tuple[int, int]]) -> NDArray[np.bool_]:
    box, corner = polygon_interior(vertices=vertices)
    whole = np.zeros(SHAPE, dtype=np.bool_)
    whole[corner[0] : corner[0] + box.shape[0], corner[1] : corner[1] + box.shape[1]] = box
    return whole


def test_a_diamond_around_one_pixel_encloses_that_pixel_alone() -> None:
    assert np.argwhere(interior([(4, 5), (5, 4), (6, 5), (5, 6)])).tolist() == [[5, 5]]


def test_pixels_on_an_edge_between_two_distant_vertices_do_not_belong() -> None:
    square = interior([(2, 2), (2, 8), (8, 8), (8, 2)])
    assert np.argwhere(square).min() == 3
    assert square.sum() == 25


@pytest.mark.parametrize(
    "vertices", [[], [(3, 3)], [(3, 3), (3, 9)], [(3, 3), (3, 4), (4, 4)]], ids=["none", "point", "line", "corner"]
)
def test_what_encloses_nothing_gives_nothing(vertices: list[tuple[int, int]]) -> None:
    assert polygon_interior(vertices=vertices)[0].sum() == 0


def test_an_outline_that_is_traced_twice_keeps_its_interior() -> None:
    once = [(2, 2), (2, 8), (8, 8), (8, 2)]
    assert np.array_equal(interior(once + once), interior(once))


def test_a_spur_that_goes_out_and_back_encloses_nothing() -> None:
    body = [(2, 2), (2, 8), (8, 8), (8, 2)]
    assert np.array_equal(interior([(2, 2), (2, 8), (2, 15), (2, 8), (8, 8), (8, 2)]), interior(body))


@settings(max_examples=60)
@given(
    centre=st.tuples(st.integers(15, 24), st.integers(15, 24)),
    radii=st.lists(st.integers(2, 14), min_size=5, max_size=12),
)
def test_star_shaped_outlines_agree_with_an_independent_rasteriser(centre: tuple[int, int], radii: list[int]) -> None:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    rows = np.rint(centre[0] + np.array(radii) * np.sin(angles)).astype(int)
    columns = np.rint(centre[1] + np.array(radii) * np.cos(angles)).astype(int)
    expected = np.zeros(SHAPE, dtype=np.bool_)
    expected[polygon(rows, columns, SHAPE)] = True
    near_edge = np.zeros(SHAPE, dtype=np.bool_)
    for start, end in zip(range(len(rows)), np.roll(range(len(rows)), -1), strict=True):
        # Every lattice point of an edge is a whole multiple of its reduced step away from the start.
        run, rise = rows[end] - rows[start], columns[end] - columns[start]
        parts = max(1, int(np.gcd(run, rise)))
        for part in range(parts + 1):
            near_edge[rows[start] + part * run // parts, columns[start] + part * rise // parts] = True
    ours = interior(list(zip(rows.tolist(), columns.tolist(), strict=True)))
    # The rules differ for pixels on the edge alone.
    assert not (ours & ~expected).any()
    assert not ((expected & ~ours) & ~near_edge).any()


@given(vertices=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_no_pixel_is_both_inside_and_on_the_outline(vertices: list[tuple[int, int]]) -> None:
    inside, outline = polygon_interior(vertices=vertices)[0], polygon_outline(vertices=vertices)[0]
    assert not (inside & outline).any()
    corner = polygon_outline(vertices=vertices)[1]
    assert all(outline[row - corner[0], column - corner[1]] for row, column in vertices)


def test_a_box_that_sticks_out_of_the_image_is_cut_to_it() -> None:
    box = np.arange(16).reshape(4, 4) % 2 == 0
    cut, origin = place_in_slice(box=box, corner=(-1, 8), slice_index=3, shape=(10, 10))
    assert origin == (3, 0, 8)
    assert np.array_equal(cut, box[1:, :2])
