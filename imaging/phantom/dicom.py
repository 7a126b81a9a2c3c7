"""A phantom written as DICOM, so that synthetic studies come in by the same door as real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from imaging.phantom.chest import PhantomCase, synthetic_uid

INTERCEPT = -1024


def synthetic_patient_id(seed: int) -> str:
    """Return the Patient ID of the phantom of ``seed``, whatever its shape and spacing."""
    return f"SYNTHETIC-{seed}"


def write_series(*, case: PhantomCase, directory: Path) -> tuple[Path, ...]:
    """Write one CT Image Storage instance a slice (PS3.3 A.3), Explicit VR Little Endian; return the files in order.

    Patient name and ID say SYNTHETIC; image type says DERIVED. Files are the same bytes for the same case.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(case.volume.grid.shape[0]):
        path = directory / f"slice-{number + 1:04d}.dcm"
        _instance(case, number).save_as(path, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)


def _instance(case: PhantomCase, number: int) -> Dataset:
    volume, grid = case.volume, case.volume.grid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(volume.sop_instance_uids[number])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(synthetic_uid(parts=("implementation",)))
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = volume.sop_instance_uids[number]
    dataset.StudyDate = dataset.SeriesDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = "120000"
    dataset.AccessionNumber = ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "SYNTHETIC"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "SYNTHETIC chest phantom, no patient"
    dataset.SeriesDescription = f"SYNTHETIC phantom {case.seed}"
    dataset.PatientName = f"SYNTHETIC^PHANTOM {case.seed}"
    dataset.PatientID = synthetic_patient_id(case.seed)
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "No patient: computed from a seed"
    dataset.BodyPartExamined = "CHEST"
    dataset.SliceThickness = _decimal(volume.slice_thickness_mm or grid.spacing_mm[0])
    dataset.KVP = ""
    dataset.PatientPosition = "HFS"
    dataset.StudyInstanceUID = volume.study_instance_uid
    dataset.SeriesInstanceUID = volume.series_instance_uid
    dataset.StudyID = ""
    dataset.SeriesNumber = 1
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = volume.instance_numbers[number]
    origin = grid.matrix @ np.array([number, 0.0, 0.0, 1.0])
    dataset.ImagePositionPatient = [_decimal(value) for value in origin[:3]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.FrameOfReferenceUID = grid.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = grid.shape[1], grid.shape[2]
    dataset.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[2])]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope = INTERCEPT, 1
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = -600, 1600
    stored = volume.hounsfield[number].astype(np.int32) - INTERCEPT
    dataset.PixelData = stored.astype("<u2").tobytes()
    return dataset


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2) without more digits than it needs."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
