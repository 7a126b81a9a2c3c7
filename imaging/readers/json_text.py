"""JSON from an untrusted file, and its values by type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from imaging.errors import UnreadableFile

_NESTING = 64
"""Label files nest some six deep; the interpreter gives out near a thousand."""


GREATEST = 1e9
"""No millimetre, pixel, score or count of a label file is larger; the arithmetic of places would overflow far above."""


def parse_json(data: bytes) -> object:
    """Return the document. Raises UnreadableFile ``not-json``: not JSON, cut short, nested too deep, or not finite."""
    try:
        text = data.decode("utf-8-sig") if data[:2] not in (b"\xff\xfe", b"\xfe\xff") else data.decode("utf-16")
        document: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(
            "not-json", f"The file is not JSON, or is cut short ({_where(error) or type(error).__name__})."
        ) from error
    _check_depth(document)
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _where(error: Exception) -> str:
    return f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""


def _check_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(_NESTING):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise UnreadableFile("not-json", f"The file nests more than {_NESTING} levels deep.")


def mapping_of(value: object) -> Mapping[str, object]:
    """Return an object's members; nothing where the value is no object."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> Sequence[object]:
    """Return an array's items; nothing where the value is no array."""
    return value if isinstance(value, list) else ()


def text_in(holder: Mapping[str, object], key: str) -> str:
    """Return a member that is a text, or a whole number as text; empty where it is neither."""
    value = holder.get(key)
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def number_in(value: object) -> float | None:
    """Return a number of at most ``GREATEST``; None where the value is none (a truth value is none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= GREATEST else None


def numbers_in(value: object, count: int) -> tuple[float, ...] | None:
    """Return exactly ``count`` finite numbers of an array; None where it is not that."""
    found = tuple(number_in(one) for one in items_of(value))
    kept = tuple(one for one in found if one is not None)
    return kept if len(found) == len(kept) == count else None
