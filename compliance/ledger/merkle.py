"""Merkle tree hash over leaf bytes, RFC 9162 section 2.1.1 with SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the 32-byte tree hash of ``leaves`` in the order given.

    The hash of no leaves is SHA-256 of the empty string; a lone right-hand node is promoted, never duplicated, so
    that two lists of different length cannot share a root.
    """
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(LEAF_PREFIX + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        above = [
            hashlib.sha256(NODE_PREFIX + level[place] + level[place + 1]).digest()
            for place in range(0, len(level) - 1, 2)
        ]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]
