"""DICOM RT Structure Set onto the CT series that it was drawn on (PS3.3 A.19)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from imaging.errors import UnreadableFile
from imaging.geometry.affine import contains_index, to_index
from imaging.geometry.series import PlacedSeries
from imaging.readers.dataset import number_of, open_dataset, optional, text_of, whole_of
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.limits import ReadLimits
from imaging.readers.pseudonyms import person_of, reader_pseudonym
from imaging.readers.segmentation_frames import first_item
from imaging.readers.segmentation_segments import category_of
from imaging.readers.structure_set_contours import CLOSED_TYPES, Contour, contour_of, outline
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Finding,
    PointMm,
    Rejection,
    ReportedMeasurement,
    RoundTrip,
    SetKind,
)

__all__ = ["FORMAT", "SOURCE_FORMAT", "read_structure_set"]

SOURCE_FORMAT = "dicom-rtstruct"

_STRUCTURE_SET_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True, slots=True, eq=False)
class _Roi:
    """One region of interest with everything that the file says of it."""

    number: int
    name: str
    frame_of_reference_uid: str
    names: tuple[str, ...]
    automatic: bool
    algorithm: Algorithm | None
    interpreter: str
    tracking_uid: str
    attributes: Mapping[str, str]
    measurements: tuple[ReportedMeasurement, ...]
    contours: tuple[Contour, ...]

    @property
    def subject(self) -> str:
        return f"ROI {self.number}"


def read_structure_set(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return the regions of an RT Structure Set on a CT series: one set a reader, and one for each algorithm.

    Closed contours become masks (holes by exclusive or), POINT contours points. Each mask carries its
    ``planimetric volume`` beside what the file reports. The whole file is refused as ``another-series`` where it names
    another series and none of this one's images. Regions are taken whole or not at all: see ``outline`` for the codes,
    and ``another-frame-of-reference``, ``roi-without-contours``, ``label-outside-image`` for points. Single contours
    are rejected as ``open-contour``, ``contour-too-short``, ``unknown-contour-type``, ``contours-without-roi``;
    ``dangling-reference`` (the position is believed) and ``outline-without-interior`` (kept as a point) are remarks.
    Raises UnreadableFile if the bytes are no readable structure set (codes of ``open_dataset``,
    ``not-a-structure-set``, ``malformed``, ``bad-value``), or ``contours-too-complex``.
    """
    dataset = _opened(data, context.limits)
    try:
        return _read(dataset, image, context)
    except UnreadableFile:
        raise
    except MemoryError:
        message = "The contours run to and fro so often that what they enclose cannot be computed in memory."
        raise UnreadableFile("contours-too-complex", message) from None
    # Required sequences that are missing or of the wrong kind surface as whatever the parser raises on access.
    except Exception as error:
        raise UnreadableFile(
            "malformed", f"The structure set lacks required parts or they are damaged ({type(error).__name__})."
        ) from error


def _read(dataset: Dataset, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    references = _described(dataset)
    here = references.sop_instance_uids & set(image.sop_instance_uids)
    elsewhere = references.series_instance_uids - {image.series_instance_uid}
    if elsewhere == references.series_instance_uids and elsewhere and references.sop_instance_uids and not here:
        # Phases of one breath share their frame of reference, so that it alone would place the label on any of them.
        message = "The structure set was drawn on another series: neither its series nor any image is this one's."
        refusal = Rejection("another-series", message, tuple(sorted(elsewhere)))
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (refusal,))
    rejections: list[Rejection] = []
    rois = _rois(dataset, rejections)
    dangling = sorted({uid for roi in rois for contour in roi.contours for uid in contour.image_uids} - here)
    if dangling:
        message = f"The contours name {len(dangling)} images that are not in the series."
        rejections.append(Rejection("dangling-reference", message, tuple(dangling)))
    set_id = "rtstruct-" + hashlib.sha256(text_of(dataset, "SOPInstanceUID").encode()).hexdigest()[:12]
    by_source: dict[tuple[bool, str, Algorithm | None], list[Finding]] = {}
    for roi in rois:
        source = (roi.automatic, "" if roi.automatic else roi.interpreter, roi.algorithm if roi.automatic else None)
        findings = _findings(roi, set_id, image, context, rejections)
        if findings:
            by_source.setdefault(source, []).extend(findings)
    operator = person_of(dataset, "OperatorsName")
    sets = tuple(
        AnnotationSet(
            set_id=set_id if ordinal == 1 else f"{set_id}-{ordinal}",
            reader_label=_reader_label(automatic, interpreter or operator),
            kind=SetKind.ALGORITHM if automatic else SetKind.READER,
            read=True,
            findings=tuple(findings),
            algorithm=algorithm,
        )
        for ordinal, ((automatic, interpreter, algorithm), findings) in enumerate(by_source.items(), start=1)
    )
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, sets, tuple(rejections))


