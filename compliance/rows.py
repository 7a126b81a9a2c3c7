"""The one reading of a stored row as canonical values, from which every digest is made.

Always take the instance from the database, never from memory: a digest must be over what was stored (a decimal is
rounded, a JSON number renormalised, a database default filled in), or verification would call an honest row altered.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import connection, models
from django.db.models.functions import Cast

from compliance.ledger.canonical import LARGEST_INTEGER, Json, canonical_bytes

MARK_LENGTH = 8
SHAPE_LENGTH = 16


def row_values(instance: models.Model, *, columns: Collection[str] | None = None) -> dict[str, Json]:
    """Return every column of a stored row, or those named, by column name, in canonical types.

    Numbers with a fraction, times, UUIDs and bytes become strings (floats in their shortest exact form, times in UTC
    with microseconds). Within a JSON column a float becomes ``{"$float": "1.5"}``, so that 1.5 and "1.5" stay apart.
    Raises KeyError for a named column that the table does not have.
    """
    fields = {str(field.column): field for field in instance._meta.concrete_fields}
    return {name: _column(fields[name], fields[name].value_from_object(instance)) for name in columns or fields}


def row_reader(model: type[models.Model]) -> Callable[[Sequence[object]], dict[str, Json]]:
    """Return what makes of a row's plain values the same as ``row_values`` of the instance.

    The plain values are those of all columns in the model's order, as ``values_list`` of ``stored_columns`` gives them.
    """
    fields = [(str(field.column), field) for field in model._meta.concrete_fields]

    def read(values: Sequence[object]) -> dict[str, Json]:
        return {
            name: value if type(value) is str else _column(field, value)
            for (name, field), value in zip(fields, values, strict=True)
        }

    return read


class UtcText(models.Func):
    """A time as ``utc_text`` writes it, by PostgreSQL: quicker than to make an object of it, and a text of that."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    output_field = models.TextField()


def stored_columns(model: type[models.Model]) -> list[str | models.Func]:
    """Return what a query asks for to give every column of a model, in the model's order: keys and times as text."""
    return [stored_column(field) for field in model._meta.concrete_fields]


def stored_column(
    field: models.Field[Any, Any], prefix: str = "", *, texts: Collection[str] = ("uuid",)
) -> str | models.Func:
    """Return what a query asks for to give one column; on PostgreSQL as text where its type is among ``texts``."""
    name = f"{prefix}{field.attname}"
    kind = field.db_type(connection) if connection.vendor == "postgresql" else ""
    if kind == "timestamp with time zone":
        return UtcText(name)
    return Cast(name, models.TextField()) if kind in texts else name


def shape_id(*, table: str, columns: Collection[str]) -> str:
    """Return the name of a table's set of columns: the beginning of a digest over it."""
    return hashlib.sha256(canonical_bytes([table, sorted(columns)])).hexdigest()[:SHAPE_LENGTH]


def row_digest(values: Mapping[str, Json]) -> str:
    """Return the SHA-256 of a row's canonical values, in hexadecimal."""
    return hashlib.sha256(canonical_bytes(values)).hexdigest()


def field_marks(values: Mapping[str, Json]) -> str:
    """Return one short mark for each column, in name order: they prove nothing, they tell which field was altered."""
    return "".join(
        hashlib.sha256(canonical_bytes({name: values[name]})).hexdigest()[:MARK_LENGTH] for name in sorted(values)
    )


def digest_and_marks(values: Mapping[str, Json]) -> tuple[str, str]:
    """Return what ``row_digest`` and ``field_marks`` do; each column is written once for both."""
    names = sorted(values)
    if not all(map(str.isascii, names)):
        return row_digest(values), field_marks(values)
    # ASCII names are in the same order by characters and by code units.
    members = [canonical_bytes({name: values[name]})[1:-1] for name in names]
    marks = (hashlib.sha256(b"{" + member + b"}").hexdigest()[:MARK_LENGTH] for member in members)
    return hashlib.sha256(b"{" + b",".join(members) + b"}").hexdigest(), "".join(marks)


def altered_field(values: Mapping[str, Json], marks: str) -> str:
    """Return the first column whose value does not fit its mark, or an empty string where the marks cannot tell."""
    names = sorted(values)
    if len(marks) != MARK_LENGTH * len(names):
        return ""
    now = field_marks(values)
    for place, name in enumerate(names):
        span = slice(place * MARK_LENGTH, (place + 1) * MARK_LENGTH)
        if now[span] != marks[span]:
            return name
    return ""


def utc_text(moment: datetime.datetime) -> str:
    """Return an aware time as ISO 8601 in UTC with microseconds, the form that records and kits hold."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _column(field: models.Field[object, object], value: object) -> Json:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(field, models.JSONField):
        return _document(value)
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime.datetime):
        return utc_text(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal | datetime.timedelta):
        return str(value)
    raise TypeError(f"{field.name}: a column of {type(value).__name__} cannot be part of the record")


def _document(value: object) -> Json:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else {"$integer": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, list):
        return [_document(item) for item in value]
    if isinstance(value, dict):
        # A doubled dollar keeps a document's own "$float" apart from ours.
        return {(f"${key}" if key.startswith("$") else key): _document(item) for key, item in value.items()}
    raise TypeError(f"a JSON column cannot hold {type(value).__name__}")
