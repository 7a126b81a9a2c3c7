"""A file that is left alone is told apart: an archive, a DICOM object of another kind, a data set without its head."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.readers.sniff import HEAD_BYTES, kind_of
from imaging.readers.unread import why_unread
from tests.imaging.readers.made import a_file


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("slice.dcm", a_file())
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("slice.dcm"), io.BytesIO(b""))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(), "archive-inside"),
        (tarred(), "archive-inside"),
        (b"\x1f\x8b\x08\x00" + b"\0" * 20, "archive-inside"),
        (b"\0" * 128 + b"DICM", "dicom-not-read-here"),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100", "dicom-without-preamble"),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100", "dicom-without-preamble"),
        (b"a page of text", "not-a-study-file"),
        (b"", "not-a-study-file"),
    ],
    ids=["zip", "tar", "gzip", "dicom", "little endian", "big endian", "text", "empty"],
)
def test_a_file_that_is_left_alone_is_called_what_it_is(data: bytes, code: str) -> None:
    found, message = why_unread(data[:HEAD_BYTES])
    assert found == code
    assert len(message.split()) > 8


@given(st.binary(max_size=600))
def test_any_bytes_get_a_reason(head: bytes) -> None:
    code, message = why_unread(head)
    assert code and message
    assert kind_of(head) is not None
