"""LIDC-IDRI reader files (XML) as they are written, without an image.

Both root elements occur: LidcReadMessage (CT) and IdriReadMessage (chest X-ray reads of the same subjects). The
namespace is stripped, since files differ in it. Field names follow the format, its spelling included
(``SeriesInstanceUid``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.etree.ElementTree import Element

from imaging.errors import UnreadableFile
from imaging.readers.pseudonyms import reader_pseudonym
from imaging.readers.xml_text import parse_xml

_ANONYMOUS = re.compile(r"-?[0-9]+|anon\w*", re.IGNORECASE)
_ROOTS = ("LidcReadMessage", "IdriReadMessage")


@dataclass(frozen=True, slots=True)
class LidcRoi:
    """One outline, or one mark, on one image. ``points`` are (x, y): column and row, 0-based, whole pixels."""

    sop_instance_uid: str
    z_mm: float | None
    inclusion: bool
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LidcNodule:
    """One nodule of one reader; ratings as given, zeros and blanks left out."""

    nodule_id: str
    characteristics: Mapping[str, int] = field(default_factory=dict)
    rois: tuple[LidcRoi, ...] = ()


@dataclass(frozen=True, slots=True)
class LidcSession:
    """One reader's sitting. ``ordinal`` counts from 1 in the file; readers are not the same people across files."""

    ordinal: int
    radiologist_id: str
    annotation_version: str
    nodules: tuple[LidcNodule, ...]
    non_nodules: tuple[LidcNodule, ...]

    @property
    def label(self) -> str:
        """A name for the reader that is stable for one file: the ordinal, and the number that the file gives.

        The published files have numbers. What is not one may be a person's name, and becomes a pseudonym.
        """
        reader = self.radiologist_id or "no reader id"
        if self.radiologist_id and not _ANONYMOUS.fullmatch(self.radiologist_id):
            reader = reader_pseudonym(self.radiologist_id)
        return f"session {self.ordinal}: {reader}"


@dataclass(frozen=True, slots=True)
class LidcDocument:
    """One reader file. ``modality`` is ``"ct"`` or ``"chest-x-ray"``; UIDs are empty where the file gives none.

    ``unread_points`` counts coordinates that are no whole numbers; their outlines lack them.
    """

    message_uid: str
    modality: Literal["ct", "chest-x-ray"]
    series_instance_uid: str
    study_instance_uid: str
    sessions: tuple[LidcSession, ...]
    unread_points: int


def parse_lidc_xml(data: bytes) -> LidcDocument:
    """Return what an LIDC-IDRI reader file says, CT or chest X-ray, without looking at any image.

    Raises UnreadableFile: ``not-xml`` (or cut short), ``unsafe-xml`` (it defines entities), ``not-lidc``.
    """
    root = parse_xml(data)
    if _name(root) not in _ROOTS:
        raise UnreadableFile("not-lidc", "The file is XML, but not an LIDC-IDRI reader file.")
    header = _child(root, "ResponseHeader")
    sittings = [one for one in root if _name(one) in {"readingSession", "CXRreadingSession"}]
    x_ray = _text(header, "Modality").upper() == "CXR" or any(_name(one) == "CXRreadingSession" for one in sittings)
    counter = _Points()
    sessions = tuple(_session(one, number, counter) for number, one in enumerate(sittings, start=1))
    return LidcDocument(
        message_uid=root.get("uid", ""),
        modality="chest-x-ray" if x_ray else "ct",
        series_instance_uid=_text(header, "SeriesInstanceUid") or _text(header, "SeriesInstanceUID"),
        study_instance_uid=_text(header, "StudyInstanceUID"),
        sessions=sessions,
        unread_points=counter.unread,
    )


class _Points:
    """Reads coordinates and counts those that cannot be read."""

    def __init__(self) -> None:
        self.unread = 0

    def of(self, element: Element, names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for part in element:
            if _name(part) not in names:
                continue
            texts = {_name(coordinate): coordinate.text or "" for coordinate in part}
            try:
                found.append((int(texts.get("xCoord", "")), int(texts.get("yCoord", ""))))
            except ValueError:
                self.unread += 1
        return tuple(found)


def _session(element: Element, ordinal: int, counter: _Points) -> LidcSession:
    nodules: list[LidcNodule] = []
    non_nodules: list[LidcNodule] = []
    for part in element:
        if _name(part) in {"unblindedReadNodule", "unblindedRead"}:
            rois = tuple(_roi(one, counter) for one in part if _name(one) == "roi")
            nodules.append(LidcNodule(_text(part, "noduleID"), _characteristics(part), rois))
        elif _name(part) == "nonNodule":
            non_nodules.append(LidcNodule(_text(part, "nonNoduleID"), {}, (_roi(part, counter),)))
    return LidcSession(
        ordinal=ordinal,
        radiologist_id=_text(element, "servicingRadiologistID"),
        annotation_version=_text(element, "annotationVersion"),
        nodules=tuple(nodules),
        non_nodules=tuple(non_nodules),
    )


def _roi(element: Element, counter: _Points) -> LidcRoi:
    try:
        z_mm: float | None = float(_text(element, "imageZposition"))
    except ValueError:
        z_mm = None
    return LidcRoi(
        sop_instance_uid=_text(element, "imageSOP_UID"),
        z_mm=z_mm,
        inclusion=_text(element, "inclusion").upper() != "FALSE",
        points=counter.of(element, ("edgeMap", "locus")),
    )


def _characteristics(element: Element) -> dict[str, int]:
    ratings: dict[str, int] = {}
    for rating in _child(element, "characteristics"):
        text = (rating.text or "").strip()
        if text.isdigit() and int(text) != 0:
            ratings[_name(rating)] = int(text)
    return ratings


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(element: Element, name: str) -> Element:
    for one in element:
        if _name(one) == name:
            return one
    return Element(name)


def _text(element: Element, name: str) -> str:
    return (_child(element, name).text or "").strip()
