"""Pictures of places: a crop of one slice with outlines, the way radiologists look at it.

The picture is turned so that an axial slice has the patient's left on its right and the front at the top, however the
series was stored; the letters at its edges are computed, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import OrientationLetters, orientation_letters, to_index, to_patient
from imaging.masks.boxes import box_spans
from imaging.pictures.png import indexed_png
from imaging.types import Affine, Box, Grid, Mask, PointMm, Sphere

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""As radiologists set it: centre -600, width 1500."""
SOFT_TISSUE_WINDOW_HU = (-160.0, 240.0)
"""Mediastinum and bone's neighbours: centre 40, width 400."""
GREYS = 250
LABEL, CORRECTED, RING = GREYS, GREYS + 1, GREYS + 2
# Colours that stay apart for people with any colour vision (Okabe and Ito); the lines differ in dashes too.
LINE_COLOURS = ((230, 159, 0), (86, 180, 233), (255, 255, 255))
NOTHING_HU = -1024.0

FloatArray = NDArray[np.float64]
Drawable = Mask | Sphere | Box


@dataclass(frozen=True, slots=True)
class Frame:
    """How much of the slice a picture shows: a square, this many pixels and millimetres wide.

    ``window_hu``: what is black and what is white, in Hounsfield units. ``line_pixels``: how thick outlines are.
    """

    side_pixels: int
    width_mm: float
    window_hu: tuple[float, float]
    line_pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A picture with what stands at its edges. ``slice_index`` is the slice that it shows."""

    png: bytes
    letters: OrientationLetters
    slice_index: int


def crop_around(
    *,
    grid: Grid,
    slice_index: int,
    hounsfield: NDArray[np.int16],
    place_mm: PointMm,
    radius_mm: float,
    label: Sequence[Drawable],
    corrected: Sequence[Drawable],
    frame: Frame,
) -> Crop:
    """Return a square picture, as large as ``frame``, of one slice around a place in LPS millimetres.

    ``hounsfield``: (rows, columns) int16 of that slice. What is labelled is outlined solid, its correction (or what
    is held against it) dashed, and the place is ringed with dots at ``radius_mm``; no ring for a radius of 0. What
    lies outside the image is black, and a shape that does not reach this slice is not drawn.
    """
    shown = _upright(grid)
    centre = to_index(grid, place_mm)
    down, right = _steps(grid, shown)
    pixel_mm = frame.width_mm / frame.side_pixels
    offsets = (np.arange(frame.side_pixels) - (frame.side_pixels - 1) / 2) * pixel_mm
    # (2, rows, columns): fractional row and column of the stored slice for every pixel of the picture.
    stored = (
        np.array(centre[1:])[:, None, None]
        + down[:, None, None] * offsets[None, :, None]
        + right[:, None, None] * offsets[None, None, :]
    )
    values = ndimage.map_coordinates(
        hounsfield.astype(np.float64), stored, order=1, mode="grid-constant", cval=NOTHING_HU
    )
    shade = (values - frame.window_hu[0]) / (frame.window_hu[1] - frame.window_hu[0])
    picture = np.clip(np.rint(shade * (GREYS - 1)), 0, GREYS - 1).astype(np.uint8)
    away = np.hypot(offsets[:, None], offsets[None, :])
    turn = np.arctan2(offsets[:, None], offsets[None, :])
    if radius_mm > 0:
        ring = np.abs(away - max(radius_mm + 2.0, 4.0)) < pixel_mm
        # White and black by turns, so that it shows on lung and on bone alike.
        picture[ring] = 0
        picture[ring & _dashes(turn, 18)] = RING
    for shapes, colour in ((label, LABEL), (corrected, CORRECTED)):
        for shape in shapes:
            line = _outline(_inside(shape, grid, slice_index, stored), frame.line_pixels)
            picture[line & _dashes(turn, 9) if colour == CORRECTED else line] = colour
    palette = np.zeros((GREYS + len(LINE_COLOURS), 3), dtype=np.uint8)
    palette[:GREYS] = np.rint(np.linspace(0, 255, GREYS))[:, None]
    palette[GREYS:] = LINE_COLOURS
    return Crop(
        png=indexed_png(indices=picture, palette=palette), letters=orientation_letters(shown), slice_index=slice_index
    )


def edge_letters(grid: Grid) -> OrientationLetters:
    """Return what stands at the edges of a picture of one of the grid's slices."""
    return orientation_letters(_upright(grid))


