"""Compressed bytes, inflated no further than a stated number of bytes."""

from __future__ import annotations

import bz2
import zlib

from imaging.errors import UnreadableFile

GZIP_MARK = b"\x1f\x8b"

_GZIP = 16 + zlib.MAX_WBITS


def inflate_gzip(data: bytes, *, limit_bytes: int) -> bytes:
    """Return a gzip file's content, its members one after the other.

    Raises UnreadableFile: ``inflates-too-large`` as soon as the content passes ``limit_bytes``, ``truncated`` where it
    ends early, ``damaged-compression`` where it is not gzip or its checksum is wrong.
    """
    parts: list[bytes] = []
    left = limit_bytes
    rest = data
    while rest:
        inflater = zlib.decompressobj(_GZIP)
        try:
            # One byte more than is allowed tells "exactly as large" from "larger".
            part = inflater.decompress(rest, left + 1)
        except zlib.error as error:
            # Some writers pad a sound file with zeros.
            if parts and not rest.strip(b"\0"):
                break
            raise UnreadableFile("damaged-compression", "The gzip stream is damaged.") from error
        if len(part) > left:
            raise UnreadableFile("inflates-too-large", f"The content inflates to more than {limit_bytes} bytes.")
        if not inflater.eof:
            raise UnreadableFile("truncated", "The gzip stream ends before its content does.")
        parts.append(part)
        left -= len(part)
        rest = inflater.unused_data
    if not parts:
        raise UnreadableFile("truncated", "The compressed content is empty.")
    return b"".join(parts)


def inflate_bzip2(data: bytes, *, limit_bytes: int) -> bytes:
    """Return a bzip2 stream's content. Raises UnreadableFile as ``inflate_gzip`` does."""
    inflater = bz2.BZ2Decompressor()
    try:
        content = inflater.decompress(data, limit_bytes + 1)
    except OSError as error:
        raise UnreadableFile("damaged-compression", "The bzip2 stream is damaged.") from error
    if len(content) > limit_bytes:
        raise UnreadableFile("inflates-too-large", f"The content inflates to more than {limit_bytes} bytes.")
    if not inflater.eof:
        raise UnreadableFile("truncated", "The bzip2 stream ends before its content does.")
    return content


def inflated_head(data: bytes, *, length: int) -> bytes:
    """Return at most ``length`` bytes of what a gzip file's first bytes inflate to; nothing if they do not."""
    try:
        return zlib.decompressobj(_GZIP).decompress(data, length)
    except zlib.error:
        return b""
