"""Opening DICOM bytes within limits: every way in which a file can be bad ends in one named error.

Messages never quote what a file says, since any element may hold a person's name.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging.errors import UnreadableFile
from imaging.readers.limits import ReadLimits
from imaging.readers.plain_values import ELSEWHERE, plain_value

# pydicom's warnings and log lines quote element values, any of which may be a person's name. What is wrong with a value
# that matters is found by the functions below.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\b.*")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_NATIVE_SYNTAXES = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_PIXEL_TAGS = {0x7FE00008, 0x7FE00009, 0x7FE00010}  # float, double float and integer pixel data
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PREAMBLE_BYTES = 132
_META_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, eq=False)
class OpenedDataset:
    """A data set read from a file, and how many bytes of pixels follow it.

    ``pixel_bytes`` is None without pixel data, -1 where they are encapsulated (compressed, of undefined length).
    ``pixel_tag`` is the element that holds them, (7FE0,0010) but for floating-point pixels; None without pixel data.
    """

    dataset: FileDataset
    transfer_syntax_uid: str
    pixel_bytes: int | None
    pixel_tag: int | None = None

    @property
    def has_native_pixels(self) -> bool:
        """Whether the pixels lie there uncompressed, so that their length can be told from the header.

        An unknown transfer syntax counts as compressed: newer ones than pydicom lists occur, and all of them are.
        """
        return self.pixel_bytes is not None and self.pixel_bytes >= 0 and self.transfer_syntax_uid in _NATIVE_SYNTAXES


def open_dataset(source: bytes | Path, limits: ReadLimits, *, with_pixels: bool) -> OpenedDataset:
    """Return the DICOM data set of a file, with or without its pixel data element.

    Raises UnreadableFile: ``file-too-large``, ``not-dicom``, ``truncated``, ``deflate-too-large``,
    ``nesting-too-deep``, ``missing-transfer-syntax``, ``malformed``; nothing else.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as handle:
                return _open(handle, source.stat().st_size, limits, with_pixels)
        return _open(io.BytesIO(source), len(source), limits, with_pixels)
    except OSError as error:
        raise UnreadableFile("unreadable", "The file cannot be opened.") from error


def _open(handle: BinaryIO, size: int, limits: ReadLimits, with_pixels: bool) -> OpenedDataset:
    if size > limits.file_bytes:
        raise UnreadableFile("file-too-large", f"The file has {size} bytes; at most {limits.file_bytes} are read.")
    head = handle.read(_PREAMBLE_BYTES)
    handle.seek(0)
    if head[128:] != b"DICM":
        raise UnreadableFile("not-dicom", "Not a DICOM file: the mark DICM is missing at byte 128.")
    stopper = _PixelStop(keep_going=with_pixels)
    try:
        available = size
        deflated = _may_be_deflated(handle)
        if deflated and _transfer_syntax(read_partial(handle, stop_when=_at_once)) == DeflatedExplicitVRLittleEndian:
            available = _inflated_bytes(handle, limits)
        handle.seek(0)
        dataset = read_partial(handle, stop_when=stopper)
        syntax = _transfer_syntax(dataset)
        if syntax == DeflatedExplicitVRLittleEndian and not deflated:
            raise UnreadableFile("malformed", "The file says only after much else that it is deflated.")
        if syntax != DeflatedExplicitVRLittleEndian and not with_pixels:
            # The parser stopped where the pixel data element begins: tag, VR (if explicit) and length come first.
            available = size - handle.tell() - (8 if dataset.original_encoding[0] else 12)
        _check_complete(dataset, stopper, available)
        _check_nesting(dataset, limits)
    except UnreadableFile:
        raise
    except RecursionError:
        raise UnreadableFile("nesting-too-deep", "Sequences are nested deeper than can be read.") from None
    except (EOFError, zlib.error) as error:
        raise UnreadableFile("truncated", "The file ends in the middle of its data set.") from error
    except MemoryError:
        raise UnreadableFile("malformed", "An element claims more bytes than there is memory for.") from None
    # pydicom raises nearly anything on damaged input (struct.error, KeyError, AttributeError, OverflowError ...).
    except Exception as error:
        raise UnreadableFile("malformed", f"The data set cannot be parsed ({type(error).__name__}).") from error
    return OpenedDataset(dataset, syntax, stopper.pixel_bytes, stopper.pixel_tag)


class _PixelStop:
    """Stops the parser at the pixels and remembers how long they say that they are."""

    def __init__(self, *, keep_going: bool) -> None:
        self._keep_going = keep_going
        self.pixel_bytes: int | None = None
        self.pixel_tag: int | None = None

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        if tag not in _PIXEL_TAGS:
            return False
        self.pixel_tag = int(tag)
        self.pixel_bytes = -1 if length == _UNDEFINED_LENGTH else length
        return not self._keep_going


def _may_be_deflated(handle: BinaryIO) -> bool:
    """Whether the UID of deflated data sets stands in the first bytes: then they are measured first."""
    head = handle.read(_META_BYTES)
    handle.seek(0)
    return DeflatedExplicitVRLittleEndian.encode() in head


