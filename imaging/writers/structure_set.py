"""Outlines and points as an RT Structure Set (PS3.3 A.19): one object a set, one region of interest a finding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, RTStructureSetStorage

from imaging.geometry.affine import to_index, to_patient
from imaging.types import Finding, Grid, Mask, PointMm, SetKind
from imaging.writers import codes
from imaging.writers.carrying import CarriedSet, carried_sets
from imaging.writers.contours import has_hole, outlines_of
from imaging.writers.contract import (
    Carried,
    CategoryFidelity,
    LabelledSeries,
    LabelWriter,
    WriteContext,
    Written,
    WrittenFile,
)
from imaging.writers.dicom_objects import (
    algorithm_identification,
    copy_patient_and_study,
    decimals,
    file_bytes,
    person_name,
    source_header,
    stamp,
)
from imaging.writers.identity import algorithm_of, author_of, file_stem, object_uid, one_line
from imaging.writers.segmentation import MEDIA_TYPE, named_as_written, renamed, segment_labels

SERIES_NUMBER = 9301
_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired: what PS3.3 C.8.8.5 still has a referenced study be."""

CARRIES = Carried(
    shapes=frozenset({"mask", "point"}),
    category=CategoryFidelity.KIND,
    tracking=True,
    names=True,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=False,
    author=True,
    empty_sets=False,
    case_probabilities=False,
)


