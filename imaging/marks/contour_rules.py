"""Rules about one contour: strays, interruptions, crossings, and exclusions that exclude nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imaging.marks.contours import Jump, gap_between, jumps, loops
from imaging.marks.relations import counted, slices_between
from imaging.marks.types import Contour, Kind, Mark, MarkedScan, MarkIssue, Nature, Place

_HANDS = "reasoned: a hand that slips leaves what nobody draws on purpose; the less it could be meant, the stronger"


_STRAY_CONTOUR = Kind(
    name="stray_contour",
    version="1",
    title="Stray click or line in an outline",
    nature=Nature.OWN,
    measures=(
        "a contour of an outlined nodule that encloses no pixel: how many points it has, how far it lies from the "
        "nodule's other contours on its slice and the neighbouring ones (pixels), and whether it is the last slice"
    ),
    basis=f"{_HANDS}: a click beside an outline of the same slice more than one at its last slice",
)


@dataclass(frozen=True, slots=True)
class StrayContour:
    """A contour of an outlined nodule that encloses no pixel: a click, or a line drawn to and fro."""

    kind: Kind = _STRAY_CONTOUR

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such contour."""
        for mark in scan.marks:
            if not mark.outlined:
                continue
            for contour in mark.contours:
                # An exclusion of one pixel inside its nodule gives that pixel back; outside, it is another kind.
                if not contour.enclosed and not _astray(mark, contour):
                    yield self._issue(mark, contour, scan)

    def _issue(self, mark: Mark, contour: Contour, scan: MarkedScan) -> MarkIssue:
        others = [
            one
            for one in mark.inclusions
            if one is not contour
            and one.enclosed
            and slices_between(scan=scan, low_mm=one.z_mm, high_mm=contour.z_mm) <= 1
        ]
        away = min((gap_between(contour.region, one.with_edge) for one in others), default=-1.0)
        beside = any(one.z_mm == contour.z_mm for one in others)
        solid = [one.z_mm for one in mark.inclusions if one.enclosed]
        last = not solid or not min(solid) < contour.z_mm < max(solid)
        points = len(set(contour.points))
        what = "a single click" if points == 1 else f"a line of {points} pixels that encloses nothing"
        if not contour.inclusion:
            strength, where = (0.35 if points == 1 else 0.5), "It is an exclusion, so at most these pixels are left out"
        elif beside:
            strength, where = 0.95 if away > 5 else 0.85, "The slice has a contour of its own"
            where += f", {counted(round(away), 'pixel')} away" if away > 1.5 else " that it touches"
        elif last:
            strength = 0.8 if away > 3 else 0.55
            where = "It is the last slice of this outline, where a contour may have been begun and not drawn"
        else:
            strength, where = 0.95, "The outline goes on above and below, so a contour seems to be missing here"
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=contour.place,
            strength=strength,
            reason=f"On this slice the outline holds {what}. {where}.",
            features={"points": points, "distance_pixels": away, "last_slice": float(last), "beside": float(beside)},
        )


_OPEN_CONTOUR = Kind(
    name="open_contour",
    version="1",
    title="Contour interrupted or not closed",
    nature=Nature.OWN,
    measures="the longest step between consecutive points of a contour, the one back to its start among them "
    "(pixels), and its share of the contour's length; steps of two pixels are the drawing tool's and pass",
    basis=f"{_HANDS}: a longer way that nobody drew, and a longer share of the whole, is stronger",
)


