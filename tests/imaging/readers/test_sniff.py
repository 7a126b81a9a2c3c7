"""What a file is, from its first bytes and never from its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    MediaStorageDirectoryStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
)

from imaging.readers.sniff import HEAD_BYTES, kind_of
from tests.imaging.readers.made import a_dataset, written


def of_class(sop_class: str) -> bytes:
    dataset = a_dataset(SOPClassUID=sop_class)
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    return written(dataset)


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        (CTImageStorage, "dicom-image"),
        ("1.2.3.4.5", "dicom-image"),
        (SegmentationStorage, "dicom-seg"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "dicom-seg"),
        (RTStructureSetStorage, "dicom-rtstruct"),
        (ComprehensiveSRStorage, "dicom-sr"),
        (RTDoseStorage, "other"),
        (EncapsulatedPDFStorage, "other"),
        (TwelveLeadECGWaveformStorage, "other"),
        (MediaStorageDirectoryStorage, "other"),
    ],
)
def test_a_dicom_file_is_known_by_its_class(sop_class: str, kind: str) -> None:
    assert kind_of(of_class(sop_class)[:HEAD_BYTES]) == kind


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov">',
        '<?xml version="1.0"?>\n<!-- a comment -->\n<IdriReadMessage>',
        '<ns:LidcReadMessage xmlns:ns="http://www.nih.gov">',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_reader_file_is_known_by_its_root_element(text: str, encoding: str) -> None:
    assert kind_of(text.encode(encoding)) == "lidc-xml"


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"<html><body>LidcReadMessage</body></html>", b"\x00" * 200, b"LidcReadMessage"]
)
def test_anything_else_is_other(data: bytes) -> None:
    assert kind_of(data) == "other"


@given(tail=st.binary(max_size=200))
def test_no_bytes_behind_the_mark_make_it_fail(tail: bytes) -> None:
    assert kind_of(b"\0" * 128 + b"DICM" + tail).startswith(("dicom-", "other"))
