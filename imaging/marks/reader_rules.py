"""Rules that hold one reader's mark against the other readers' of the same place.

LIDC asked for no consensus, so what these find are questions. They speak only where at least two others say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from imaging.marks.contours import longest_extent
from imaging.marks.relations import counted, met_by, outlines_met, readers_in_words, slices_between
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature
from imaging.types import Category

SURELY_3_MM_PIXELS = 8.0
"""Eight pixels are more than 3 mm across from 0.4 mm a pixel on, finer than chest CT is reconstructed as a rule."""


_CATEGORY_AGAINST_OTHERS = Kind(
    name="category_against_others",
    version="1",
    title="Nodule or not: against the others",
    nature=Nature.AGAINST_OTHERS,
    measures="how many other readers who marked the place are of the other opinion, and how many of this one's",
    basis="reasoned: 0.35 for two against one, 0.55 for three; nothing where anyone else shares the opinion",
)


@dataclass(frozen=True, slots=True)
class CategoryAgainstOthers:
    """A reader says non-nodule where others say nodule, or the other way round."""

    kind: Kind = _CATEGORY_AGAINST_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark that stands alone against at least two."""
        for mark in scan.marks:
            says_nodule = mark.category.is_nodule
            against: list[int] = []
            alike: list[int] = []
            for reader, met in met_by(mark=mark, scan=scan).items():
                same = any(other.category.is_nodule == says_nodule for other, _ in met)
                (alike if same else against).append(reader)
            if len(against) < 2 or alike:
                continue
            opinion = "non-nodule" if says_nodule else "nodule"
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=mark.middle.place,
                strength=0.35 if len(against) == 2 else 0.55,
                reason=f"This mark says {mark.category.value}; {readers_in_words(against)} marked the place as "
                f"{opinion}.",
                features={"readers_against": len(against), "readers_alike": len(alike)},
                others=tuple(sorted(against)),
            )


_SIZE_CLASS_AGAINST_OTHERS = Kind(
    name="size_class_against_others",
    version="1",
    title="Above or below 3 mm: against the others",
    nature=Nature.AGAINST_OTHERS,
    measures="at least two other readers' size class for the nodule against this one's, nobody alike, and the "
    "longest extent in the plane of the outlines there (pixels; their size in mm is not known here)",
    basis="reasoned: 0.3 for two and 0.45 for three others, as much again by half where the outlines leave no doubt: "
    "eight pixels and more against a point",
)


