"""How faithfully a held mask keeps the contours that an LIDC-IDRI file gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.readers.lidc_document import LidcRoi
from imaging.readers.redrawn import wider, worst_gap
from imaging.readers.shapes import NOTHING_MOVED
from imaging.types import Mask, RoundTrip

_TOUCHING = np.ones((3, 3), dtype=np.bool_)


def contours_redrawn(rois: Sequence[tuple[LidcRoi, int]], mask: Mask) -> RoundTrip:
    """Return how far at worst a contour point lies from the contour that LIDC's rule draws around the mask.

    That contour is the first pixels outside the mask, on the same slice, neighbours across a corner included. On a
    slice of which the mask holds nothing, the distance is to the mask's nearest voxel. ``rois`` come with their slice
    indices; inclusions and exclusions count alike.
    """
    points_on: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for roi, index in rois:
        points_on[index].extend((y, x) for x, y in roi.points)
    worst = NOTHING_MOVED
    spacing = mask.grid.spacing_mm
    for index, points in points_on.items():
        given = np.array(points, dtype=np.float64)
        contour = _contour(mask, index)
        if len(contour):
            worst = wider(worst, worst_gap(given, contour, spacing[1:]))
            continue
        in_space = np.column_stack([np.full(len(given), float(index)), given])
        voxels = np.argwhere(mask.voxels).astype(np.float64) + np.array(mask.origin)
        worst = wider(worst, worst_gap(in_space, voxels, spacing))
    return worst


def _contour(mask: Mask, index: int) -> NDArray[np.float64]:
    """The first pixels outside the mask on one slice, (n, 2) as (row, column)."""
    inner = index - mask.origin[0]
    if not 0 <= inner < mask.voxels.shape[0] or not mask.voxels[inner].any():
        return np.zeros((0, 2))
    region = np.pad(mask.voxels[inner], 1)
    outside = ndimage.binary_dilation(region, structure=_TOUCHING) & ~region
    first = np.array(mask.origin[1:], dtype=np.float64) - 1.0
    pixels: NDArray[np.float64] = np.argwhere(outside).astype(np.float64) + first
    return pixels
