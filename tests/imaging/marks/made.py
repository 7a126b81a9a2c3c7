"""LIDC-style reader files with what a test needs in them: outlines and points on slices of known position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

from imaging.marks.scan import marked_scan
from imaging.marks.types import MarkedScan
from imaging.readers.lidc_document import parse_lidc_xml

STEP_MM = 2.5
SHEET = {
    "subtlety": 4,
    "internalStructure": 1,
    "calcification": 6,
    "sphericity": 4,
    "margin": 4,
    "lobulation": 1,
    "spiculation": 1,
    "texture": 5,
    "malignancy": 3,
}

Points = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Roi:
    """One contour on slice number ``at``, counted from the feet. ``z`` overrides its position."""

    at: int
    points: Points
    inclusion: bool = True
    z: float | None = None


@dataclass(frozen=True)
class Nodule:
    rois: Sequence[Roi]
    ratings: Mapping[str, int] = field(default_factory=lambda: SHEET)
    name: str = ""


@dataclass(frozen=True)
class Reader:
    nodules: Sequence[Nodule] = ()
    non_nodules: Sequence[Nodule] = ()


def ring(x: int, y: int, radius: int) -> list[tuple[int, int]]:
    """A closed diamond of neighbouring pixels around a pixel, the first point again at the end."""
    corners = [(x + radius, y), (x, y + radius), (x - radius, y), (x, y - radius), (x + radius, y)]
    points: list[tuple[int, int]] = []
    for (a, b), (c, d) in pairwise(corners):
        points += [(a + step * (c - a) // radius, b + step * (d - b) // radius) for step in range(radius)]
    return [*points, corners[0]]


def ball(x: int = 200, y: int = 200, *, low: int = 0, high: int = 5, radius: int = 7, **given: object) -> Nodule:
    """A nodule outlined on slices ``low`` to ``high``, both counted, smaller at its ends."""
    rois = [Roi(at, ring(x, y, radius - (2 if at in (low, high) else 0))) for at in range(low, high + 1)]
    return Nodule(rois, **given)  # type: ignore[arg-type]  # ratings and name, by the test's word


def point(x: int, y: int, at: int, *, ratings: Mapping[str, int] | None = None, name: str = "") -> Nodule:
    return Nodule([Roi(at, [(x, y)])], ratings or {}, name)


def xml(readers: Sequence[Reader], *, uid: str = "1.2.3") -> bytes:
    """A whole reader file."""
    sessions = "".join(_session(number, reader) for number, reader in enumerate(readers, start=1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage uid="m" xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{uid}</SeriesInstanceUid><StudyInstanceUID>{uid}.9</StudyInstanceUID></ResponseHeader>"
        f"{sessions}</LidcReadMessage>"
    ).encode()


def chest_x_ray() -> bytes:
    return (
        b'<IdriReadMessage uid="m" xmlns="http://www.nih.gov"><ResponseHeader><Modality>CXR</Modality></ResponseHeader>'
        b"<CXRreadingSession><servicingRadiologistID>anon</servicingRadiologistID></CXRreadingSession></IdriReadMessage>"
    )


def scan(readers: Sequence[Reader], *, file_name: str = "made.xml") -> MarkedScan:
    return marked_scan(document=parse_lidc_xml(xml(readers)), file_name=file_name, sha256="0" * 64)


def _session(number: int, reader: Reader) -> str:
    nodules = "".join(
        f"<unblindedReadNodule><noduleID>{escape(one.name) or f'{number}.{count}'}</noduleID>{_ratings(one)}"
        f"{_rois(one)}</unblindedReadNodule>"
        for count, one in enumerate(reader.nodules, start=1)
    )
    others = "".join(
        f"<nonNodule><nonNoduleID>{escape(one.name) or f'{number}.n{count}'}</nonNoduleID>"
        f"{_place(one.rois[0], 'locus')}</nonNodule>"
        for count, one in enumerate(reader.non_nodules, start=1)
    )
    return (
        "<readingSession><annotationVersion>3.12</annotationVersion>"
        f"<servicingRadiologistID>anonymous</servicingRadiologistID>{nodules}{others}</readingSession>"
    )


def _rois(one: Nodule) -> str:
    return "".join(f"<roi>{_place(roi, 'edgeMap')}</roi>" for roi in one.rois)


def _ratings(one: Nodule) -> str:
    if not one.ratings:
        return ""
    ratings = "".join(f"<{name}>{value}</{name}>" for name, value in one.ratings.items())
    return f"<characteristics>{ratings}</characteristics>"


def _place(roi: Roi, element: str) -> str:
    z = roi.at * STEP_MM if roi.z is None else roi.z
    points = "".join(f"<{element}><xCoord>{x}</xCoord><yCoord>{y}</yCoord></{element}>" for x, y in roi.points)
    return (
        f"<imageZposition>{z}</imageZposition><imageSOP_UID>1.2.3.{roi.at}</imageSOP_UID>"
        f"<inclusion>{'TRUE' if roi.inclusion else 'FALSE'}</inclusion>{points}"
    )
