"""How readers habitually rate nodules of a size, and how far apart they rate one nodule: counted, not reasoned.

Counted over the 968 complete sheets in LIDC's reader files that the project holds (marks without images, so that sizes
are those of balls of the outlines' volume at 0.68 mm a pixel), and over the differences of each such rating from the
median of at least two other readers of the same nodule. They are habits of LIDC's readers: what another project's
readers do differently shows in their own other labels, which the checks look at beside these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MIDDLES_MM = (4.4, 6.3, 9.6, 15.5, 21.8)
"""Median sizes of the groups: below 5 mm, to 8, to 12, to 20, and above."""

COUNTS: Mapping[str, tuple[tuple[int, int, int, int, int], ...]] = {
    "subtlety": (
        (27, 44, 58, 41, 30),
        (19, 28, 137, 131, 57),
        (6, 6, 37, 67, 63),
        (0, 0, 10, 19, 122),
        (0, 0, 4, 0, 62),
    ),
    "sphericity": (
        (2, 18, 50, 62, 68),
        (0, 17, 116, 132, 107),
        (0, 11, 39, 67, 62),
        (0, 10, 53, 50, 38),
        (0, 2, 21, 23, 20),
    ),
    "margin": (
        (5, 14, 35, 46, 100),
        (26, 39, 59, 92, 156),
        (5, 14, 31, 56, 73),
        (1, 11, 34, 63, 42),
        (3, 5, 11, 24, 23),
    ),
    "lobulation": (
        (157, 32, 9, 1, 1),
        (257, 68, 31, 14, 2),
        (87, 42, 19, 22, 9),
        (33, 43, 26, 29, 20),
        (17, 19, 14, 9, 7),
    ),
    "spiculation": (
        (174, 17, 7, 0, 2),
        (279, 56, 20, 12, 5),
        (104, 32, 17, 16, 10),
        (41, 37, 31, 16, 26),
        (21, 10, 9, 6, 20),
    ),
    "texture": (
        (12, 3, 11, 22, 152),
        (19, 18, 27, 61, 247),
        (8, 2, 9, 26, 134),
        (0, 0, 1, 26, 124),
        (0, 0, 2, 9, 55),
    ),
    "malignancy": (
        (53, 69, 75, 3, 0),
        (34, 114, 171, 48, 5),
        (10, 32, 55, 55, 27),
        (2, 12, 26, 34, 77),
        (0, 8, 12, 11, 35),
    ),
}
"""How many sheets give 1 to 5, by group of size. Calcification and internal structure name kinds and are no scales."""

APART: Mapping[str, tuple[float, float, float, float]] = {
    "subtlety": (0.506, 0.129, 0.010, 0.001),
    "sphericity": (0.588, 0.129, 0.007, 0.001),
    "margin": (0.564, 0.180, 0.026, 0.005),
    "lobulation": (0.493, 0.201, 0.048, 0.002),
    "spiculation": (0.390, 0.124, 0.029, 0.008),
    "texture": (0.281, 0.069, 0.017, 0.001),
    "malignancy": (0.549, 0.183, 0.024, 0.001),
}
"""Share of ratings that lie at least 1, 2, 3 and 4 points from the median of at least two other readers."""

INVERTED = ("lobulation", "spiculation")
"""In about a hundred LIDC scans some readers used these two scales backwards (TCIA's notes on the collection)."""

_DOUBT = 1.0
"""Sheets added to every rating of a group: what a few hundred never gave is rare and not impossible."""


def tail_share(*, scale: str, rating: int, diameter_mm: float) -> float:
    """Return how large a share of nodules of that size are rated so far to that side, both sides counted, in (0, 1].

    Between the groups' median sizes shares go over into each other with the logarithm of the size.
    Raises KeyError for a scale that has no habits.
    """
    shares = _shares(COUNTS[scale], diameter_mm)
    low, high = sum(shares[:rating]), sum(shares[rating - 1 :])
    return min(1.0, 2.0 * min(low, high))


def expected_rating(*, scale: str, diameter_mm: float) -> float:
    """Return the mean rating of nodules of that size."""
    return sum(number * share for number, share in enumerate(_shares(COUNTS[scale], diameter_mm), start=1))


def share_apart(*, scale: str, points: float) -> float:
    """Return the share of ratings that lie at least so many points from the other readers' median, 1 for none."""
    known = (1.0, *APART[scale])
    low = min(int(points), len(known) - 1)
    high = min(low + 1, len(known) - 1)
    # Halves come of medians of an even number.
    part = min(points, len(known) - 1) - low
    return math.exp((1 - part) * math.log(known[low]) + part * math.log(known[high]))


def _shares(groups: Sequence[Sequence[int]], diameter_mm: float) -> list[float]:
    place = math.log(min(max(diameter_mm, MIDDLES_MM[0]), MIDDLES_MM[-1]))
    middles = [math.log(one) for one in MIDDLES_MM]
    upper = next(number for number, one in enumerate(middles) if place <= one or number == len(middles) - 1)
    lower = max(upper - 1, 0)
    part = 1.0 if upper == lower else (place - middles[lower]) / (middles[upper] - middles[lower])
    return [
        (1 - part) * below + part * above
        for below, above in zip(_smoothed(groups[lower]), _smoothed(groups[upper]), strict=True)
    ]


def _smoothed(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + _DOUBT * len(counts)
    return [(count + _DOUBT) / total for count in counts]