def _at_once(tag: int, vr: str | None, length: int) -> bool:
    return True


def _transfer_syntax(dataset: FileDataset) -> str:
    syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "")
    if not syntax:
        raise UnreadableFile("missing-transfer-syntax", "The file does not say how it is encoded (no Transfer Syntax).")
    return syntax


def _inflated_bytes(handle: BinaryIO, limits: ReadLimits) -> int:
    """Measure a deflated data set without keeping it, so that a small file cannot claim all memory."""
    meta = _MetaEnd(handle).offset
    handle.seek(meta)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while block := handle.read(1 << 16):
        while block:
            total += len(inflater.decompress(block, 1 << 20))
            block = inflater.unconsumed_tail
            if total > limits.inflated_bytes:
                raise UnreadableFile(
                    "deflate-too-large", f"The data set inflates to more than {limits.inflated_bytes} bytes."
                )
    return total


class _MetaEnd:
    """Where the file meta group ends and the data set begins (PS3.10 7.1: always Explicit VR Little Endian)."""

    def __init__(self, handle: BinaryIO) -> None:
        handle.seek(_PREAMBLE_BYTES)
        while True:
            self.offset = handle.tell()
            head = handle.read(8)
            if len(head) < 8 or head[:2] != b"\x02\x00":
                return
            length = int.from_bytes(head[6:8], "little")
            if head[4:6] in {b"OB", b"OW", b"UN", b"SQ", b"UT"}:
                length = int.from_bytes(handle.read(4), "little")
            handle.seek(length, io.SEEK_CUR)


def _check_complete(dataset: Dataset, stopper: _PixelStop, available: int) -> None:
    for tag in dataset.keys():  # noqa: SIM118 - a Dataset iterates over elements, converting each
        element = dataset.get_item(tag)
        value = getattr(element, "value", None)
        length = getattr(element, "length", None)
        if isinstance(value, bytes) and isinstance(length, int) and len(value) < length != _UNDEFINED_LENGTH:
            raise UnreadableFile(
                "truncated", f"The file ends inside element {tag}: {len(value)} of {length} bytes are there."
            )
    if stopper.pixel_bytes is not None and stopper.pixel_bytes > available:
        held = max(0, available)
        raise UnreadableFile(
            "truncated", f"The pixel data are said to have {stopper.pixel_bytes} bytes, but the file holds {held}."
        )


def _check_nesting(dataset: Dataset, limits: ReadLimits) -> None:
    waiting = [(dataset, 0)]
    while waiting:
        current, depth = waiting.pop()
        if depth > limits.nesting:
            raise UnreadableFile("nesting-too-deep", f"Sequences are nested more than {limits.nesting} deep.")
        for tag in list(current.keys()):
            if _is_sequence(current, tag):
                waiting.extend((item, depth + 1) for item in current[tag].value or ())


def _is_sequence(dataset: Dataset, tag: int) -> bool:
    element = dataset.get_item(tag)
    vr = getattr(element, "VR", None)
    if vr is None:  # implicit VR: the dictionary knows, private elements without an entry stay unparsed
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return False
    return str(vr) == "SQ"


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an element as one line of text, empty if absent. Raises UnreadableFile ``bad-value``."""
    value = _value(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip().strip("\x00")
    return "\\".join(str(part) for part in value) if isinstance(value, Iterable) else str(value).strip()


def numbers_of(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return an element as exactly ``count`` finite numbers in its stored unit, None if absent or empty.

    Raises UnreadableFile ``bad-value`` if it is there and is anything else.
    """
    value = _value(dataset, keyword)
    if value is None or value == "":
        return None
    parts: list[Any] = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    if not parts:
        return None
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableFile("bad-value", f"{keyword} does not hold numbers.") from error
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise UnreadableFile("bad-value", f"{keyword} does not hold {count} finite numbers.")
    return numbers


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return an element as one finite number in its stored unit, None if absent. Raises as ``numbers_of`` does."""
    numbers = numbers_of(dataset, keyword, 1)
    return None if numbers is None else numbers[0]


def whole_of(dataset: Dataset, keyword: str) -> int | None:
    """Return an element as one whole number, None if absent. Raises UnreadableFile ``bad-value``."""
    number = number_of(dataset, keyword)
    if number is not None and number != int(number):
        raise UnreadableFile("bad-value", f"{keyword} is not a whole number.")
    return None if number is None else int(number)


def optional(read: Callable[[Dataset, str], float | None], dataset: Dataset, keyword: str) -> float | None:
    """Return what ``read`` gives, or None where the element is unusable: for elements that nothing depends on."""
    try:
        return read(dataset, keyword)
    except UnreadableFile:
        return None


def _value(dataset: Dataset, keyword: str) -> object:
    plain = plain_value(dataset, keyword)
    if plain is not ELSEWHERE:
        return plain
    try:
        value: object = dataset.get(keyword)
    # A lazily parsed element raises here whatever its damaged bytes provoke.
    except Exception as error:
        raise UnreadableFile("bad-value", f"{keyword} cannot be read ({type(error).__name__}).") from error
    return value
