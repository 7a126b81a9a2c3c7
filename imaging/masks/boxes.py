"""Bounding boxes on a grid: how far they reach, what they hold, and how much two of them share.

A box's edges run along the axes of the grid, so whoever measures one needs the grid that it was drawn on.
"""

from __future__ import annotations

import math

import numpy as np

from imaging.geometry.affine import to_index
from imaging.types import Box, Grid, Mask, PointMm

Span = tuple[float, float]
"""Lowest and highest fractional index along one axis of a grid; outer faces, so a whole voxel 3 spans 2.5 to 3.5."""

_ROUNDING = 1e-6


def box_centre(box: Box) -> PointMm:
    """Return the middle of a box, LPS millimetres."""
    x, y, z = ((one + other) / 2.0 for one, other in zip(box.corner_mm, box.opposite_corner_mm, strict=True))
    return (x, y, z)


def box_diameter_mm(box: Box) -> float:
    """Return the size of a box as one length in mm: the root mean square of its three extents.

    For the box around a ball it is the ball's diameter. Being the diagonal over the root of three, it does not depend
    on how the grid lies in the patient, so it needs no grid; and one thin axis (a box on a single slice) does not make
    it small as a geometric mean would.
    """
    return math.dist(box.corner_mm, box.opposite_corner_mm) / math.sqrt(3.0)


def box_spans(*, box: Box, grid: Grid) -> tuple[Span, Span, Span]:
    """Return where a box reaches on a grid, along (slice, row, column), in fractional indices; it may lie outside."""
    first, second = to_index(grid, box.corner_mm), to_index(grid, box.opposite_corner_mm)
    slices, rows, columns = ((min(a, b), max(a, b)) for a, b in zip(first, second, strict=True))
    return (slices, rows, columns)


def box_extents_mm(*, box: Box, grid: Grid) -> tuple[float, float, float]:
    """Return a box's extents in mm along (slice, row, column) of the grid."""
    slices, rows, columns = (
        (high - low) * step for (low, high), step in zip(box_spans(box=box, grid=grid), grid.spacing_mm, strict=True)
    )
    return (slices, rows, columns)


def box_holds(*, box: Box, grid: Grid, place_mm: PointMm) -> bool:
    """Tell whether a place (LPS millimetres) lies in a box, its faces included."""
    index = to_index(grid, place_mm)
    return all(
        low - _ROUNDING <= value <= high + _ROUNDING
        for value, (low, high) in zip(index, box_spans(box=box, grid=grid), strict=True)
    )


def box_containment(*, first: Box, second: Box, grid: Grid) -> float:
    """Return the share of the smaller box's volume that lies in the other, 0 to 1; 0 where either has no volume."""
    spans = list(zip(box_spans(box=first, grid=grid), box_spans(box=second, grid=grid), strict=True))
    shared = math.prod(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in spans)
    smaller = min(math.prod(a[1] - a[0] for a, _ in spans), math.prod(b[1] - b[0] for _, b in spans))
    return min(1.0, shared / smaller) if smaller > 0 else 0.0


def mask_share_in_box(*, mask: Mask, box: Box) -> float:
    """Return the share of a mask's voxels whose centres lie in a box, 0 to 1; 0 for an empty mask."""
    if not mask.count:
        return 0.0
    cuts = []
    for (low, high), start, size in zip(
        box_spans(box=box, grid=mask.grid), mask.origin, mask.voxels.shape, strict=True
    ):
        first = max(0, int(np.ceil(low - _ROUNDING)) - start)
        last = min(size, int(np.floor(high + _ROUNDING)) + 1 - start)
        cuts.append(slice(first, max(first, last)))
    return int(np.count_nonzero(mask.voxels[tuple(cuts)])) / mask.count


def box_on_image(*, box: Box, grid: Grid) -> bool:
    """Tell whether a box lies on the image: its centre within it, and no face more than a voxel beyond the edge.

    Boxes come in whole pixels, some counted from 1 and some to the last pixel inclusive, so that one that ends at the
    edge of the image may reach over it by one.
    """
    return all(
        low >= -1.5 - _ROUNDING and high <= size + 0.5 + _ROUNDING and -0.5 <= (low + high) / 2.0 <= size - 0.5
        for (low, high), size in zip(box_spans(box=box, grid=grid), grid.shape, strict=True)
    )


def box_around(mask: Mask) -> Box:
    """Return the box around a mask's voxels, outer faces half a voxel beyond their centres, LPS millimetres."""
    low = [start - 0.5 for start in mask.origin]
    high = [start + size - 0.5 for start, size in zip(mask.origin, mask.voxels.shape, strict=True)]
    first, second = (mask.grid.matrix @ np.array([*corner, 1.0]) for corner in (low, high))
    return Box(
        corner_mm=(float(first[0]), float(first[1]), float(first[2])),
        opposite_corner_mm=(float(second[0]), float(second[1]), float(second[2])),
    )
