"""The outlines of a region on one slice as closed polygons that enclose exactly its pixels."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
Vertex = tuple[float, float]


def outlines_of(plane: NDArray[np.bool_]) -> tuple[tuple[Vertex, ...], ...]:
    """Return the closed polygons along the pixel edges of a region, holes as polygons of their own.

    ``plane`` is (rows, columns). Vertices are (row, column) with pixel centres at whole numbers, so that every
    vertex lies at a corner of pixels (halves) and no pixel centre lies on an edge; the last vertex joins the first.
    Whoever takes the pixel centres that lie within an odd number of the polygons (exclusive or) gets the region back,
    voxel for voxel. Pixels that touch at a corner only get polygons of their own, so that none crosses itself.
    """
    following = _edges(plane)
    outlines = []
    while following:
        start = min(following)
        outlines.append(_trace(following, start))
    return tuple(outlines)


def has_hole(plane: NDArray[np.bool_]) -> bool:
    """Tell whether some polygon of ``outlines_of`` goes around a hole."""
    return any(_signed_area(outline) < 0 for outline in outlines_of(plane))


def _edges(plane: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """Edges between inside and outside as corner to corners, the inside always on the right hand (rows go down)."""
    padded = np.pad(plane, 1)
    following: dict[Corner, list[Corner]] = defaultdict(list)
    inside = padded[1:-1, 1:-1]
    for row, column in np.argwhere(inside & ~padded[:-2, 1:-1]).tolist():  # upper edge, to the right
        following[(row, column)].append((row, column + 1))
    for row, column in np.argwhere(inside & ~padded[1:-1, 2:]).tolist():  # right edge, down
        following[(row, column + 1)].append((row + 1, column + 1))
    for row, column in np.argwhere(inside & ~padded[2:, 1:-1]).tolist():  # lower edge, to the left
        following[(row + 1, column + 1)].append((row + 1, column))
    for row, column in np.argwhere(inside & ~padded[1:-1, :-2]).tolist():  # left edge, up
        following[(row + 1, column)].append((row, column))
    return following


def _trace(following: dict[Corner, list[Corner]], start: Corner) -> tuple[Vertex, ...]:
    """Follow edges from ``start`` until it closes, taking them out; straight runs become one edge."""
    corners = [start]
    heading = (0, 0)
    while True:
        here = corners[-1]
        choices = following[here]
        # Where two pixels touch at a corner, a turn to the right stays with the pixel that is being followed.
        right = (heading[1], -heading[0])
        wanted = (here[0] + right[0], here[1] + right[1])
        there = wanted if wanted in choices else choices[0]
        choices.remove(there)
        if not choices:
            del following[here]
        step = (there[0] - here[0], there[1] - here[1])
        if step == heading:
            corners[-1] = there
        else:
            corners.append(there)
        heading = step
        if there == start:
            break
    corners.pop()
    if len(corners) > 2 and _in_line(corners[-1], corners[0], corners[1]):
        corners.pop(0)
    return tuple((row - 0.5, column - 0.5) for row, column in corners)


def _in_line(one: Corner, two: Corner, three: Corner) -> bool:
    return one[0] == two[0] == three[0] or one[1] == two[1] == three[1]


def _signed_area(outline: tuple[Vertex, ...]) -> float:
    """Positive where the inside lies on the right hand, rows going down; negative around a hole."""
    points = np.array(outline)
    following = np.roll(points, -1, axis=0)
    return float(np.sum(points[:, 1] * following[:, 0] - following[:, 1] * points[:, 0])) / 2.0