def slice_nearest(*, grid: Grid, place_mm: PointMm) -> int:
    """Return the index of the slice nearest to a place in LPS millimetres, within the volume."""
    return max(0, min(grid.shape[0] - 1, round(to_index(grid, place_mm)[0])))


def _upright(grid: Grid) -> Grid:
    """Return the grid as shown: its in-plane axes swapped or turned round so that they point left, back or footwards.

    Only axes change places; nothing is resampled off the slice. Screen rows run along the second axis, columns along
    the third, as in ``orientation_letters``.
    """
    matrix = grid.matrix
    axes = [matrix[:3, 1].copy(), matrix[:3, 2].copy()]
    # Of the two in-plane axes the one more along the body's left-right (else front-back) runs across the screen.
    if _across(axes[0]) > _across(axes[1]):
        axes.reverse()
    down, right = (_pointing(axis) for axis in axes)
    turned = matrix.copy()
    turned[:3, 1], turned[:3, 2] = down, right
    affine: Affine = tuple((float(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in turned)
    return Grid(shape=grid.shape, affine=affine, frame_of_reference_uid=grid.frame_of_reference_uid)


def _across(axis: FloatArray) -> float:
    unit = np.abs(axis / np.linalg.norm(axis))
    # Left-right always runs across; in a sagittal slice front-back does, and head-foot runs down.
    return float(2.0 * unit[0] + unit[1] * 0.5 - unit[2])


def _pointing(axis: FloatArray) -> FloatArray:
    strongest = int(np.argmax(np.abs(axis)))
    # To the patient's left (+x), to the back (+y), but from head to foot (-z).
    wanted = -1.0 if strongest == 2 else 1.0
    return axis if axis[strongest] * wanted > 0 else -axis


def _steps(grid: Grid, shown: Grid) -> tuple[FloatArray, FloatArray]:
    """Return the change of stored (row, column) for one millimetre down and one to the right on the screen."""
    inverse = np.linalg.inv(grid.matrix[:3, :3])
    down, right = (shown.matrix[:3, axis] / np.linalg.norm(shown.matrix[:3, axis]) for axis in (1, 2))
    return np.asarray((inverse @ down)[1:], dtype=np.float64), np.asarray((inverse @ right)[1:], dtype=np.float64)


def _inside(shape: Drawable, grid: Grid, slice_index: int, stored: FloatArray) -> NDArray[np.bool_]:
    if isinstance(shape, Sphere):
        matrix = grid.matrix
        corner = np.array(to_patient(grid, (slice_index, 0, 0)))
        places = corner[:, None, None] + np.tensordot(matrix[:3, 1:3], stored, axes=1)
        away = np.linalg.norm(places - np.array(shape.centre_mm)[:, None, None], axis=0)
        return np.asarray(away <= shape.diameter_mm / 2, dtype=np.bool_)
    if isinstance(shape, Box):
        slices, rows, columns = box_spans(box=shape, grid=grid)
        within = (rows[0] <= stored[0]) & (stored[0] <= rows[1]) & (columns[0] <= stored[1]) & (stored[1] <= columns[1])
        return np.asarray(within & (slices[0] <= slice_index <= slices[1]), dtype=np.bool_)
    plane = slice_index - shape.origin[0]
    if not 0 <= plane < shape.voxels.shape[0]:
        return np.zeros(stored.shape[1:], dtype=np.bool_)
    local = stored - np.array(shape.origin[1:], dtype=np.float64)[:, None, None]
    voxels = shape.voxels[plane].astype(np.uint8)
    return np.asarray(ndimage.map_coordinates(voxels, local, order=0, mode="grid-constant", cval=0) > 0, dtype=np.bool_)


def _outline(inside: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    # Drawn just outside, so that the line hides none of what it encloses.
    return np.asarray(ndimage.binary_dilation(inside, iterations=pixels) & ~inside, dtype=np.bool_)


def _dashes(turn: FloatArray, number: int) -> NDArray[np.bool_]:
    return np.asarray(np.sin(turn * number) > 0, dtype=np.bool_)
