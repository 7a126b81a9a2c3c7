"""Rules about one outline over its slices: gaps, parts, doubled contours, slices that do not belong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from imaging.marks.contours import gap_between
from imaging.marks.relations import counted, outlines_met, readers_in_words, slices_between
from imaging.marks.types import Contour, Kind, Mark, MarkedScan, MarkIssue, Nature

_OTHERS = "the other readers' outlines of the place, where there are any, raise or lower it"


_GAP_IN_OUTLINE = Kind(
    name="gap_in_outline",
    version="1",
    title="Outline skips slices in its middle",
    nature=Nature.OWN,
    measures="slice steps between consecutive slices of an outline, less one; whether what it holds above and below "
    "overlaps, and which other readers outlined the skipped slices there",
    basis=f"reasoned: a nodule does not pause (0.8 where above and below overlap, 0.5 where not); {_OTHERS}: to "
    "0.95 where another reader outlined the slice, to 0.3 where all skip it, since the scan may lack it",
)


@dataclass(frozen=True, slots=True)
class GapInOutline:
    """An outline that skips slices in its middle."""

    kind: Kind = _GAP_IN_OUTLINE

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each gap."""
        if scan.step_mm is None:
            return
        for mark in scan.marks:
            if not mark.outlined:
                continue
            for low, high in pairwise(mark.planes):
                missing = slices_between(scan=scan, low_mm=low, high_mm=high) - 1
                if missing > 0:
                    yield self._issue(mark, low, high, missing, scan)

    def _issue(self, mark: Mark, low: float, high: float, missing: int, scan: MarkedScan) -> MarkIssue:
        meets = bool(mark.planes[low] & mark.planes[high])
        others = outlines_met(mark=mark, scan=scan)
        here = [reader for reader, marks in others.items() if any(low < z < high for one in marks for z in one.planes)]
        across = [
            reader
            for reader, marks in others.items()
            if any(min(one.planes) <= low and max(one.planes) >= high for one in marks)
        ]
        if here:
            strength = 0.95 if meets else 0.85
            said = f"{readers_in_words(here).capitalize()} outlined it there."
        elif across:
            strength = 0.3
            said = f"{readers_in_words(across).capitalize()} skipped it too; the scan may lack these slices."
        else:
            strength = 0.8 if meets else 0.5
            said = "No other outline crosses the gap."
        parts = "overlap" if meets else "do not overlap, so they may be two things under one mark"
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=mark.contour_at(low).place,
            strength=strength,
            reason=f"The outline leaves out {counted(missing, 'slice')} between z {low:g} and {high:g} mm. {said} "
            f"The parts above and below {parts}.",
            features={
                "missing_slices": missing,
                "gap_mm": high - low,
                "parts_overlap": float(meets),
                "readers_outlining_the_gap": len(here),
                "readers_skipping_it": len(across),
            },
            others=tuple(sorted(here)),
        )


_SEVERAL_PARTS = Kind(
    name="several_parts",
    version="1",
    title="One mark, several separate parts",
    nature=Nature.OWN,
    measures="parts of one outline that touch neither on a slice nor from slice to slice, contour pixels included; "
    "the distance between the two that lie nearest (pixels), and whether other readers drew one or several",
    basis=f"reasoned: 0.3 for parts a pixel or two apart, which thick slices explain, to 0.75 from ten pixels on; "
    f"{_OTHERS}: 0.9 where another reader marked the parts separately, at most 0.35 where one joined them",
)


