"""Geometry of pixel contours as LIDC readers drew them: chains of neighbouring pixels that come back to their start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from imaging.marks.types import Pixel
from imaging.masks.polygons import polygon_interior


@dataclass(frozen=True, slots=True)
class Jump:
    """Two consecutive points of a contour that are no neighbours. ``closing``: from the last back to the first."""

    start: Pixel
    end: Pixel
    closing: bool

    @property
    def pixels(self) -> int:
        """How many steps of one pixel, diagonal ones among them, lie between them."""
        return max(abs(self.end[0] - self.start[0]), abs(self.end[1] - self.start[1]))


@dataclass(frozen=True, slots=True)
class Loop:
    """A part of a contour that returns to a pixel where it has been. ``area``: signed, in square pixels, by Gauss."""

    area: float
    pixels: tuple[Pixel, ...]


def enclosed(points: Sequence[Pixel]) -> frozenset[Pixel]:
    """Return the pixels strictly within a contour; its own do not belong (Armato et al., Med Phys 38:915, 2011).

    The same pixels as ``masks.polygons.polygon_interior`` gives; chains of neighbours, nearly all contours, go a
    shorter way.
    """
    if len(points) < 3:
        return frozenset()
    chain = np.array(points, dtype=np.int64)
    steps = np.roll(chain, -1, axis=0) - chain
    if np.abs(steps).max() > 1:
        inside, (top, left) = polygon_interior(vertices=[(y, x) for x, y in points])
    else:
        left, top = (int(one) for one in chain.min(axis=0))
        inside = _within_chain(chain - (left, top), steps[:, 1])
    rows, columns = np.nonzero(inside)
    return frozenset(zip((columns + left).tolist(), (rows + top).tolist(), strict=True))


def jumps(points: Sequence[Pixel]) -> tuple[Jump, ...]:
    """Return where a contour is interrupted: steps of two pixels or more, the step back to its start among them."""
    if len(points) < 2:
        return ()
    steps = [Jump(start, end, closing=False) for start, end in pairwise(points)]
    steps.append(Jump(points[-1], points[0], closing=True))
    return tuple(step for step in steps if step.pixels > 1)


def loops(points: Sequence[Pixel]) -> tuple[Loop, ...]:
    """Return the loops of a closed contour, interruptions bridged: one for a contour that never meets itself.

    A loop is cut out as soon as the contour comes back to a pixel, so that what is left never repeats one.
    """
    walked: list[Pixel] = []
    at: dict[Pixel, int] = {}
    found: list[Loop] = []
    for pixel in _bridged(points):
        if pixel in at:
            begun = at[pixel]
            part = tuple(walked[begun:])
            found.append(Loop(signed_area(part), part))
            for gone in walked[begun + 1 :]:
                del at[gone]
            del walked[begun + 1 :]
        else:
            at[pixel] = len(walked)
            walked.append(pixel)
    return tuple(found)


def signed_area(points: Sequence[Pixel]) -> float:
    """Return the area of a closed polygon through pixel centres; its sign tells which way round it was drawn."""
    return sum(x * v - u * y for (x, y), (u, v) in zip(points, [*points[1:], *points[:1]], strict=True)) / 2


def longest_extent(pixels: Iterable[Pixel]) -> float:
    """Return the longest distance across some pixels, in pixels, outer edge to outer edge; 0 for none."""
    rows: dict[int, tuple[int, int]] = {}
    for x, y in pixels:
        low, high = rows.get(y, (x, x))
        rows[y] = (min(low, x), max(high, x))
    if not rows:
        return 0.0
    ends = np.array([(x, y) for y, pair in rows.items() for x in pair], dtype=np.float64)
    apart = ends[:, None, :] - ends[None, :, :]
    return float(np.sqrt((apart**2).sum(axis=2).max())) + 1.0


def distance(pixels: Iterable[Pixel], x: float, y: float) -> float:
    """Return the distance from a point to the nearest of some pixels, in pixels; infinite for none."""
    nearest = min(((u - x) ** 2 + (v - y) ** 2 for u, v in pixels), default=math.inf)
    return math.sqrt(nearest)


def gap_between(one: frozenset[Pixel], other: frozenset[Pixel]) -> float:
    """Return the shortest distance between two sets of pixels, in pixels; infinite if one is empty."""
    if not one or not other:
        return math.inf
    if not one.isdisjoint(other):
        return 0.0
    first, second = np.array(sorted(one), dtype=np.float64), np.array(sorted(other), dtype=np.float64)
    return float(min(np.sqrt(((second - point) ** 2).sum(axis=1).min()) for point in first))


def _within_chain(chain: NDArray[np.int64], falls: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Winding number by rows: a step down counts where it starts, a step up where it ends, for all pixels right of it.

    ``chain``: (points, 2), (x, y) from 0; ``falls``: (points,), each step's change of y.
    """
    width, height = chain.max(axis=0) + 1
    crossings = np.zeros((height, width), dtype=np.int64)
    ends = np.roll(chain, -1, axis=0)
    down, up = falls > 0, falls < 0
    np.add.at(crossings, (chain[down, 1], chain[down, 0]), 1)
    np.add.at(crossings, (ends[up, 1], ends[up, 0]), -1)
    winding = np.cumsum(crossings, axis=1)
    winding[chain[:, 1], chain[:, 0]] = 0
    inside: NDArray[np.bool_] = winding != 0
    return inside


def _bridged(points: Sequence[Pixel]) -> Iterable[Pixel]:
    """Yield every pixel of the closed contour once a step, the first again at the end."""
    for start, end in zip(points, [*points[1:], *points[:1]], strict=True):
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
        for step in range(steps):
            share = step / steps
            yield (round(start[0] + share * (end[0] - start[0])), round(start[1] + share * (end[1] - start[1])))
    if points:
        yield points[0]
