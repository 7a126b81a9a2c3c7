"""Rules about a mark's form: too small for its class, several places, ids, and slices that do not name one position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from imaging.marks.reader_rules import in_plane_extent
from imaging.marks.relations import counted
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature

LARGEST_PIXEL_MM = 1.0
"""Wider than a pixel of a chest CT as a rule: below this, a count of pixels bounds a length in mm from above."""

LIDC_IMAGE_PIXELS = 512
"""Rows and columns of LIDC's images; the marks do not say."""


_TOO_SMALL = Kind(
    name="too_small_for_its_class",
    version="1",
    title="Outline too small for 3 mm",
    nature=Nature.OWN,
    measures="the longest extent in any slice of what the outline holds, contour pixels not counted (pixels), "
    "against 3 mm; the pixel spacing is not known here, so it is counted as 1 mm, which is wide, and as 0.7 mm",
    basis="reasoned: 0.8 where even a pixel of 1 mm leaves it below 3 mm, 0.45 where a pixel of 0.7 mm does; less "
    "0.2 where it goes over three slices or more",
)


@dataclass(frozen=True, slots=True)
class TooSmall:
    """A nodule said to be 3 mm or more whose outline cannot hold as much."""

    kind: Kind = _TOO_SMALL

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such outline."""
        for mark in scan.marks:
            if not mark.outlined or not any(one.enclosed for one in mark.inclusions):
                continue
            extent = in_plane_extent(mark)
            if extent * 0.7 >= 3:
                continue
            strength = 0.8 if extent * LARGEST_PIXEL_MM < 3 else 0.45
            slices = len(mark.planes)
            yield MarkIssue(
                kind=self.kind.name,
                kind_version=self.kind.version,
                reader=mark.reader,
                marks=(mark.number,),
                place=mark.middle.place,
                strength=strength - (0.2 if slices >= 3 else 0.0),
                reason=f"This nodule is said to be 3 mm or more; its outline holds {extent:.1f} pixels at the longest, "
                f"on {counted(slices, 'slice')}.",
                features={"extent_pixels": extent, "slices": slices},
            )


_POINT_IN_SEVERAL_PLACES = Kind(
    name="point_in_several_places",
    version="1",
    title="Point mark with several places",
    nature=Nature.OWN,
    measures="how many contours, or different points, a nodule below 3 mm or a non-nodule has; one is asked for",
    basis="reasoned: 0.9; the process asks for one point at the middle",
)


@dataclass(frozen=True, slots=True)
class PointInSeveralPlaces:
    """A mark that is one point by its category and has several."""

    kind: Kind = _POINT_IN_SEVERAL_PLACES

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such mark."""
        for mark in scan.marks:
            points = sum(len(set(contour.points)) for contour in mark.contours)
            if not mark.outlined and points > 1:
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=mark.reader,
                    marks=(mark.number,),
                    place=mark.contours[0].place,
                    strength=0.9,
                    reason=f"A {mark.category.value} is one point; this mark has {points}.",
                    features={"points": points, "contours": len(mark.contours)},
                )


_DUPLICATE_ID = Kind(
    name="duplicate_id",
    version="1",
    title="Two marks under one id",
    nature=Nature.OWN,
    measures="how many marks of a reading have the same id",
    basis="a broken rule: 0.9; ids are how ratings and outlines are kept together",
)


@dataclass(frozen=True, slots=True)
class DuplicateId:
    """Two marks of one reader under one id."""

    kind: Kind = _DUPLICATE_ID

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each id that occurs more than once in a reading."""
        for reader in range(1, scan.readers + 1):
            counts = Counter(mark.source_id for mark in scan.of(reader) if mark.source_id)
            for source_id, number in counts.items():
                if number < 2:
                    continue
                marks = [mark for mark in scan.of(reader) if mark.source_id == source_id]
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=reader,
                    marks=tuple(mark.number for mark in marks),
                    place=marks[-1].middle.place,
                    strength=0.9,
                    reason=f"{number} marks of this reader have one id.",
                    features={"marks": number},
                )


_SLICE_POSITION = Kind(
    name="slice_position",
    version="1",
    title="One image at two positions",
    nature=Nature.OWN,
    measures="z positions (mm) that marks give for one SOP Instance UID",
    basis="a broken rule: 0.9; an image has one position, so the contour belongs elsewhere or the file is damaged",
)


@dataclass(frozen=True, slots=True)
class SlicePosition:
    """An image that a mark places elsewhere along the patient than the other marks on it do."""

    kind: Kind = _SLICE_POSITION

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark whose z differs from what most marks on the image say."""
        said: dict[str, Counter[float]] = {}
        for mark in scan.marks:
            for contour in mark.contours:
                said.setdefault(contour.sop_instance_uid, Counter())[contour.z_mm] += 1
        for mark in scan.marks:
            for contour in mark.contours:
                counts = said[contour.sop_instance_uid]
                usual = min(counts, key=lambda z: (-counts[z], z))
                if len(counts) == 1 or contour.z_mm == usual:
                    continue
                yield MarkIssue(
                    kind=self.kind.name,
                    kind_version=self.kind.version,
                    reader=mark.reader,
                    marks=(mark.number,),
                    place=contour.place,
                    strength=0.9,
                    reason=f"This contour gives z {contour.z_mm:g} mm for an image that other contours place at "
                    f"{usual:g} mm.",
                    features={"z_difference_mm": abs(contour.z_mm - usual)},
                )


_OUTSIDE_THE_IMAGE = Kind(
    name="outside_the_image",
    version="1",
    title="Outside the image",
    nature=Nature.OWN,
    measures=f"points with a negative coordinate, or one beyond {LIDC_IMAGE_PIXELS - 1}, the last of LIDC's images",
    basis="a broken rule: 0.95; it assumes images of 512 by 512 pixels, which the marks do not state",
)


@dataclass(frozen=True, slots=True)
class OutsideTheImage:
    """A contour with pixels that no LIDC image has."""

    kind: Kind = _OUTSIDE_THE_IMAGE

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark with such points."""
        for mark in scan.marks:
            astray = [(contour, _outside(contour.points)) for contour in mark.contours]
            points = sum(number for _, number in astray)
            if points:
                yield self._issue(mark, points, next(contour.number for contour, number in astray if number))

    def _issue(self, mark: Mark, points: int, number: int) -> MarkIssue:
        contour = next(one for one in mark.contours if one.number == number)
        return MarkIssue(
            kind=self.kind.name,
            kind_version=self.kind.version,
            reader=mark.reader,
            marks=(mark.number,),
            place=contour.place,
            strength=0.95,
            reason=f"{counted(points, 'point')} of this mark lie outside an image of 512 by 512 pixels.",
            features={"points_outside": points},
        )


def _outside(points: tuple[tuple[int, int], ...]) -> int:
    return sum(not (0 <= x < LIDC_IMAGE_PIXELS and 0 <= y < LIDC_IMAGE_PIXELS) for x, y in points)
