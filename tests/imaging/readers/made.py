"""DICOM files made in memory: a small CT series, and files that are wrong in one way."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
)

SERIES = "1.2.826.0.1.3680043.10.1"
STUDY = "1.2.826.0.1.3680043.10"
FRAME = "1.2.826.0.1.3680043.10.9"


def uid_of(number: int) -> str:
    """The SOP Instance UID of slice ``number``."""
    return f"{SERIES}.{number + 1}"


def a_dataset(*, number: int = 0, stored: NDArray[np.int16] | None = None, **changes: object) -> FileDataset:
    """One CT slice of 8 x 12 pixels; ``changes`` set elements, None deletes them."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid_of(number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    pixels = np.zeros((8, 12), dtype=np.int16) if stored is None else stored
    elements: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid_of(number),
        "SeriesInstanceUID": SERIES,
        "StudyInstanceUID": STUDY,
        "FrameOfReferenceUID": FRAME,
        "StudyDate": "",
        "StudyTime": "",
        "AccessionNumber": "",
        "StudyID": "",
        "Modality": "CT",
        "PatientID": "made-up",
        "PatientName": "Nobody^Known",
        "PatientBirthDate": "",
        "PatientSex": "",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "Made",
        "KVP": "120",
        "ConvolutionKernel": "B31f",
        "ImagePositionPatient": [-4.0, -3.0, 10.0 + 1.5 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.5],
        "SliceThickness": 1.5,
        "InstanceNumber": 40 - number,
        "SeriesNumber": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
        "PixelData": pixels.tobytes(),
        **changes,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset) -> bytes:
    """The data set as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def a_file(*, number: int = 0, stored: NDArray[np.int16] | None = None, **changes: object) -> bytes:
    """One CT slice as a DICOM file."""
    return written(a_dataset(number=number, stored=stored, **changes))


def a_nested_file(depth: int) -> bytes:
    """A file whose sequences are nested ``depth`` deep, with undefined lengths so that parsers recurse."""
    base = a_dataset()
    innermost = Dataset()
    innermost.CodeValue = "1"
    for _ in range(min(depth, 20)):
        outer = Dataset()
        outer.ContentSequence = Sequence([innermost])
        innermost = outer
    base.ContentSequence = Sequence([innermost])
    if depth <= 20:
        return written(base)
    # pydicom itself cannot write what it cannot read: build the bytes of (0040,A730) by hand, before the pixels.
    begin = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    plain = a_file()
    at = plain.index(b"\xe0\x7f\x10\x00")
    return plain[:at] + begin * depth + end * depth + plain[at:]


def a_deflated_file(padding_bytes: int) -> bytes:
    """A deflated file whose data set holds ``padding_bytes`` of zeros: small on disk, large once inflated."""
    dataset = a_dataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x00091001, "OB", b"\0" * padding_bytes)
    dataset.add_new(0x00090010, "LO", "MADE")
    return written(dataset)


def inflated_length(data: bytes) -> int:
    """How long the data set of a deflated file is, for tests that check their own premise."""
    start = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    return len(zlib.decompress(data[start:], -zlib.MAX_WBITS))
