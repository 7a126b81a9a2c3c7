"""What a model found of what was there: the table that belongs beside every "nothing found".

A bundle carries it in its metadata under ``detectability``: counts by size, kind and slice step, from scans whose
nodules are known, at one operating point. Counts, not rates: three of three is not the same as ninety of ninety.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_STATED = "What the model misses has not been stated with its bundle: that it found nothing says little."
_JUDGED = re.compile(r"(?P<low>[\d.]+)-(?P<high>[\d.]+) mm, (?P<kind>[^,]+), (?P<step>[\d.]+) mm")
_SHARE = re.compile(r"(?P<found>\d+)/(?P<of>\d+)")


@dataclass(frozen=True, slots=True)
class Cell:
    """How many nodules of one size, kind and slice step were found. ``diameter_mm``: lower bound, upper excluded."""

    diameter_mm: tuple[float, float]
    kind: str
    slice_step_mm: float
    found: int
    of: int


@dataclass(frozen=True, slots=True)
class Detectability:
    """The whole table. ``source``: what was judged, in words. ``false_per_scan``: of the operating point."""

    source: str
    false_per_scan: float
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line for people: a kind of nodule at one size, found of there. ``found`` and ``of`` may be summed counts."""

    kind: str
    diameter_mm: tuple[float, float]
    found: int
    of: int

    @property
    def size(self) -> str:
        """The size in words: "4 to 6 mm"."""
        return f"{self.diameter_mm[0]:g} to {self.diameter_mm[1]:g} mm"


def read_detectability(content: object) -> Detectability | None:
    """Return what a bundle's metadata state, None where they state nothing. Raises ValueError if not understood."""
    if content is None:
        return None
    if not isinstance(content, Mapping):
        raise ValueError("detectability is not an object")
    cells = []
    for one in content["cells"]:
        low, high = one["diameter_mm"]
        cell = Cell(
            diameter_mm=(float(low), float(high)),
            kind=str(one["kind"]),
            slice_step_mm=float(one["slice_step_mm"]),
            found=int(one["found"]),
            of=int(one["of"]),
        )
        if not (0 <= cell.found <= cell.of and 0.0 <= cell.diameter_mm[0] < cell.diameter_mm[1]):
            raise ValueError("detectability: a cell finds more than there was, or has no size")
        cells.append(cell)
    return Detectability(str(content["source"]), float(content["false_per_scan"]), tuple(cells))


def detectability_content(
    *, judged: Mapping[str, str], source: str, false_per_scan: float
) -> dict[str, str | float | list[dict[str, object]]]:
    """Return a judgement's shares ("4-6 mm, solid, 1.25 mm": "7/8") as a bundle's metadata hold them.

    What has no size class of its own ("over 30 mm") is left out. Raises ValueError for a share that is none.
    """
    cells: list[dict[str, object]] = []
    for name, share in judged.items():
        place, counts = _JUDGED.fullmatch(name), _SHARE.fullmatch(share)
        if counts is None:
            raise ValueError(f"{share!r} is no share")
        if place is not None and int(counts["of"]):
            cells.append(
                {
                    "diameter_mm": [float(place["low"]), float(place["high"])],
                    "kind": place["kind"],
                    "slice_step_mm": float(place["step"]),
                    "found": int(counts["found"]),
                    "of": int(counts["of"]),
                }
            )
    return {"source": source, "false_per_scan": false_per_scan, "cells": cells}


def rows_at(*, detectability: Detectability, slice_step_mm: float) -> tuple[float, tuple[Row, ...]]:
    """Return the slice step of the table that is nearest to a scan's, and its rows by kind and size.

    Of two equally near steps the thicker is taken, which flatters less.
    """
    steps = sorted({cell.slice_step_mm for cell in detectability.cells}, reverse=True)
    if not steps:
        return slice_step_mm, ()
    nearest = min(steps, key=lambda step: abs(step - slice_step_mm))
    cells = [cell for cell in detectability.cells if cell.slice_step_mm == nearest]
    return nearest, _summed(cells)


def rows_over_all(detectability: Detectability) -> tuple[Row, ...]:
    """Return the rows by kind and size, all slice steps taken together."""
    return _summed(detectability.cells)


def silence_in_words(*, detectability: Detectability | None, slice_step_mm: float | None) -> str:
    """Return in plain words what it means that the model found nothing, on a scan of a slice step or on any.

    By size over all kinds, smallest first; the table itself has the kinds.
    """
    if detectability is None or not detectability.cells:
        return NOT_STATED
    if slice_step_mm is None:
        rows, where = rows_over_all(detectability), ""
    else:
        step, rows = rows_at(detectability=detectability, slice_step_mm=slice_step_mm)
        where = f" at a slice step of {step:g} mm"
    sizes = sorted({row.diameter_mm for row in rows})
    shares = [(size, [row for row in rows if row.diameter_mm == size]) for size in sizes]
    told = [
        f"{sum(row.found for row in of_size)} of {sum(row.of for row in of_size)} nodules of {of_size[0].size}"
        for _, of_size in shares
    ]
    return (
        f"Where it reports nothing, there may still be something: on {detectability.source}{where}, at "
        f"{detectability.false_per_scan:g} false candidate{'' if detectability.false_per_scan == 1 else 's'} a scan, "
        f"it found {_listed(told)}."
    )


def _summed(cells: Sequence[Cell]) -> tuple[Row, ...]:
    groups = sorted({(cell.kind, cell.diameter_mm) for cell in cells})
    rows = []
    for kind, size in groups:
        own = [cell for cell in cells if (cell.kind, cell.diameter_mm) == (kind, size)]
        rows.append(Row(kind, size, sum(cell.found for cell in own), sum(cell.of for cell in own)))
    return tuple(rows)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
