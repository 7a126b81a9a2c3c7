"""DICOM SEG onto the CT series that it describes: BINARY, FRACTIONAL and LABELMAP.

Frames are not slices: empty ones are usually left out, and each is placed by its own position or source image
(DICOM PS3.3 C.8.20, C.7.6.16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.dataset import open_dataset, text_of, whole_of
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.frame_placement import place_planes
from imaging.readers.limits import ReadLimits
from imaging.readers.pseudonyms import person_of, reader_pseudonym
from imaging.readers.segmentation_frames import Frames, Style, first_item, frame_sources, planes_of, read_frames
from imaging.readers.segmentation_segments import Segment, category_of, segments_of
from imaging.types import Algorithm, AnnotationImport, AnnotationSet, Finding, Rejection, SetKind

__all__ = [
    "FORMAT",
    "SOURCE_FORMAT",
    "PlacedSegment",
    "SegmentationReading",
    "read_segments",
]

SOURCE_FORMAT = "dicom-seg"

_SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSegment:
    """One segment with its finding. ``slices`` are the indices of the slices that it has frames on."""

    segment: Segment
    finding: Finding
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationReading:
    """What one SEG gives on one series. No ``segments`` and a rejection where its geometry does not fit."""

    sop_instance_uid: str
    creator: str
    segments: tuple[PlacedSegment, ...]
    rejections: tuple[Rejection, ...]
    frame_slices: tuple[int, ...] = field(default=())


def read_segments(data: bytes, image: PlacedSeries, context: ReadContext) -> SegmentationReading:
    """Return the segments of a DICOM SEG on a CT series, in stored order, each with its finding.

    Segments that are no nodules are of category ``other structure``; nodules whose longest axis is below 3 mm of
    ``nodule < 3 mm``. A label whose geometry does not fit is refused as a whole, in millimetres (codes of
    ``place_planes``, ``another-frame-of-reference``, ``another-modality``, ``tiled-segmentation``,
    ``unsupported-segmentation``). Parts that are rejected: ``empty-segment``, ``undescribed-segment``,
    ``frame-without-segment``. ``frame_slices`` is the slice of each frame.
    Raises UnreadableFile if the bytes are no readable SEG (codes of ``open_dataset``, ``not-a-segmentation``,
    ``malformed``, ``bad-value``, ``pixel-claim-too-large``, ``pixels-not-decoded``).
    """
    dataset = _opened(data, context.limits, with_pixels=True)
    try:
        return _segments(dataset, image, context)
    except UnreadableFile:
        raise
    # Required sequences that are missing or of the wrong kind surface as whatever the parser raises on access.
    except Exception as error:
        raise UnreadableFile(
            "malformed", f"The segmentation lacks required parts or they are damaged ({type(error).__name__})."
        ) from error


def _read(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """One annotation set for the readers' segments, and one for each algorithm that drew segments on its own."""
    reading = read_segments(data, image, context)
    by_source: dict[tuple[bool, Algorithm | None], list[Finding]] = {}
    for placed in reading.segments:
        automatic = placed.segment.automatic
        source = (automatic, placed.segment.algorithm if automatic else None)
        by_source.setdefault(source, []).append(placed.finding)
    base = _set_id(reading.sop_instance_uid)
    reader = reader_pseudonym(reading.creator) if reading.creator else "segmentation by a reader"
    sets = tuple(
        AnnotationSet(
            set_id=base if ordinal == 1 else f"{base}-{ordinal}",
            reader_label="segmentation by an algorithm" if automatic else reader,
            kind=SetKind.ALGORITHM if automatic else SetKind.READER,
            read=True,
            findings=tuple(findings),
            algorithm=algorithm,
        )
        for ordinal, ((automatic, algorithm), findings) in enumerate(by_source.items(), start=1)
    )
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, sets, reading.rejections)


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    dataset = _opened(data, context.limits, with_pixels=False)
    try:
        series: list[str] = []
        instances: list[Dataset] = []
        for item in dataset.get("ReferencedSeriesSequence") or ():
            series.append(text_of(item, "SeriesInstanceUID"))
            instances.extend(item.get("ReferencedInstanceSequence") or ())
        for frame in _frame_groups(dataset):
            instances.extend(frame_sources(frame))
        return ImageReferences(
            study_instance_uids=_named([text_of(dataset, "StudyInstanceUID")]),
            series_instance_uids=_named(series),
            sop_instance_uids=_named(text_of(item, "ReferencedSOPInstanceUID") for item in instances),
            frame_of_reference_uids=_named([text_of(dataset, "FrameOfReferenceUID")]),
        )
    except UnreadableFile:
        raise
    # See read_segments.
    except Exception as error:
        raise UnreadableFile("malformed", f"The references are damaged ({type(error).__name__}).") from error


def _opened(data: bytes, limits: ReadLimits, *, with_pixels: bool) -> Dataset:
    dataset = open_dataset(data, limits, with_pixels=with_pixels).dataset
    if text_of(dataset, "SOPClassUID") not in _SEGMENTATION_CLASSES:
        raise UnreadableFile("not-a-segmentation", "The file is DICOM, but not a Segmentation object.")
    return dataset


