"""Canonical JSON bytes, RFC 8785 restricted to the types that every reader agrees on.

Allowed: null, booleans, strings, lists, objects with string keys, and integers whose magnitude is at most 2**53 - 1.
Floats are refused, because their text differs between languages; a record holds decimals and times as strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LARGEST_INTEGER = 2**53 - 1

quoted = json.encoder.encode_basestring
"""Return the canonical text of a string. Raises TypeError for another type; half a surrogate pair is not seen here."""

# Python escapes exactly what RFC 8785 asks once non-ASCII characters are left alone.
_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_TEXTS = frozenset({str, bool, type(None)})

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


class NotCanonical(ValueError):
    """A value has no canonical form; the message says where."""


def canonical_bytes(value: object) -> bytes:
    """Return the one byte string that stands for ``value`` (UTF-8, no white space, keys in UTF-16 code unit order).

    Raises NotCanonical for floats, integers beyond 2**53 - 1, keys that are not strings, lone surrogates and other
    types. Source: RFC 8785 sections 3.2.2 and 3.2.3.
    """
    try:
        if type(value) is dict and len(value) == 1:
            ((name, item),) = value.items()
            if type(item) is str:
                return f"{{{quoted(name)}:{quoted(item)}}}".encode()
        if _is_plain(value):
            return _ENCODE(value).encode("utf-8")
    except (TypeError, UnicodeEncodeError):
        # The slower way, for other types and keys, also says where what it refuses is.
        pass
    return _text(value, "$").encode("utf-8")


def _is_plain(value: Any) -> bool:
    """Tell whether Python's own writer gives the canonical text: dicts, lists, texts, small integers, ASCII keys.

    ASCII keys are in the same order by characters and by UTF-16 code units. Raises TypeError for a key that is no text.
    """
    kind = type(value)
    if kind is dict:
        if not all(map(str.isascii, value)):
            return False
        value = value.values()
    elif kind is not list:
        return kind in _TEXTS or (kind is int and abs(value) <= LARGEST_INTEGER)
    return _TEXTS.issuperset(map(type, value)) or all(_is_plain(item) for item in value if type(item) not in _TEXTS)


def _text(value: object, where: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value, where)
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise NotCanonical(f"{where}: {value} is beyond 2**53 - 1; write it as a string")
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item, f"{where}[{number}]") for number, item in enumerate(value)) + "]"
    if isinstance(value, Mapping):
        return _object(value, where)
    raise NotCanonical(f"{where}: {type(value).__name__} has no canonical form; write it as a string")


def _object(value: Mapping[object, object], where: str) -> str:
    members: list[tuple[bytes, str]] = []
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotCanonical(f"{where}: the key {key!r} is not a string")
        name = _string(key, where)
        # Big-endian UTF-16 bytes compare as code units do; plain string order differs beyond the basic plane.
        members.append((key.encode("utf-16-be"), f"{name}:{_text(item, f'{where}.{key}')}"))
    return "{" + ",".join(text for _, text in sorted(members)) + "}"


def _string(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical(f"{where}: the string holds half of a surrogate pair") from error
    return _ENCODE(value)
