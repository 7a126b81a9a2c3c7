"""Pictures of places: left is left, outlines lie on their voxels, and the file is what it says."""

from __future__ import annotations

import struct
import zlib
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.geometry.affine import to_index, to_patient
from imaging.pictures.crop import (
    CORRECTED,
    GREYS,
    LABEL,
    LUNG_WINDOW_HU,
    RING,
    Drawable,
    Frame,
    crop_around,
    slice_nearest,
)
from imaging.pictures.png import indexed_png
from imaging.types import Box, Grid, Mask, Sphere

SIDE_PIXELS, WIDTH_MM = 192, 64.0
SIZE = 80
SPACING_MM = 0.8
PLACE = (3.0, -2.0, 10.0)
# Every way of storing an axial slice: which way rows and columns run, and from which side.
AXIAL = [
    tuple(sign * np.eye(3)[axis] for axis, sign in zip(axes, signs, strict=True))
    for axes, signs in product(permutations((0, 1)), product((1, -1), repeat=2))
]


def decode(png: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the indices (rows, columns) and the palette of an indexed PNG, checking every chunk's checksum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        place += 12 + length
    columns, rows, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(rows, columns + 1)
    return lines[:, 1:], np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(-1, 3)


def grid(down: NDArray[np.float64], right: NDArray[np.float64], through: NDArray[np.float64]) -> Grid:
    """A grid centred near PLACE; ``down`` and ``right`` are the directions in which rows and columns are stored."""
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = through * 2.5, down * SPACING_MM, right * SPACING_MM
    matrix[:3, 3] = np.array(PLACE) - matrix[:3, :3] @ np.array([4, SIZE / 2, SIZE / 2])
    return Grid(
        shape=(9, SIZE, SIZE), affine=tuple(tuple(row) for row in matrix.tolist()), frame_of_reference_uid="2.25.1"
    )


def ball(on: Grid, centre: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    """The voxels of the middle slice within a radius of a place, (rows, columns)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    index = np.stack([np.full_like(rows, 4), rows, columns, np.ones_like(rows)]).astype(float)
    places = np.tensordot(on.matrix, index, axes=1)[:3]
    return np.linalg.norm(places - np.array(centre)[:, None, None], axis=0) <= radius_mm


def crop(on: Grid, hounsfield: NDArray[np.int16], **shapes: Drawable) -> NDArray[np.uint8]:
    return decode(_crop(on, hounsfield, **shapes).png)[0]


def _crop(on: Grid, hounsfield, *, label=None, corrected=None):
    return crop_around(
        grid=on,
        slice_index=4,
        hounsfield=hounsfield,
        place_mm=PLACE,
        radius_mm=3.0,
        label=() if label is None else (label,),
        corrected=() if corrected is None else (corrected,),
        frame=Frame(side_pixels=SIDE_PIXELS, width_mm=WIDTH_MM, window_hu=LUNG_WINDOW_HU, line_pixels=1),
    )


def pixel_of(x_mm: float, y_mm: float) -> tuple[int, int]:
    """Where a place in the plane lies on an upright axial picture: (row, column)."""
    scale = SIDE_PIXELS / WIDTH_MM
    middle = (SIDE_PIXELS - 1) / 2
    return round(middle + (y_mm - PLACE[1]) * scale), round(middle + (x_mm - PLACE[0]) * scale)


@pytest.mark.parametrize("stored", AXIAL)
def test_the_patients_left_is_on_the_right_however_an_axial_slice_was_stored(stored):
    down, right = stored
    on = grid(down, right, np.array([0.0, 0.0, 1.0]))
    spot = (PLACE[0] + 12.0, PLACE[1] - 9.0, PLACE[2])  # to the left and to the front
    hounsfield = np.where(ball(on, spot, 3.0), 100, -900).astype(np.int16)
    made = _crop(on, hounsfield)
    assert (made.letters.left, made.letters.right, made.letters.top, made.letters.bottom) == ("R", "L", "A", "P")
    picture = decode(made.png)[0]
    bright = np.argwhere((picture >= GREYS - 20) & (picture < GREYS))
    assert np.abs(bright.mean(axis=0) - pixel_of(spot[0], spot[1])).max() < 1.0


def test_a_coronal_slice_has_the_head_on_top_and_a_sagittal_one_the_front_on_the_left():
    flat = np.full((SIZE, SIZE), -900, dtype=np.int16)
    x, y, z = np.eye(3)
    coronal = _crop(grid(z, x, y), flat).letters
    assert (coronal.left, coronal.right, coronal.top, coronal.bottom) == ("R", "L", "H", "F")
    sagittal = _crop(grid(-z, y, x), flat).letters
    assert (sagittal.left, sagittal.right, sagittal.top, sagittal.bottom) == ("A", "P", "H", "F")


def test_the_label_is_outlined_where_it_lies_and_nothing_of_it_is_hidden():
    x, y, z = np.eye(3)
    on = grid(y, x, z)
    inside = ball(on, (PLACE[0] + 10, PLACE[1] + 6, PLACE[2]), 4.0)
    hounsfield = np.where(inside, 100, -900).astype(np.int16)
    rows, columns = np.nonzero(inside)
    top, left = int(rows.min()), int(columns.min())
    voxels = inside[top : rows.max() + 1, left : columns.max() + 1][None]
    picture = crop(on, hounsfield, label=Mask(grid=on, origin=(4, top, left), voxels=voxels))
    line = np.argwhere(picture == LABEL)
    centre = np.array(pixel_of(PLACE[0] + 10, PLACE[1] + 6))
    away = np.linalg.norm(line - centre, axis=1) * WIDTH_MM / SIDE_PIXELS
    assert away.min() > 3.5
    assert away.max() < 6.0
    assert picture[tuple(centre)] >= GREYS - 10


def test_a_sphere_is_drawn_with_its_diameter_in_this_slice():
    x, y, z = np.eye(3)
    on = grid(y, x, z)
    flat = np.full((SIZE, SIZE), -900, dtype=np.int16)
    # 3 mm above the slice a ball of 10 mm across cuts it in a circle of 4 mm radius.
    picture = crop(on, flat, corrected=Sphere(centre_mm=(PLACE[0], PLACE[1], PLACE[2] + 3.0), diameter_mm=10.0))
    line = np.argwhere(picture == CORRECTED) - (SIDE_PIXELS - 1) / 2
    away = np.linalg.norm(line, axis=1) * WIDTH_MM / SIDE_PIXELS
    assert len(line) > 20
    assert np.abs(away - 4.0).max() < 0.8


@pytest.mark.parametrize("stored", AXIAL)
def test_a_box_is_drawn_around_what_it_holds_on_the_patients_own_side_however_the_slice_was_stored(stored):
    down, right = stored
    on = grid(down, right, np.array([0.0, 0.0, 1.0]))
    flat = np.full((SIZE, SIZE), -900, dtype=np.int16)
    # 12 mm towards the patient's left and 8 mm to the front of the middle, 8 x 4 mm, on this slice alone.
    low, high = (PLACE[0] + 8.0, PLACE[1] - 10.0), (PLACE[0] + 16.0, PLACE[1] - 6.0)
    box = Box(corner_mm=(*low, PLACE[2] - 1.25), opposite_corner_mm=(*high, PLACE[2] + 1.25))
    line = np.argwhere(crop(on, flat, label=box) == LABEL)
    (top, left), (bottom, right_most) = line.min(axis=0), line.max(axis=0)
    assert np.abs(np.subtract((top, left), pixel_of(low[0], low[1]))).max() <= 2
    assert np.abs(np.subtract((bottom, right_most), pixel_of(high[0], high[1]))).max() <= 2
    above = to_patient(on, (6, SIZE / 2, SIZE / 2))
    elsewhere = Box(corner_mm=(*low, above[2] - 1.25), opposite_corner_mm=(*high, above[2] + 1.25))
    assert not (crop(on, flat, label=elsewhere) == LABEL).any()


def test_a_label_that_does_not_reach_this_slice_is_not_drawn():
    x, y, z = np.eye(3)
    on = grid(y, x, z)
    flat = np.full((SIZE, SIZE), -900, dtype=np.int16)
    above = Mask(grid=on, origin=(6, 30, 30), voxels=np.ones((2, 4, 4), dtype=np.bool_))
    assert not (crop(on, flat, label=above) == LABEL).any()


def test_the_ring_is_dotted_and_what_lies_outside_the_image_is_black():
    x, y, z = np.eye(3)
    on = grid(y, x, z)
    narrow = np.full((SIZE, SIZE), 100, dtype=np.int16)
    picture = crop_around(
        grid=on,
        slice_index=4,
        hounsfield=narrow,
        place_mm=(PLACE[0] + 25.0, PLACE[1], PLACE[2]),
        radius_mm=3.0,
        label=(),
        corrected=(),
        frame=Frame(side_pixels=SIDE_PIXELS, width_mm=WIDTH_MM, window_hu=LUNG_WINDOW_HU, line_pixels=1),
    )
    indices, palette = decode(picture.png)
    assert (indices == RING).any()
    ring = np.hypot(*(np.mgrid[:SIDE_PIXELS, :SIDE_PIXELS] - (SIDE_PIXELS - 1) / 2)) * WIDTH_MM / SIDE_PIXELS
    assert set(np.unique(indices[np.abs(ring - 5.0) < 0.1])) == {0, RING}, "black between its dots, to show on bone"
    assert indices[5, 5] == GREYS - 1 - round(50 / 1500 * (GREYS - 1))
    assert indices[5, -5] == round((-1024 + 1350) / 1500 * (GREYS - 1))
    assert len(palette) == GREYS + 3


def test_the_nearest_slice_stays_within_the_volume():
    x, y, z = np.eye(3)
    on = grid(y, x, z)
    assert slice_nearest(grid=on, place_mm=PLACE) == 4
    assert slice_nearest(grid=on, place_mm=(0.0, 0.0, 500.0)) == 8
    assert slice_nearest(grid=on, place_mm=(0.0, 0.0, -500.0)) == 0
    assert to_index(on, PLACE)[0] == pytest.approx(4)


def test_an_index_without_a_colour_is_refused():
    palette = np.zeros((2, 3), dtype=np.uint8)
    assert decode(indexed_png(indices=np.eye(3, dtype=np.uint8), palette=palette))[0].tolist() == np.eye(3).tolist()
    with pytest.raises(ValueError, match="no colour"):
        indexed_png(indices=np.full((2, 2), 2, dtype=np.uint8), palette=palette)
