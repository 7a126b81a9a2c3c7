"""Bytes damaged at random: every reader answers with a result or a named refusal, never with another exception."""

from __future__ import annotations

import contextlib
import functools
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import UnreadableFile
from imaging.geometry.series import SeriesGeometry
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.series import CT_READ_LIMITS, read_header
from tests.imaging.readers import test_lidc, test_segmentation
from tests.imaging.readers.made import a_dataset, a_deflated_file, a_file, a_nested_file, written


@functools.lru_cache(maxsize=1)
def sound_files() -> tuple[bytes, ...]:
    label = written(test_segmentation.a_segmentation(test_segmentation.region()))
    return (a_file(), a_nested_file(12), a_deflated_file(100), label)


@functools.lru_cache(maxsize=1)
def an_image() -> SeriesGeometry:
    return test_segmentation.image()


edits = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(which=st.integers(0, 3), changes=edits, keep=st.floats(0.2, 1.0) | st.just(1.0))
def test_a_damaged_dicom_file_is_read_or_refused_by_name(
    which: int, changes: list[tuple[float, bytes]], keep: float
) -> None:
    data = bytearray(sound_files()[which])
    for place, replacement in changes:
        at = 132 + int(place * (len(data) - 140))
        data[at : at + len(replacement)] = replacement
    damaged = bytes(data[: max(140, int(keep * len(data)))])
    for read in (
        lambda: read_header(damaged, CT_READ_LIMITS),
        lambda: test_segmentation.read_segmentation(damaged, an_image()),
    ):
        try:
            read()
        except UnreadableFile as error:
            assert error.code
            assert error.message


@settings(max_examples=60, deadline=None)
@given(changes=edits)
def test_a_damaged_reader_file_is_read_or_refused_by_name(changes: list[tuple[float, bytes]]) -> None:
    sound = test_lidc.message(test_lidc.nodule(test_lidc.roi(2, test_lidc.square(10, 20, 6))), "")
    data = bytearray(sound)
    for place, replacement in changes:
        at = int(place * (len(data) - 5))
        data[at : at + len(replacement)] = replacement
    with contextlib.suppress(UnreadableFile):
        found = read_lidc_xml(bytes(data), test_lidc.an_image())
        assert found.annotation_sets or found.rejections or b"<readingSession>" not in data


def test_a_transfer_syntax_that_is_newer_than_the_parser_is_not_taken_for_uncompressed() -> None:
    data = written(a_dataset()).replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.9.2.1\x00")
    assert read_header(data, CT_READ_LIMITS).transfer_syntax_uid == "1.2.840.10008.9.2.1"


def test_nothing_that_a_file_says_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    data = a_file(PatientName="Nobody^Known", StudyInstanceUID="Nobody^Known")
    caplog.clear()  # writing the file is not what is tested
    with warnings.catch_warnings(record=True) as warned, pytest.raises(UnreadableFile):
        read_header(data, CT_READ_LIMITS)
    assert "Nobody" not in caplog.text
    assert not [warning for warning in warned if "Nobody" in str(warning.message)]