@dataclass(frozen=True, slots=True)
class SizeClassAgainstOthers:
    """A reader puts a nodule on the other side of 3 mm than all others who marked it."""

    kind: Kind = _SIZE_CLASS_AGAINST_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such nodule."""
        for mark in scan.marks:
            if not mark.category.is_nodule:
                continue
            against: list[int] = []
            alike: list[int] = []
            outlines: list[Mark] = []
            for reader, met in met_by(mark=mark, scan=scan).items():
                nodules = [other for other, _ in met if other.category.is_nodule]
                if not nodules:
                    continue
                (alike if any(other.category is mark.category for other in nodules) else against).append(reader)
                outlines += [other for other in nodules if other.outlined]
            if len(against) < 2 or alike:
                continue
            extents = [in_plane_extent(other) for other in outlines]
            extent = in_plane_extent(mark) if mark.outlined else median(extents)
            strength = 0.3 if len(against) == 2 else 0.45
            if not mark.outlined and min(extents) >= SURELY_3_MM_PIXELS:
                strength *= 1.5
            other_class = Category.NODULE_LT_3MM if mark.outlined else Category.NODULE_GE_3MM
            whose = "Its outline is" if mark.outlined else "Their outlines are"
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=mark.middle.place,
                strength=strength,
                reason=f"This mark says {mark.category.value}; {readers_in_words(against)} said {other_class.value}. "
                f"{whose} {extent:.0f} pixels across.",
                features={"readers_against": len(against), "extent_pixels": extent},
                others=tuple(sorted(against)),
            )


_SLICES_AGAINST_OTHERS = Kind(
    name="slices_against_others",
    version="1",
    title="Ends before, or goes beyond, the others",
    nature=Nature.AGAINST_OTHERS,
    measures="at either end, by how many slices at least two other readers' outlines all go further, or all stop "
    "before, and that as a share of the others' usual number of slices; it fires from two slices and a third on",
    basis="reasoned: a slice of difference at an end is usual; 0.3 at a third of the others' slices, to 0.8 at all of "
    "them",
)


@dataclass(frozen=True, slots=True)
class SlicesAgainstOthers:
    """An outline that ends slices before, or goes on slices beyond, every other reader's."""

    kind: Kind = _SLICES_AGAINST_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark, over both its ends."""
        if scan.step_mm is None:
            return
        for mark in scan.marks:
            if not mark.outlined:
                continue
            others = {
                reader: marks
                for reader, marks in outlines_met(mark=mark, scan=scan).items()
                # Two outlines of another reader would be measured as one.
                if len(marks) == 1
            }
            if len(others) < 2:
                continue
            issue = self._issue(mark, {reader: marks[0] for reader, marks in others.items()}, scan)
            if issue is not None:
                yield issue

    def _issue(self, mark: Mark, others: Mapping[int, Mark], scan: MarkedScan) -> MarkIssue | None:
        low, high = min(mark.planes), max(mark.planes)
        lows = [min(other.planes) for other in others.values()]
        highs = [max(other.planes) for other in others.values()]
        usual = median(
            slices_between(scan=scan, low_mm=begin, high_mm=end) + 1 for begin, end in zip(lows, highs, strict=True)
        )

        def steps(value: float) -> int:
            return slices_between(scan=scan, low_mm=0.0, high_mm=max(0.0, value))

        short = steps(low - max(lows)) + steps(min(highs) - high)
        beyond = steps(min(lows) - low) + steps(high - max(highs))
        most = max(short, beyond)
        share = most / usual
        if most < 2 or share < 1 / 3:
            return None
        if short >= beyond:
            upper = min(highs) - high >= low - max(lows)
            place = mark.contour_at(high if upper else low).place
            said = f"ends {counted(short, 'slice')} before every one of them"
        else:
            upper = high - max(highs) >= min(lows) - low
            place = mark.contour_at(high if upper else low).place
            said = f"goes {counted(beyond, 'slice')} beyond all of them"
        own = slices_between(scan=scan, low_mm=low, high_mm=high) + 1
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=place,
            strength=min(0.8, 0.3 + 0.75 * (share - 1 / 3)),
            reason=f"The outline spans {counted(own, 'slice')}; the median of {readers_in_words(list(others))} is "
            f"{usual:g}. Counting both ends, it {said}.",
            features={"slices_short": short, "slices_beyond": beyond, "share_of_usual": share, "readers": len(others)},
            others=tuple(sorted(others)),
        )


_SLICE_OFF_THE_OTHERS = Kind(
    name="slice_off_the_others",
    version="1",
    title="One slice lies beside the others' outlines",
    nature=Nature.AGAINST_OTHERS,
    measures="slices on which at least two other readers' outlines of the nodule overlap each other, and this one, "
    "which meets them elsewhere, overlaps none of them",
    basis="reasoned: 0.75 where the others agree in the plane and this contour shares no pixel with them",
)


@dataclass(frozen=True, slots=True)
class SliceOffTheOthers:
    """On one slice the outline lies beside the others', whom it meets on other slices."""

    kind: Kind = _SLICE_OFF_THE_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark, at the first such slice."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            met = outlines_met(mark=mark, scan=scan)
            off = []
            for z, plane in mark.planes.items():
                there = [
                    frozenset[tuple[int, int]]().union(*(one.planes[z] for one in marks if z in one.planes))
                    for marks in met.values()
                ]
                there = [one for one in there if one]
                if len(there) >= 2 and frozenset.intersection(*there) and not any(plane & one for one in there):
                    off.append(z)
            if off:
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=mark.reader,
                    marks=(mark.number,),
                    place=mark.contour_at(off[0]).place,
                    strength=0.75,
                    reason=f"On {counted(len(off), 'slice')} this contour shares no pixel with "
                    f"{readers_in_words(list(met))}, whose outlines overlap each other there.",
                    features={"slices_off": len(off), "readers": len(met)},
                    others=tuple(sorted(met)),
                )


_EXTENT_AGAINST_OTHERS = Kind(
    name="extent_against_others",
    version="1",
    title="Several times larger or smaller than the others",
    nature=Nature.AGAINST_OTHERS,
    measures="pixels of the outline on all slices together over the median of at least two others' who lie within "
    "a factor of two of each other; it fires from a factor of three on",
    basis="reasoned: 0.35 at a factor of three, 0.1 more for each doubling by half, at most 0.8",
)