@dataclass(frozen=True, slots=True)
class SeveralParts:
    """One outlined nodule that falls into parts which nowhere touch: perhaps several lesions under one mark."""

    kind: Kind = _SEVERAL_PARTS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark in parts."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            parts = parts_of(mark)
            if len(parts) > 1:
                yield self._issue(mark, parts, scan)

    def _issue(self, mark: Mark, parts: list[list[Contour]], scan: MarkedScan) -> MarkIssue:
        smaller = min(parts, key=lambda part: (sum(len(one.region) for one in part), part[0].number))
        rest = [one for part in parts if part is not smaller for one in part]
        away = min(
            gap_between(one.with_edge, other.with_edge)
            for one in smaller
            for other in sorted(rest, key=lambda item: abs(item.z_mm - one.z_mm))[:4]
        )
        separate: list[int] = []
        joined: list[int] = []
        for reader in range(1, scan.readers + 1):
            if reader == mark.reader:
                continue
            touching = [
                {other.number for other in scan.of(reader) if any(_touches(other, one) for one in part)}
                for part in parts
            ]
            if any(first & second for n, first in enumerate(touching) for second in touching[n + 1 :]):
                joined.append(reader)
            elif sum(bool(one) for one in touching) > 1:
                separate.append(reader)
        strength = min(0.75, 0.3 + 0.05 * max(0.0, away - 1.5))
        said = "No other reader's mark tells which."
        if separate:
            strength, said = 0.9, f"{readers_in_words(separate).capitalize()} marked the parts separately."
        elif joined:
            strength = min(0.35, strength)
            said = f"{readers_in_words(joined).capitalize()} drew them as one."
        best = max(smaller, key=lambda one: (len(one.region), -one.number))
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=best.place,
            strength=strength,
            reason=f"This one mark has {len(parts)} parts that nowhere touch, the nearest "
            f"{counted(round(away), 'pixel')} apart: perhaps several lesions, or a contour in the wrong place. {said}",
            features={
                "parts": len(parts),
                "distance_pixels": away,
                "smallest_part_pixels": sum(len(one.region) for one in smaller),
                "readers_separating": len(separate),
                "readers_joining": len(joined),
            },
            others=tuple(separate),
        )


def parts_of(mark: Mark) -> list[list[Contour]]:
    """Return a mark's inclusions that enclose something, grouped by what touches, largest number of contours first.

    Contours of one slice touch with their own pixels or those next to them, contours of consecutive slices of the mark
    where they share a pixel, their own included.
    """
    solid = [one for one in mark.inclusions if one.enclosed]
    zs = sorted({one.z_mm for one in solid})
    after = dict(pairwise(zs))
    group = list(range(len(solid)))

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for n, one in enumerate(solid):
        for m, other in enumerate(solid):
            same = n < m and one.z_mm == other.z_mm and gap_between(one.with_edge, other.with_edge) < 1.5
            next_to = after.get(one.z_mm) == other.z_mm and not one.with_edge.isdisjoint(other.with_edge)
            if same or next_to:
                group[root(m)] = root(n)
    parts: dict[int, list[Contour]] = {}
    for n, one in enumerate(solid):
        parts.setdefault(root(n), []).append(one)
    return sorted(parts.values(), key=lambda part: (-len(part), part[0].number))


def _touches(mark: Mark, contour: Contour) -> bool:
    return any(one.z_mm == contour.z_mm and not one.region.isdisjoint(contour.with_edge) for one in mark.contours)


_DOUBLED_CONTOUR = Kind(
    name="doubled_contour",
    version="1",
    title="Slice outlined twice",
    nature=Nature.OWN,
    measures="pixels that two inclusions of one mark on one image share, as a share of the smaller",
    basis="reasoned: 0.6 for an edge in common, to 0.95 where one lies within the other: only one can be meant",
)


