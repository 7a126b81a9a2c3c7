"""The ways in which a label goes astray on its way: slices miscounted, axes turned round, coordinates negated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_index
from imaging.types import Grid, PointMm

_MIRRORED = ("left to right", "front to back", "head to foot")
_TOWARDS = (("right", "left"), ("front", "back"), ("feet", "head"))
_ALIGNED = 0.99
"""A grid axis along which a patient coordinate was negated points along that coordinate this exactly."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """One grid axis (0 slices, 1 rows, 2 columns) turned round about ``centre``, an index, fractions allowed."""

    axis: int
    centre: float
    name: str


@dataclass(frozen=True, slots=True)
class Displacement:
    """A move of a label on its grid: turned round about ``mirrors``, then ``slices`` steps along the slice axis.

    ``shift_mm`` is the latter as a vector in LPS millimetres. ``about`` says in words where the mirrors stand.
    """

    mirrors: tuple[Mirror, ...] = ()
    about: str = ""
    slices: int = 0
    shift_mm: PointMm = (0.0, 0.0, 0.0)

    def moved(self, indices: NDArray[np.int64], *, axis: int) -> NDArray[np.int64]:
        """Return where whole indices along a grid axis come to lie; they may leave the grid."""
        turned = indices
        for mirror in self.mirrors:
            if mirror.axis == axis:
                turned = np.asarray(round(2.0 * mirror.centre) - indices, dtype=np.int64)
        return turned + self.slices if axis == 0 else turned

    @property
    def distance_mm(self) -> float:
        """How far the shift goes; zero for mirroring alone."""
        return float(np.linalg.norm(self.shift_mm))

    def words(self) -> str:
        """Return the move for people: "A shift of 3 slices (7.5 mm) towards the head"."""
        if self.mirrors:
            axes = " and ".join(mirror.name for mirror in self.mirrors)
            return f"Mirroring {axes} about {self.about}"
        if self.slices == 0:
            return "No move"
        strongest = int(np.argmax(np.abs(self.shift_mm)))
        side = _TOWARDS[strongest][int(self.shift_mm[strongest] > 0)]
        count = abs(self.slices)
        return f"A shift of {count} slice{'' if count == 1 else 's'} ({self.distance_mm:.1f} mm) towards the {side}"


def displacements(*, grid: Grid, slices: int) -> Iterator[Displacement]:
    """Yield every move that undoes a known fault, the identity left out.

    Shifts by up to ``slices`` whole slices, nearest first; each set of grid axes turned round about the middle of the
    image (an array stored in another order than its header says); and patient x, y or both negated (RAS taken for LPS)
    where the grid's axes run along the patient's.
    """
    step = grid.matrix[:3, 0]
    for distance in range(1, slices + 1):
        for count in (distance, -distance):
            x, y, z = (float(part) for part in step * count)
            yield Displacement(slices=count, shift_mm=(x, y, z))
    middles = [Mirror(axis, (size - 1) / 2.0, _name(grid, axis)) for axis, size in enumerate(grid.shape)]
    for number in (1, 2, 3):
        for turned in combinations(reversed(middles), number):
            yield Displacement(mirrors=turned, about="the middle of the image")
    negated = _negated(grid)
    for number in (1, 2):
        for turned in combinations(negated, number):
            yield Displacement(mirrors=turned, about="the origin of the patient's coordinates")


def _negated(grid: Grid) -> list[Mirror]:
    origin = to_index(grid, (0.0, 0.0, 0.0))
    found = []
    for coordinate in (0, 1):
        axis = _axis_along(grid, coordinate)
        if axis is not None:
            found.append(Mirror(axis, origin[axis], _MIRRORED[coordinate]))
    return found


def _axis_along(grid: Grid, coordinate: int) -> int | None:
    directions = grid.matrix[:3, :3] / np.array(grid.spacing_mm)
    aligned = np.flatnonzero(np.abs(directions[coordinate]) > _ALIGNED)
    return int(aligned[0]) if aligned.size else None


def _name(grid: Grid, axis: int) -> str:
    return _MIRRORED[int(np.argmax(np.abs(grid.matrix[:3, axis])))]
