"""What a compressed picture says of its own size, read from the head of its stream before anything is decoded.

A DICOM header may claim a small picture while the stream that it carries unpacks to gigabytes; decoders believe the
stream. Every function here looks at a few bytes and takes no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

_JPEG_PREFIX = "1.2.840.10008.1.2.4."
_HTJ2K = frozenset(f"{_JPEG_PREFIX}{number}" for number in (201, 202, 203))
_JPEG_2000 = frozenset(str(uid) for uid in JPEG2000TransferSyntaxes) | _HTJ2K
_JPEG_LS = frozenset(str(uid) for uid in JPEGLSTransferSyntaxes)
_JPEG = frozenset(f"{_JPEG_PREFIX}{number}" for number in (50, 51, 53, 55, 57, 70))
_RLE = str(RLELossless)
_RLE_HEADER_BYTES = 64
_RLE_LONGEST_RUN = 128
"""Two bytes of PackBits unpack to at most 128 (PS3.5 G.3.2)."""


@dataclass(frozen=True, slots=True)
class StreamClaim:
    """The size that a stream claims: ``rows`` and ``columns`` of ``samples`` values of ``bits`` each."""

    rows: int
    columns: int
    samples: int
    bits: int

    @property
    def bytes(self) -> int:
        """Bytes that the decoded picture takes."""
        return self.rows * self.columns * self.samples * -(-self.bits // 8)


def stream_claim(stream: bytes, transfer_syntax_uid: str) -> StreamClaim | None:
    """Return what one frame's stream claims, None for a syntax whose streams do not say or are not known here.

    Raises ValueError where the stream of a known syntax has no readable head: no decoder could trust it either.
    """
    if transfer_syntax_uid in _JPEG_2000:
        return _jpeg_2000(stream)
    if transfer_syntax_uid in _JPEG | _JPEG_LS:
        return _jpeg(stream)
    return None


def unpacked_run_lengths(stream: bytes, transfer_syntax_uid: str) -> int:
    """Return at most how many bytes an RLE stream unpacks to (PS3.5 Annex G); 0 for other syntaxes."""
    if transfer_syntax_uid != _RLE:
        return 0
    return max(0, len(stream) - _RLE_HEADER_BYTES) * _RLE_LONGEST_RUN // 2


def _jpeg_2000(stream: bytes) -> StreamClaim:
    # ISO/IEC 15444-1 A.5.1: the codestream begins with SOC, then SIZ. Some writers leave it in a JP2 file's boxes.
    start = stream.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(stream) < start + 45:
        raise ValueError("no size marker")
    if start > 0 and stream[4:8] != b"jP  ":
        raise ValueError("bytes before the codestream")
    width, height, left, top = (int.from_bytes(stream[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    samples = int.from_bytes(stream[start + 40 : start + 42], "big")
    depths = [(stream[at] & 0x7F) + 1 for at in range(start + 42, min(start + 42 + 3 * samples, len(stream)), 3)]
    return StreamClaim(height - top, width - left, samples, max(depths))


def _jpeg(stream: bytes) -> StreamClaim:
    # ISO/IEC 10918-1 B.1.1.3: a frame header SOFn; 0xC4, 0xC8 and 0xCC are other markers. JPEG-LS has SOF55 (0xF7).
    if stream[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    at = 2
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            raise ValueError("no marker where one belongs")
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            if len(stream) < at + 10:
                break
            rows, columns = (int.from_bytes(stream[at + 5 + add : at + 7 + add], "big") for add in (0, 2))
            return StreamClaim(rows, columns, stream[at + 9], stream[at + 4])
        if marker in (0xD9, 0xDA):
            break
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    raise ValueError("no frame header")
