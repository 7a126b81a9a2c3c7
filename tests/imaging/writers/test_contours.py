"""Outlines along pixel edges, and structure sets made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from imaging.masks.build import mask_from_voxels
from imaging.masks.polygons import polygon_interior
from imaging.readers.limits import CT_READ_LIMITS
from imaging.types import AnnotationSet, Category, Finding, SetKind
from imaging.writers.contours import has_hole, outlines_of
from imaging.writers.registry import LABEL_WRITERS
from imaging.writers.release import RELEASE_TOLERANCE, release
from tests.imaging.writers.made import CONTEXT, a_grid, labelled

PLANES = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(lambda shape: arrays(np.bool_, shape))


@given(plane=PLANES)
def test_pixels_within_an_odd_number_of_outlines_are_the_region(plane: NDArray[np.bool_]):
    crossings = np.zeros(plane.shape, dtype=np.int64)
    for outline in outlines_of(plane):
        box, (top, left) = polygon_interior(vertices=outline)
        for row, column in np.argwhere(box):
            crossings[row + top, column + left] += 1
    assert np.array_equal(crossings % 2 == 1, plane)


@given(plane=PLANES)
def test_outlines_turn_at_every_vertex_and_lie_on_pixel_edges(plane: NDArray[np.bool_]):
    for outline in outlines_of(plane):
        points = np.array(outline)
        assert np.all(points % 1 == 0.5)
        steps = np.roll(points, -1, axis=0) - points
        assert np.all((steps == 0).sum(axis=1) == 1)
        assert np.all((steps != 0).argmax(axis=1) != np.roll((steps != 0).argmax(axis=1), 1))


@given(plane=PLANES)
def test_a_hole_is_what_is_enclosed_by_pixels_that_share_edges(plane: NDArray[np.bool_]):
    filled = binary_fill_holes(plane, structure=np.ones((3, 3)))
    assert has_hole(plane) == bool((filled != plane).any())


def test_a_rectangle_has_four_corners():
    assert outlines_of(np.ones((2, 3), dtype=np.bool_)) == (((-0.5, -0.5), (-0.5, 2.5), (1.5, 2.5), (1.5, -0.5)),)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_contour_of_more_numbers_than_explicit_vr_can_count_is_written_whole():
    grid = a_grid(shape=(2, 120, 130))
    comb = np.zeros((1, 119, 129), dtype=np.bool_)
    comb[:, ::2] = comb[:, :, ::4] = True
    comb[:, 1::2, 2::4] = True
    comb[:, 60:] = np.indices((59, 129)).sum(axis=0) % 3 != 0
    finding = Finding("x", Category.STRUCTURE, mask=mask_from_voxels(grid=grid, voxels=comb), source_label="comb")
    longest = max(len(outline) for outline in outlines_of(comb[0]))
    assert longest * 3 * 10 > 65534
    series = labelled(grid, (AnnotationSet("s", "reader 00000000", SetKind.READER, True, (finding,)),))
    writer = LABEL_WRITERS["dicom-rtstruct"]
    made = release(writer=writer, labelled=series, context=CONTEXT, limits=CT_READ_LIMITS, tolerance=RELEASE_TOLERANCE)
    assert len(made.files) == 1
