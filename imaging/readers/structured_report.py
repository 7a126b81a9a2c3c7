"""DICOM SR of imaging measurements onto the CT series that it describes (PS3.16 TID 1500)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers import segmentation
from imaging.readers import structured_report_codes as concepts
from imaging.readers.dataset import open_dataset, text_of
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.limits import ReadLimits
from imaging.readers.pseudonyms import reader_pseudonym
from imaging.readers.structured_report_codes import is_concept
from imaging.readers.structured_report_content import ContentItem, content_of
from imaging.readers.structured_report_group import (
    SEGMENTATION_CLASSES,
    GroupReading,
    Observer,
    finding_of,
    not_understood,
    read_group,
)
from imaging.readers.structured_report_regions import RegionPlacer
from imaging.types import Algorithm, AnnotationImport, AnnotationSet, Finding, Rejection, SetKind

__all__ = ["FORMAT", "SOURCE_FORMAT", "read_structured_report"]

SOURCE_FORMAT = "dicom-sr"

_REPORT_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_UNKEPT = concepts.LANGUAGE | concepts.PROCEDURE | concepts.SUBJECT
"""Understood, and said of the report or the patient rather than of any finding."""

_Source = tuple[SetKind, str, Algorithm | None]


def read_structured_report(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return the measurement groups of a report on a CT series: one finding a group, one set an observer.

    Outlined regions and referenced segments become masks, points points, and a line its middle (``kept-as-point``).
    Measurements are kept as given, evaluations as attributes, those of LIDC's nine concepts as characteristics. A
    report of a person without any group, which names this series, is a set that was read with no findings. Nothing is
    dropped silently; beside the codes of ``outline`` and ``read_segments``, rejections are ``another-report`` (no
    imaging measurement report), ``group-without-place``, ``dangling-reference`` (UIDs of objects not held),
    ``segment-not-held``, ``region-without-image``, ``region-not-kept``, ``unknown-graphic``, ``outline-closed``,
    ``measurement-without-value``, ``bad-value`` and ``content-not-understood`` (any other item, by concept and place).
    Language, procedure, subject and the image library's descriptions of images are understood but not findings'.
    Raises UnreadableFile if the bytes are no readable report (codes of ``open_dataset``, ``not-a-report``,
    ``malformed``, ``bad-value``).
    """
    dataset = _opened(data, context.limits)
    try:
        return _read(dataset, image, context)
    except UnreadableFile:
        raise
    # Required sequences that are missing or of the wrong kind surface as whatever the parser raises on access.
    except Exception as error:
        raise UnreadableFile(
            "malformed", f"The report lacks required parts or they are damaged ({type(error).__name__})."
        ) from error


def _read(dataset: Dataset, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    root = content_of(dataset)
    placer = RegionPlacer(image, context, root)
    if not is_concept(root.name, concepts.REPORT):
        message = "The document is no Imaging Measurement Report; other templates are not read."
        refusal = Rejection("another-report", message, (root.subject,))
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (refusal,))
    observer = Observer()
    groups: list[GroupReading] = []
    for container in _groups(root, observer, placer):
        groups.append(read_group(container, placer, image))
    set_id = "sr-" + hashlib.sha256(text_of(dataset, "SOPInstanceUID").encode()).hexdigest()[:12]
    by_source: dict[_Source, list[Finding]] = {}
    for number, group in enumerate(groups, start=1):
        finding = finding_of(group, f"{set_id}/group-{number:03d}", image, context, placer)
        if finding is not None:
            by_source.setdefault(_source(group, observer), []).append(finding)
    named = {uid for kind, uid in _named_objects(dataset, root) if kind in _IMAGE_CLASSES}
    if not groups and observer.is_person and named & set(image.sop_instance_uids):
        by_source[_source(GroupReading(""), observer)] = []
    _remark_dangling(named, image, placer)
    sets = tuple(
        AnnotationSet(
            set_id=set_id if ordinal == 1 else f"{set_id}-{ordinal}",
            reader_label=label,
            kind=kind,
            read=True,
            findings=tuple(findings),
            algorithm=algorithm,
        )
        for ordinal, ((kind, label, algorithm), findings) in enumerate(by_source.items(), start=1)
    )
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, sets, tuple(_once(placer.rejections)))


def _groups(root: ContentItem, observer: Observer, placer: RegionPlacer) -> Iterator[ContentItem]:
    """Yield the measurement groups; take the observers over and reject by name what is neither."""
    for item in root.children:
        if is_concept(item.name, concepts.MEASUREMENT_GROUP):
            yield item
        elif is_concept(item.name, concepts.IMAGING_MEASUREMENTS):
            for child in item.children:
                if is_concept(child.name, concepts.MEASUREMENT_GROUP) and child.value_type == "CONTAINER":
                    yield child
                else:
                    placer.rejections.append(_rejected(child))
        elif not (observer.take(item) or is_concept(item.name, _UNKEPT | concepts.IMAGE_LIBRARY)):
            placer.rejections.append(_rejected(item))


