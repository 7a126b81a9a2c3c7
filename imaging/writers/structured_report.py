"""Findings as a structured report: Comprehensive 3D SR with TID 1500 (PS3.3 A.35.13, PS3.16), one object a set.

An outline is reported as a volumetric ROI (TID 1411) that refers to its segment in the set's SEG, which is written
with it; a sphere as an ellipsoid and a point as a point in the frame of reference.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
from highdicom.sr import (
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    GraphicTypeValues3D,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    ReferencedSegment,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumeSurface,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.content import FindingSite
from highdicom.sr.templates import Measurement, QualitativeEvaluation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from imaging.geometry.affine import to_index, to_patient
from imaging.masks.measure import measure
from imaging.types import Finding, ReportedMeasurement, SetKind, Sphere
from imaging.writers import codes
from imaging.writers.carrying import CarriedSet, carried_sets
from imaging.writers.contract import (
    Carried,
    CategoryFidelity,
    LabelledSeries,
    LabelWriter,
    Loss,
    LossKind,
    WriteContext,
    Written,
    WrittenFile,
)
from imaging.writers.dicom_objects import file_bytes, person_name, source_slices, stamp
from imaging.writers.identity import algorithm_of, author_of, file_stem, object_uid, one_line
from imaging.writers.segmentation import MEDIA_TYPE, named_as_written, renamed, segment_labels, segmentation_of

SERIES_NUMBER = 9501

CARRIES = Carried(
    shapes=frozenset({"mask", "sphere", "point"}),
    category=CategoryFidelity.KIND,
    tracking=True,
    names=True,
    characteristics=True,
    attributes=False,
    measurements=False,
    confidence=False,
    author=True,
    empty_sets=False,
    case_probabilities=False,
)

_PROCEDURE = Code("24627-2", "LN", "CT Chest")


def write_structured_reports(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one TID 1500 report a set, and the SEG with its outlines where it has any.

    Each finding is one measurement group with its tracking UID (the segment's too), its kind, the sizes of an outline
    as ``measure`` gives them, the diameter of a sphere, and LIDC's characteristics as coded qualitative evaluations.
    The observer is the reader under the pseudonym that the set has, the algorithm, or the consensus as a device.
    Raises NotApplicable as ``source_header`` does.
    """
    sets, losses = carried_sets(
        labelled.annotation_sets, CARRIES, series_instance_uid=labelled.image.series_instance_uid
    )
    files: list[WrittenFile] = []
    named = list(losses)
    for ordinal, one in enumerate(sets, start=1):
        findings = (_placeable(_rated(finding, one, named), one, labelled, named) for finding in one.findings)
        stated = CarriedSet(one.source, tuple(findings), ())
        outlined = CarriedSet(one.source, tuple(item for item in stated.findings if item.mask is not None), ())
        segments = segmentation_of(outlined, labelled, context, ordinal=ordinal) if outlined.findings else None
        if segments is not None:
            files.append(segments)
        files.append(_report(stated, segments, labelled, context, ordinal=ordinal))
        named.extend(renamed(stated))
    return Written(tuple(files), tuple(named))


def _rated(finding: Finding, carried: CarriedSet, losses: list[Loss]) -> Finding:
    """The finding with those ratings alone that have a code."""
    coded = {name: value for name, value in finding.characteristics.items() if value in codes.RATING.get(name, {})}
    without = sorted(set(finding.characteristics) - set(coded))
    if without:
        message = f"There is no code for these ratings, which are left out ({', '.join(without)})."
        losses.append(Loss(LossKind.CHARACTERISTICS, message, carried.source.set_id, finding.finding_id))
    return replace(finding, characteristics=coded)


