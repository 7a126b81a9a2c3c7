"""Rules about one reader's marks at one place, and about how others parted the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from imaging.marks.relations import (
    Meeting,
    counted,
    meeting,
    outlines_met,
    readers_in_words,
    step_of,
)
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature

_PAIR = "two marks of one reader: how they overlap (share of the smaller), or their distance (pixels, slices)"
_NEAR = (
    "reasoned: 0.95 where one lies in the other or both on one pixel, falling to 0.35 at six pixels, less a quarter "
    "on neighbouring slices; 0.4 of that where another reader also made two marks there"
)


_MARKED_TWICE = Kind(
    name="marked_twice",
    version="1",
    title="One lesion marked twice",
    nature=Nature.OWN,
    measures=f"{_PAIR}, where both are of one category",
    basis=_NEAR,
)


@dataclass(frozen=True, slots=True)
class MarkedTwice:
    """Two marks of one category by one reader that meet: perhaps one lesion."""

    kind: Kind = _MARKED_TWICE

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each pair."""
        for one, other, met in _pairs(scan):
            if one.category is other.category:
                yield _pair_issue(self.kind, one, other, met, scan, "both")


_TWO_CATEGORIES = Kind(
    name="two_categories",
    version="1",
    title="One place in two categories",
    nature=Nature.OWN,
    measures=f"{_PAIR}, where their categories differ",
    basis=_NEAR,
)


@dataclass(frozen=True, slots=True)
class TwoCategories:
    """Two marks of one reader at one place in two categories: at most one can be meant."""

    kind: Kind = _TWO_CATEGORIES

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each pair."""
        for one, other, met in _pairs(scan):
            if one.category is not other.category:
                yield _pair_issue(self.kind, one, other, met, scan, "one place")


_STACKED_OUTLINES = Kind(
    name="stacked_outlines",
    version="1",
    title="One nodule cut in two between slices",
    nature=Nature.OWN,
    measures="two outlines of one reader on disjoint runs of slices, at most two slice steps apart, whose facing "
    "contours overlap in the plane; which other readers drew through",
    basis="reasoned: 0.6; 0.95 where another reader's one outline meets both, 0.3 where others also drew two",
)


@dataclass(frozen=True, slots=True)
class StackedOutlines:
    """Two outlines of one reader, one ending where the other begins: one nodule cut in two along the slices."""

    kind: Kind = _STACKED_OUTLINES

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each pair."""
        for reader in range(1, scan.readers + 1):
            outlines = [mark for mark in scan.of(reader) if mark.outlined]
            for one, other in combinations(outlines, 2):
                lower, upper = sorted((one, other), key=lambda mark: min(mark.planes))
                end, begin = max(lower.planes), min(upper.planes)
                if not 0 < begin - end <= 2.5 * step_of(scan) or not lower.planes[end] & upper.planes[begin]:
                    continue
                through, two = _other_ways(lower, upper, scan)
                strength = 0.95 if through else 0.3 if two else 0.6
                said = f" {readers_in_words(through).capitalize()} drew through." if through else ""
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=reader,
                    marks=(lower.number, upper.number),
                    place=lower.contour_at(end).place,
                    strength=strength,
                    reason=f"One outline ends at z {end:g} mm and another begins at z {begin:g} mm over the same "
                    f"pixels: perhaps one nodule under two marks.{said}",
                    features={"apart_mm": begin - end, "readers_through": len(through), "readers_with_two": len(two)},
                    others=tuple(through),
                )


_JOINED_OR_SPLIT = Kind(
    name="joined_or_split",
    version="1",
    title="One outline where others drew two",
    nature=Nature.AGAINST_OTHERS,
    measures="an outline that holds at least three tenths of each of two outlines of another reader, and how many "
    "readers drew one and how many two",
    basis="reasoned: the share of the readers with two among those who outlined the place, at most 0.75; which of "
    "them is right cannot be told from the marks",
)


