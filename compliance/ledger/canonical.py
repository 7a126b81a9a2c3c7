"""Canonical JSON bytes, RFC 8785 restricted to the types that every reader agrees on.

Allowed: null, booleans, strings, lists, objects with string keys, and integers whose magnitude is at most 2**53 - 1.
Floats are refused, because their text differs between languages; a record holds decimals and times as strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LARGEST_INTEGER = 2**53 - 1

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
        return _plain_text(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        # Whatever is not plain is taken slowly: it is another type, or it is refused with its place.
        return _text(value, "$").encode("utf-8")


def _plain_text(value: Any) -> str:
    """Return the text of a value made of dicts with ASCII keys, lists, texts, booleans, null and small integers.

    Raises TypeError or ValueError for others; the two ways agree wherever this one does not raise.
    """
    kind = type(value)
    if kind is dict:
        # ASCII keys are in the same order by characters and by UTF-16 code units. Joining fails for a key not a text.
        if not "".join(value).isascii():
            raise ValueError("a key beyond ASCII")
        if _TEXTS.issuperset(map(type, value.values())):
            return _ENCODE(value)
        return "{" + ",".join([f"{_ENCODE(key)}:{_plain_text(value[key])}" for key in sorted(value)]) + "}"
    if kind in _TEXTS:
        return _ENCODE(value)
    if kind is int:
        if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise ValueError("a large integer")
        return str(value)
    if kind is list:
        return "[" + ",".join([_plain_text(item) for item in value]) + "]"
    raise TypeError("not a plain value")


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
