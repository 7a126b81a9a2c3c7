"""Reading a label file by its kind: what a caller hands to a child process, by name and with picklable arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging.errors import UnreadableFile
from imaging.geometry.header import SliceHeader
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.legible import legible
from imaging.readers.lidc_document import parse_lidc_xml
from imaging.readers.limits import ReadLimits
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.series import read_header
from imaging.readers.sniff import Kind
from imaging.types import AnnotationImport


@dataclass(frozen=True, slots=True)
class HeldObjects:
    """Other objects of a delivery by SOP Instance UID, as ``ReadContext.companion`` asks for them."""

    contents: Mapping[str, bytes]

    def __call__(self, sop_instance_uid: str) -> bytes | None:
        return self.contents.get(sop_instance_uid)


def label_format(kind: str) -> LabelFormat:
    """Return the format of a kind of file. Raises UnreadableFile ``not-read-here``."""
    found = {str(known): one for known, one in LABEL_FORMATS.items()}.get(kind)
    if found is None:
        raise UnreadableFile("not-read-here", f"labels of the kind {kind} are not read by this version")
    return found


def is_dicom(kind: Kind | str) -> bool:
    """Return whether files of a kind are DICOM objects, which name themselves."""
    return kind.startswith("dicom-")


def label_object_header(data: bytes, limits: ReadLimits) -> SliceHeader:
    """Return what a DICOM label object says of itself, as ``series.read_header`` does and raising what that raises."""
    return read_header(data, limits)


def other_subject(kind: str, data: bytes) -> str:
    """Return a sentence on what a sound file describes where that is no CT, "" where it may be one.

    Raises UnreadableFile.
    """
    if kind == "lidc-xml" and parse_lidc_xml(data).modality == "chest-x-ray":
        return "readings of a chest X-ray; this service checks labels on CT"
    return ""


def image_references(kind: str, data: bytes, context: ReadContext) -> ImageReferences:
    """Return which images a label file says that it describes, its texts legible. Raises UnreadableFile."""
    return legible(label_format(kind).references(data, context))


def read_labels(kind: str, data: bytes, series: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return what a label file says of one series, its texts legible. Raises UnreadableFile."""
    return legible(label_format(kind).read(data, series, context))
