"""DICOM label objects for the contract suite: a segmentation, a structure set and a report on the made series."""

from __future__ import annotations

import copy

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from tests.imaging.readers import test_segmentation
from tests.imaging.readers.made import FRAME, SERIES, STUDY, a_dataset, uid_of, written

CONTOURED = (2, 3, 4)


def segmentation(*, frame_of_reference: str = FRAME, shift_mm: float = 0.0, absent: str = "") -> bytes:
    """A binary SEG; ``shift_mm`` moves it along z, ``absent`` is named as one frame's source image."""
    dataset = copy.deepcopy(test_segmentation.a_segmentation(test_segmentation.region()))
    dataset.FrameOfReferenceUID = frame_of_reference
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    for frame in frames:
        position = frame.PlanePositionSequence[0]
        x, y, z = (float(value) for value in position.ImagePositionPatient)
        position.ImagePositionPatient = [x, y, z + shift_mm]
    if absent:
        source = frames[0].DerivationImageSequence[0].SourceImageSequence[0]
        other = copy.deepcopy(source)
        other.ReferencedSOPInstanceUID = absent
        frames[0].DerivationImageSequence[0].SourceImageSequence.append(other)
    return written(dataset)


def structure_set(*, series: str = SERIES, shift_mm: float = 0.0, absent: str = "") -> bytes:
    """An RTSTRUCT with one closed region; ``shift_mm`` moves it along z."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.6.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.10.6"
    dataset.StudyInstanceUID = STUDY
    dataset.Modality = "RTSTRUCT"
    dataset.PatientName = "Nobody^Known"
    dataset.PatientID = "made-up"
    dataset.OperatorsName = "Nobody^Known"
    dataset.StructureSetLabel = "made"
    images = [uid_of(number) if series == SERIES else f"{series}.{number}" for number in CONTOURED]
    if absent:
        images[0] = absent
    in_series = Dataset()
    in_series.SeriesInstanceUID = series
    in_series.ContourImageSequence = Sequence([_reference(uid) for uid in images])
    in_study = Dataset()
    in_study.ReferencedSOPInstanceUID = STUDY
    in_study.RTReferencedSeriesSequence = Sequence([in_series])
    in_frame = Dataset()
    in_frame.FrameOfReferenceUID = FRAME
    in_frame.RTReferencedStudySequence = Sequence([in_study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([in_frame])
    roi = Dataset()
    roi.ROINumber = 1
    roi.ReferencedFrameOfReferenceUID = FRAME
    roi.ROIName = "Nodule"
    roi.ROIGenerationAlgorithm = "MANUAL"
    dataset.StructureSetROISequence = Sequence([roi])
    outlined = Dataset()
    outlined.ReferencedROINumber = 1
    outlined.ContourSequence = Sequence(
        [_contour(number, uid, shift_mm) for number, uid in zip(CONTOURED, images, strict=True)]
    )
    dataset.ROIContourSequence = Sequence([outlined])
    observed = Dataset()
    observed.ObservationNumber = 1
    observed.ReferencedROINumber = 1
    observed.RTROIInterpretedType = ""
    observed.ROIInterpreter = "Nobody^Known"
    dataset.RTROIObservationsSequence = Sequence([observed])
    return written(dataset)


def report(*, series: str = SERIES, shift_pixels: float = 0.0, absent: bool = False) -> bytes:
    """A TID 1500 report with one planar region on slice 3; with ``absent``, another on an image that is not there."""
    held = a_dataset(number=3) if series == SERIES else a_dataset(number=3, SeriesInstanceUID=series)
    if series != SERIES:
        held.SOPInstanceUID = f"{series}.3"
    missing = a_dataset(number=900, SOPInstanceUID=f"{SERIES}.900")
    sources = [held, missing] if absent else [held]
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="Nobody^Known"),
    )
    groups = [_group(image, number, shift_pixels) for number, image in enumerate(sources, start=1)]
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    made = hd.sr.Comprehensive3DSR(
        evidence=sources,
        content=content,
        series_number=9,
        series_instance_uid="1.2.826.0.1.3680043.10.7",
        sop_instance_uid="1.2.826.0.1.3680043.10.7.1",
        instance_number=1,
        manufacturer="Made",
        is_complete=True,
        is_final=True,
        is_verified=False,
    )
    return written(made)


def _group(image: Dataset, number: int, shift_pixels: float) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    # Image coordinates of SCOORD: the upper left corner of the upper left pixel is (0, 0) (PS3.3 C.18.6).
    corners = np.array([[2.0, 1.0], [9.0, 1.0], [9.0, 7.0], [2.0, 7.0], [2.0, 1.0]])
    corners[:, 0] += shift_pixels
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=corners,
        source_image=hd.sr.SourceImageForRegion(
            referenced_sop_class_uid=image.SOPClassUID, referenced_sop_instance_uid=image.SOPInstanceUID
        ),
    )
    tracking = hd.sr.TrackingIdentifier(uid=f"1.2.826.0.1.3680043.10.8.{number}", identifier=f"Nodule {number}")
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking, referenced_region=region, finding_type=codes.SCT.Nodule
    )


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = uid
    return item


def _contour(number: int, uid: str, shift_mm: float) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    x, y, z = (-4.0, -3.0), (-3.0, 0.5), 10.0 + 1.5 * number + shift_mm
    left, right, top, bottom = x[0] + 0.75, x[0] + 4.25, y[0] + 0.25, y[0] + 3.25
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    item.NumberOfContourPoints = len(corners)
    item.ContourData = [value for at in corners for value in (*at, z)]
    item.ContourImageSequence = Sequence([_reference(uid)])
    return item
