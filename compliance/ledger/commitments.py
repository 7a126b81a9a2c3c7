"""What the leaf of an event binds without containing it: the fields of its payload, and the rows written with it.

Each payload field has a commitment over its name, its value and a random salt of its own. Whoever holds the salt can
show the value; once value and salt are destroyed, the commitment stands in their place and tells nothing, and the leaf
is the same. A row is bound by a tree over all of the event's rows, so that one can be shown without the others.

Domain separation: 0x00 and 0x01 are the Merkle trees' (RFC 9162), 0x02 the chain's, 0x03 a field's, 0x04 a payload's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

from compliance.ledger import merkle
from compliance.ledger.canonical import canonical_bytes

FIELD_PREFIX = b"\x03"
PAYLOAD_PREFIX = b"\x04"
SALT_BYTES = 16


def new_salt() -> str:
    """Return 128 random bits in hexadecimal."""
    return secrets.token_hex(SALT_BYTES)


def commitment(*, name: str, value: object, salt: str) -> str:
    """Return SHA-256(0x03 || salt || canonical [name, value]) in hexadecimal.

    Raises ValueError for a salt of another length, which would shift the boundary between salt and value, and
    NotCanonical for a value without a canonical form.
    """
    random = bytes.fromhex(salt)
    if len(random) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return hashlib.sha256(FIELD_PREFIX + random + canonical_bytes([name, value])).hexdigest()


def payload_hash(commitments: Mapping[str, str]) -> str:
    """Return SHA-256(0x04 || canonical {name: commitment}) in hexadecimal: names are bound twice, and stay readable."""
    return hashlib.sha256(PAYLOAD_PREFIX + canonical_bytes(commitments)).hexdigest()


def rows_hash(rows: Sequence[object]) -> str:
    """Return the Merkle tree hash over the canonical entries of an event's rows, in their order, in hexadecimal."""
    return merkle.root([canonical_bytes(entry) for entry in rows]).hex()


def leaf_document(event: Mapping[str, object]) -> dict[str, object]:
    """Return what the leaf of an event is hashed over: the event with ``payload`` and ``rows`` replaced by hashes."""
    kept = {name: value for name, value in event.items() if name not in ("payload", "salts", "commitments", "rows")}
    commitments, rows = event["commitments"], event["rows"]
    if not isinstance(commitments, Mapping) or not isinstance(rows, list):
        raise TypeError("an event's commitments are an object and its rows a list")
    return {**kept, "payload": payload_hash(commitments), "rows": rows_hash(rows)}
