"""Imaging measurement reports made with highdicom on the made series, for tests of what reads them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as SrCode
from pydicom.uid import SegmentationStorage

from imaging.masks.build import full_voxels
from imaging.readers.structured_report import FORMAT
from imaging.types import AnnotationImport, Finding
from tests.imaging.readers.made import FRAME, SERIES, a_dataset, uid_of, written
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import a_segmentation, image, region

SLICES = 6
SEG_UID = "1.2.826.0.1.3680043.10.5.1"
PERSON = sr.PersonObserverIdentifyingAttributes(name="Reader^Known")


def observed(person: bool = True) -> sr.ObservationContext:
    """Who observed: a person, or a device called finder."""
    if person:
        return sr.ObservationContext(
            observer_person_context=sr.ObserverContext(codes.DCM.Person, PERSON),
        )
    device = sr.DeviceObserverIdentifyingAttributes(uid="1.2.3", name="finder", model_name="finder one")
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))


Group = (
    sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | sr.MeasurementsAndQualitativeEvaluations
)


def a_report(*groups: Group, context: sr.ObservationContext | None = None) -> Dataset:
    content = sr.MeasurementReport(
        observation_context=context or observed(),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=list(groups) or None,
        title=codes.DCM.ImagingMeasurementReport,
    )
    images = [a_dataset(number=number) for number in range(SLICES)]
    report = sr.Comprehensive3DSR(
        evidence=[*images, a_segmentation(region())],
        content=content[0],
        series_instance_uid="1.2.826.0.1.3680043.10.6",
        series_number=6,
        sop_instance_uid="1.2.826.0.1.3680043.10.6.1",
        instance_number=1,
        manufacturer="Made",
    )
    return dcmread(io.BytesIO(written(report)))  # plain items, which tests may change


def on_image(kind: str, points: Sequence[tuple[float, float]], number: int) -> sr.ImageRegion:
    """A region on slice ``number``; points are (column, row), the corner of the first pixel (0, 0)."""
    return sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues(kind),
        graphic_data=np.array(points, dtype=np.float64),
        source_image=sr.SourceImageForRegion("1.2.840.10008.5.1.4.1.1.2", uid_of(number)),
    )


def in_space(kind: str, points: Sequence[tuple[float, float, float]], frame: str = FRAME) -> sr.ImageRegion3D:
    return sr.ImageRegion3D(sr.GraphicTypeValues3D(kind), np.array(points, dtype=np.float64), frame)


def planar(
    where: sr.ImageRegion | sr.ImageRegion3D | None = None,
    *,
    finding: SrCode = codes.SCT.Nodule,
    measurements: Sequence[sr.Measurement] = (),
    evaluations: Sequence[sr.QualitativeEvaluation] = (),
    algorithm: sr.AlgorithmIdentification | None = None,
    segment: sr.ReferencedSegmentationFrame | None = None,
) -> Group:
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_region=where,
        referenced_segment=segment,
        finding_type=finding,
        finding_sites=[sr.FindingSite(anatomic_location=codes.SCT.Lung)],
        measurements=list(measurements) or None,
        qualitative_evaluations=list(evaluations) or None,
        algorithm_id=algorithm,
    )


def read(dataset: Dataset, companion: dict[str, bytes] | None = None) -> AnnotationImport:
    return FORMAT.read(written(dataset), image(), context_with(companion=(companion or {}).get))


def only(found: AnnotationImport) -> Finding:
    (one,) = found.annotation_sets
    (finding,) = one.findings
    return finding


def voxels(finding: Finding) -> NDArray[np.bool_]:
    assert finding.mask is not None
    return full_voxels(finding.mask)


SQUARE = [(2.0, 1.0), (8.0, 1.0), (8.0, 7.0), (2.0, 7.0), (2.0, 1.0)]
"""Along the edges of pixels: columns 2 to 7, rows 1 to 6."""


def a_square() -> NDArray[np.bool_]:
    whole = np.zeros((SLICES, 8, 12), dtype=np.bool_)
    whole[3, 1:7, 2:8] = True
    return whole


def a_length(points: Sequence[tuple[float, float]]) -> sr.Measurement:
    line = sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(points, dtype=np.float64),
        source_image=sr.SourceImageForRegion("1.2.840.10008.5.1.4.1.1.2", uid_of(3)),
    )
    return sr.Measurement(codes.SCT.Length, 4.0, codes.UCUM.Millimeter, referenced_coordinates=[line])


def of_segment(number: int = 1) -> Group:
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=SEG_UID,
            segment_number=number,
            source_series=sr.SourceSeriesForSegmentation(SERIES),
        ),
        finding_type=codes.SCT.Nodule,
    )
