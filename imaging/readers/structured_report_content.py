"""The content tree of a DICOM structured report, as plain values (PS3.3 C.17.3, C.18).

Nothing is required of the tree here: what an item lacks is None or empty, and the reader says what it makes of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.readers.dataset import number_of, optional, text_of
from imaging.readers.pseudonyms import person_of
from imaging.readers.segmentation_frames import first_item
from imaging.readers.structured_report_codes import Code


@dataclass(frozen=True, slots=True)
class Reference:
    """Another object that an item names. ``frames`` and ``segments`` count from 1; empty means all of it."""

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ContentItem:
    """One content item. ``position`` is its place in the tree, the root ``(1,)``; ``target`` another item's instead.

    ``value_type`` is empty where the item is given by reference. ``text`` holds TEXT, UIDREF, PNAME, DATE, TIME and
    DATETIME values; ``number`` and ``unit`` a NUM's; ``points`` a SCOORD's as (n, 2) column and row, the corner of
    the first pixel (0, 0), or a SCOORD3D's as (n, 3) LPS millimetres.
    """

    position: tuple[int, ...]
    target: tuple[int, ...]
    relationship: str
    value_type: str
    name: Code | None
    code: Code | None
    text: str
    number: float | None
    unit: Code | None
    reference: Reference | None
    graphic: str
    points: NDArray[np.float64]
    frame_of_reference_uid: str
    children: tuple[ContentItem, ...]

    @property
    def subject(self) -> str:
        """The item in words: concept and place in the tree."""
        concept = f"{self.name.meaning} ({self.name.value}, {self.name.scheme})" if self.name else "unnamed item"
        return f"{concept} at {'.'.join(str(number) for number in self.position)}"

    def walk(self) -> Iterator[ContentItem]:
        """Yield this item and everything beneath it, top first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, position: tuple[int, ...]) -> ContentItem | None:
        """Return the item at a place in the tree beneath this one, None if there is none."""
        if position[: len(self.position)] != self.position:
            return None
        found = self
        for number in position[len(self.position) :]:
            if not 0 < number <= len(found.children):
                return None
            found = found.children[number - 1]
        return found


def content_of(dataset: Dataset, position: tuple[int, ...] = (1,)) -> ContentItem:
    """Return the content tree of a report, or of one of its items. Raises UnreadableFile ``bad-value``."""
    kind = text_of(dataset, "ValueType")
    measured = first_item(dataset, "MeasuredValueSequence")
    value = optional(number_of, measured, "FloatingPointValue")
    return ContentItem(
        position=position,
        target=tuple(_whole_numbers(dataset, "ReferencedContentItemIdentifier")),
        relationship=text_of(dataset, "RelationshipType"),
        value_type=kind,
        name=_code(dataset, "ConceptNameCodeSequence"),
        code=_code(dataset, "ConceptCodeSequence"),
        text=_text(dataset, kind),
        number=optional(number_of, measured, "NumericValue") if value is None else value,
        unit=_code(measured, "MeasurementUnitsCodeSequence"),
        reference=_reference(dataset) if kind in {"IMAGE", "COMPOSITE"} else None,
        graphic=text_of(dataset, "GraphicType"),
        points=_points(dataset, kind),
        frame_of_reference_uid=text_of(dataset, "ReferencedFrameOfReferenceUID"),
        children=tuple(
            content_of(child, (*position, number))
            for number, child in enumerate(dataset.get("ContentSequence") or (), start=1)
        ),
    )


def _text(dataset: Dataset, kind: str) -> str:
    if kind == "PNAME":
        return person_of(dataset, "PersonName")
    keyword = {"TEXT": "TextValue", "UIDREF": "UID", "DATE": "Date", "TIME": "Time", "DATETIME": "DateTime"}.get(kind)
    return text_of(dataset, keyword) if keyword else ""


def _code(dataset: Dataset, keyword: str) -> Code | None:
    item = first_item(dataset, keyword)
    value = text_of(item, "CodeValue") or text_of(item, "LongCodeValue") or text_of(item, "URNCodeValue")
    meaning = text_of(item, "CodeMeaning")
    return Code(value, text_of(item, "CodingSchemeDesignator"), meaning or value) if value or meaning else None


def _reference(dataset: Dataset) -> Reference | None:
    item = first_item(dataset, "ReferencedSOPSequence")
    uid = text_of(item, "ReferencedSOPInstanceUID")
    if not uid:
        return None
    return Reference(
        sop_class_uid=text_of(item, "ReferencedSOPClassUID"),
        sop_instance_uid=uid,
        frames=tuple(_whole_numbers(item, "ReferencedFrameNumber")),
        segments=tuple(_whole_numbers(item, "ReferencedSegmentNumber")),
    )


def _points(dataset: Dataset, kind: str) -> NDArray[np.float64]:
    """The graphic data as rows of coordinates; no rows where they are not whole, finite points."""
    width = {"SCOORD": 2, "SCOORD3D": 3}.get(kind, 2)
    value = dataset.get("GraphicData")
    numbers = [float(part) for part in value] if isinstance(value, list | tuple) or hasattr(value, "__iter__") else []
    if len(numbers) % width or not all(math.isfinite(number) for number in numbers):
        return np.zeros((0, width))
    return np.array(numbers, dtype=np.float64).reshape(-1, width)


def _whole_numbers(dataset: Dataset, keyword: str) -> list[int]:
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    parts = list(value) if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
    return [int(part) for part in parts]
