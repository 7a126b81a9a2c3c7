"""Headers within limits, and volumes in Hounsfield units."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from imaging.errors import GeometryError, UnreadableFile
from imaging.geometry.affine import to_patient
from imaging.geometry.gate import LUNG_CT_TOLERANCES
from imaging.readers.series import AIR_HU, CT_READ_LIMITS, load_volume, read_header
from imaging.types import Volume
from tests.imaging.readers.made import (
    a_dataset,
    a_deflated_file,
    a_file,
    a_nested_file,
    inflated_length,
    uid_of,
    written,
)

LIMITS = CT_READ_LIMITS


def refused(data: bytes, limits: object = LIMITS) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as caught:
        read_header(data, limits)  # type: ignore[arg-type]  # limits are ReadLimits
    return caught.value


def loaded(files: dict[str, bytes]) -> Volume:
    slices = [read_header(data, LIMITS) for data in files.values()]
    random.Random(5).shuffle(slices)
    return load_volume(slices=slices, open_bytes=files.__getitem__, tolerances=LUNG_CT_TOLERANCES, limits=LIMITS)


def pixels(number: int) -> NDArray[np.int16]:
    return (np.arange(96, dtype=np.int16).reshape(8, 12) + 100 * number).astype(np.int16)


def test_a_header_says_what_the_file_says(tmp_path: Path) -> None:
    header = read_header(a_file(number=3), LIMITS)
    assert header.sop_instance_uid == uid_of(3)
    assert header.position_mm == (-4.0, -3.0, 14.5)
    assert header.pixel_spacing_mm == (0.5, 0.5)
    assert (header.rows, header.columns, header.instance_number) == (8, 12, 37)
    assert header.acquisition["kernel"] == "B31f"
    assert header.acquisition["kvp"] == "120"
    (tmp_path / "slice.dcm").write_bytes(a_file(number=3))
    assert read_header(tmp_path / "slice.dcm", LIMITS) == header


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-dicom"),
        (b"just text, but long enough to hold a preamble" * 10, "not-dicom"),
        (a_file()[:400], "truncated"),
        (a_file()[:-10], "truncated"),
        (a_file(SOPInstanceUID=None), "missing-required-tags"),
        (a_file(SeriesInstanceUID=None), "missing-required-tags"),
        (a_file(StudyInstanceUID="../../etc/passwd"), "invalid-uid"),
        (a_file(ImagePositionPatient=[1.0, 2.0]), "bad-value"),
        (a_file(PixelData=b"\0" * 100), "pixel-data-shorter-than-claimed"),
        (a_file(Rows=65535, Columns=65535), "pixel-claim-too-large"),
        (a_file(NumberOfFrames=2**31 - 1), "pixel-claim-too-large"),
        (a_nested_file(40 + 5), "nesting-too-deep"),
        (a_nested_file(3000), "nesting-too-deep"),
    ],
    ids=[
        "empty",
        "text",
        "cut in the header",
        "cut in the pixels",
        "no instance",
        "no series",
        "a path for a UID",
        "two of three coordinates",
        "fewer pixels than claimed",
        "8.6 GB of pixels claimed",
        "two thousand million frames",
        "nested deeply",
        "nested beyond the parser",
    ],
)
def test_a_bad_file_is_refused_by_name(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_sequences_nested_as_reports_nest_them_are_read() -> None:
    assert read_header(a_nested_file(12), LIMITS).sop_instance_uid == uid_of(0)


def test_a_file_larger_than_the_limit_is_not_read() -> None:
    assert refused(a_file(), dataclasses.replace(LIMITS, file_bytes=500)).code == "file-too-large"


def test_a_deflated_bomb_is_measured_and_not_kept() -> None:
    limits = dataclasses.replace(LIMITS, inflated_bytes=1 << 20)
    data = a_deflated_file(4 << 20)
    assert len(data) < 20_000 < inflated_length(data)
    assert refused(data, limits).code == "deflate-too-large"
    assert read_header(a_deflated_file(1000), limits).rows == 8


def test_no_refusal_quotes_a_name() -> None:
    broken = a_file(StudyInstanceUID="Nobody^Known", PatientName="Nobody^Known")
    assert "Nobody" not in str(refused(broken))


def test_slices_are_stacked_by_position_and_never_by_instance_number() -> None:
    volume = loaded({uid_of(number): a_file(number=number, stored=pixels(number)) for number in range(5)})
    assert volume.sop_instance_uids == tuple(uid_of(number) for number in range(5))
    assert volume.instance_numbers == (40, 39, 38, 37, 36)
    assert volume.hounsfield[:, 0, 1].tolist() == [1 - 1024 + 100 * number for number in range(5)]
    assert to_patient(volume.grid, (4, 2, 6)) == pytest.approx((-1.0, -2.0, 16.0))
    assert not volume.hounsfield.flags.writeable


def test_each_slice_is_rescaled_by_its_own_slope_and_intercept() -> None:
    slopes, intercepts = (1.0, 0.5, 2.0), (-1000.0, -900.0, -1010.0)
    files = {
        uid_of(number): a_file(
            number=number, stored=pixels(0), RescaleSlope=slopes[number], RescaleIntercept=intercepts[number]
        )
        for number in range(3)
    }
    volume = loaded(files)
    for number in range(3):
        expected = np.rint(pixels(0) * slopes[number] + intercepts[number])
        assert np.array_equal(volume.hounsfield[number], expected.astype(np.int16))


def test_padding_becomes_air_and_what_lies_below_air_is_raised_and_counted() -> None:
    stored = np.full((8, 12), 1024, dtype=np.int16)
    stored[0, :4] = -2000
    stored[1, :3] = -5
    stored[2, 0] = 32767
    files = {
        uid_of(number): a_file(number=number, stored=stored, PixelPaddingValue=-2000, RescaleSlope=2)
        for number in range(3)
    }
    volume = loaded(files)
    assert volume.hounsfield[0, 0, :4].tolist() == [AIR_HU] * 4
    assert volume.hounsfield[0, 1, :3].tolist() == [AIR_HU] * 3
    assert volume.hounsfield[0, 2, 0] == 32767
    assert volume.hounsfield[0, 5, 5] == 1024
    noted = {name: volume.acquisition[name] for name in volume.acquisition if name.endswith("_voxels")}
    assert noted == {"padding_voxels": "12", "clamped_low_voxels": "9", "clamped_high_voxels": "3"}


def test_a_range_of_padding_is_all_air() -> None:
    stored = np.full((8, 12), 1024, dtype=np.int16)
    stored[0, :3] = (50, 55, 60)
    volume = loaded(
        {
            uid_of(number): a_file(
                number=number, stored=stored, PixelPaddingValue=60, PixelPaddingRangeLimit=50, RescaleIntercept=0
            )
            for number in range(3)
        }
    )
    assert volume.hounsfield[0, 0, :4].tolist() == [AIR_HU, AIR_HU, AIR_HU, 1024]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_lossless_compression_changes_no_voxel(syntax: str) -> None:
    plain: dict[str, bytes] = {}
    packed: dict[str, bytes] = {}
    for number in range(3):
        noise = np.random.default_rng(number).integers(-500, 2000, (64, 48)).astype(np.int16)
        plain[uid_of(number)] = a_file(number=number, stored=noise)
        dataset = a_dataset(number=number, stored=noise)
        dataset.compress(syntax, generate_instance_uid=False)
        packed[uid_of(number)] = written(dataset)
    assert np.array_equal(loaded(packed).hounsfield, loaded(plain).hounsfield)


def test_a_refused_series_gives_no_volume_but_the_reason() -> None:
    files = {uid_of(number): a_file(number=number) for number in (0, 1, 2, 4, 5)}
    with pytest.raises(GeometryError) as caught:
        loaded(files)
    assert caught.value.code == "missing-slices"
    assert caught.value.subjects == (uid_of(2), uid_of(4))


def test_a_file_that_is_not_the_instance_asked_for_is_refused() -> None:
    slices = [read_header(a_file(number=number), LIMITS) for number in range(3)]
    with pytest.raises(UnreadableFile) as caught:
        load_volume(
            slices=slices,
            open_bytes=lambda uid: a_file(number=1),
            tolerances=LUNG_CT_TOLERANCES,
            limits=LIMITS,
        )
    assert caught.value.code == "another-instance"


def test_a_volume_beyond_the_limit_is_refused_before_memory_is_taken() -> None:
    slices = [read_header(a_file(number=number), LIMITS) for number in range(3)]
    with pytest.raises(UnreadableFile) as caught:
        load_volume(
            slices=slices,
            open_bytes=lambda uid: pytest.fail("no file may be opened"),
            tolerances=LUNG_CT_TOLERANCES,
            limits=dataclasses.replace(LIMITS, volume_bytes=100),
        )
    assert caught.value.code == "volume-too-large"


def test_pixels_that_cannot_be_decoded_are_named_with_their_instance() -> None:
    files = {}
    for number in range(3):
        dataset = a_dataset(number=number)
        dataset.compress(RLELossless, generate_instance_uid=False)
        files[uid_of(number)] = written(dataset)
    files[uid_of(1)] = files[uid_of(1)].replace(b"\xfe\xff\x00\xe0\x40", b"\xfe\xff\x00\xe0\x41")
    spoiled = bytearray(files[uid_of(1)])
    spoiled[-120:-8] = b"\x07" * 112
    files[uid_of(1)] = bytes(spoiled)
    with pytest.raises(UnreadableFile) as caught:
        loaded(files)
    assert caught.value.code in {"pixels-not-decoded", "truncated"}