def _segments(dataset: Dataset, image: PlacedSeries, context: ReadContext) -> SegmentationReading:
    uid, creator = text_of(dataset, "SOPInstanceUID"), person_of(dataset, "ContentCreatorName")

    def refused(*rejections: Rejection) -> SegmentationReading:
        return SegmentationReading(uid, creator, (), rejections)

    unfit = _unfit(dataset, image)
    if unfit is not None:
        return refused(unfit)
    planes = list(planes_of(dataset))
    if not planes:
        return refused(Rejection("no-plane-position", "The label does not say where its planes lie.", (uid,)))
    size = (whole_of(dataset, "Rows") or 0, whole_of(dataset, "Columns") or 0)
    placement = place_planes(planes, size, image)
    if placement.refusals:
        return refused(*placement.refusals, *placement.remarks)
    frames = read_frames(dataset, cast(Style, text_of(dataset, "SegmentationType")), planes, placement, context.limits)
    segments = segments_of(dataset)
    rejections = [*placement.remarks, *_unread_frames(dataset, frames, segments)]
    probability = text_of(dataset, "SegmentationFractionalType") == "PROBABILITY"
    placed: list[PlacedSegment] = []
    for segment in segments:
        if frames.style == "LABELMAP" and (segment.background or segment.number == 0):
            continue
        region = frames.region(segment.number, image, threshold=context.fraction_threshold)
        if not region.mask.count:
            message = f"Segment {segment.number} is empty."
            if frames.style == "FRACTIONAL":
                message = f"Segment {segment.number} has no voxel from {context.fraction_threshold:g} of the whole on."
            rejections.append(Rejection("empty-segment", message, (f"segment {segment.number}", segment.label)))
            continue
        filled = np.flatnonzero(region.mask.voxels.any(axis=(1, 2))) + region.mask.origin[0]
        finding = Finding(
            f"{_set_id(uid)}/segment-{segment.number:03d}",
            category_of(context.vocabulary, segment.names, region.mask),
            mask=region.mask,
            source_label=segment.label,
            sop_instance_uids=tuple(image.sop_instance_uids[int(index)] for index in filled),
            tracking_uid=segment.tracking_uid,
            # What a person drew has no score of its own, whatever fractions it is stored in.
            confidence=region.mean_fraction if probability and segment.automatic else None,
            attributes=segment.attributes,
            round_trip=region.round_trip,
        )
        placed.append(PlacedSegment(segment, finding, region.slices))
    slices = tuple(origin[0] for origin in placement.origins)
    return SegmentationReading(uid, creator, tuple(placed), tuple(rejections), slices)


def _unfit(dataset: Dataset, image: PlacedSeries) -> Rejection | None:
    """Why this segmentation cannot describe a CT series, whatever its planes."""
    uid, style = text_of(dataset, "SOPInstanceUID"), text_of(dataset, "SegmentationType")
    organisation = text_of(dataset, "DimensionOrganizationType")
    slide = any("PlanePositionSlideSequence" in frame for frame in _frame_groups(dataset))
    if slide or organisation.startswith("TILED") or "TotalPixelMatrixRows" in dataset:
        message = "The segmentation is cut into the tiles of a slide image (microscopy); it describes no CT."
        return Rejection("tiled-segmentation", message, (uid,))
    kinds = _source_classes(dataset)
    if kinds and not kinds & _CT_CLASSES:
        names = ", ".join(sorted(UID(kind).name for kind in kinds))
        message = f"The segmentation was drawn on images of another kind than CT ({names})."
        return Rejection("another-modality", message, (uid, *sorted(kinds)))
    fractional = text_of(dataset, "SegmentationFractionalType")
    if style not in {"BINARY", "LABELMAP", "FRACTIONAL"}:
        message = "Only BINARY, FRACTIONAL and LABELMAP segmentations are read; this one is of none of these types."
        return Rejection("unsupported-segmentation", message, (uid,))
    if style == "FRACTIONAL" and fractional not in {"PROBABILITY", "OCCUPANCY"}:
        message = "The segmentation is fractional but says neither PROBABILITY nor OCCUPANCY of its fractions."
        return Rejection("unsupported-segmentation", message, (uid,))
    frame = text_of(dataset, "FrameOfReferenceUID")
    if frame and image.grid.frame_of_reference_uid and frame != image.grid.frame_of_reference_uid:
        message = "The label lies in another frame of reference than the image."
        return Rejection("another-frame-of-reference", message, (frame, image.grid.frame_of_reference_uid))
    return None


def _unread_frames(dataset: Dataset, frames: Frames, segments: Sequence[Segment]) -> list[Rejection]:
    rejections = []
    if frames.unassigned:
        message = f"{len(frames.unassigned)} of {len(frames.values)} frames do not say whose segment they show."
        numbers = tuple(f"frame {index + 1}" for index in frames.unassigned)
        rejections.append(Rejection("frame-without-segment", message, numbers))
    background = {0, whole_of(dataset, "PixelPaddingValue")} if frames.style == "LABELMAP" else set()
    described = {segment.number for segment in segments}
    unknown = sorted(set(frames.of_segment) - described - background)
    if unknown:
        message = f"The voxels hold {len(unknown)} segments that the file does not describe."
        numbers = tuple(f"segment {number}" for number in unknown)
        rejections.append(Rejection("undescribed-segment", message, numbers))
    return rejections


def _source_classes(dataset: Dataset) -> frozenset[str]:
    sources = [
        item
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for item in series.get("ReferencedInstanceSequence") or ()
    ]
    sources.extend(item for frame in _frame_groups(dataset) for item in frame_sources(frame))
    return _named(text_of(item, "ReferencedSOPClassUID") for item in sources)


def _frame_groups(dataset: Dataset) -> list[Dataset]:
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    return [shared, *(dataset.get("PerFrameFunctionalGroupsSequence") or ())]


def _named(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text for text in texts if text)


def _set_id(uid: str) -> str:
    return "seg-" + hashlib.sha256(uid.encode()).hexdigest()[:12]


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="DICOM SEG (segmentation)",
    many_series=False,
    references=_references,
    read=_read,
)
"""DICOM segmentations; ``read`` and ``references`` refuse as ``read_segments`` does."""
