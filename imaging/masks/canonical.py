"""Canonical mask bytes: equal regions on equal grids have equal bytes, and so an equal hash.

Layout: ``LQAMASK1``, the grid's digest (32 bytes), origin and shape of the tight box (six uint32, little-endian), then
the box in C order (slice, row, column), eight voxels a byte, most significant bit first, the last byte filled with
zeros. An empty mask has origin and shape zero.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from imaging.errors import GeometryError, UnreadableFile
from imaging.masks.build import mask_from_voxels
from imaging.types import Grid, Mask

MAGIC = b"LQAMASK1"
_BOX = struct.Struct("<6I")
_HEAD = len(MAGIC) + 32 + _BOX.size


def mask_bytes(mask: Mask) -> bytes:
    """Return the one byte string of this region on this grid, however its box was cut."""
    tight = mask_from_voxels(grid=mask.grid, voxels=mask.voxels, origin=mask.origin)
    shape = tight.voxels.shape
    box = _BOX.pack(*tight.origin, *shape)
    packed = np.packbits(tight.voxels, axis=None, bitorder="big").tobytes()
    return MAGIC + bytes.fromhex(mask.grid.digest) + box + packed


def mask_digest(mask: Mask) -> str:
    """Return SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(mask_bytes(mask)).hexdigest()


def read_mask(data: bytes, grid: Grid) -> Mask:
    """Return the mask that ``mask_bytes`` wrote on this grid.

    Raises UnreadableFile (``not-a-mask``, ``truncated``, ``not-canonical``) if the bytes are not what ``mask_bytes``
    writes, GeometryError ``another-grid`` if they belong to another grid.
    """
    if len(data) < _HEAD or not data.startswith(MAGIC):
        raise UnreadableFile("not-a-mask", "These bytes are not a mask.")
    if data[len(MAGIC) : len(MAGIC) + 32].hex() != grid.digest:
        raise GeometryError("another-grid", "The mask was drawn on another grid than this one.")
    numbers = _BOX.unpack_from(data, len(MAGIC) + 32)
    origin, shape = numbers[:3], numbers[3:]
    if any(start + size > limit for start, size, limit in zip(origin, shape, grid.shape, strict=True)):
        raise UnreadableFile("not-canonical", "The mask's box reaches beyond its grid.")
    count = shape[0] * shape[1] * shape[2]
    if len(data) != _HEAD + (count + 7) // 8:
        raise UnreadableFile(
            "truncated", f"The mask holds {len(data) - _HEAD} bytes; its box needs {(count + 7) // 8}."
        )
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8, offset=_HEAD), count=count, bitorder="big")
    mask = mask_from_voxels(grid=grid, voxels=bits.astype(np.bool_).reshape(shape), origin=origin)
    if mask_bytes(mask) != data:
        raise UnreadableFile("not-canonical", "The mask's box is not tight, so its hash would not be the mask's.")
    return mask
