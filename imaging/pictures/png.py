"""A small writer of indexed PNG (ISO/IEC 15948), so that pictures need no imaging library and come out the same."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def indexed_png(*, indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return a PNG of ``indices`` (rows, columns) into ``palette`` (colours, 3), red, green and blue, 8 bits each.

    Row 0 is the top, column 0 the left. Raises ValueError for an index without a colour.
    """
    if indices.size == 0 or int(indices.max()) >= len(palette):
        raise ValueError("an index has no colour in the palette")
    rows, columns = indices.shape
    # Each line starts with its filter; 0 is none, which palettes call for.
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)
    lines[:, 1:] = indices
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette.astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