def write_structure_sets(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one RT Structure Set a set that has outlines or points.

    Contours run along the edges of voxels, so that the voxel centres within them are the outline's own; a hole is a
    contour of its own and the region's contours are then of type CLOSEDPLANAR_XOR, else CLOSED_PLANAR (PS3.3
    C.8.8.6.3). Each contour names the image that it lies on. Raises NotApplicable as ``source_header`` does.
    """
    sets, losses = carried_sets(
        labelled.annotation_sets, CARRIES, series_instance_uid=labelled.image.series_instance_uid
    )
    files = tuple(_structure_set(one, labelled, context, ordinal=ordinal) for ordinal, one in enumerate(sets, start=1))
    return Written(files, (*losses, *(loss for one in sets for loss in renamed(one))))


def _structure_set(
    carried: CarriedSet, labelled: LabelledSeries, context: WriteContext, *, ordinal: int
) -> WrittenFile:
    source, image = carried.source, labelled.image
    header = source_header(labelled)
    uid = object_uid("dicom-rtstruct", source, image.series_instance_uid, context)
    dataset = Dataset()
    dataset.file_meta = _file_meta(uid)
    copy_patient_and_study(header, dataset)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, uid
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = context.new_uid(f"series|{uid}")
    dataset.SeriesNumber, dataset.InstanceNumber = SERIES_NUMBER + ordinal - 1, 1
    dataset.SeriesDescription = one_line(f"Labels by {author_of(source)}", 64)
    dataset.OperatorsName = ""
    dataset.Manufacturer = context.manufacturer
    dataset.ManufacturerModelName = context.model_name
    dataset.SoftwareVersions = context.software_version
    dataset.DeviceSerialNumber = context.device_serial_number
    dataset.FrameOfReferenceUID = image.grid.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = "LABELS"
    dataset.StructureSetName = one_line(f"Labels by {author_of(source)}", 64)
    dataset.StructureSetDate = context.written_at.strftime("%Y%m%d")
    dataset.StructureSetTime = context.written_at.strftime("%H%M%S")
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_frame(header, labelled)]
    labels = segment_labels(carried)
    numbered = list(enumerate(zip(labels, carried.findings, strict=True), start=1))
    dataset.StructureSetROISequence = [
        _region(n, label, finding, carried, labelled) for n, (label, finding) in numbered
    ]
    dataset.ROIContourSequence = [_contours(n, finding, header, labelled) for n, (_, finding) in numbered]
    dataset.RTROIObservationsSequence = [_observation(n, finding, carried) for n, (_, finding) in numbered]
    dataset.ApprovalStatus = "UNAPPROVED"
    stamp(dataset, context)
    return WrittenFile(
        name=f"{file_stem(source, ordinal)}.rtstruct.dcm",
        media_type=MEDIA_TYPE,
        data=file_bytes(dataset),
        set_ids=(source.set_id,),
        read_as="dicom-rtstruct",
        carries=CARRIES,
        content=named_as_written(carried),
        sop_instance_uid=uid,
    )


def _file_meta(uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = UID(uid)
    # With explicit VR a contour's numbers could have 65534 bytes at most (PS3.3 C.8.8.6, note on Contour Data).
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return meta


def _referenced_frame(header: Dataset, labelled: LabelledSeries) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = labelled.image.series_instance_uid
    series.ContourImageSequence = [
        _image_reference(header, labelled, index) for index in range(labelled.image.grid.shape[0])
    ]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_MANAGEMENT
    study.ReferencedSOPInstanceUID = str(header.StudyInstanceUID)
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = labelled.image.grid.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_reference(header: Dataset, labelled: LabelledSeries, index: int) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = str(header.SOPClassUID)
    reference.ReferencedSOPInstanceUID = labelled.image.sop_instance_uids[index]
    return reference


def _region(number: int, label: str, finding: Finding, carried: CarriedSet, labelled: LabelledSeries) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = labelled.image.grid.frame_of_reference_uid
    region.ROIName = label
    # The module itself has no place for the lesion's identity; as in a SEG, it is the tracking UID (C.8.20.4).
    region.TrackingUID, region.TrackingID = finding.tracking_uid, label
    automatic = carried.source.kind is SetKind.ALGORITHM
    region.ROIGenerationAlgorithm = "AUTOMATIC" if automatic else "MANUAL"
    if automatic:
        name, version = algorithm_of(carried.source)
        region.ROIGenerationDescription = one_line(f"{name} {version}", 64)
        region.ROIDerivationAlgorithmIdentificationSequence = list(algorithm_identification(name, version))
    return region


def _observation(number: int, finding: Finding, carried: CarriedSet) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = "MARKER" if finding.mask is None else ""
    reader = carried.source.kind is SetKind.READER
    observation.ROIInterpreter = person_name(author_of(carried.source)) if reader else ""
    observation.ROIObservationLabel = one_line(codes.PROPERTY_TYPE[finding.category].meaning, 16)
    kind = codes.PROPERTY_TYPE[finding.category]
    coded = Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator, coded.CodeMeaning = kind.value, kind.scheme_designator, kind.meaning
    observation.RTROIIdentificationCodeSequence = [coded]
    return observation


def _contours(number: int, finding: Finding, header: Dataset, labelled: LabelledSeries) -> Dataset:
    grid = labelled.image.grid
    holder = Dataset()
    holder.ReferencedROINumber = number
    holder.ROIDisplayColor = [255, 160, 0]
    holder.ContourSequence = []
    if finding.mask is not None:
        planes = list(_planes(finding.mask))
        kind = "CLOSEDPLANAR_XOR" if any(has_hole(plane) for _, plane in planes) else "CLOSED_PLANAR"
        for index, plane in planes:
            _, top, left = finding.mask.origin
            for outline in outlines_of(plane):
                points = [to_patient(grid, (index, row + top, column + left)) for row, column in outline]
                holder.ContourSequence.append(_contour(kind, points, _image_reference(header, labelled, index)))
    elif finding.point_mm is not None:
        index = nearest_slice(grid, finding.point_mm)
        holder.ContourSequence.append(_contour("POINT", [finding.point_mm], _image_reference(header, labelled, index)))
    return holder


def nearest_slice(grid: Grid, place: PointMm) -> int:
    """Return the slice nearest to a place (LPS, millimetres): the first or the last one for a place beyond them."""
    return min(max(round(to_index(grid, place)[0]), 0), grid.shape[0] - 1)


def _planes(mask: Mask) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    for offset, plane in enumerate(mask.voxels):
        if plane.any():
            yield mask.origin[0] + offset, plane


def _contour(kind: str, points: list[PointMm], image: Dataset) -> Dataset:
    contour = Dataset()
    contour.ContourImageSequence = [image]
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = decimals(value for point in points for value in point)
    return contour


WRITER = LabelWriter(
    name="dicom-rtstruct",
    title="DICOM RT Structure Set",
    needs_header=True,
    carries=CARRIES,
    write=write_structure_sets,
)
