"""The image and a label's own surface in a box around it, cut out once however many checks look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.checks.once import once
from imaging.types import Case, Finding, Index, Mask

REACH_MM = 7.0
"""How far around a label is looked: half as far again as careful outlines ever lie apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """A box of the image around a region, (slices, rows, columns) each.

    ``values``: Hounsfield units. ``inside``: the region. ``signed_mm``: distance of voxel centres from the region's
    surface, negative inside; the surface lies halfway between centres in and out. ``low``: the box's first voxel.
    """

    low: Index
    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    signed_mm: NDArray[np.float32]
    half_mm: float

    @property
    def outside_mm(self) -> NDArray[np.float32]:
        """Distance of each voxel's centre from the nearest centre inside, 0 within."""
        return np.where(self.inside, 0.0, self.signed_mm + self.half_mm).astype(np.float32)


def surroundings_of(*, case: Case, finding: Finding, mask: Mask) -> Surroundings:
    """Return the box around a finding's region (``mask``, on the case's grid and within it), computed once."""
    return once(case=case, key=("surroundings", finding), compute=lambda: _cut(case, mask))


def _cut(case: Case, mask: Mask) -> Surroundings:
    spacing = case.volume.grid.spacing_mm
    pads = [max(2, round(REACH_MM / step)) for step in spacing]
    low = [max(0, start - pad) for start, pad in zip(mask.origin, pads, strict=True)]
    high = [
        min(size, start + extent + pad)
        for start, extent, pad, size in zip(mask.origin, mask.voxels.shape, pads, case.volume.grid.shape, strict=True)
    ]
    values = case.volume.hounsfield[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    inside: NDArray[np.bool_] = np.zeros(values.shape, dtype=np.bool_)
    inside[
        tuple(
            slice(start - a, start - a + size)
            for start, a, size in zip(mask.origin, low, mask.voxels.shape, strict=True)
        )
    ] = mask.voxels
    half = 0.5 * min(spacing)
    outer = ndimage.distance_transform_edt(~inside, sampling=spacing)
    # Beyond the box all is outside, also for a region that fills it.
    inner = ndimage.distance_transform_edt(np.pad(mask.voxels, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    signed = (outer - half).astype(np.float32)
    signed[inside] = half - inner[mask.voxels]
    return Surroundings((low[0], low[1], low[2]), values, inside, signed, half)