@dataclass(frozen=True, slots=True)
class JoinedOrSplit:
    """One reader's single outline covers what others outlined as two."""

    kind: Kind = _JOINED_OR_SPLIT

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each outline that stands against at least one reader with two."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            met = outlines_met(mark=mark, scan=scan)
            two = [reader for reader, marks in met.items() if len(_held(mark, marks)) > 1]
            if not two:
                continue
            strength = min(0.75, len(two) / (len(met) + 1) + 0.1)
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=mark.middle.place,
                strength=strength,
                reason=f"This one outline covers what {readers_in_words(two)} outlined as several nodules.",
                features={"readers_with_several": len(two), "readers_with_outlines": len(met)},
                others=tuple(sorted(two)),
            )


def _held(mark: Mark, others: list[Mark]) -> list[Mark]:
    held = []
    for other in others:
        shared = sum(len(plane & mark.planes[z]) for z, plane in other.planes.items() if z in mark.planes)
        if shared >= 0.3 * other.pixels:
            held.append(other)
    return held


def _pairs(scan: MarkedScan) -> Iterator[tuple[Mark, Mark, Meeting]]:
    for reader in range(1, scan.readers + 1):
        for one, other in combinations(scan.of(reader), 2):
            met = meeting(one=one, other=other, scan=scan)
            if met is not None:
                yield one, other, met


def _pair_issue(kind: Kind, one: Mark, other: Mark, met: Meeting, scan: MarkedScan, said: str) -> MarkIssue:
    strength = (0.95 if met.share is None or met.share > 0.3 else 0.7) - 0.1 * met.pixels
    strength = max(0.35, strength) * (1.0 if met.slices < 0.5 else 0.75)
    alike = _also_twice(one, other, scan)
    if alike:
        strength *= 0.4
    if met.share is not None:
        where = f"share {met.share:.0%} of the smaller outline"
    elif met.slices < 0.5:
        where = (
            "lie on one pixel" if met.pixels < 0.5 else f"lie {counted(round(met.pixels), 'pixel')} apart on one slice"
        )
    else:
        where = f"lie {counted(round(met.pixels), 'pixel')} apart on neighbouring slices"
    what = (
        f"Two marks of this reader, both {one.category.value},"
        if said == "both"
        else f"This reader marked the place as {one.category.value} and as {other.category.value}; the two marks"
    )
    tail = f" {readers_in_words(alike).capitalize()} also made two marks here." if alike else ""
    point = next((mark for mark in (other, one) if not mark.outlined), min((one, other), key=lambda mark: mark.pixels))
    return MarkIssue(
        kind=kind.name,
        kind_version=kind.version,
        reader=one.reader,
        marks=(one.number, other.number),
        place=point.middle.place,
        strength=strength,
        reason=f"{what} {where}. They may mean one lesion.{tail}",
        features={
            "distance_pixels": met.pixels,
            "slices_apart": met.slices,
            "overlap_share": -1.0 if met.share is None else met.share,
            "readers_alike": len(alike),
        },
    )


def _also_twice(one: Mark, other: Mark, scan: MarkedScan) -> list[int]:
    """Return the other readers who have a mark of their own at each of two marks: two different ones."""
    found = []
    for reader in range(1, scan.readers + 1):
        if reader == one.reader:
            continue
        at_one = {mark.number for mark in scan.of(reader) if meeting(one=one, other=mark, scan=scan)}
        at_other = {mark.number for mark in scan.of(reader) if meeting(one=other, other=mark, scan=scan)}
        if at_one and at_other and len(at_one | at_other) > 1:
            found.append(reader)
    return found


def _other_ways(lower: Mark, upper: Mark, scan: MarkedScan) -> tuple[list[int], list[int]]:
    """Return the readers whose one outline meets both of two outlines, and those who have one for each."""
    through: list[int] = []
    two: list[int] = []
    at_lower, at_upper = outlines_met(mark=lower, scan=scan), outlines_met(mark=upper, scan=scan)
    for reader in sorted(set(at_lower) & set(at_upper)):
        both = {mark.number for mark in at_lower[reader]} & {mark.number for mark in at_upper[reader]}
        (through if both else two).append(reader)
    return through, two
