"""The vocabulary of a survey of marks: marks with what they enclose, kinds of issue, and issues.

There is no image here, so there is no pixel spacing: lengths in the plane are whole pixels, (x, y) = (column, row),
0-based, as the file gives them; along the patient they are millimetres of ``imageZposition`` and counts of slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from imaging.types import Category

Pixel = tuple[int, int]
"""(x, y): column and row, 0-based."""


class Nature(StrEnum):
    """What a kind of issue rests on. A disagreement between readers is a question, and no error by itself."""

    OWN = "in the reader's own marks"
    AGAINST_OTHERS = "against the other readers"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of issue. ``version`` changes when what fires or how strongly does.

    ``measures`` says what is measured, ``basis`` where the strength comes from. A strength is in [0, 1], higher the
    less an intended mark would look like this; it is reasoned, and no calibrated probability.
    """

    name: str
    version: str
    title: str
    nature: Nature
    measures: str
    basis: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: a pixel of one image."""

    x: float
    y: float
    z_mm: float
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Extent:
    """The pixels and z positions (mm) between which a mark's contours lie, all inclusive."""

    left: int
    right: int
    top: int
    bottom: int
    low_mm: float
    high_mm: float


@dataclass(frozen=True, eq=False)
class Contour:
    """One contour, or one point, on one image. ``enclosed``: pixels strictly within, as the LIDC rule counts them."""

    number: int
    sop_instance_uid: str
    z_mm: float
    inclusion: bool
    points: tuple[Pixel, ...]
    enclosed: frozenset[Pixel]

    @cached_property
    def region(self) -> frozenset[Pixel]:
        """What it encloses; its own pixels where it encloses none."""
        return self.enclosed or frozenset(self.points)

    @cached_property
    def with_edge(self) -> frozenset[Pixel]:
        """What it encloses and its own pixels."""
        return self.enclosed | frozenset(self.points)

    @cached_property
    def middle(self) -> tuple[float, float]:
        """The mean (x, y) of its region."""
        return centre(self.region)

    @property
    def place(self) -> Place:
        """Its middle on its image."""
        return Place(self.middle[0], self.middle[1], self.z_mm, self.sop_instance_uid)


@dataclass(frozen=True, eq=False)
class Mark:
    """One mark of one reader: an outline (nodule >= 3 mm) or a point. ``number`` counts the reader's marks from 1."""

    reader: int
    number: int
    source_id: str
    category: Category
    characteristics: Mapping[str, int]
    contours: tuple[Contour, ...]

    @property
    def outlined(self) -> bool:
        """Whether it is a nodule >= 3 mm, which is outlined, rather than a point."""
        return self.category is Category.NODULE_GE_3MM

    @cached_property
    def inclusions(self) -> tuple[Contour, ...]:
        """Its contours around what belongs to it, in the order of the file."""
        return tuple(contour for contour in self.contours if contour.inclusion)

    @cached_property
    def planes(self) -> Mapping[float, frozenset[Pixel]]:
        """What it holds on each slice, by z in mm, ascending: inclusions together, less exclusions and their edges."""
        held: dict[float, frozenset[Pixel]] = {}
        for contour in self.inclusions:
            held[contour.z_mm] = held.get(contour.z_mm, frozenset()) | contour.region
        for contour in self.contours:
            if not contour.inclusion and contour.z_mm in held:
                held[contour.z_mm] -= contour.with_edge
        return {z: held[z] for z in sorted(held)}

    @cached_property
    def pixels(self) -> int:
        """How many pixels it holds on all slices together."""
        return sum(len(plane) for plane in self.planes.values())

    @cached_property
    def box(self) -> Extent:
        """Between which pixels and z positions its contours lie."""
        xs = [x for contour in self.contours for x, _ in contour.points]
        ys = [y for contour in self.contours for _, y in contour.points]
        zs = [contour.z_mm for contour in self.contours]
        return Extent(min(xs), max(xs), min(ys), max(ys), min(zs), max(zs))

    @cached_property
    def middle(self) -> Contour:
        """The contour with the most in it, the first of equals: where the mark is best seen."""
        return max(self.contours, key=lambda contour: (len(contour.enclosed), -contour.number))

    def contour_at(self, z_mm: float) -> Contour:
        """Return its largest contour on a slice."""
        return max((one for one in self.contours if one.z_mm == z_mm), key=lambda one: (one.inclusion, len(one.region)))


@dataclass(frozen=True, eq=False)
class MarkedScan:
    """All marks on one CT scan. ``step_mm``: distance between neighbouring slices, as outlines show it, or None.

    ``slices`` are all slices of which the file speaks: (z in mm, SOP Instance UID), ascending. ``readers`` counts the
    reading sessions, also those without a mark. ``unusable`` tells of marks that have no place, in words.
    """

    file_name: str
    sha256: str
    series_instance_uid: str
    study_instance_uid: str
    readers: int
    reader_labels: tuple[str, ...]
    marks: tuple[Mark, ...]
    step_mm: float | None
    slices: tuple[tuple[float, str], ...]
    unusable: tuple[tuple[int, str], ...] = ()

    def of(self, reader: int) -> tuple[Mark, ...]:
        """Return the marks of one reader, counted from 1, in the order of the file."""
        return tuple(mark for mark in self.marks if mark.reader == reader)


@dataclass(frozen=True, slots=True)
class MarkIssue:
    """One question to the reader who made a mark.

    ``marks`` are the numbers of the reader's own marks that it is about, none where it is about the reading as a whole.
    ``features`` are what the strength rests on, numbers with their units in their names. ``others``: readers against
    whom it stands.
    """

    kind: str
    kind_version: str
    reader: int
    marks: tuple[int, ...]
    place: Place
    strength: float
    reason: str
    features: Mapping[str, float] = field(default_factory=dict)
    others: tuple[int, ...] = ()


class Rule(Protocol):
    """One small rule for one kind of issue."""

    @property
    def kind(self) -> Kind:
        """What it looks for."""
        ...

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield what it finds, in the order of readers and marks."""
        ...


def centre(pixels: frozenset[Pixel]) -> tuple[float, float]:
    """Return the mean (x, y) of some pixels, which must not be none."""
    return (sum(x for x, _ in pixels) / len(pixels), sum(y for _, y in pixels) / len(pixels))
