"""Which pixels outlines enclose, how large they are, and how far they lie from a mask's border."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import grid_points_in_poly

from imaging.readers.planar_contours import (
    EDGE_TOLERANCE_VOXELS,
    border_offset,
    cross_each_other,
    even_odd_area,
    fill_even_odd,
)

SIZE = 40


def square(top: float, left: float, side: float) -> NDArray[np.float64]:
    return np.array([[top, left], [top, left + side], [top + side, left + side], [top + side, left]])


def laid(outlines: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    box, (top, left) = fill_even_odd(outlines)
    whole = np.zeros((SIZE, SIZE), dtype=np.bool_)
    whole[top : top + box.shape[0], left : left + box.shape[1]] = box
    return whole


@st.composite
def stars(draw: st.DrawFn) -> NDArray[np.float64]:
    """A polygon around the middle that does not cross itself."""
    count = draw(st.integers(5, 24))
    jitter = draw(st.lists(st.floats(0.0, 0.9), min_size=count, max_size=count))
    radii = draw(st.lists(st.floats(2.0, 15.0), min_size=count, max_size=count))
    angles = (np.arange(count) + np.array(jitter)) * 2 * np.pi / count
    return 20.0 + np.stack([np.array(radii) * np.sin(angles), np.array(radii) * np.cos(angles)], axis=1)


def distance_to_edges(points: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full(len(points), np.inf)
    for first, last in itertools.pairwise([*outline, outline[0]]):
        along = last - first
        share = np.clip((points - first) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
        found = np.minimum(found, np.linalg.norm(points - first - share[:, None] * along, axis=1))
    return found


@settings(max_examples=100, deadline=None)
@given(outline=stars())
def test_a_polygon_is_filled_as_an_independent_library_fills_it(outline: NDArray[np.float64]) -> None:
    ours, theirs = laid([outline]), grid_points_in_poly((SIZE, SIZE), outline)
    apart = np.argwhere(ours != theirs).astype(np.float64)
    # On the edge itself ours includes the pixel, whichever side rounding puts it.
    assert not len(apart) or distance_to_edges(apart, outline).max() <= 2 * EDGE_TOLERANCE_VOXELS


@settings(max_examples=100, deadline=None)
@given(outline=stars())
def test_the_area_of_a_polygon_is_the_shoelace_s(outline: NDArray[np.float64]) -> None:
    y, x = outline[:, 0], outline[:, 1]
    shoelace = abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2.0
    assert even_odd_area([outline]) == pytest.approx(shoelace, abs=1e-6)


def test_pixels_whose_centres_lie_on_the_outline_belong() -> None:
    whole = laid([square(10, 10, 4)])
    assert whole.sum() == 25
    assert whole[10:15, 10:15].all()
    slanted = np.array([[5.0, 5.0], [10.0, 10.0], [5.0, 15.0]])
    assert laid([slanted])[[5, 7, 10, 7], [10, 7, 10, 13]].all()


def test_an_outline_within_another_is_a_hole_and_one_within_the_hole_is_not() -> None:
    outlines = [square(1.5, 1.5, 12), square(4.5, 4.5, 6), square(6.5, 6.5, 2)]
    whole = laid(outlines)
    assert whole.sum() == 12 * 12 - 6 * 6 + 2 * 2
    assert whole[7, 7]
    assert not whole[5, 5]
    assert even_odd_area(outlines) == pytest.approx(12 * 12 - 6 * 6 + 2 * 2)


def test_a_keyhole_leaves_its_hole_open_and_its_channel_without_width() -> None:
    outer, inner = square(1.5, 1.5, 12), square(4.5, 4.5, 6)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner[-1:], inner[:-1], inner[-1:], outer[:1]])
    assert np.array_equal(laid([keyhole]), laid([square(1.5, 1.5, 12), square(4.5, 4.5, 6)]))
    assert even_odd_area([keyhole]) == pytest.approx(12 * 12 - 6 * 6)


def test_outlines_that_cross_are_told_from_nested_and_separate_ones() -> None:
    assert cross_each_other([square(2, 2, 6), square(5, 5, 6)])
    assert not cross_each_other([square(2, 2, 10), square(4, 4, 3)])
    assert not cross_each_other([square(2, 2, 4), square(20, 20, 4)])


def test_fewer_than_three_vertices_enclose_nothing() -> None:
    assert fill_even_odd([square(1, 1, 4)[:2]])[0].size == 0
    assert even_odd_area([square(1, 1, 4)[:2]]) == 0.0


def test_the_offset_is_that_of_the_farthest_vertex_from_the_nearest_border() -> None:
    region = np.ones((4, 4), dtype=np.bool_)
    on_border = square(9.5, 9.5, 4)
    assert border_offset(region=region, corner=(10, 10), vertices=on_border, spacing_mm=(0.5, 0.7)) == (0.0, 0.0)
    moved = np.vstack([on_border, [[9.5, 15.5]], [[11.5, 11.5]]])
    voxels, mm = border_offset(region=region, corner=(10, 10), vertices=moved, spacing_mm=(0.5, 0.7))
    assert (voxels, mm) == (pytest.approx(2.0), pytest.approx(1.4))
    cube = np.ones((2, 2, 2), dtype=np.bool_)
    centre = np.array([[0.5, 0.5, 0.5]])
    assert border_offset(region=cube, corner=(0, 0, 0), vertices=centre, spacing_mm=(2.0, 1.0, 1.0)) == (1.0, 1.0)


def test_an_empty_region_has_no_border() -> None:
    with pytest.raises(ValueError, match="no border"):
        border_offset(
            region=np.zeros((2, 2), dtype=np.bool_), corner=(0, 0), vertices=np.zeros((1, 2)), spacing_mm=(1.0, 1.0)
        )
