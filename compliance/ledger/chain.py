"""Hashes of the sealed ledger: a leaf for each event, a link for each place in the order.

Domain separation: leaf = SHA-256(0x00 || canonical event), link = SHA-256(0x02 || previous link || leaf). The prefix
0x01 belongs to interior nodes of Merkle trees (RFC 9162), so no leaf, node or link can pass for another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from compliance.ledger.canonical import canonical_bytes

LEAF_PREFIX = b"\x00"
LINK_PREFIX = b"\x02"
GENESIS = bytes(32)


def leaf_hash(event: Mapping[str, object]) -> bytes:
    """Return the 32-byte leaf hash of an event's canonical form."""
    return hashlib.sha256(LEAF_PREFIX + canonical_bytes(event)).digest()


def link_hash(*, previous: bytes, leaf: bytes) -> bytes:
    """Return the 32-byte link hash of an entry; ``previous`` of the first entry is ``GENESIS``.

    Raises ValueError if either is not 32 bytes: a shorter one would shift the boundary between the two.
    """
    if len(previous) != 32 or len(leaf) != 32:
        raise ValueError("a link joins two hashes of 32 bytes")
    return hashlib.sha256(LINK_PREFIX + previous + leaf).digest()