@dataclass(frozen=True, slots=True)
class DoubledContour:
    """Two contours of one nodule on one image that overlap: the slice was outlined twice."""

    kind: Kind = _DOUBLED_CONTOUR

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such pair."""
        for mark in scan.marks:
            for n, one in enumerate(mark.inclusions):
                for other in mark.inclusions[n + 1 :]:
                    if one.sop_instance_uid != other.sop_instance_uid or not mark.outlined:
                        continue
                    shared = len(one.enclosed & other.enclosed)
                    if not shared:
                        continue
                    share = shared / min(len(one.enclosed), len(other.enclosed))
                    yield MarkIssue(
                        kind=self.kind.name,
                        kind_version=self.kind.version,
                        reader=mark.reader,
                        marks=(mark.number,),
                        place=other.place,
                        strength=0.6 + 0.35 * share,
                        reason=f"Two contours of this mark on one image share {counted(shared, 'pixel')}, "
                        f"{share:.0%} of the smaller. One of them may be left from an earlier drawing.",
                        features={"shared_pixels": shared, "share_of_smaller": share},
                    )


_SLICE_UNLIKE_NEIGHBOURS = Kind(
    name="slice_unlike_neighbours",
    version="1",
    title="One slice out of place or size",
    nature=Nature.OWN,
    measures="for a slice between two that overlap each other: the overlap of its pixels with theirs, and the "
    "quotient of its area and the mean of theirs; it fires where nothing overlaps, or beyond a factor of three; "
    "last slices do not count as small neighbours",
    basis=f"reasoned: 0.9 where the contour lies elsewhere; by size from 0.4 at three to 0.8 at eight; {_OTHERS}: "
    "halved where another reader's outline changes alike there",
)


@dataclass(frozen=True, slots=True)
class SliceUnlikeNeighbours:
    """One slice of an outline that is out of place or out of size between its two neighbours."""

    kind: Kind = _SLICE_UNLIKE_NEIGHBOURS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such slice."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            candidates = _unlike_slices(mark, scan)
            for number, (zs, found) in candidates.items():
                # A slice that is too small makes those beside it look too large: the one that differs most is meant.
                beside = [candidates[one][1] for one in (number - 1, number + 1) if one in candidates]
                if all(found > other for other in beside):
                    yield self._issue(mark, zs, found, scan)

    def _issue(
        self, mark: Mark, zs: tuple[float, float, float], found: tuple[float, float], scan: MarkedScan
    ) -> MarkIssue:
        elsewhere, factor = found
        larger = _larger(mark, *zs)
        alike = [
            reader
            for reader, marks in outlines_met(mark=mark, scan=scan).items()
            if any(_changes_alike(one, zs, larger) for one in marks)
        ]
        strength = 0.9 if elsewhere else min(0.8, 0.4 + 0.08 * (factor - 3))
        said = (
            "lies beside the contours above and below, which overlap each other"
            if elsewhere
            else f"is {factor:.1f} times as {'large' if larger else 'small'} as its neighbours' mean"
        )
        tail = f" {readers_in_words(alike).capitalize()} drew a like change." if alike else ""
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=mark.contour_at(zs[1]).place,
            strength=strength / 2 if alike else strength,
            reason=f"The contour of this slice {said}.{tail}",
            features={"elsewhere": elsewhere, "area_factor": factor, "readers_alike": len(alike)},
        )


def _unlike_slices(mark: Mark, scan: MarkedScan) -> dict[int, tuple[tuple[float, float, float], tuple[float, float]]]:
    """Return the slices that differ from both neighbours, by number: their z with the neighbours', and how they do."""
    found: dict[int, tuple[tuple[float, float, float], tuple[float, float]]] = {}
    zs = list(mark.planes)
    for number, (below, z, above) in enumerate(zip(zs, zs[1:], zs[2:], strict=False), start=1):
        if slices_between(scan=scan, low_mm=below, high_mm=above) > 2:
            continue
        unlike = _unlike(mark, below, z, above)
        # Beside the last slice of a nodule, which holds a cap of it, any slice is large.
        capped = _larger(mark, below, z, above) and (number == 1 or number == len(zs) - 2)
        if unlike is not None and (unlike[0] or not capped):
            found[number] = ((below, z, above), unlike)
    return found


def _change(mark: Mark, below: float, z: float, above: float) -> tuple[bool, float] | None:
    """Return whether a slice is larger than its neighbours' mean, and by what factor it differs; None without one."""
    if not all(one in mark.planes and mark.planes[one] for one in (below, z, above)):
        return None
    here = len(mark.planes[z])
    mean = math.sqrt(len(mark.planes[below]) * len(mark.planes[above]))
    return here > mean, max(here / mean, mean / here)


def _larger(mark: Mark, below: float, z: float, above: float) -> bool:
    change = _change(mark, below, z, above)
    return change is not None and change[0]


def _changes_alike(mark: Mark, zs: tuple[float, float, float], larger: bool) -> bool:
    change = _change(mark, *zs)
    return change is not None and change[0] == larger and change[1] >= 2


def _unlike(mark: Mark, below: float, z: float, above: float) -> tuple[float, float] | None:
    change = _change(mark, below, z, above)
    if change is None:
        return None
    lower, here, upper = (mark.planes[one] for one in (below, z, above))
    if not lower & upper:
        return None
    if not here & (lower | upper):
        return 1.0, change[1]
    # A few pixels more or less on a slice of a few pixels are no factor worth a question.
    if change[1] >= 3 and abs(len(here) - math.sqrt(len(lower) * len(upper))) >= 8:
        return 0.0, change[1]
    return None
