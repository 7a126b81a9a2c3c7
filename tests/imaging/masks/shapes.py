"""Grids and regions to measure."""

from __future__ import annotations

import numpy as np

from imaging.geometry.affine import as_affine, voxel_to_patient
from imaging.masks.build import mask_from_sphere, mask_from_voxels
from imaging.types import Grid, Mask, PointMm, Sphere


def a_grid(
    *, shape: tuple[int, int, int] = (40, 64, 64), spacing_mm: tuple[float, float, float] = (1.0, 0.5, 0.5)
) -> Grid:
    """An axial grid whose first voxel lies at the origin of patient space."""
    matrix = voxel_to_patient(
        position_mm=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing_mm=spacing_mm[1:],
        slice_step_mm=spacing_mm[0],
    )
    return Grid(shape, as_affine(matrix), "1.2.3")


def a_ball(grid: Grid, centre_mm: PointMm, diameter_mm: float) -> Mask:
    """The voxels within a ball."""
    return mask_from_sphere(grid=grid, sphere=Sphere(centre_mm, diameter_mm))


def a_mask(grid: Grid, *voxels: tuple[int, int, int]) -> Mask:
    """Single voxels."""
    whole = np.zeros(grid.shape, dtype=np.bool_)
    for voxel in voxels:
        whole[voxel] = True
    return mask_from_voxels(grid=grid, voxels=whole)