def _reader_label(automatic: bool, person: str) -> str:
    if automatic:
        return "structure set by an algorithm"
    return reader_pseudonym(person) if person else "structure set by a reader"


def _findings(
    roi: _Roi, set_id: str, image: PlacedSeries, context: ReadContext, rejections: list[Rejection]
) -> list[Finding]:
    frame = roi.frame_of_reference_uid
    if frame and image.grid.frame_of_reference_uid and frame != image.grid.frame_of_reference_uid:
        message = "The region lies in another frame of reference than the image."
        uids = (frame, image.grid.frame_of_reference_uid)
        rejections.append(Rejection("another-frame-of-reference", message, (roi.subject, *uids)))
        return []
    if not roi.contours:
        message = "The region is named but has no contours."
        rejections.append(Rejection("roi-without-contours", message, (roi.subject, roi.name)))
        return []
    closed, points = _sorted_out(roi, rejections)
    findings = [_closed(roi, closed, set_id, image, context, rejections)] if closed else []
    for ordinal, point in enumerate(points, start=1):
        finding_id = f"{set_id}/roi-{roi.number:03d}" + ("" if not closed and ordinal == 1 else f"/point-{ordinal}")
        findings.append(_point(roi, finding_id, point, image, context, rejections))
    return [finding for finding in findings if finding is not None]


def _sorted_out(roi: _Roi, rejections: list[Rejection]) -> tuple[list[Contour], list[Contour]]:
    """The contours that enclose something, and those that are single points; the rest is rejected by name."""
    closed = [contour for contour in roi.contours if contour.kind in CLOSED_TYPES and len(contour.points_mm) >= 3]
    points = [contour for contour in roi.contours if contour.kind == "POINT" and len(contour.points_mm) == 1]
    points += [
        contour
        for contour in roi.contours
        if contour.kind in CLOSED_TYPES and len(contour.points_mm) == 1 and not closed
    ]
    taken = {id(contour) for contour in (*closed, *points)}
    for contour in roi.contours:
        if id(contour) in taken:
            continue
        where = (roi.subject, f"contour {contour.number}")
        count = len(contour.points_mm)
        if contour.kind in {"OPEN_PLANAR", "OPEN_NONPLANAR"}:
            message = f"An open contour of {count} points encloses nothing and was left out."
            rejections.append(Rejection("open-contour", message, where))
        elif contour.kind in (*CLOSED_TYPES, "POINT"):
            message = f"A contour of {count} points is neither a point nor an outline and was left out."
            rejections.append(Rejection("contour-too-short", message, where))
        else:
            message = "The contour is of a type that DICOM does not define and was left out."
            rejections.append(Rejection("unknown-contour-type", message, where))
    return closed, points


