"""Texts from label files made fit to be stored, shown and printed: without control characters and lone surrogates.

JSON may spell any code point, so a label's name can hold a zero character, which PostgreSQL does not store, half a
surrogate pair, which no UTF-8 holds, or a mark that turns the direction of what follows it on a page.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar, cast

T = TypeVar("T")

_BLANK = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_ILLEGIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def legible_text(text: str) -> str:
    """Return ``text`` with ends of lines as blanks and every other character that cannot be shown as ``?``."""
    return _ILLEGIBLE.sub("?", _BLANK.sub(" ", text))


def legible(value: T) -> T:
    """Return a reader's result with all its texts as ``legible_text`` has them; arrays and numbers as they are.

    What needs no change comes back as the same object.
    """
    return cast("T", _legible(value))


def _legible(value: object) -> object:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return legible_text(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _legible_dataclass(value)
    if type(value) in (tuple, list, frozenset, set):
        items = cast("tuple[object, ...]", value)
        made = [_legible(one) for one in items]
        return value if all(new is old for new, old in zip(made, items, strict=True)) else type(items)(made)
    if isinstance(value, Mapping):
        pairs = {_legible(key): _legible(one) for key, one in value.items()}
        same = all(key in pairs and pairs[key] is one for key, one in value.items())
        return value if same else pairs
    return value


def _legible_dataclass(value: object) -> object:
    fields = [field.name for field in dataclasses.fields(value) if field.init]  # type: ignore[arg-type]  # an instance
    made = {name: _legible(getattr(value, name)) for name in fields}
    changed = {name: new for name, new in made.items() if new is not getattr(value, name)}
    return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var]  # an instance
