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
from operator import itemgetter

from compliance.ledger import merkle
from compliance.ledger.canonical import LARGEST_INTEGER, canonical_bytes, quoted

FIELD_PREFIX = b"\x03"
PAYLOAD_PREFIX = b"\x04"
SALT_BYTES = 16

# The members of a leaf's document in their canonical order: known beforehand, they need no sorting.
_LEAF = (
    '{"actor_id":%s,"actor_name":%s,"actor_role":%s,"id":%s,"kind":%s,"occurred_at":%s,"payload":"%s",'
    '"project_key":%s,"reason":%s,"rows":"%s","simulated":%s,"subject_id":%s,"subject_type":%s,"txid":%d}'
)
_FIRST = itemgetter("actor_id", "actor_name", "actor_role", "id", "kind", "occurred_at")
_BETWEEN, _LAST = itemgetter("project_key", "reason"), itemgetter("subject_id", "subject_type")
_MEMBERS = 16
_NO_ROWS = merkle.EMPTY_ROOT.hex()
_TRUTH = {True: "true", False: "false"}


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
    return hashlib.sha256(FIELD_PREFIX + random + _field(name, value)).hexdigest()


def payload_hash(commitments: Mapping[str, str]) -> str:
    """Return SHA-256(0x04 || canonical {name: commitment}) in hexadecimal: names are bound twice, and stay readable."""
    return hashlib.sha256(PAYLOAD_PREFIX + _promised(commitments)).hexdigest()


def rows_hash(rows: Sequence[object]) -> str:
    """Return the Merkle tree hash over the canonical entries of an event's rows, in their order, in hexadecimal."""
    return merkle.root([canonical_bytes(entry) for entry in rows]).hex() if rows else _NO_ROWS


def leaf_document(event: Mapping[str, object]) -> dict[str, object]:
    """Return what the leaf of an event is hashed over: the event with ``payload`` and ``rows`` replaced by hashes."""
    kept = {name: value for name, value in event.items() if name not in ("payload", "salts", "commitments", "rows")}
    commitments, rows = event["commitments"], event["rows"]
    if not isinstance(commitments, Mapping) or not isinstance(rows, list):
        raise TypeError("an event's commitments are an object and its rows a list")
    return {**kept, "payload": payload_hash(commitments), "rows": rows_hash(rows)}


def leaf_hash(event: Mapping[str, object]) -> bytes:
    """Return the 32-byte leaf hash of an event: over the canonical bytes of its ``leaf_document``."""
    try:
        return merkle.hash_leaf(_leaf_bytes(event))
    except (TypeError, KeyError, UnicodeEncodeError):
        # The general way, for other members and types, also says where what it refuses is.
        return merkle.hash_leaf(canonical_bytes(leaf_document(event)))


def _leaf_bytes(event: Mapping[str, object]) -> bytes:
    """Return these bytes of an event of the usual members and types; raise TypeError or KeyError for any other."""
    commitments, rows, txid, simulated = (event[name] for name in ("commitments", "rows", "txid", "simulated"))
    if len(event) != _MEMBERS or not isinstance(commitments, dict) or not isinstance(rows, list):
        raise TypeError(event)
    if type(simulated) is not bool or type(txid) is not int or abs(txid) > LARGEST_INTEGER:
        raise TypeError(event)
    return (
        _LEAF
        % (
            *map(quoted, _FIRST(event)),
            payload_hash(commitments),
            *map(quoted, _BETWEEN(event)),
            rows_hash(rows),
            _TRUTH[simulated],
            *map(quoted, _LAST(event)),
            txid,
        )
    ).encode()


def _field(name: str, value: object) -> bytes:
    """Return the canonical bytes of [name, value]; of a text or a truth value, as most are, without Python's writer."""
    try:
        if type(value) is str:
            return f"[{quoted(name)},{quoted(value)}]".encode()
        if type(value) is bool:
            return f"[{quoted(name)},{_TRUTH[value]}]".encode()
    except (TypeError, UnicodeEncodeError):
        pass
    return canonical_bytes([name, value])


def _promised(commitments: Mapping[str, str]) -> bytes:
    """Return the canonical bytes of {name: commitment}; ASCII names are in the same order by any measure."""
    try:
        if all(map(str.isascii, commitments)):
            members = [f"{quoted(name)}:{quoted(commitments[name])}" for name in sorted(commitments)]
            return ("{" + ",".join(members) + "}").encode()
    except (TypeError, UnicodeEncodeError):
        pass
    return canonical_bytes(commitments)