def _placeable(finding: Finding, carried: CarriedSet, labelled: LabelledSeries, losses: list[Loss]) -> Finding:
    """The finding, a sphere as its centre where readers could not place it: none of its voxels, or beyond the image."""
    sphere, grid = finding.sphere, labelled.image.grid
    if sphere is None:
        return finding
    centre = np.array(to_index(grid, sphere.centre_mm))
    # How far a ball reaches along each axis of indices, whatever angles the axes stand at.
    reach = sphere.diameter_mm / 2.0 * np.linalg.norm(np.linalg.inv(grid.matrix[:3, :3]), axis=1)
    inside = bool(np.all(centre - reach >= -0.5) and np.all(centre + reach <= np.array(grid.shape) - 0.5))
    nearest = np.array(to_patient(grid, np.rint(centre).tolist()))
    holds_voxel = float(np.linalg.norm(nearest - np.array(sphere.centre_mm))) < sphere.diameter_mm / 2.0
    if inside and holds_voxel:
        return finding
    where = "holds no voxel's centre" if inside else "reaches beyond the image"
    message = f"The sphere {where}, so that only its centre and diameter are written."
    losses.append(Loss(LossKind.SHAPE, message, carried.source.set_id, finding.finding_id))
    diameter = ReportedMeasurement("diameter", sphere.diameter_mm, "mm")
    return replace(finding, sphere=None, point_mm=sphere.centre_mm, measurements=(diameter,))


def _report(
    carried: CarriedSet,
    segments: WrittenFile | None,
    labelled: LabelledSeries,
    context: WriteContext,
    *,
    ordinal: int,
) -> WrittenFile:
    source, image = carried.source, labelled.image
    uid = object_uid("dicom-sr", source, image.series_instance_uid, context)
    places = _slices_of(carried, labelled)
    slices = dict(zip(places, source_slices(labelled, places), strict=True))
    report = MeasurementReport(
        observation_context=_observer(carried, context),
        procedure_reported=_PROCEDURE,
        imaging_measurements=_groups(carried, segments, slices, labelled),
        title=dictionary.DCM.ImagingMeasurementReport,
    )
    evidence = [*slices.values()]
    if segments is not None:
        evidence.append(_reference_to(segments, labelled, context, next(iter(slices.values()))))
    dataset = Comprehensive3DSR(
        evidence=evidence,
        content=report[0],
        series_instance_uid=context.new_uid(f"series|{uid}"),
        series_number=SERIES_NUMBER + ordinal - 1,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=context.manufacturer,
        manufacturer_model_name=context.model_name,
        software_versions=context.software_version,
        device_serial_number=context.device_serial_number,
        is_complete=True,
        is_final=True,
        series_description=one_line(f"Findings by {author_of(source)}", 64),
    )
    stamp(dataset, context)
    return WrittenFile(
        name=f"{file_stem(source, ordinal)}.sr.dcm",
        media_type=MEDIA_TYPE,
        data=file_bytes(dataset),
        set_ids=(source.set_id,),
        read_as="dicom-sr",
        carries=CARRIES,
        content=named_as_written(carried),
        sop_instance_uid=uid,
    )


def _reference_to(segments: WrittenFile, labelled: LabelledSeries, context: WriteContext, slice_: Dataset) -> Dataset:
    """What the report's evidence must say of the SEG: its identity, within the same study."""
    reference = deepcopy(slice_)
    reference.SOPClassUID = SegmentationStorage
    reference.SOPInstanceUID = segments.sop_instance_uid
    reference.SeriesInstanceUID = context.new_uid(f"series|{segments.sop_instance_uid}")
    reference.Modality = "SEG"
    return reference


def _slices_of(carried: CarriedSet, labelled: LabelledSeries) -> list[int]:
    """The slices that findings lie on, nearest to their centre for what has no outline; at least one."""
    touched: set[int] = set()
    for finding in carried.findings:
        if finding.mask is not None:
            filled = np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))
            touched.update(finding.mask.origin[0] + int(index) for index in filled)
        else:
            touched.add(_nearest_slice(finding, labelled))
    return sorted(touched or {0})


def _nearest_slice(finding: Finding, labelled: LabelledSeries) -> int:
    centre = finding.sphere.centre_mm if finding.sphere is not None else finding.point_mm
    assert centre is not None
    index = round(to_index(labelled.image.grid, centre)[0])
    return min(max(index, 0), labelled.image.grid.shape[0] - 1)


