"""Distances between the surfaces of two outlines, in millimetres, with the sign that tells too large from too small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import align
from imaging.errors import NotApplicable
from imaging.types import Mask


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """What lies between two surfaces; all in millimetres.

    ``signed_first_to_second_mm``: (n,) float64, one value per surface voxel of the first outline: the distance of its
    centre to the nearest surface voxel of the second, positive outside the second outline and negative inside it.
    ``second_to_first_mm``: (m,) float64, unsigned, the other way.
    """

    signed_first_to_second_mm: NDArray[np.float64]
    second_to_first_mm: NDArray[np.float64]
    signed_second_to_first_mm: NDArray[np.float64]

    @property
    def mean_mm(self) -> float:
        """Average symmetric surface distance: all distances of both directions pooled (Heimann 2009)."""
        pooled = np.concatenate([np.abs(self.signed_first_to_second_mm), self.second_to_first_mm])
        return float(pooled.mean())

    @property
    def bias_mm(self) -> float:
        """How far the first outline lies outside the second on average: > 0 drawn too wide, < 0 too tight.

        Mean of both directions, so that a bump in one outline does not count only from the side that sees it.
        """
        outward = self.signed_first_to_second_mm.mean()
        inward = self.signed_second_to_first_mm.mean()
        return float((outward - inward) / 2)

    @property
    def hd95_mm(self) -> float:
        """Hausdorff distance at the 95th percentile: the greater of the two directed percentiles."""
        first = np.percentile(np.abs(self.signed_first_to_second_mm), 95)
        second = np.percentile(self.second_to_first_mm, 95)
        return float(max(first, second))

    @property
    def hausdorff_mm(self) -> float:
        """The greatest distance in either direction."""
        return float(max(np.abs(self.signed_first_to_second_mm).max(), self.second_to_first_mm.max()))


def surface_distances(*, first: Mask, second: Mask) -> SurfaceDistances:
    """Return the distances between the surfaces of two outlines on one grid.

    A surface voxel is one inside the outline with a face neighbour outside it; distances run between voxel centres
    with the grid's own spacing, so anisotropic slices count at their true distance.
    Raises NotApplicable if either outline is empty (a distance to nothing has no value; callers must not invent one),
    GeometryError if they lie on different grids.
    """
    if first.count == 0 or second.count == 0:
        raise NotApplicable("empty-mask", "a surface distance needs two outlines; one of them is empty")
    aligned = align(masks=(first, second), margin_voxels=1)
    spacing = aligned.grid.spacing_mm
    one, other = aligned.voxels
    one_surface, other_surface = _surface(one), _surface(other)
    to_other = ndimage.distance_transform_edt(~other_surface, sampling=spacing)
    to_one = ndimage.distance_transform_edt(~one_surface, sampling=spacing)
    one_to_other = to_other[one_surface]
    other_to_one = to_one[other_surface]
    return SurfaceDistances(
        signed_first_to_second_mm=np.where(other[one_surface], -one_to_other, one_to_other),
        second_to_first_mm=other_to_one,
        signed_second_to_first_mm=np.where(one[other_surface], -other_to_one, other_to_one),
    )


def _surface(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    eroded: NDArray[np.bool_] = ndimage.binary_erosion(voxels, structure=ndimage.generate_binary_structure(3, 1))
    return voxels & ~eroded
