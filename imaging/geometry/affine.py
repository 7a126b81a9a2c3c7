"""Voxel index to patient space and back, and what the edges of a slice are called.

Index order is (slice, row, column), 0-based, at voxel centres; patient space is DICOM LPS, millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError
from imaging.types import Affine, Grid, PointMm

ORTHONORMAL_TOLERANCE = 1e-3
"""How far a stored direction may be from unit length, or two from a right angle.

Writers round direction cosines to as few as three decimals; anything coarser is not a rounding of a rigid frame.
"""

LETTER_THRESHOLD = math.sin(math.radians(10.0))
"""A direction earns a second orientation letter once it leans more than ten degrees towards that axis."""

_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))


@dataclass(frozen=True, slots=True)
class OrientationLetters:
    """What lies at each edge of a slice shown as stored (row 0 at the top, column 0 on the left).

    R/L right and left, A/P front and back, F/H foot and head of the patient; oblique edges get several letters, the
    strongest first (DICOM PS3.3 C.7.6.1.1.1).
    """

    left: str
    right: str
    top: str
    bottom: str


def voxel_to_patient(
    *,
    position_mm: Sequence[float],
    orientation: Sequence[float],
    pixel_spacing_mm: Sequence[float],
    slice_step_mm: float,
) -> NDArray[np.float64]:
    """Return the affine that takes a voxel index to patient space.

    Index order is (slice, row, column), 0-based, at voxel centres. Patient space is DICOM LPS, millimetres.
    ``position_mm`` is ImagePositionPatient of slice 0, ``orientation`` ImageOrientationPatient (row cosines, then
    column cosines), ``pixel_spacing_mm`` as stored: (between rows, between columns). The slice step is signed along
    row x column and measured from positions, never SliceThickness.

    Returns (4, 4): ``affine @ [slice, row, column, 1] == [x, y, z, 1]``.
    Raises GeometryError if directions are not orthonormal or a distance is zero or not finite; nothing is repaired.
    Source: DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
    """
    position = np.array(position_mm, dtype=np.float64)
    if position.shape != (3,) or not np.all(np.isfinite(position)):
        raise GeometryError("bad-position", "The image position is not three finite numbers of millimetres.")
    rows_along, columns_along = direction_cosines(orientation)
    spacing = np.array(pixel_spacing_mm, dtype=np.float64)
    if spacing.shape != (2,) or not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise GeometryError("bad-pixel-spacing", "The pixel spacing is not two positive, finite lengths.")
    if not math.isfinite(slice_step_mm) or slice_step_mm == 0:
        raise GeometryError("bad-slice-step", f"The step between slices is {slice_step_mm} mm; it must not be zero.")
    matrix = np.eye(4)
    matrix[:3, 0] = np.cross(rows_along, columns_along) * slice_step_mm
    matrix[:3, 1] = columns_along * spacing[0]
    matrix[:3, 2] = rows_along * spacing[1]
    matrix[:3, 3] = position
    return matrix


def direction_cosines(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (direction along a row, direction along a column) of ImageOrientationPatient, unit vectors in LPS.

    The first points the way the column index grows, the second the way the row index grows (DICOM PS3.3 C.7.6.2.1.1).
    Raises GeometryError ``not-orthonormal`` beyond ``ORTHONORMAL_TOLERANCE``.
    """
    values = np.array(orientation, dtype=np.float64)
    if values.shape != (6,) or not np.all(np.isfinite(values)):
        raise GeometryError("not-orthonormal", "The image orientation is not six finite direction cosines.")
    first, second = values[:3], values[3:]
    worst = max(
        abs(float(np.linalg.norm(first)) - 1.0),
        abs(float(np.linalg.norm(second)) - 1.0),
        abs(float(first @ second)),
    )
    if worst > ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            "not-orthonormal",
            f"The row and column directions are not at right angles and of unit length (off by {worst:.4f}).",
        )
    return first, second


def as_affine(matrix: NDArray[np.float64]) -> Affine:
    """Return a (4, 4) matrix, voxel index to LPS millimetres, as the hashable tuple that a ``Grid`` holds."""
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
        raise GeometryError("bad-affine", "An affine must be four by four and finite.")
    rows = [(float(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in matrix]
    return tuple(rows)


def to_patient(grid: Grid, index: Sequence[float]) -> PointMm:
    """Return where a voxel index (slice, row, column), fractions allowed, lies: (x, y, z) LPS millimetres."""
    place = grid.matrix @ np.array([index[0], index[1], index[2], 1.0], dtype=np.float64)
    return (float(place[0]), float(place[1]), float(place[2]))


def to_index(grid: Grid, point: PointMm) -> tuple[float, float, float]:
    """Return the fractional voxel index (slice, row, column) of a place (x, y, z) in LPS millimetres.

    The index may lie outside the grid. Raises GeometryError ``bad-affine`` if the grid's axes do not span space.
    """
    matrix = grid.matrix
    try:
        index = np.linalg.solve(matrix[:3, :3], np.array(point, dtype=np.float64) - matrix[:3, 3])
    except np.linalg.LinAlgError as error:
        raise GeometryError("bad-affine", "The grid's axes do not span three dimensions.") from error
    return (float(index[0]), float(index[1]), float(index[2]))


def contains_index(grid: Grid, index: Sequence[float]) -> bool:
    """Tell whether an index (slice, row, column), fractions allowed, lies within half a voxel of the grid."""
    return all(-0.5 <= value < size - 0.5 for value, size in zip(index, grid.shape, strict=True))


def orientation_letters(grid: Grid) -> OrientationLetters:
    """Return what the edges of a slice are, shown as stored: row 0 at the top, column 0 on the left.

    A standard axial slice has the patient's right on the screen's left, and the front at the top.
    """
    matrix = grid.matrix
    rightwards, downwards = matrix[:3, 2], matrix[:3, 1]
    return OrientationLetters(
        left=_letters(-rightwards),
        right=_letters(rightwards),
        top=_letters(-downwards),
        bottom=_letters(downwards),
    )


def _letters(direction: NDArray[np.float64]) -> str:
    unit = direction / np.linalg.norm(direction)
    strongest_first = sorted(range(3), key=lambda axis: -abs(float(unit[axis])))
    return "".join(
        _AXIS_LETTERS[axis][int(unit[axis] > 0)] for axis in strongest_first if abs(unit[axis]) > LETTER_THRESHOLD
    )