def _closed(
    roi: _Roi,
    contours: Sequence[Contour],
    set_id: str,
    image: PlacedSeries,
    context: ReadContext,
    rejections: list[Rejection],
) -> Finding | None:
    outlined = outline(contours, image, roi.subject)
    rejections.extend((*outlined.refusals, *outlined.remarks))
    if outlined.refusals:
        return None
    held = bool(outlined.mask.count)
    if not held:
        message = "The contours enclose no voxel centre; the region is kept as a point."
        rejections.append(Rejection("outline-without-interior", message, (roi.subject,)))
    planimetric = ReportedMeasurement("planimetric volume", outlined.planimetric_mm3, "mm3")
    return Finding(
        f"{set_id}/roi-{roi.number:03d}",
        category_of(context.vocabulary, roi.names, outlined.mask),
        mask=outlined.mask if held else None,
        point_mm=None if held else outlined.middle_mm,
        source_label=roi.name,
        sop_instance_uids=tuple(image.sop_instance_uids[index] for index in outlined.slices),
        tracking_uid=roi.tracking_uid,
        attributes=roi.attributes,
        measurements=(*roi.measurements, planimetric),
        round_trip=outlined.round_trip if held else _spread(contours, outlined.middle_mm, image),
    )


def _point(
    roi: _Roi,
    finding_id: str,
    contour: Contour,
    image: PlacedSeries,
    context: ReadContext,
    rejections: list[Rejection],
) -> Finding | None:
    x, y, z = (float(value) for value in contour.points_mm[0])
    index = to_index(image.grid, (x, y, z))
    if not contains_index(image.grid, index):
        message = f"The point ({x:.1f}, {y:.1f}, {z:.1f}) mm lies outside the image."
        rejections.append(Rejection("label-outside-image", message, (roi.subject, f"contour {contour.number}")))
        return None
    return Finding(
        finding_id,
        category_of(context.vocabulary, roi.names, None),
        point_mm=(x, y, z),
        source_label=roi.name,
        sop_instance_uids=(image.sop_instance_uids[round(index[0])],),
        tracking_uid=roi.tracking_uid,
        attributes=roi.attributes,
        measurements=roi.measurements,
        round_trip=RoundTrip(0.0, 0.0),
    )


def _spread(contours: Sequence[Contour], middle: PointMm, image: PlacedSeries) -> RoundTrip:
    """How far the farthest vertex lies from the point that stands for all of them."""
    offsets = np.concatenate([contour.points_mm for contour in contours]) - np.array(middle)
    voxels = np.linalg.solve(image.grid.matrix[:3, :3], offsets.T)
    return RoundTrip(float(np.abs(voxels).max()), float(np.linalg.norm(offsets, axis=1).max()))


def _rois(dataset: Dataset, rejections: list[Rejection]) -> list[_Roi]:
    observations: dict[int | None, Dataset] = {}
    for item in dataset.get("RTROIObservationsSequence") or ():
        observations.setdefault(whole_of(item, "ReferencedROINumber"), item)
    contours: dict[int, list[Contour]] = {}
    for item in dataset.get("ROIContourSequence") or ():
        drawn = [
            contour_of(contour, ordinal) for ordinal, contour in enumerate(item.get("ContourSequence") or (), start=1)
        ]
        contours.setdefault(whole_of(item, "ReferencedROINumber") or 0, []).extend(drawn)
    described = [
        _roi(item, observations.get(whole_of(item, "ROINumber"), Dataset()), contours)
        for item in dataset.StructureSetROISequence
    ]
    for number in sorted(set(contours) - {roi.number for roi in described}):
        message = f"{len(contours[number])} contours belong to a region that the file does not describe."
        rejections.append(Rejection("contours-without-roi", message, (f"ROI {number}",)))
    return described


