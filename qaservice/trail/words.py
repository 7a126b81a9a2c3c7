"""Fields and values as people read them: labels instead of columns, choices instead of codes, dates with their zone."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.db import models

from qaservice.storage.models import Blob
from qaservice.trail.records import title_of

ABBREVIATIONS = {
    "qa": "QA",
    "uid": "UID",
    "sha256": "SHA-256",
    "id": "ID",
    "mm": "mm",
    "mm3": "mm³",
    "ct": "CT",
    "api": "API",
    "hu": "HU",
}
NOTHING = "nothing"
# Deeper, a document is told as one text: nobody reads a path of six names.
DEEPEST = 4
PLACES = 6
"""Decimals that people read; a change beyond them is told in full."""
_CODE = re.compile(r"[a-z]+(?:[-_][a-z]+)+")


def label_of(name: str) -> str:
    """Return a field's or a key's name in words: ``required_votes`` as "Required votes"."""
    words = [ABBREVIATIONS.get(word, word) for word in name.replace("-", "_").split("_") if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def field_label(field: models.Field[Any, Any]) -> str:
    """Return a model field's label."""
    told = str(field.verbose_name)
    return label_of(field.name) if told == field.name.replace("_", " ") else told[:1].upper() + told[1:]


def field_words(field: models.Field[Any, Any], row: models.Model) -> str:
    """Return the value of a field of a stored row as people read it."""
    value = field.value_from_object(row)
    if value is None or value == "":
        return NOTHING
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    if field.is_relation:
        return related_words(field, value)
    return value_words(value)


def related_words(field: models.Field[Any, Any], key: object) -> str:
    """Return what a key points at: its title where it has one, and the key."""
    target: Any = field.related_model
    if target is Blob:
        return f"bytes with SHA-256 {key}"
    found: models.QuerySet[Any] = models.QuerySet(target)
    row = found.filter(pk=key).first()
    title = "" if row is None else title_of(row)
    return f"{title} ({key})" if title and title != str(key) else str(key)


def value_words(value: object) -> str:
    """Return a plain value as people read it: yes and no, UTC, no code's punctuation."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(round(value, PLACES))
    if isinstance(value, str) and _CODE.fullmatch(value):
        return " ".join(ABBREVIATIONS.get(word, word) for word in re.split(r"[-_]", value))
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, Mapping):
        return "; ".join(f"{label_of(str(name))}: {value_words(part)}" for name, part in value.items()) or NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(value_words(part) for part in value) or NOTHING
    if isinstance(value, int | str | Decimal | uuid.UUID | datetime.date):
        return str(value)
    return f"{type(value).__name__} that has no words"


def parts_of(value: object, *, depth: int = 0) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield (path, value) of every part of a document, in its own order; a list of plain values is one part."""
    if isinstance(value, Mapping) and value and depth < DEEPEST:
        for name, part in value.items():
            for path, leaf in parts_of(part, depth=depth + 1):
                yield (str(name), *path), leaf
    elif isinstance(value, list) and depth < DEEPEST and any(isinstance(part, Mapping | list) for part in value):
        for number, part in enumerate(value, start=1):
            for path, leaf in parts_of(part, depth=depth + 1):
                yield (f"number {number}", *path), leaf
    else:
        yield (), value