def _groups(
    carried: CarriedSet, segments: WrittenFile | None, slices: dict[int, Dataset], labelled: LabelledSeries
) -> list[VolumetricROIMeasurementsAndQualitativeEvaluations]:
    number = 0
    groups = []
    for finding, label in zip(carried.findings, segment_labels(carried), strict=True):
        segment: ReferencedSegment | None = None
        surface: VolumeSurface | None = None
        if finding.mask is not None and segments is not None:
            number += 1
            segment = ReferencedSegment(
                sop_class_uid=SegmentationStorage,
                sop_instance_uid=segments.sop_instance_uid,
                segment_number=number,
                source_series=SourceSeriesForSegmentation(labelled.image.series_instance_uid),
            )
        else:
            surface = _surface(finding, slices[_nearest_slice(finding, labelled)], labelled)
        groups.append(
            VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(uid=finding.tracking_uid, identifier=label),
                referenced_segment=segment,
                referenced_volume_surface=surface,
                finding_type=codes.PROPERTY_TYPE[finding.category],
                finding_category=codes.PROPERTY_CATEGORY[finding.category],
                finding_sites=[FindingSite(anatomic_location=codes.LUNG)] if finding.category.is_nodule else None,
                measurements=_measurements(finding) or None,
                qualitative_evaluations=[
                    QualitativeEvaluation(name=codes.CHARACTERISTIC[name], value=codes.RATING[name][value])
                    for name, value in sorted(finding.characteristics.items())
                ]
                or None,
            )
        )
    return groups


def _surface(finding: Finding, slice_: Dataset, labelled: LabelledSeries) -> VolumeSurface:
    if finding.sphere is not None:
        kind, data = GraphicTypeValues3D.ELLIPSOID, _ellipsoid(finding.sphere)
    else:
        kind, data = GraphicTypeValues3D.POINT, np.array([finding.point_mm], dtype=np.float64)
    return VolumeSurface(
        graphic_type=kind,
        graphic_data=[data],
        frame_of_reference_uid=labelled.image.grid.frame_of_reference_uid,
        source_images=[SourceImageForSegmentation(slice_.SOPClassUID, slice_.SOPInstanceUID)],
    )


def _ellipsoid(sphere: Sphere) -> NDArray[np.float64]:
    """The end points of the three axes, two an axis (PS3.3 C.18.9.1.2): (6, 3), LPS millimetres."""
    radius = sphere.diameter_mm / 2.0
    steps = np.repeat(np.eye(3), 2, axis=0) * radius
    steps[::2] *= -1.0
    ends: NDArray[np.float64] = np.array(sphere.centre_mm) + steps
    return ends


def _measurements(finding: Finding) -> list[Measurement]:
    if finding.sphere is not None:
        return [_length(codes.DIAMETER, finding.sphere.diameter_mm)]
    if finding.mask is None:
        return []
    size = measure(finding.mask)
    return [
        _length(codes.LONG_AXIS, size.long_axis_mm),
        _length(codes.SHORT_AXIS, size.short_axis_mm),
        Measurement(name=codes.VOLUME, value=round(size.volume_mm3, 3), unit=codes.CUBIC_MILLIMETRE),
    ]


def _length(name: Code, value_mm: float) -> Measurement:
    return Measurement(name=name, value=round(value_mm, 3), unit=codes.MILLIMETRE)


def _observer(carried: CarriedSet, context: WriteContext) -> ObservationContext:
    source = carried.source
    if source.kind is SetKind.READER:
        person = PersonObserverIdentifyingAttributes(name=person_name(author_of(source)))
        return ObservationContext(
            observer_person_context=ObserverContext(
                observer_type=dictionary.DCM.Person, observer_identifying_attributes=person
            )
        )
    algorithm = source.kind is SetKind.ALGORITHM
    name, version = algorithm_of(source) if algorithm else (author_of(source), context.software_version)
    device = DeviceObserverIdentifyingAttributes(
        uid=context.new_uid(f"device|{name}|{version}"),
        name=one_line(name, 64),
        manufacturer_name=None if algorithm else context.manufacturer,
        model_name=one_line(version, 64) if algorithm else context.model_name,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dictionary.DCM.Device, observer_identifying_attributes=device
        )
    )


WRITER = LabelWriter(
    name="dicom-sr",
    title="DICOM structured report (TID 1500) with its segmentation",
    needs_header=True,
    carries=CARRIES,
    write=write_structured_reports,
)