def _roi(item: Dataset, observation: Dataset, contours: Mapping[int, list[Contour]]) -> _Roi:
    number = whole_of(item, "ROINumber") or 0
    name = text_of(item, "ROIName")
    interpreted = text_of(observation, "RTROIInterpretedType")
    code = text_of(first_item(observation, "RTROIIdentificationCodeSequence"), "CodeMeaning")
    generation = text_of(item, "ROIGenerationAlgorithm")
    attributes = {
        "RT ROI interpreted type": interpreted,
        "RT ROI identification": code,
        "ROI generation algorithm": generation,
        "ROI generation description": text_of(item, "ROIGenerationDescription"),
        "ROI description": text_of(item, "ROIDescription"),
        "ROI observation label": text_of(observation, "ROIObservationLabel"),
        "ROI observation description": text_of(observation, "ROIObservationDescription"),
        "tracking identifier": text_of(item, "TrackingID"),
    }
    volume = optional(number_of, item, "ROIVolume")
    measurements = [] if volume is None else [ReportedMeasurement("ROI volume", volume, "cm3")]
    for physical in observation.get("ROIPhysicalPropertiesSequence") or ():
        value = optional(number_of, physical, "ROIPhysicalPropertyValue")
        if value is not None:
            measurements.append(ReportedMeasurement(text_of(physical, "ROIPhysicalProperty"), value, ""))
    identity = first_item(item, "ROIDerivationAlgorithmIdentificationSequence")
    algorithm = Algorithm(text_of(identity, "AlgorithmName"), text_of(identity, "AlgorithmVersion"))
    return _Roi(
        number=number,
        name=name,
        frame_of_reference_uid=text_of(item, "ReferencedFrameOfReferenceUID"),
        names=tuple(text for text in (name, code, interpreted) if text),
        automatic=generation == "AUTOMATIC",
        algorithm=algorithm if algorithm.name or algorithm.version else None,
        interpreter=person_of(observation, "ROIInterpreter"),
        tracking_uid=text_of(item, "TrackingUID"),
        attributes={key: text for key, text in attributes.items() if text},
        measurements=tuple(measurements),
        contours=tuple(contours.get(number, ())),
    )


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    dataset = _opened(data, context.limits)
    try:
        return _described(dataset)
    except UnreadableFile:
        raise
    # See read_structure_set.
    except Exception as error:
        raise UnreadableFile("malformed", f"The references are damaged ({type(error).__name__}).") from error


def _described(dataset: Dataset) -> ImageReferences:
    frames, studies, series, images = [], [], [], []
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        frames.append(text_of(frame, "FrameOfReferenceUID"))
        for study in frame.get("RTReferencedStudySequence") or ():
            studies.append(text_of(study, "ReferencedSOPInstanceUID"))
            for one in study.get("RTReferencedSeriesSequence") or ():
                series.append(text_of(one, "SeriesInstanceUID"))
                images.extend(_image_uids(one))
    frames += [text_of(roi, "ReferencedFrameOfReferenceUID") for roi in dataset.get("StructureSetROISequence") or ()]
    for roi in dataset.get("ROIContourSequence") or ():
        for contour in roi.get("ContourSequence") or ():
            images.extend(_image_uids(contour))
    return ImageReferences(
        study_instance_uids=_named([*studies, text_of(dataset, "StudyInstanceUID")]),
        series_instance_uids=_named(series),
        sop_instance_uids=_named(images),
        frame_of_reference_uids=_named(frames),
    )


def _image_uids(item: Dataset) -> list[str]:
    return [text_of(image, "ReferencedSOPInstanceUID") for image in item.get("ContourImageSequence") or ()]


def _named(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text for text in texts if text)


def _opened(data: bytes, limits: ReadLimits) -> Dataset:
    dataset = open_dataset(data, limits, with_pixels=False).dataset
    if text_of(dataset, "SOPClassUID") != _STRUCTURE_SET_CLASS:
        raise UnreadableFile("not-a-structure-set", "The file is DICOM, but not an RT Structure Set.")
    return dataset


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="DICOM RT Structure Set (RTSTRUCT)",
    many_series=True,
    references=_references,
    read=read_structure_set,
)
"""RT Structure Sets; ``read`` and ``references`` refuse as ``read_structure_set`` does."""
