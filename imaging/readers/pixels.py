"""The stored values of one slice, by every transfer syntax that a freely licensed decoder here gives.

pydicom drives pylibjpeg-openjpeg (JPEG 2000, HTJ2K), pyjpegls, GDCM and its own RLE decoder. What it does not hand to
GDCM although GDCM decodes it is done here: JPEG of 12 bits, and the retired progressive and spectral processes.
"""

from __future__ import annotations

import io
from itertools import islice

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from imaging.errors import UnreadableFile
from imaging.geometry.header import SliceHeader
from imaging.readers.dataset import OpenedDataset, optional, whole_of
from imaging.readers.limits import ReadLimits
from imaging.readers.streams import StreamClaim, stream_claim, unpacked_run_lengths

_JPEG_BY_GDCM = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (51, 53, 55))
"""JPEG Extended (process 2 and 4), and the retired processes 6 and 8, 10 and 12."""

_FRAGMENTS = 1 << 16
"""A slice in more fragments than this is an attack on the parser."""


def stored_values(opened: OpenedDataset, header: SliceHeader, limits: ReadLimits) -> NDArray[np.generic]:
    """Return the stored values of a single-frame greyscale instance, (rows, columns), as its header sizes them.

    A compressed stream's own claim is read first: memory is taken only for a picture of the size that the DICOM header
    gives. Raises UnreadableFile: ``pixel-claim-too-large``, ``stream-disagrees``, ``pixels-not-decoded``.
    """
    subjects = (header.sop_instance_uid,)
    syntax = UID(opened.transfer_syntax_uid).name
    try:
        stream = _stream(opened, header)
        if stream is not None:
            _check_stream(stream, opened.transfer_syntax_uid, header, limits)
        if stream is not None and opened.transfer_syntax_uid in _JPEG_BY_GDCM:
            values = _by_gdcm(stream, opened, header)
        else:
            values = pixel_array(opened.dataset, raw=True)
    except UnreadableFile:
        raise
    except MemoryError:
        raise UnreadableFile("pixel-claim-too-large", "The pixels do not fit memory.", subjects=subjects) from None
    # Decoders raise whatever their libraries do on damaged or unsupported streams.
    except Exception as error:
        raise UnreadableFile(
            "pixels-not-decoded",
            f"The pixels cannot be decoded ({type(error).__name__}; transfer syntax {syntax}).",
            subjects=subjects,
        ) from error
    if values.shape != (header.rows, header.columns):
        raise UnreadableFile(
            "pixels-not-decoded", f"The pixels decode to {values.shape}, not to one slice.", subjects=subjects
        )
    return values


def _stream(opened: OpenedDataset, header: SliceHeader) -> bytes | None:
    """Return the compressed stream of a single frame, None where the pixels are not compressed."""
    if opened.has_native_pixels or opened.pixel_bytes is None:
        return None
    buffer = io.BytesIO(opened.dataset.PixelData)
    parse_basic_offsets(buffer)
    fragments = list(islice(generate_fragments(buffer), _FRAGMENTS + 1))
    if len(fragments) > _FRAGMENTS:
        raise UnreadableFile(
            "pixels-not-decoded",
            f"The pixels lie in more than {_FRAGMENTS} fragments.",
            subjects=(header.sop_instance_uid,),
        )
    return b"".join(fragments)


def _check_stream(stream: bytes, syntax_uid: str, header: SliceHeader, limits: ReadLimits) -> None:
    subjects = (header.sop_instance_uid,)
    try:
        claim = stream_claim(stream, syntax_uid)
    except ValueError as error:
        raise UnreadableFile(
            "pixels-not-decoded", f"The compressed stream has no readable head ({error}).", subjects=subjects
        ) from error
    claimed = unpacked_run_lengths(stream, syntax_uid) if claim is None else claim.bytes
    if claimed > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large",
            f"The compressed stream claims up to {claimed} bytes of pixels; at most {limits.pixel_bytes} are read.",
            subjects=subjects,
        )
    if claim is not None and not _agrees(claim, header):
        message = (
            f"The compressed picture has {claim.rows}x{claim.columns} pixels of {claim.samples} samples, the DICOM "
            f"header says {header.rows}x{header.columns} of {header.samples_per_pixel}."
        )
        raise UnreadableFile("stream-disagrees", message, subjects=subjects)


def _agrees(claim: StreamClaim, header: SliceHeader) -> bool:
    told = (header.rows, header.columns, header.samples_per_pixel)
    return (claim.rows, claim.columns, claim.samples) == told


def _by_gdcm(stream: bytes, opened: OpenedDataset, header: SliceHeader) -> NDArray[np.generic]:
    claim = stream_claim(stream, opened.transfer_syntax_uid)
    if claim is None or claim.samples != 1 or not header.rows or not header.columns:
        raise ValueError("not one greyscale picture")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((header.columns, header.rows, 1))
    image.SetDataElement(element)
    monochrome = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(monochrome))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(opened.transfer_syntax_uid)))
    allocated = 8 if claim.bits <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, claim.bits, claim.bits - 1, 0))
    buffer = image.GetBuffer()
    if buffer is None:
        raise ValueError("no picture came out")
    # The binding hands bytes out as text.
    raw = buffer.encode("utf-8", "surrogateescape") if isinstance(buffer, str) else bytes(buffer)
    values = np.frombuffer(raw, dtype=np.dtype(f"<u{allocated // 8}"), count=header.rows * header.columns)
    if header.pixel_representation == 1:
        values = _signed(values, optional(whole_of, opened.dataset, "BitsStored") or claim.bits)
    return values.reshape(header.rows, header.columns)


def _signed(values: NDArray[np.generic], bits: float) -> NDArray[np.generic]:
    """Return values of ``bits`` bits as two's complement: JPEG knows none but positive ones."""
    top = 1 << (int(bits) - 1)
    return np.asarray(((values.astype(np.int32) & (2 * top - 1)) ^ top) - top, dtype=np.int16)
