"""Where things are: grids, volumes, masks and simple shapes in patient space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PointMm = tuple[float, float, float]
"""A place in patient space: (x, y, z), LPS, millimetres."""

Index = tuple[int, int, int]
"""A voxel: (slice, row, column), 0-based."""

Affine = tuple[tuple[float, float, float, float], ...]
"""(4, 4): ``affine @ [slice, row, column, 1] == [x, y, z, 1]``, LPS millimetres."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The sampling of one volume: how many voxels, and where each lies in the patient."""

    shape: tuple[int, int, int]
    affine: Affine
    frame_of_reference_uid: str

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) float64, voxel index (slice, row, column) to LPS millimetres."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring slices, rows and columns, from the affine (never SliceThickness)."""
        return _spacing_mm(self)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over shape, affine to the micrometre, and frame of reference."""
        return _digest(self)


# Every comparison of two outlines asks for both, of the one or two grids of a case.
@lru_cache(maxsize=64)
def _spacing_mm(grid: Grid) -> tuple[float, float, float]:
    steps = np.linalg.norm(grid.matrix[:3, :3], axis=0)
    return (float(steps[0]), float(steps[1]), float(steps[2]))


@lru_cache(maxsize=64)
def _digest(grid: Grid) -> str:
    rounded = [[f"{value:.6f}" for value in row] for row in grid.affine]
    text = json.dumps([list(grid.shape), rounded, grid.frame_of_reference_uid], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT series as one regular volume.

    ``hounsfield``: (slices, rows, columns) int16 Hounsfield units, read-only; slice 0 first along the grid's slice
    axis. ``sop_instance_uids`` and ``instance_numbers`` are in slice order.
    """

    grid: Grid
    hounsfield: NDArray[np.int16]
    series_instance_uid: str
    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    instance_numbers: tuple[int | None, ...]
    slice_thickness_mm: float | None
    acquisition: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A binary region on a grid, held as its box.

    ``origin`` is the grid index of ``voxels[0, 0, 0]``; ``voxels`` is (slices, rows, columns) bool, read-only, and its
    box is tight unless the mask is empty.
    """

    grid: Grid
    origin: Index
    voxels: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of voxels inside."""
        return int(np.count_nonzero(self.voxels))


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball in patient space; LUNA16-style labels and sketches of a missed lesion."""

    centre_mm: PointMm
    diameter_mm: float


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in patient space: two opposite outer corners, (x, y, z) LPS millimetres.

    Its edges run along the slice, row and column axes of the image's grid. A box on one slice is as thick as the
    slice step. It says where a thing is and how far it reaches, never what its outline is.
    """

    corner_mm: PointMm
    opposite_corner_mm: PointMm
