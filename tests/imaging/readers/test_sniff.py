"""What a file is, from its first bytes and never from its name."""

from __future__ import annotations

import gzip
import time
from typing import Literal

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

from imaging.readers.sniff import HEAD_BYTES, KINDS, kind_of, kind_of_whole, needs_whole
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,0,0,0,1\n", "luna16-csv"),
        ("SeriesUID;coordX;coordY\n", "other"),
        ("series_instance_uid,shape,confidence,algorithm_name\n", "predictions-csv"),
        ('"series_instance_uid","confidence","shape"\n', "predictions-csv"),
        ("<annotation><filename>a.png</filename></annotation>", "voc-xml"),
        ("<?xml version='1.0'?>\n<!-- made -->\n<annotation verified='no'><folder/></annotation>", "voc-xml"),
        ("<gpx><annotation><filename/></annotation></gpx>", "other"),
        ("<annotation>words</annotation>", "other"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_and_boxes_are_known_by_their_columns_and_elements(text: str, kind: str, encoding: str) -> None:
    assert kind_of(text.encode(encoding)) == kind
    assert kind_of_whole(text.encode(encoding)) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"licences": ["%s"], "images": [], "annotations": []}', "coco-json"),
        ('[{"note": "%s", "image_id": 1, "category_id": 1}]', "coco-json"),
        ('{"description": "%s", "training": [{"image": "a"}]}', "monai-datalist"),
        ('{"description": "%s", "training": 3, "images": 4}', "other"),
        ('{"comment": "%s", "format": "label-qa-predictions"}', "predictions-json"),
        ('{"comment": "%s", "format": "other"}', "other"),
        ('["%s"]', "other"),
        ('{"cut": "%s"', "other"),
    ],
)
def test_json_is_known_by_its_keys_even_where_they_lie_behind_the_head(text: str, kind: str) -> None:
    short, long = (text % "x").encode(), (text % ("x" * 9000)).encode()
    assert kind_of_whole(short) == kind_of_whole(long) == kind
    assert needs_whole(long[:HEAD_BYTES])


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"seriesuid,coordX\n", b"<a/>", b"{not json", b"[1, 2]"])
def test_what_is_not_json_by_its_beginning_needs_no_second_look(data: bytes) -> None:
    assert not needs_whole(data)


@pytest.mark.parametrize("magic", [b"n+1\0", b"ni1\0"])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("compressed", [False, True])
def test_nifti_is_known_in_both_byte_orders_and_through_gzip(
    magic: bytes, order: Literal["little", "big"], compressed: bool
) -> None:
    data = (348).to_bytes(4, order) + bytes(340) + magic + bytes(8000)
    assert kind_of(gzip.compress(data)[:HEAD_BYTES] if compressed else data[:HEAD_BYTES]) == "nifti"
    assert kind_of(bytes(344) + magic) == "other"


def test_nrrd_is_known_by_its_mark() -> None:
    assert kind_of(b"NRRD0005\ntype: short\n") == "nrrd"


@given(data=st.binary(max_size=300))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    for beginning in (b"", b"{", b"[", b"\x1f\x8b\x08", b"<annotation>", b"NRRD000", b"seriesuid,"):
        assert kind_of(beginning + data) in KINDS
        assert kind_of_whole(beginning + data) in KINDS


def test_a_head_full_of_comments_is_judged_at_once() -> None:
    # Each comment may end at any later one: tried in every way, some thirty would keep a worker for hours.
    begun = time.process_time()
    assert kind_of(b"<!---->" * 500 + b"<x>") == "other"
    assert kind_of(b"<!---->" * 100 + b"<annotation><folder/></annotation>") == "voc-xml"
    assert time.process_time() - begun < 5
