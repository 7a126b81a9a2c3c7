"""Which of many places lie near another one, told without going through all of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.spatial import KDTree

from imaging.types import PointMm

_ROUNDING = 1.0 + 1e-9


class Places:
    """Places in LPS mm, each with a reach in mm around it, 0 where none is given."""

    def __init__(self, places_mm: Iterable[PointMm], reaches_mm: Sequence[float] | None = None) -> None:
        self._places = np.array(list(places_mm), dtype=np.float64).reshape(-1, 3)
        count = len(self._places)
        self._reaches = np.zeros(count) if reaches_mm is None else np.array(reaches_mm, dtype=np.float64)
        self._farthest = float(self._reaches.max()) if count else 0.0
        self._tree = KDTree(self._places) if count else None

    def within(self, *, place_mm: PointMm, mm: float) -> tuple[int, ...]:
        """Return the numbers of the places whose reach ends no farther than ``mm`` from a place, in their order."""
        if self._tree is None:
            return ()
        found = np.sort(np.array(self._tree.query_ball_point(place_mm, (mm + self._farthest) * _ROUNDING), dtype=int))
        apart = np.linalg.norm(self._places[found] - np.array(place_mm), axis=1)
        return tuple(int(number) for number in found[apart <= self._reaches[found] + mm])

    def nearest(self, *, place_mm: PointMm) -> tuple[int, float]:
        """Return the number of the nearest place, the first of equals, and how far it is. Raises ValueError for none.

        Reaches play no part.
        """
        if self._tree is None:
            raise ValueError("there is no place to be near")
        apart, _ = self._tree.query(place_mm)
        found = np.sort(np.array(self._tree.query_ball_point(place_mm, float(apart) * _ROUNDING), dtype=int))
        exact = np.linalg.norm(self._places[found] - np.array(place_mm), axis=1)
        first = int(np.argmin(exact))
        return int(found[first]), float(exact[first])


class Others:
    """Numbers of which one is taken out at a time, in order to compare it with the rest."""

    def __init__(self, values: Iterable[float]) -> None:
        self._values = sorted(values)

    def __len__(self) -> int:
        return len(self._values)

    def median_without(self, own: float) -> float:
        """Return the median of all values but one that equals ``own``. Raises ValueError where none is left."""
        left = len(self._values) - 1
        if left < 1:
            raise ValueError("there is nothing to compare with")
        out = bisect_left(self._values, own)
        upper = self._without(out, left // 2)
        return upper if left % 2 else (self._without(out, left // 2 - 1) + upper) / 2

    def _without(self, out: int, number: int) -> float:
        return self._values[number + (number >= out)]
