"""RT structure sets made on the made series, for tests of what reads them."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

from imaging.readers.structure_set import FORMAT
from imaging.types import AnnotationImport, Finding
from tests.imaging.readers.made import FRAME, SERIES, STUDY, written
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import image

Points = list[tuple[float, float, float]]


def z_of(number: float) -> float:
    """Where slice ``number`` of the made series lies: from 10 mm every 1.5 mm."""
    return 10.0 + 1.5 * number


def square(row: float, column: float, side: float, number: float) -> Points:
    """A square by its first corner in pixels; the made series begins at (-4, -3) with pixels of 0.5 mm."""
    corners = [(0, 0), (0, side), (side, side), (side, 0)]
    return [(-4.0 + 0.5 * (column + dc), -3.0 + 0.5 * (row + dr), z_of(number)) for dr, dc in corners]


def contour(points: Points, *, kind: str = "CLOSED_PLANAR", of: str | None = None) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.4f}" for point in points for value in point]
    if of is not None:
        item.ContourImageSequence = Sequence([Dataset()])
        item.ContourImageSequence[0].ReferencedSOPClassUID = CTImageStorage
        item.ContourImageSequence[0].ReferencedSOPInstanceUID = of
    return item


def a_structure_set(*rois: tuple[str, list[Dataset]], series: str = SERIES) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.7.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.10.7"
    dataset.Modality = "RTSTRUCT"
    frame, study, one = Dataset(), Dataset(), Dataset()
    one.SeriesInstanceUID = series
    study.ReferencedSOPInstanceUID = STUDY
    study.RTReferencedSeriesSequence = Sequence([one])
    frame.FrameOfReferenceUID = FRAME
    frame.RTReferencedStudySequence = Sequence([study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    dataset.StructureSetROISequence = Sequence()
    dataset.ROIContourSequence = Sequence()
    dataset.RTROIObservationsSequence = Sequence()
    for number, (name, contours) in enumerate(rois, start=1):
        described, drawn, observed = Dataset(), Dataset(), Dataset()
        described.ROINumber = number
        described.ROIName = name
        described.ReferencedFrameOfReferenceUID = FRAME
        described.ROIGenerationAlgorithm = "MANUAL"
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = [255, 0, 0]
        drawn.ContourSequence = Sequence(contours)
        observed.ObservationNumber = number
        observed.ReferencedROINumber = number
        observed.RTROIInterpretedType = ""
        observed.ROIInterpreter = "Reader^Known"
        dataset.StructureSetROISequence.append(described)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observed)
    return dataset


def read(dataset: Dataset) -> AnnotationImport:
    return FORMAT.read(written(dataset), image(), context_with())


def only(found: AnnotationImport) -> Finding:
    (one,) = found.annotation_sets
    (finding,) = one.findings
    return finding


def codes_of(found: AnnotationImport) -> list[str]:
    return [rejection.code for rejection in found.rejections]


def planimetric(finding: Finding) -> float:
    (value,) = [one.value for one in finding.measurements if one.name == "planimetric volume"]
    return value