def _rejected(item: ContentItem) -> Rejection:
    code, message, subject = not_understood(item)
    return Rejection(code, message, (subject,))


def _source(group: GroupReading, report: Observer) -> _Source:
    """Whose finding a group is: a person's before a machine's, and the group's own observer before the report's."""
    for observer in (group.observer, report):
        if observer.is_person:
            named = reader_pseudonym(observer.person) if observer.person else "structured report by a reader"
            return (SetKind.READER, named, None)
        if observer.is_device:
            device = Algorithm(observer.device_name or observer.device_model, "")
            return (SetKind.ALGORITHM, "structured report by an algorithm", group.algorithm or device)
    if group.algorithm is not None:
        return (SetKind.ALGORITHM, "structured report by an algorithm", group.algorithm)
    return (SetKind.READER, "structured report by a reader", None)


def _remark_dangling(named: set[str], image: PlacedSeries, placer: RegionPlacer) -> None:
    dangling = sorted(named - set(image.sop_instance_uids))
    if dangling:
        message = f"The report names {len(dangling)} images that are not in the series."
        placer.rejections.append(Rejection("dangling-reference", message, tuple(dangling)))


def _once(rejections: Iterable[Rejection]) -> Iterator[Rejection]:
    yield from dict.fromkeys(rejections)


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    dataset = _opened(data, context.limits)
    try:
        return _described(dataset, context)
    except UnreadableFile:
        raise
    # See read_structured_report.
    except Exception as error:
        raise UnreadableFile("malformed", f"The references are damaged ({type(error).__name__}).") from error


def _described(dataset: Dataset, context: ReadContext) -> ImageReferences:
    """What the report names itself and, through a segmentation that is at hand, what that was drawn on."""
    root = content_of(dataset)
    objects = _named_objects(dataset, root)
    series = {
        text_of(one, "SeriesInstanceUID")
        for one in _evidence(dataset)
        if any(text_of(item, "ReferencedSOPClassUID") in _IMAGE_CLASSES for item in one.get("ReferencedSOPSequence"))
    }
    series |= {item.text for item in root.walk() if is_concept(item.name, concepts.SOURCE_SERIES)}
    images = {uid for kind, uid in objects if kind in _IMAGE_CLASSES}
    frames = {item.frame_of_reference_uid for item in root.walk()}
    studies = {text_of(dataset, "StudyInstanceUID")}
    for kind, uid in sorted(objects):
        held = context.companion(uid) if kind in SEGMENTATION_CLASSES else None
        if held is not None:
            drawn_on = segmentation.FORMAT.references(held, context)
            images |= drawn_on.sop_instance_uids
            series |= drawn_on.series_instance_uids
            frames |= drawn_on.frame_of_reference_uids
    return ImageReferences(
        study_instance_uids=frozenset(studies - {""}),
        series_instance_uids=frozenset(series - {""}),
        sop_instance_uids=frozenset(images - {""}),
        frame_of_reference_uids=frozenset(frames - {""}),
        companion_uids=frozenset({uid for kind, uid in objects if kind in SEGMENTATION_CLASSES} - {""}),
    )


def _named_objects(dataset: Dataset, root: ContentItem) -> set[tuple[str, str]]:
    """Every object that the report names, in its evidence or its content: (SOP class, SOP instance)."""
    found = {
        (text_of(item, "ReferencedSOPClassUID"), text_of(item, "ReferencedSOPInstanceUID"))
        for series in _evidence(dataset)
        for item in series.get("ReferencedSOPSequence") or ()
    }
    named = [item.reference for item in root.walk() if item.reference is not None]
    return found | {(reference.sop_class_uid, reference.sop_instance_uid) for reference in named}


def _evidence(dataset: Dataset) -> Iterator[Dataset]:
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in dataset.get(keyword) or ():
            yield from study.get("ReferencedSeriesSequence") or ()


def _opened(data: bytes, limits: ReadLimits) -> Dataset:
    dataset = open_dataset(data, limits, with_pixels=False).dataset
    if not text_of(dataset, "SOPClassUID").startswith(_REPORT_CLASSES):
        raise UnreadableFile("not-a-report", "The file is DICOM, but not a structured report.")
    return dataset


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="DICOM SR TID 1500 (imaging measurement report)",
    many_series=True,
    references=_references,
    read=read_structured_report,
)
"""Imaging measurement reports; ``read`` and ``references`` refuse as ``read_structured_report`` does."""
