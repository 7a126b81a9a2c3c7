"""Reading ``multipart/related`` as it arrives: each part's bytes in pieces, nothing held but a piece and a boundary.

RFC 2387 and RFC 2046 5.1; DICOM PS3.18 8.6.1.2 sends instances so.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from typing import Protocol

from qaservice.common.errors import InvalidInput

PIECE = 1 << 20
HEAD_BYTES = 16 << 10


class Readable(Protocol):
    """What a request is read from."""

    def read(self, count: int, /) -> bytes: ...


def pieces_of(stream: Readable) -> Iterator[bytes]:
    """Give a whole stream in pieces."""
    while piece := stream.read(PIECE):
        yield piece


def boundary_of(content_type: str, *, part_type: str) -> bytes:
    """Return the boundary of ``multipart/related; type=...``. Raises InvalidInput without one, or for another type."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70:
        raise InvalidInput("the content type names no boundary", code="multipart-malformed")
    said = header.get_param("type")
    if isinstance(said, str) and said.lower() != part_type:
        raise InvalidInput(f"the parts must be of type {part_type}", code="multipart-type")
    return boundary.encode("ascii", "replace")


def parts_of(stream: Readable, boundary: bytes, *, part_type: str) -> Iterator[Iterator[bytes]]:
    """Give each part's bytes in pieces; a part has to be read to its end before the next is asked for.

    Raises InvalidInput ``multipart-truncated`` where the stream ends before the closing boundary,
    ``multipart-malformed``, or ``multipart-type`` where a part says that it is something else than ``part_type``.
    """
    reader = _Reader(stream, b"\r\n--" + boundary)
    for _ in reader.until_boundary():
        pass
    while not reader.at_end():
        _check_head(reader.head(), part_type)
        body = reader.until_boundary()
        yield body
        for _ in body:  # what the caller left
            pass


def _check_head(head: bytes, part_type: str) -> None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        said = value.partition(b";")[0].strip().lower().decode("ascii", "replace")
        if name.strip().lower() == b"content-type" and said != part_type:
            raise InvalidInput(f"a part says that it is not {part_type}", code="multipart-type")


class _Reader:
    """A stream with what was read ahead of it."""

    def __init__(self, stream: Readable, delimiter: bytes) -> None:
        self._stream = stream
        self._delimiter = delimiter
        # The first boundary may stand at the very beginning, without the line break that belongs to the others.
        self._ahead = bytearray(b"\r\n")

    def until_boundary(self) -> Iterator[bytes]:
        """Give everything up to the next boundary, and go past that."""
        while True:
            at = self._ahead.find(self._delimiter)
            if at >= 0:
                rest = bytes(memoryview(self._ahead)[:at])
                del self._ahead[: at + len(self._delimiter)]
                if rest:
                    yield rest
                return
            safe = len(self._ahead) - len(self._delimiter) + 1
            if safe > 0:
                piece = bytes(memoryview(self._ahead)[:safe])
                del self._ahead[:safe]
                yield piece
            self._more()

    def at_end(self) -> bool:
        """Tell whether the boundary just passed was the closing one."""
        while len(self._ahead) < 2:
            self._more()
        return self._ahead[:2] == b"--"

    def head(self) -> bytes:
        """Return a part's header lines, and go past them."""
        # The line break that ends the boundary's line belongs to the head: without headers it is all there is.
        while (at := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > HEAD_BYTES:
                raise InvalidInput("a part has no end of its header", code="multipart-malformed")
            self._more()
        head = bytes(self._ahead[:at])
        del self._ahead[: at + 4]
        return head

    def _more(self) -> None:
        piece = self._stream.read(PIECE)
        if not piece:
            raise InvalidInput(
                "the request ends before its closing boundary; nothing of it was kept", code="multipart-truncated"
            )
        self._ahead += piece
