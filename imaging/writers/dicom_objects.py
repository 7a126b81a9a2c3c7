"""What all written DICOM objects share: patient and study of the source, the image they refer to, time and bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from imaging.errors import NotApplicable
from imaging.geometry.affine import to_patient
from imaging.types import Grid
from imaging.writers.contract import LabelledSeries, WriteContext
from imaging.writers.identity import one_line

IMPLEMENTATION_CLASS_UID = UID("2.25.245934209168217402367243106419403386829")
"""Who wrote the file meta group (PS3.7 D.3.3.2)."""

# What identifies patient and study must be the same in every object of a study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2).
_PATIENT_AND_STUDY = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
)
_EMPTY_WHERE_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def source_header(labelled: LabelledSeries) -> Dataset:
    """Return the header that patient and study are taken from.

    Raises NotApplicable ``no-source-header`` where there is none, ``no-frame-of-reference`` where the image has no
    frame of reference: a DICOM label then could not say where it lies.
    """
    if labelled.header is None:
        raise NotApplicable("no-source-header", "A DICOM label needs the header of an image for patient and study.")
    if not labelled.image.grid.frame_of_reference_uid:
        message = "The image has no frame of reference, so that a DICOM label could not say where it lies."
        raise NotApplicable("no-frame-of-reference", message, subjects=(labelled.image.series_instance_uid,))
    return labelled.header


def copy_patient_and_study(header: Dataset, target: Dataset) -> None:
    """Put the source's patient and study into an object, as Unicode; what type 2 requires is empty where missing."""
    target.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _PATIENT_AND_STUDY:
        value = header.get(keyword)
        if value is not None:
            setattr(target, keyword, str(value))
    for keyword in _EMPTY_WHERE_MISSING:
        if keyword not in target:
            setattr(target, keyword, "")


def source_slices(labelled: LabelledSeries, indices: Iterable[int]) -> list[Dataset]:
    """Return what a derived object must know of these slices: identity, patient, study and place, without pixels.

    Places are the grid's, not the headers': one regular grid is what the labels were drawn on.
    """
    header = source_header(labelled)
    image, grid = labelled.image, labelled.image.grid
    rows_along, columns_along = direction_cosines_of(grid)
    slices = []
    for index in indices:
        one = Dataset()
        copy_patient_and_study(header, one)
        one.SOPClassUID = header.SOPClassUID
        one.SOPInstanceUID = image.sop_instance_uids[index]
        one.SeriesInstanceUID = image.series_instance_uid
        one.FrameOfReferenceUID = grid.frame_of_reference_uid
        one.PositionReferenceIndicator = ""
        one.Modality = str(header.get("Modality") or "CT")
        one.Rows, one.Columns = grid.shape[1], grid.shape[2]
        one.ImagePositionPatient = decimals(to_patient(grid, (index, 0.0, 0.0)))
        one.ImageOrientationPatient = decimals((*rows_along, *columns_along))
        one.PixelSpacing = decimals(grid.spacing_mm[1:])
        one.SliceThickness = decimals((grid.spacing_mm[0],))[0]
        slices.append(one)
    return slices


def direction_cosines_of(grid: Grid) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the unit directions along a row (column index grows) and along a column (row index grows), LPS."""
    axes = grid.matrix[:3, :3] / np.array(grid.spacing_mm)
    rightwards, downwards = ((float(axis[0]), float(axis[1]), float(axis[2])) for axis in (axes[:, 2], axes[:, 1]))
    return rightwards, downwards


def decimals(values: Iterable[float]) -> list[DSfloat]:
    """Return numbers as decimal strings of at most 16 characters, as exact as those allow (PS3.5 6.2)."""
    return [DSfloat(float(value), auto_format=True) for value in values]


def stamp(dataset: Dataset, context: WriteContext) -> None:
    """Give an object the time that the caller states, instead of whatever clock a library looked at."""
    day, time = context.written_at.strftime("%Y%m%d"), context.written_at.strftime("%H%M%S")
    for kind in ("InstanceCreation", "Content"):
        if kind == "InstanceCreation" or f"{kind}Date" in dataset:
            setattr(dataset, f"{kind}Date", day)
            setattr(dataset, f"{kind}Time", time)
    dataset.SeriesDate, dataset.SeriesTime = day, time
    dataset.TimezoneOffsetFromUTC = context.written_at.strftime("%z")[:5]
    for equipment in dataset.get("ContributingEquipmentSequence") or ():
        equipment.ContributionDateTime = day + time + dataset.TimezoneOffsetFromUTC


def file_bytes(dataset: Dataset | FileDataset) -> bytes:
    """Return an object as the bytes of a DICOM file (PS3.10)."""
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset.file_meta.ImplementationVersionName = "LABELQA"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def algorithm_identification(name: str, version: str) -> AlgorithmIdentificationSequence:
    """Return which algorithm made something (PS3.3 10.16); its family is given as artificial intelligence."""
    return AlgorithmIdentificationSequence(
        name=one_line(name, 64),
        family=Code("123109", "DCM", "Artificial Intelligence"),
        version=one_line(version, 64),
    )


def person_name(text: str) -> str:
    """Return a pseudonym as a person name of one part; characters that separate parts are left out.

    The closing caret says that one part is meant (PS3.5 6.2.1.2).
    """
    return one_line(text.replace("^", " ").replace("=", " "), 63) + "^"
