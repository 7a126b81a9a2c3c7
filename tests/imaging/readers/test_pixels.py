"""Every transfer syntax that is decoded gives the same picture, and no stream's own claim takes memory unseen."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging.errors import UnreadableFile
from imaging.readers.dataset import open_dataset
from imaging.readers.pixels import stored_values
from imaging.readers.series import CT_READ_LIMITS, read_header
from imaging.readers.streams import stream_claim, unpacked_run_lengths
from tests.imaging.readers import real
from tests.imaging.readers.made import a_dataset, written

LIMITS = CT_READ_LIMITS


def decoded(data: bytes) -> NDArray[np.generic]:
    return stored_values(open_dataset(data, LIMITS, with_pixels=True), read_header(data, LIMITS), LIMITS)


def picture() -> NDArray[np.int16]:
    rows, columns = np.mgrid[0:48, 0:64]
    return (np.hypot(rows - 20, columns - 30) * 40 - 900).astype(np.int16)


def with_stream(stream: bytes, syntax: str, **changes: object) -> bytes:
    dataset = a_dataset(stored=picture(), **changes)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    return written(dataset)


def compressed(syntax: str) -> tuple[FileDataset, bytes]:
    dataset = a_dataset(stored=picture())
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset, written(dataset)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_slice_compressed_without_loss_comes_back_voxel_by_voxel(syntax: str) -> None:
    assert np.array_equal(decoded(compressed(syntax)[1]), picture())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_way_to_write_plain_pixels_gives_the_same_picture(syntax: str) -> None:
    dataset = a_dataset(stored=picture())
    dataset.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(decoded(written(dataset)), picture())


def jpeg_head(marker: int, rows: int, columns: int, *, bits: int = 16, samples: int = 1) -> bytes:
    """A JPEG or JPEG-LS stream that ends after its frame header."""
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(samples))
    frame = struct.pack(">BHHB", bits, rows, columns, samples) + parts
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 9) + b"a comment"
    return b"\xff\xd8" + comment + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(frame)) + frame + b"\xff\xd9"


def jpeg_2000_head(rows: int, columns: int, *, samples: int = 1) -> bytes:
    """A JPEG 2000 code stream that ends after its size marker."""
    size = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, columns, rows, 0, 0, samples) + b"\x0f\x01\x01" * samples
    return b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size + b"\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "stream"),
    [
        (JPEG2000Lossless, jpeg_2000_head(60_000, 60_000)),
        (HTJ2KLossless, jpeg_2000_head(2**31, 2**31)),
        (JPEG2000Lossless, jpeg_2000_head(8_192, 8_192, samples=16_384)),
        (JPEGLSLossless, jpeg_head(0xF7, 60_000, 60_000)),
        (JPEGLosslessSV1, jpeg_head(0xC3, 65_535, 65_535)),
        (JPEGExtended12Bit, jpeg_head(0xC1, 65_535, 65_535, bits=12)),
        (RLELossless, b"\0" * (LIMITS.pixel_bytes // 64 + 100)),
    ],
    ids=["JPEG 2000", "HTJ2K", "JPEG 2000 of many samples", "JPEG-LS", "JPEG lossless", "JPEG 12 bit", "run lengths"],
)
def test_a_stream_that_claims_gigabytes_is_refused_before_it_is_decoded(syntax: str, stream: bytes) -> None:
    with pytest.raises(UnreadableFile) as caught:
        decoded(with_stream(stream, syntax))
    assert caught.value.code == "pixel-claim-too-large"
    assert str(LIMITS.pixel_bytes) in caught.value.message


def test_a_small_slice_is_bounded_by_a_small_limit_too() -> None:
    limits = dataclasses.replace(LIMITS, pixel_bytes=7_000)
    data = with_stream(jpeg_2000_head(64, 64), JPEG2000Lossless)
    with pytest.raises(UnreadableFile) as caught:
        stored_values(open_dataset(data, limits, with_pixels=True), read_header(data, limits), limits)
    assert caught.value.code == "pixel-claim-too-large"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_stream_of_another_size_than_its_header_is_refused_with_both_sizes(syntax: str) -> None:
    dataset, _ = compressed(syntax)
    dataset.Rows, dataset.Columns = 32, 96
    with pytest.raises(UnreadableFile) as caught:
        decoded(written(dataset))
    assert caught.value.code == "stream-disagrees"
    assert "48x64" in caught.value.message and "32x96" in caught.value.message


@pytest.mark.parametrize(
    ("syntax", "stream"),
    [
        (JPEG2000Lossless, b"no code stream" * 9),
        (JPEG2000Lossless, b"x" + jpeg_2000_head(48, 64)),
        (JPEG2000Lossless, jpeg_2000_head(48, 64)[:30]),
        (JPEGLSLossless, b"\xff\xd8\xff\xd9" * 9),
        (JPEGLSLossless, b"\xff\xd8 no marker"),
        (JPEGLosslessSV1, jpeg_head(0xC3, 48, 64)),
        (JPEGExtended12Bit, jpeg_head(0xC1, 48, 64, bits=12)),
        (RLELossless, b"\x07" * 50),
        ("1.2.840.10008.1.2.4.100", b"\0\0\1\xb3" * 9),
    ],
    ids=["no J2K", "bytes before", "cut", "no frame", "no marker", "empty lossless", "empty 12 bit", "RLE", "MPEG-2"],
)
def test_a_stream_that_cannot_be_decoded_is_named_with_its_instance(syntax: str, stream: bytes) -> None:
    with pytest.raises(UnreadableFile) as caught:
        decoded(with_stream(stream, syntax))
    assert caught.value.code == "pixels-not-decoded"
    assert caught.value.subjects


def test_run_lengths_never_unpack_to_more_than_is_counted() -> None:
    from pydicom.pixels.decoders.rle import _rle_decode_segment

    packed = bytes([129, 7] * 500)  # 500 runs of 128
    assert len(_rle_decode_segment(packed)) <= unpacked_run_lengths(b"\0" * 64 + packed, RLELossless)


@settings(max_examples=200, deadline=None)
@given(stream=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51"]))
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGExtended12Bit])
def test_no_bytes_make_the_reading_of_a_head_fail_in_another_way(syntax: str, stream: bytes, head: bytes) -> None:
    try:
        claim = stream_claim(head + stream, syntax)
    except ValueError:
        return
    assert claim is not None


def awkward(beginning: str) -> bytes:
    (found,) = [
        data for path, data in real.archive("awkward-dicom.zip").items() if path.split("/")[-1].startswith(beginning)
    ]
    return found


def hounsfield(beginning: str) -> NDArray[np.float64]:
    data = awkward(beginning)
    header = read_header(data, LIMITS)
    assert header.rescale_slope is not None and header.rescale_intercept is not None
    return decoded(data).astype(np.float64) * header.rescale_slope + header.rescale_intercept


# Families of files that hold one picture in several transfer syntaxes; the first is the one that others are held to.
EXACT = {
    "CT, GE HiSpeed": ["0036_", "0032_", "0033_", "0034_", "0040_"],
    "CT, Toshiba": ["0230_", "0203_", "0208_", "0219_"],
    "NM": ["0231_", "0204_", "0209_"],
    "XA": ["0220_", "0207_", "0210_"],
    "MR": ["0130_", "0128_", "0129_", "0131_", "0132_"],
}


@pytest.mark.real_data
@pytest.mark.parametrize("family", sorted(EXACT))
def test_files_of_one_picture_agree_voxel_by_voxel_whatever_their_lossless_syntax(family: str) -> None:
    first, *others = EXACT[family]
    expected = decoded(awkward(first))
    syntaxes = {read_header(awkward(name), LIMITS).transfer_syntax_uid for name in EXACT[family]}
    assert len(syntaxes) >= 3
    assert int(expected.max()) - int(expected.min()) > 100
    for other in others:
        assert np.array_equal(decoded(awkward(other)), expected), other


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "mean_hu", "worst_hu"),
    [("0037_", 21.0, 80.0), ("0038_", 4.0, 40.0), ("0039_", 4.0, 40.0), ("0035_", 4.0, 40.0)],
    ids=["JPEG baseline, 8 bits", "JPEG extended, 12 bits", "spectral selection", "full progression"],
)
def test_a_ct_slice_compressed_with_loss_stays_near_its_lossless_twin(
    name: str, mean_hu: float, worst_hu: float
) -> None:
    off = np.abs(hounsfield(name) - hounsfield("0036_"))
    assert float(off.mean()) < mean_hu
    assert float(off.max()) < worst_hu


@pytest.mark.real_data
def test_near_lossless_jpeg_ls_and_lossy_jpeg_2000_stay_near_their_lossless_twin() -> None:
    for name in ("0196_", "0212_"):
        off = np.abs(decoded(awkward(name)).astype(int) - decoded(awkward("0230_")).astype(int))
        assert off.mean() < 30, name


@pytest.mark.real_data
def test_a_stream_that_claims_terabytes_was_found_in_the_wild_and_is_refused() -> None:
    with pytest.raises(UnreadableFile) as caught:
        decoded(awkward("0123_"))
    assert caught.value.code == "pixel-claim-too-large"


@pytest.mark.real_data
def test_every_single_greyscale_picture_of_the_collection_is_decoded_but_the_one_that_lies() -> None:
    failed: dict[str, str] = {}
    syntaxes: set[str] = set()
    for path, data in real.archive("awkward-dicom.zip").items():
        try:
            header = read_header(data, LIMITS)
        except UnreadableFile:
            continue
        if not header.has_pixel_data or header.number_of_frames != 1 or header.samples_per_pixel != 1:
            continue
        syntaxes.add(header.transfer_syntax_uid)
        try:
            decoded(data)
        except UnreadableFile as error:
            failed[path.split("/")[-1]] = error.code
    assert failed == {"0123_JPEG2000-embedded-sequence-delimiter.dcm": "pixel-claim-too-large"}
    assert len(syntaxes) == 15


@pytest.mark.real_data
def test_high_throughput_jpeg_2000_is_decoded() -> None:
    # The collection's only ones are in colour, which no CT slice is; the decoder is the same.
    opened = open_dataset(awkward("0065_"), LIMITS, with_pixels=True)
    assert opened.transfer_syntax_uid == HTJ2KLossless
    values = pixel_array(opened.dataset, raw=True)
    assert values.shape[2] == 3 and values.std() > 10
