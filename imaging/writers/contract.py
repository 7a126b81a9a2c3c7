"""What every writer of label files takes and gives, so that a caller needs to know none of them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydicom.dataset import Dataset

from imaging.geometry.series import PlacedSeries
from imaging.readers.sniff import Kind
from imaging.types import AnnotationSet, Finding

Shape = Literal["mask", "sphere", "box", "point"]


class LossKind(StrEnum):
    """What a format could not carry."""

    FINDING = "finding-left-out"
    SHAPE = "shape-reduced"
    PARTS = "one-finding-in-parts"
    TRACKING = "tracking-uid"
    CATEGORY = "category"
    SIZE_CLASS = "size-class"
    NAME = "name"
    CHARACTERISTICS = "characteristics"
    ATTRIBUTES = "attributes"
    MEASUREMENTS = "measurements"
    CONFIDENCE = "confidence"
    AUTHOR = "author"
    EMPTY_SET = "read-and-found-nothing"
    UNREAD_SET = "set-not-read"
    CASE_PROBABILITIES = "case-probabilities"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that was to be written and that the format does not carry. ``finding_id`` empty: of the whole set."""

    kind: LossKind
    message: str
    set_id: str
    finding_id: str = ""


class CategoryFidelity(StrEnum):
    """How much of a finding's category a format tells.

    ``KIND``: nodule, non-nodule or structure; whether a nodule is below 3 mm must be measured again by whoever reads.
    """

    EXACT = "exact"
    KIND = "kind"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Carried:
    """What a format can say of a finding; what it cannot is reported as a ``Loss``, never dropped silently."""

    shapes: frozenset[Shape]
    category: CategoryFidelity
    tracking: bool
    names: bool
    characteristics: bool
    attributes: bool
    measurements: bool
    confidence: bool
    author: bool
    empty_sets: bool
    case_probabilities: bool


@dataclass(frozen=True, slots=True)
class WriteContext:
    """Who writes, when, and how new objects are named.

    ``new_uid`` takes a text that is different for different objects and contents, and returns a UID for it;
    ``imaging.writers.identity.content_uid`` makes it from the text alone, so that the same input gives the same bytes.
    ``written_at`` must know its time zone.
    """

    manufacturer: str
    model_name: str
    software_version: str
    device_serial_number: str
    written_at: datetime
    new_uid: Callable[[str], str]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSeries:
    """One placed series and the label sets to be written of it.

    ``header`` is any one instance of the series without its pixels, from which DICOM objects take patient and study;
    None where there is none, which only writers of DICOM objects mind. ``image_name`` is what formats that name an
    image file instead of a series write ("scan-001.nii.gz"); ``slice_names`` maps SOP Instance UIDs to such names,
    for formats of single slices. A name that is missing is made of the UID.
    """

    image: PlacedSeries
    annotation_sets: tuple[AnnotationSet, ...]
    header: Dataset | None
    image_name: str = ""
    slice_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class WrittenFile:
    """One file. ``content`` is what it says, in our own terms: what its reader should return.

    It is the findings as far as the format carries them, under the names that the file gives them. ``read_as`` is the
    kind that the file is read back as, None for a sidecar that only accompanies another; ``carries`` what of its
    content the file tells. ``sop_instance_uid`` is empty for what is not DICOM.
    """

    name: str
    media_type: str
    data: bytes
    set_ids: tuple[str, ...]
    read_as: Kind | None
    carries: Carried
    content: tuple[Finding, ...] = ()
    sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What one writer made of one series. No file: nothing of it can be carried, and ``losses`` says why."""

    files: tuple[WrittenFile, ...]
    losses: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class LabelWriter:
    """One format that labels are written in.

    ``write`` raises NotApplicable where a DICOM object is asked for without a header or a frame of reference
    (``needs_header``), and nothing else: what cannot be carried is a loss.
    """

    name: str
    title: str
    needs_header: bool
    carries: Carried
    write: Callable[[LabelledSeries, WriteContext], Written]
