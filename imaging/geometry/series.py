"""The geometry of a series without its pixels, which is all that a label reader needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from imaging.types import Grid


class PlacedSeries(Protocol):
    """A series whose slices are placed: a ``Volume``, or a ``SeriesGeometry`` where no pixels are loaded."""

    @property
    def grid(self) -> Grid:
        """The sampling of the series."""

    @property
    def series_instance_uid(self) -> str:
        """The series."""

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """The instances in slice order."""


@dataclass(frozen=True, slots=True)
class SeriesGeometry:
    """What the geometry gate found of an accepted series: its grid, and its instances in slice order."""

    grid: Grid
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
