"""Boxes, spheres and points from a source's coordinates to patient space, with what the way there and back costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_index, to_patient
from imaging.geometry.series import PlacedSeries
from imaging.types import Box, Grid, PointMm, Rejection, RoundTrip

PASSES_EDGE = "passes-edge"

NOTHING_MOVED = RoundTrip(0.0, 0.0)
"""Of a shape that is held in the very coordinates that its source gave."""

EDGE_TOLERANCE = 1e-6
"""Voxels by which an outer edge may pass the image's own: the rounding of a decimal text."""


def pixel_box(
    grid: Grid, *, slice_index: int, left: float, top: float, right: float, bottom: float
) -> tuple[Box, RoundTrip]:
    """Return a box on one slice, as thick as the slice step, and what holding it in millimetres costs.

    Edges are in pixels of the stored image, 0-based, pixel *centres* at whole numbers: the image reaches from -0.5 to
    its number of columns (rows) less 0.5. left < right, top < bottom.
    """
    first, second = (slice_index - 0.5, top, left), (slice_index + 0.5, bottom, right)
    box = Box(to_patient(grid, first), to_patient(grid, second))
    return box, _cost(grid, (first, second), (box.corner_mm, box.opposite_corner_mm))


def patient_box(grid: Grid, *, corner_mm: PointMm, opposite_corner_mm: PointMm) -> tuple[Box, RoundTrip]:
    """Return the box that a source gives along the patient's axes, along the grid's axes instead.

    Where the grid's axes are the patient's, nothing moves. Where they lean, the held box is the one along the grid's
    axes that encloses the given one; the cost is how far its corners lie from the given corners.
    """
    given = np.array([corner_mm, opposite_corner_mm], dtype=np.float64)
    corners = np.array(
        [[given[i, 0], given[j, 1], given[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64
    )
    indices = np.array([to_index(grid, (float(x), float(y), float(z))) for x, y, z in corners])
    low, high = indices.min(axis=0), indices.max(axis=0)
    held_low, held_high = to_patient(grid, _triple(low)), to_patient(grid, _triple(high))
    box = Box(held_low, held_high)
    held = np.array(
        [
            to_patient(grid, ((low, high)[i][0], (low, high)[j][1], (low, high)[k][2]))
            for i in (0, 1)
            for j in (0, 1)
            for k in (0, 1)
        ]
    )
    # Each held corner against the given corner nearest to it: the order of corners follows the grid's directions.
    gaps = np.linalg.norm(held[:, None, :] - corners[None, :, :], axis=-1).min(axis=1)
    worst = float(gaps.max())
    return box, RoundTrip(worst / min(grid.spacing_mm), worst)


def box_reach_mm(grid: Grid, box: Box) -> float:
    """Return how far a box reaches beyond the image's outermost voxels, millimetres; 0 if it lies inside."""
    corners = np.array([to_index(grid, box.corner_mm), to_index(grid, box.opposite_corner_mm)])
    return _beyond_mm(grid, corners.min(axis=0), corners.max(axis=0))


def point_reach_mm(grid: Grid, point: PointMm) -> float:
    """Return how far a place lies beyond the image's outermost voxels, millimetres; 0 if it lies inside."""
    index = np.array(to_index(grid, point))
    return _beyond_mm(grid, index, index)


def outside_message(grid: Grid, what: str, point: PointMm, reach_mm: float) -> str:
    """Say where something lies outside the image, and whether turning x and y over (RAS for LPS) would bring it in."""
    x, y, z = point
    message = f"{what} at ({x:.1f}, {y:.1f}, {z:.1f}) mm lies {reach_mm:.1f} mm outside the image, which spans "
    message += f"{span_text(grid)} mm."
    if point_reach_mm(grid, (-x, -y, z)) == 0.0:
        message += " With the signs of x and y turned over (RAS instead of LPS) it would lie inside."
    return message


def edge_rejection(grid: Grid, what: str, subject: str, box: Box | None, centre_mm: PointMm) -> Rejection | None:
    """Return why a shape does not lie in the image, or that it passes the edge, or None.

    ``label-outside-image`` if its middle lies outside; ``passes-edge`` (a remark) if a box reaches more than a voxel
    beyond it: a box around a ball at the end of a scan does. ``what`` says what lies there.
    """
    reach = point_reach_mm(grid, centre_mm)
    if reach:
        return Rejection(
            "label-outside-image", outside_message(grid, what[:1].upper() + what[1:], centre_mm, reach), (subject,)
        )
    passed = 0.0 if box is None else box_reach_mm(grid, box)
    if passed > max(grid.spacing_mm):
        message = f"Around {what}, the box reaches {passed:.1f} mm beyond the image; it was taken as it is."
        return Rejection(PASSES_EDGE, message, (subject,))
    return None


def span_text(grid: Grid) -> str:
    """Return between which coordinates (LPS, millimetres) the image's voxel centres lie, in words."""
    last = [size - 1 for size in grid.shape]
    corners = np.array(
        [to_patient(grid, (i * last[0], j * last[1], k * last[2])) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    )
    return ", ".join(
        f"{axis} {low:.1f} to {high:.1f}"
        for axis, low, high in zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=True)
    )


def in_plane_longest_mm(grid: Grid, box: Box) -> float:
    """Return the longer of a box's two sides in the slice, millimetres."""
    first, second = to_index(grid, box.corner_mm), to_index(grid, box.opposite_corner_mm)
    return max(abs(second[axis] - first[axis]) * grid.spacing_mm[axis] for axis in (1, 2))


def images_of_box(image: PlacedSeries, box: Box) -> tuple[str, ...]:
    """Return the images that a box meets, by SOP Instance UID in slice order; see ``images_between``."""
    ends = sorted((to_index(image.grid, box.corner_mm)[0], to_index(image.grid, box.opposite_corner_mm)[0]))
    return images_between(ends[0], ends[1], image)


def images_between(first: float, last: float, image: PlacedSeries) -> tuple[str, ...]:
    """Return the images whose planes lie between two slice indices, the nearest one where there is none."""
    count = image.grid.shape[0]
    low, high = max(0, int(np.ceil(first - EDGE_TOLERANCE))), min(count - 1, int(np.floor(last + EDGE_TOLERANCE)))
    if low > high:
        low = high = min(max(round((first + last) / 2), 0), count - 1)
    return image.sop_instance_uids[low : high + 1]


def _beyond_mm(grid: Grid, low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    edge = np.array(grid.shape, dtype=np.float64) - 0.5
    beyond = np.maximum(np.maximum(-0.5 - low, high - edge), 0.0)
    beyond[beyond < EDGE_TOLERANCE] = 0.0
    return float((beyond * np.array(grid.spacing_mm)).max())


def _cost(grid: Grid, given: Sequence[Sequence[float]], held: Sequence[PointMm]) -> RoundTrip:
    back = np.array([to_index(grid, point) for point in held])
    moved = np.abs(back - np.array(given))
    return RoundTrip(float(moved.max()), float((moved * np.array(grid.spacing_mm)).max()))


def _triple(values: NDArray[np.float64]) -> PointMm:
    return (float(values[0]), float(values[1]), float(values[2]))
