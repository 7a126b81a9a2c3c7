"""Which marks lie at one place: measured in pixels in the plane and in slices along the patient.

Without an image there is no pixel spacing, so the reaches below are pixels. A pixel of a chest CT is some 0.5 to 1 mm
wide, so six pixels are 3 to 6 mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from imaging.marks.contours import distance
from imaging.marks.types import Mark, MarkedScan

POINT_REACH_PIXELS = 6.0
"""Two points nearer than this, on one slice or neighbouring ones, may mean one lesion."""

OUTLINE_REACH_PIXELS = 2.0
"""A point nearer than this to what an outline holds is meant inside it: points are set by hand at a middle."""

FALLBACK_STEP_MM = 2.0
"""Where no outline shows the slice step."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How two marks meet. ``pixels``: distance in the plane, 0 where they overlap; ``slices``: along the patient.

    ``share``: of two outlines, overlapping pixels as a share of the smaller one; None where one is a point.
    """

    pixels: float
    slices: float
    share: float | None


def step_of(scan: MarkedScan) -> float:
    """Return the slice step of a scan in mm, or what is taken for it."""
    return scan.step_mm or FALLBACK_STEP_MM


def slices_between(*, scan: MarkedScan, low_mm: float, high_mm: float) -> int:
    """Return how many slice steps lie between two z positions."""
    return round(abs(high_mm - low_mm) / step_of(scan))


def meeting(*, one: Mark, other: Mark, scan: MarkedScan) -> Meeting | None:
    """Return how two marks of a scan meet, None where they do not.

    Outlines meet where they share a pixel, a point and an outline within ``OUTLINE_REACH_PIXELS``, points within
    ``POINT_REACH_PIXELS``; a point reaches one slice up and down.
    """
    return _meetings(scan).get(one, {}).get(other)


def met_by(*, mark: Mark, scan: MarkedScan) -> dict[int, list[tuple[Mark, Meeting]]]:
    """Return the marks of each other reader that meet a mark, by reader, in the order of the file."""
    found: dict[int, list[tuple[Mark, Meeting]]] = {}
    for other, met in _meetings(scan).get(mark, {}).items():
        if other.reader != mark.reader:
            found.setdefault(other.reader, []).append((other, met))
    return found


def outlines_met(*, mark: Mark, scan: MarkedScan) -> dict[int, list[Mark]]:
    """Return the outlines of each other reader that meet a mark, by reader."""
    met = met_by(mark=mark, scan=scan)
    found = {reader: [other for other, _ in marks if other.outlined] for reader, marks in met.items()}
    return {reader: marks for reader, marks in found.items() if marks}


def readers_in_words(readers: Sequence[int]) -> str:
    """Return "reader 2", "readers 1 and 3", "readers 1, 2 and 4"."""
    numbers = [str(one) for one in sorted(set(readers))]
    if len(numbers) == 1:
        return f"reader {numbers[0]}"
    return f"readers {', '.join(numbers[:-1])} and {numbers[-1]}"


def counted(number: int, noun: str) -> str:
    """Return "1 slice", "3 slices"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# Every rule asks about the same pairs. Scans are compared by identity, and one is judged at a time.
@lru_cache(maxsize=2)
def _meetings(scan: MarkedScan) -> dict[Mark, dict[Mark, Meeting]]:
    found: dict[Mark, dict[Mark, Meeting]] = {mark: {} for mark in scan.marks}
    for one in scan.marks:
        for other in scan.marks:
            if one is other:
                continue
            met = found[other].get(one) if one in found[other] else _meet(one, other, scan)
            if met is not None:
                found[one][other] = met
    return found


def _meet(one: Mark, other: Mark, scan: MarkedScan) -> Meeting | None:
    if not _near(one, other, scan):
        return None
    if one.outlined and other.outlined:
        shared = sum(len(plane & other.planes[z]) for z, plane in one.planes.items() if z in other.planes)
        return Meeting(0.0, 0.0, shared / max(1, min(one.pixels, other.pixels))) if shared else None
    if one.outlined or other.outlined:
        outline, point = (one, other) if one.outlined else (other, one)
        return _point_and_outline(point, outline, scan)
    return _points(one, other, scan)


def _point_and_outline(point: Mark, outline: Mark, scan: MarkedScan) -> Meeting | None:
    best: Meeting | None = None
    for contour in point.contours:
        x, y = contour.middle
        for z, plane in outline.planes.items():
            slices = abs(z - contour.z_mm) / step_of(scan)
            if slices > 1.5:
                continue
            pixels = distance(plane, x, y)
            found = Meeting(pixels, slices, None)
            if pixels <= OUTLINE_REACH_PIXELS and (best is None or (pixels, slices) < (best.pixels, best.slices)):
                best = found
    return best


def _points(one: Mark, other: Mark, scan: MarkedScan) -> Meeting | None:
    best: Meeting | None = None
    for first in one.contours:
        for second in other.contours:
            slices = abs(first.z_mm - second.z_mm) / step_of(scan)
            pixels = math.dist(first.middle, second.middle)
            if slices > 1.5 or pixels > POINT_REACH_PIXELS:
                continue
            if best is None or (pixels, slices) < (best.pixels, best.slices):
                best = Meeting(pixels, slices, None)
    return best


def _near(one: Mark, other: Mark, scan: MarkedScan) -> bool:
    apart = 1.5 * step_of(scan)
    first, second = one.box, other.box
    return (
        first.left - POINT_REACH_PIXELS <= second.right
        and second.left - POINT_REACH_PIXELS <= first.right
        and first.top - POINT_REACH_PIXELS <= second.bottom
        and second.top - POINT_REACH_PIXELS <= first.bottom
        and first.low_mm - apart <= second.high_mm
        and second.low_mm - apart <= first.high_mm
    )
