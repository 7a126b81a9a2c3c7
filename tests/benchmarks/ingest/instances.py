"""What the ingest is measured with: CT slices of 512 x 512, written often enough, each with names of its own."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from imaging.phantom.chest import chest_phantom, synthetic_uid
from imaging.phantom.dicom import write_series

SERIES = 16
SIZE = 512
REAL_SCAN = "lidc-0001.zip"
PHANTOM_SLICES = 16
SPACING_MM = (2.5, 0.7, 0.7)


def make(folder: Path, *, count: int, seed: int, real_data: Path) -> str:
    """Write ``count`` instances in 16 series below ``folder``, a folder a series, and return what they are made from.

    Slices of a real scan where ``real_data`` holds it, else of a phantom. They are synced before this returns, and lie
    in the page cache as files do that have just arrived.
    """
    slices, origin = _real(real_data / REAL_SCAN), "slices of LIDC-IDRI-0001"
    if not slices:
        slices, origin = _phantom(folder, seed), "slices of a phantom"
    per_series = -(-count // SERIES)
    for number in range(count):
        series, index = divmod(number, per_series)
        place = folder / f"{series:02d}" / f"{index:04d}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as stream:
            stream.write(_renamed(slices[index % len(slices)], seed=seed, series=series, index=index))
            stream.flush()
            os.fsync(stream.fileno())
    return origin


def _real(archive: Path) -> list[FileDataset]:
    if not archive.is_file():
        return []
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if "ct/" in name and not name.endswith("/")]
        slices = [pydicom.dcmread(BytesIO(opened.read(name))) for name in names]
    return sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))


def _phantom(folder: Path, seed: int) -> list[FileDataset]:
    case = chest_phantom(seed=seed, shape=(PHANTOM_SLICES, SIZE, SIZE), spacing_mm=SPACING_MM, nodule_count=1)
    paths = write_series(case=case, directory=folder / "phantom")
    slices = [pydicom.dcmread(path) for path in paths]
    for path in paths:
        path.unlink()
    (folder / "phantom").rmdir()
    return slices


def _renamed(one: FileDataset, *, seed: int, series: int, index: int) -> bytes:
    study_uid, series_uid, sop_uid = _uids(seed, series, index)
    one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID = study_uid, series_uid, sop_uid
    one.file_meta.MediaStorageSOPInstanceUID = sop_uid
    one.InstanceNumber = str(index + 1)
    x, y, _ = one.ImagePositionPatient
    one.ImagePositionPatient = [x, y, f"{-300 + index * SPACING_MM[0]:.1f}"]
    buffer = BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uids(seed: int, series: int, index: int) -> Iterator[UID]:
    yield UID(synthetic_uid(parts=("benchmark", seed, "study", series)))
    yield UID(synthetic_uid(parts=("benchmark", seed, "series", series)))
    yield UID(synthetic_uid(parts=("benchmark", seed, "instance", series, index)))