@dataclass(frozen=True, slots=True)
class ExtentAgainstOthers:
    """An outline that holds several times as much, or as little, as the others' of the same nodule."""

    kind: Kind = _EXTENT_AGAINST_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such outline."""
        for mark in scan.marks:
            if not mark.outlined or not mark.pixels:
                continue
            held = {
                reader: sum(one.pixels for one in marks) for reader, marks in outlines_met(mark=mark, scan=scan).items()
            }
            if len(held) < 2 or min(held.values()) == 0 or max(held.values()) > 2 * min(held.values()):
                continue
            usual = median(held.values())
            factor = max(mark.pixels / usual, usual / mark.pixels)
            if factor < 3:
                continue
            larger = mark.pixels > usual
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=mark.middle.place,
                strength=min(0.8, 0.35 + 0.1 * math.log(factor / 3, 1.5)),
                reason=f"Over all slices the outline holds {mark.pixels} pixels, {factor:.1f} times "
                f"{'more' if larger else 'less'} than {readers_in_words(list(held))} ({usual:.0f} in the median).",
                features={"pixels": mark.pixels, "others_pixels": usual, "factor": factor, "readers": len(held)},
                others=tuple(sorted(held)),
            )


_IDENTICAL_OUTLINES = Kind(
    name="identical_outlines",
    version="1",
    title="Identical to another reader's outline",
    nature=Nature.AGAINST_OTHERS,
    measures="contours of one nodule on one image with the same twelve points or more in two readers' marks, as a "
    "share of the slices of the mark",
    basis="reasoned: two hands do not draw the same chain of twelve pixels; 0.5 for one slice, to 0.95 for all",
)


@dataclass(frozen=True, slots=True)
class IdenticalOutlines:
    """Two readers' contours that agree pixel for pixel: perhaps one was copied, or a session entered twice."""

    kind: Kind = _IDENTICAL_OUTLINES

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each pair of marks, with the later reader as the one who is asked."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            mine = _chains(mark)
            for reader, marks in sorted(outlines_met(mark=mark, scan=scan).items()):
                for other in marks:
                    same = mine.keys() & _chains(other).keys()
                    if reader > mark.reader or not same:
                        continue
                    share = len(same) / len(mark.planes)
                    yield MarkIssue(
                        kind=self.kind.name,
                        kind_version=self.kind.version,
                        reader=mark.reader,
                        marks=(mark.number,),
                        place=mark.contours[min(mine[one] for one in same)].place,
                        strength=0.5 + 0.45 * share,
                        reason=f"On {len(same)} of {counted(len(mark.planes), 'slice')} the contour is pixel for pixel "
                        f"that of reader {reader}.",
                        features={"identical_slices": len(same), "share": share},
                        others=(reader,),
                    )


_EMPTY_READING = Kind(
    name="empty_reading",
    version="1",
    title="No mark at all where all others outlined a nodule",
    nature=Nature.AGAINST_OTHERS,
    measures="sessions without any mark, and how many nodules all other readers (two or more) outlined",
    basis="reasoned: 0.5 for one such nodule, 0.1 more for each further one, at most 0.9; a session may not have "
    "been saved, or the scan read in another way",
)


@dataclass(frozen=True, slots=True)
class EmptyReading:
    """A reader without any mark where all others outlined the same nodule."""

    kind: Kind = _EMPTY_READING

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such session."""
        for reader in range(1, scan.readers + 1):
            if scan.of(reader) or scan.readers < 3:
                continue
            first = next(number for number in range(1, scan.readers + 1) if number != reader)
            shared = [
                mark
                for mark in scan.of(first)
                if mark.outlined and len(outlines_met(mark=mark, scan=scan)) == scan.readers - 2
            ]
            if shared:
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=reader,
                    marks=(),
                    place=shared[0].middle.place,
                    strength=min(0.9, 0.4 + 0.1 * len(shared)),
                    reason=f"This session holds no mark; all other readers outlined the same "
                    f"{counted(len(shared), 'nodule')}. Was it saved?",
                    features={"nodules_of_all_others": len(shared)},
                    others=tuple(number for number in range(1, scan.readers + 1) if number != reader),
                )


def in_plane_extent(mark: Mark) -> float:
    """Return a mark's longest extent in any one slice, in pixels."""
    return max((longest_extent(plane) for plane in mark.planes.values()), default=0.0)


def _chains(mark: Mark) -> dict[tuple[str, frozenset[tuple[int, int]]], int]:
    return {
        (one.sop_instance_uid, frozenset(one.points)): number
        for number, one in enumerate(mark.contours)
        if len(set(one.points)) >= 12
    }