@dataclass(frozen=True, slots=True)
class OpenContour:
    """A contour whose points are interrupted: consecutive points that are no neighbours."""

    kind: Kind = _OPEN_CONTOUR

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark with such a contour, at its longest interruption."""
        for mark in scan.marks:
            worst: tuple[Jump, Contour] | None = None
            number = 0
            for contour in mark.contours:
                for jump in jumps(contour.points):
                    if jump.pixels < 3:
                        continue
                    number += 1
                    if worst is None or jump.pixels > worst[0].pixels:
                        worst = jump, contour
            if worst is None:
                continue
            jump, contour = worst
            share = jump.pixels / (len(contour.points) + jump.pixels)
            x, y = (jump.start[0] + jump.end[0]) / 2, (jump.start[1] + jump.end[1]) / 2
            said = "does not come back to its start" if jump.closing else "is interrupted"
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=Place(x, y, contour.z_mm, contour.sop_instance_uid),
                strength=min(0.95, 0.3 + 0.05 * (jump.pixels - 3) + share),
                reason=f"The contour {said}: {jump.pixels} pixels between two consecutive points. "
                "What lies inside there depends on how the gap is closed.",
                features={"jump_pixels": jump.pixels, "share_of_length": share, "interruptions": number},
            )


_CROSSING_CONTOUR = Kind(
    name="crossing_contour",
    version="1",
    title="Contour crosses itself",
    nature=Nature.OWN,
    measures="the area of the smaller loop (square pixels) of a contour that returns to a pixel of its own, where "
    "the loops run opposite ways round, or one lies within the other; a waist of one pixel between two "
    "lobes drawn the same way round passes",
    basis=f"{_HANDS}: a larger loop is stronger, from 0.5 at two square pixels",
)


@dataclass(frozen=True, slots=True)
class CrossingContour:
    """A contour that crosses itself, or goes round a part of itself twice."""

    kind: Kind = _CROSSING_CONTOUR

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark with such a contour, at its largest loop."""
        for mark in scan.marks:
            found = [
                (area, contour, middle)
                for contour in mark.contours
                for area, middle in (_crossing(contour),)
                if area >= 2
            ]
            if not found:
                continue
            area, contour, (x, y) = max(found, key=lambda item: (item[0], -item[1].number))
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=Place(x, y, contour.z_mm, contour.sop_instance_uid),
                strength=min(0.95, 0.45 + 0.025 * area),
                reason=f"The contour crosses itself; the smaller loop holds {area:g} square pixels. "
                "Whether that part belongs to the nodule is not clear.",
                features={"loop_square_pixels": area, "contours": float(len(found))},
            )


def _crossing(contour: Contour) -> tuple[float, tuple[float, float]]:
    """Return the area of the largest loop that crosses or repeats the main one, and its middle; 0 for none."""
    parts = sorted(loops(contour.points), key=lambda loop: -abs(loop.area))
    if not parts:
        return 0.0, (0.0, 0.0)
    main, rest = parts[0], parts[1:]
    within = contour.enclosed
    for loop in rest:
        size = len(loop.pixels)
        nested = sum(pixel in within for pixel in loop.pixels) * 2 > size
        if loop.area * main.area < 0 or nested:
            xs, ys = [x for x, _ in loop.pixels], [y for _, y in loop.pixels]
            return abs(loop.area), (sum(xs) / size, sum(ys) / size)
    return 0.0, (0.0, 0.0)


def _astray(mark: Mark, contour: Contour) -> bool:
    """Return whether a contour is an exclusion of which no pixel lies within an inclusion of its slice."""
    if contour.inclusion:
        return False
    here = (one for one in mark.inclusions if one.z_mm == contour.z_mm)
    return all(contour.with_edge.isdisjoint(one.with_edge) for one in here)


_EXCLUSION_ASTRAY = Kind(
    name="exclusion_astray",
    version="1",
    title="Exclusion without anything to exclude",
    nature=Nature.OWN,
    measures="for a contour marked as not belonging, how many of its pixels lie within the nodule's inclusions of "
    "that slice; it fires where none do",
    basis="reasoned: an exclusion only has a meaning inside an inclusion (0.9); one whose slice has no inclusion at "
    "all may be an inclusion with the wrong sign (0.95)",
)


@dataclass(frozen=True, slots=True)
class ExclusionAstray:
    """An exclusion that leaves nothing out: no inclusion on its slice, or none that it touches."""

    kind: Kind = _EXCLUSION_ASTRAY

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such exclusion."""
        for mark in scan.marks:
            for contour in mark.contours:
                if contour.inclusion:
                    continue
                if not _astray(mark, contour):
                    continue
                here = [one for one in mark.inclusions if one.z_mm == contour.z_mm]
                said = "lies outside every inclusion of its slice" if here else "is the only contour of its slice"
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=mark.reader,
                    marks=(mark.number,),
                    place=contour.place,
                    strength=0.9 if here else 0.95,
                    reason=f"This contour, around {counted(len(contour.enclosed), 'pixel')}, is marked as an exclusion "
                    f"and {said}. It may be meant as part of the nodule, or be left from an earlier drawing.",
                    features={"enclosed_pixels": len(contour.enclosed), "inclusions_here": len(here)},
                )
