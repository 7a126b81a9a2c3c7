"""Values read straight from their bytes are the values that pydicom gives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from imaging.errors import UnreadableFile
from imaging.readers import dataset as readers
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.plain_values import ELSEWHERE, plain_value
from imaging.readers.series import read_header
from tests.imaging.readers.made import a_file

KEYWORDS = {
    "DS": "SliceThickness",
    "IS": "InstanceNumber",
    "CS": "Modality",
    "SH": "ConvolutionKernel",
    "LO": "Manufacturer",
    "UI": "FrameOfReferenceUID",
    "US": "Rows",
    "TM": "AcquisitionTime",
    "DT": "AcquisitionDateTime",
}


def outcome(keyword: str, dataset: Dataset) -> tuple[object, object]:
    def tried(read: object) -> object:
        try:
            return read(dataset, keyword)  # type: ignore[operator]  # one of the module's readers
        except UnreadableFile as error:
            return error.code

    return tried(readers.text_of), tried(readers.number_of)


@given(
    vr=st.sampled_from(sorted(KEYWORDS)),
    explicit=st.booleans(),
    little=st.booleans(),
    data=st.one_of(
        st.binary(max_size=12),
        st.text("0123456789+-.eE \\", max_size=16).map(str.encode),
        st.text("AB .\\\x00^=~", max_size=12).map(str.encode),
    ),
)
def test_an_element_says_the_same_whichever_way_it_is_read(vr: str, explicit: bool, little: bool, data: bytes) -> None:
    keyword = KEYWORDS[vr]
    tag = Tag(keyword)

    def made() -> Dataset:
        dataset = Dataset()
        raw = RawDataElement(tag, vr if explicit else None, len(data), data, 0, not explicit, little)
        dataset._dict[tag] = raw
        return dataset

    quick = outcome(keyword, made())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readers, "plain_value", lambda dataset, keyword: ELSEWHERE)
        assert outcome(keyword, made()) == quick


def test_an_ordinary_header_is_read_without_pydicoms_elements() -> None:
    dataset = pydicom.dcmread(io.BytesIO(a_file()))
    for keyword in ("Rows", "SOPInstanceUID", "Modality", "ImagePositionPatient", "PixelSpacing"):
        fresh = pydicom.dcmread(io.BytesIO(a_file()))
        value = plain_value(fresh, keyword)
        assert value is not ELSEWHERE
        expected = dataset.get(keyword)
        assert value == expected or [float(part) for part in value] == list(expected)  # type: ignore[union-attr]
    assert plain_value(dataset, "PatientName") is ELSEWHERE
    assert plain_value(dataset, "NoSuchKeyword") is ELSEWHERE


@pytest.mark.real_data
def test_real_headers_are_the_same_whichever_way_they_are_read(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[bytes] = []
    for name in ("awkward-dicom.zip", "awkward-series.zip", "lungdx-a0002.zip", "4dlung.zip"):
        with zipfile.ZipFile(real_data / name) as archive:
            files += [archive.read(one) for one in archive.infolist() if one.file_size < 4 << 20]

    def headers() -> list[object]:
        found: list[object] = []
        for data in files:
            try:
                found.append(read_header(data, CT_READ_LIMITS))
            except UnreadableFile as error:
                found.append(error.code)
        return found

    quick = headers()
    monkeypatch.setattr(readers, "plain_value", lambda dataset, keyword: ELSEWHERE)
    assert headers() == quick
