"""What differs between two states of a record, field by field, in plain words (REQ-08, REQ-30)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models

from compliance.recorded_history import HISTORY_COLUMNS, HistoryRow
from qaservice.trail.words import NOTHING, field_label, field_words, label_of, parts_of, value_words

# Said of every row elsewhere on the page.
_ASIDE = HISTORY_COLUMNS | {"event", "revision"}
_NUMBERED = {("labels_findingrevision", "number")}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, or one part of a document field, before and after; ``name`` is the column, ``label`` its words."""

    name: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class FieldNow:
    """One field as it stands. ``original``: what it was in the first state; ``changed``: whether that differs."""

    name: str
    label: str
    value: str
    original: str
    changed: bool


def fields_of(row: models.Model) -> list[models.Field[Any, Any]]:
    """Return the fields of a row's own record, without those that history adds and without its key."""
    model: Any = row.instance_type if isinstance(row, HistoryRow) else type(row)  # type: ignore[attr-defined]  # set by the history package
    kept = {field.name for field in type(row)._meta.concrete_fields}
    return [
        field
        for field in model._meta.concrete_fields
        if field.name in kept - _ASIDE and not field.primary_key and (model._meta.db_table, field.name) not in _NUMBERED
    ]


def changes_between(before: models.Model, after: models.Model) -> tuple[FieldChange, ...]:
    """Return what changed from one row to the next of the same record, in the order of the model's fields."""
    found: list[FieldChange] = []
    for field in fields_of(after):
        old, new = field.value_from_object(before), field.value_from_object(after)
        if old == new:
            continue
        if isinstance(field, models.JSONField):
            found += _in_document(field, old, new)
            continue
        words = _apart(field_words(field, before), field_words(field, after), old, new)
        found.append(FieldChange(field.name, field_label(field), *words))
    return tuple(found)


def standing_of(rows: list[models.Model]) -> tuple[FieldNow, ...]:
    """Return every field as the last of a record's rows has it, marked where the first had it otherwise (REQ-30)."""
    first, last = rows[0], rows[-1]
    found = []
    for field in fields_of(last):
        old, new = field.value_from_object(first), field.value_from_object(last)
        was = now = field_words(field, last)
        if old != new:
            was, now = _apart(field_words(field, first), now, old, new)
        found.append(FieldNow(field.name, field_label(field), now, was, changed=old != new))
    return tuple(found)


def _in_document(field: models.Field[Any, Any], old: object, new: object) -> list[FieldChange]:
    before, after = dict(parts_of(old)), dict(parts_of(new))
    label = field_label(field)
    found = []
    for path in dict.fromkeys((*before, *after)):
        if path in before and path in after and before[path] == after[path]:
            continue
        words = _apart(
            value_words(before[path]) if path in before else NOTHING,
            value_words(after[path]) if path in after else NOTHING,
            before.get(path),
            after.get(path),
        )
        name = ".".join((field.name, *path))
        found.append(FieldChange(name, ": ".join((label, *(label_of(part) for part in path))), *words))
    return found


def _apart(before: str, after: str, old: object, new: object) -> tuple[str, str]:
    """Return the words of two values that differ so that they differ too: exactly, where words round them alike."""
    return (before, after) if before != after else (repr(old), repr(new))
