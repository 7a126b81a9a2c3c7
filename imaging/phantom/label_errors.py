"""Label errors put into readers' sets on purpose, with a record of each: what checks are fitted and measured on.

Severities were fixed in millimetres before anything was measured with them; they are the rows of ``SEVERITIES_MM``:

| kind | millimetres mean | mild | moderate | severe |
|---|---|---|---|---|
| missing | diameter of the nodule whose label was taken away | 4 to 6 | 6 to 10 | 10 to 30 |
| spurious | diameter of the outline drawn where nothing is | 4 to 6 | 6 to 10 | 10 to 15 |
| shifted | distance by which one outline was moved | 2 | 4 | 7 |
| eroded | distance by which the whole surface was moved inwards | 1 | 2 | 3 |
| dilated | distance by which the whole surface was moved outwards | 1 | 2 | 3 |
| pole-slices-missing | length cut off at one end, in whole slices | 2 | 4 | 7 |
| inner-slices-missing | length of the gap between outlined slices, in whole slices | 1 | 2.5 | 5 |
| mirrored-set | mean way of a set's labels when left and right change places | up to 50 | 50 to 150 | 150 and more |
| reversed-set | mean way of a set's labels when the slices' order is turned round | up to 25 | 25 to 60 | 60 and more |
| displaced-set | way of all labels of a set, in whole slices | 2.5 | 5 | 10 |
| wrong-category | diameter of the nodule called something else | 4 to 6 | 6 to 10 | 10 to 30 |
| duplicated | distance of the second outline from the first | 1 | 2 | 3.5 |
| merged-neighbours | diameter of the touching nodule that lost its own label | 4 to 6 | 6 to 10 | 10 to 30 |
| run-on | how far the outline runs on beyond the nodule | 3 | 5 | 8 |
| wrong-characteristics | no length: points on the scale | 2 | 3 | off the scale |

Lengths in whole slices are at least what is stated; the record's ``magnitude_mm`` is what was really done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from imaging.types import AnnotationSet, PointMm


class ErrorKind(StrEnum):
    """What was done to a label, or to a whole set of them."""

    MISSING = "missing"
    SPURIOUS = "spurious"
    SHIFTED = "shifted"
    ERODED = "eroded"
    DILATED = "dilated"
    POLE_SLICES = "pole-slices-missing"
    INNER_SLICES = "inner-slices-missing"
    MIRRORED = "mirrored-set"
    REVERSED = "reversed-set"
    DISPLACED = "displaced-set"
    WRONG_CATEGORY = "wrong-category"
    DUPLICATED = "duplicated"
    MERGED = "merged-neighbours"
    RUN_ON = "run-on"
    WRONG_RATING = "wrong-characteristics"

    @property
    def of_a_whole_set(self) -> bool:
        """Whether it concerns all labels of a set at once."""
        return self in (ErrorKind.MIRRORED, ErrorKind.REVERSED, ErrorKind.DISPLACED)


class Severity(StrEnum):
    """How bad an error is, by the table of this module."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"


Span = tuple[float, float]
"""Least and greatest magnitude, mm; both the same where the magnitude is one number."""

_SIZES: tuple[Span, Span, Span] = ((4.0, 6.0), (6.0, 10.0), (10.0, 30.0))


def _fixed(mild: float, moderate: float, severe: float) -> tuple[Span, Span, Span]:
    return (mild, mild), (moderate, moderate), (severe, severe)


_TABLE: dict[ErrorKind, tuple[Span, Span, Span]] = {
    ErrorKind.MISSING: _SIZES,
    ErrorKind.SPURIOUS: ((4.0, 6.0), (6.0, 10.0), (10.0, 15.0)),
    ErrorKind.SHIFTED: _fixed(2.0, 4.0, 7.0),
    ErrorKind.ERODED: _fixed(1.0, 2.0, 3.0),
    ErrorKind.DILATED: _fixed(1.0, 2.0, 3.0),
    ErrorKind.POLE_SLICES: _fixed(2.0, 4.0, 7.0),
    ErrorKind.INNER_SLICES: _fixed(1.0, 2.5, 5.0),
    ErrorKind.MIRRORED: ((0.0, 50.0), (50.0, 150.0), (150.0, 1000.0)),
    ErrorKind.REVERSED: ((0.0, 25.0), (25.0, 60.0), (60.0, 1000.0)),
    ErrorKind.DISPLACED: _fixed(2.5, 5.0, 10.0),
    ErrorKind.WRONG_CATEGORY: _SIZES,
    ErrorKind.DUPLICATED: _fixed(1.0, 2.0, 3.5),
    ErrorKind.MERGED: _SIZES,
    ErrorKind.RUN_ON: _fixed(3.0, 5.0, 8.0),
    # Points on a scale; "severe" is whatever lies off it.
    ErrorKind.WRONG_RATING: _fixed(2.0, 3.0, 4.0),
}

SEVERITIES_MM: Mapping[ErrorKind, Mapping[Severity, Span]] = MappingProxyType(
    {kind: MappingProxyType(dict(zip(Severity, spans, strict=True))) for kind, spans in _TABLE.items()}
)
"""Least and greatest magnitude of every kind and severity, mm (points of the scale for characteristics)."""


@dataclass(frozen=True, slots=True)
class InjectedError:
    """One error. ``finding_id`` is the wrong label in the returned sets, None where a label was taken away or the whole
    set is concerned.

    ``nodule_id`` names the true nodule concerned (the one without a label of its own, where two were merged), None for
    a spurious label or a whole set. ``place_mm`` is that nodule's centre, else the wrong label's. ``magnitude_mm`` is
    what the module's table calls it, as it was really done.
    """

    kind: ErrorKind
    severity: Severity
    set_id: str
    finding_id: str | None
    nodule_id: str | None
    place_mm: PointMm
    magnitude_mm: float


@dataclass(frozen=True, slots=True)
class Wish:
    """An error that is asked for."""

    kind: ErrorKind
    severity: Severity


@dataclass(frozen=True, slots=True)
class RefusedWish:
    """An error that could not be made, and why."""

    wish: Wish
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class SpoiltLabels:
    """Sets with errors in them, the record of the errors, and what could not be done."""

    annotation_sets: tuple[AnnotationSet, ...]
    errors: tuple[InjectedError, ...]
    refused: tuple[RefusedWish, ...]


def severity_of(*, kind: ErrorKind, magnitude_mm: float) -> Severity:
    """Return the gravest severity whose least magnitude is reached; MILD where none is."""
    reached = [name for name, (least, _) in SEVERITIES_MM[kind].items() if magnitude_mm >= least]
    return reached[-1] if reached else Severity.MILD
