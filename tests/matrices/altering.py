"""Alters rows as whoever owns the database can: triggers off, constraints ignored, and afterwards all is as before."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models, transaction

from compliance import ledger_walk, verification
from compliance.registry import TableClass, models_of
from compliance.verification import VerificationResult, verify_live
from tests.matrices.rows import next_number, unique_fields

REGULATED = (TableClass.VERSIONED, TableClass.HISTORY, TableClass.WRITE_ONCE, TableClass.LEDGER)


class Undone(Exception):
    """Takes back what a block did."""


def take_the_guards_away() -> None:
    """Switch every trigger and every check constraint of the regulated tables off, for good."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA foreign_keys = OFF")
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (trigger,) in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name(trigger)}")
            return
        for model in models_of(*REGULATED):
            table = name(model._meta.db_table)
            # A superuser's word; it switches foreign keys off as well.
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            cursor.execute(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
                [table],
            )
            for (constraint,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name(constraint)}")


@contextmanager
def undone() -> Iterator[None]:
    """Run a block and take back what it wrote."""
    try:
        with transaction.atomic():
            yield
            raise Undone
    except Undone:
        pass


def run(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def set_columns(row: models.Model, values: Mapping[str, Any]) -> None:
    """Write columns of one row, past everything."""
    fields = {str(field.column): field for field in row._meta.concrete_fields}
    given = [fields[column].get_db_prep_save(value, connection) for column, value in values.items()]
    assignments = ", ".join(f"{name(column)} = %s" for column in values)
    run(f"UPDATE {name(row._meta.db_table)} SET {assignments} WHERE {_key(row)} = %s", *given, _key_value(row))


def remove(row: models.Model) -> None:
    run(f"DELETE FROM {name(row._meta.db_table)} WHERE {_key(row)} = %s", _key_value(row))


def insert(model: type[models.Model], values: Mapping[str, Any]) -> None:
    """Insert a row of these columns, past everything."""
    fields = {str(field.column): field for field in model._meta.concrete_fields}
    given = [fields[column].get_db_prep_save(value, connection) for column, value in values.items()]
    columns, places = ", ".join(map(name, values)), ", ".join(["%s"] * len(values))
    run(f"INSERT INTO {name(model._meta.db_table)} ({columns}) VALUES ({places})", *given)


def values_of(row: models.Model) -> dict[str, Any]:
    """Return a row's columns as Python values."""
    return {str(field.column): field.value_from_object(row) for field in row._meta.concrete_fields}


def name(identifier: str) -> str:
    quoted: str = connection.ops.quote_name(identifier)
    return quoted


def every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have verification return all that it finds, and read the ledger in one part, as it is small."""
    monkeypatch.setattr(verification, "SHOWN", 100_000)
    monkeypatch.setattr(ledger_walk, "CHUNK", 1000)


def verified() -> VerificationResult:
    return verify_live()


def another(field: models.Field, value: Any, *, emptied: bool = False) -> Any:
    """Return another value of a column, as near to the old one as its type allows; "nothing" where ``emptied``.

    Raises LookupError for a type that is not known here.
    """
    if emptied:
        return _nothing(field, value)
    if field.is_relation:
        field = field.target_field
    kind = field.get_internal_type()
    if field.flatchoices and value is not None:
        keys = [key for key, _ in field.flatchoices if key != value]
        if keys:
            return keys[0]
    if kind in ("CharField", "TextField", "SlugField", "FileField"):
        return _other_text(value, field.max_length)
    if kind in ("UUIDField",):
        return uuid.uuid4()
    if kind.endswith(("IntegerField", "AutoField")):
        return _other_number(field, value)
    made = {
        "BooleanField": lambda: not value,
        "FloatField": lambda: 0.25 if value is None else math.nextafter(value, math.inf),
        "DecimalField": lambda: Decimal(1) if value is None else value + Decimal(1).scaleb(-field.decimal_places),
        "DateTimeField": lambda: (value or _MOMENT) + datetime.timedelta(microseconds=1),
        "DateField": lambda: (value or _MOMENT.date()) + datetime.timedelta(days=1),
        "TimeField": lambda: datetime.time(1, 2, 3) if value is None else value.replace(microsecond=1),
        "DurationField": lambda: (value or datetime.timedelta()) + datetime.timedelta(microseconds=1),
        "JSONField": lambda: _other_document(value),
        "BinaryField": lambda: bytes(value or b"") + b"x",
        "GenericIPAddressField": lambda: "127.0.0.2",
    }
    if kind not in made:
        raise LookupError(f"{field}: no other value is known for a {kind}: teach tests/matrices/altering.py")
    return made[kind]()


_MOMENT = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)


def _nothing(field: models.Field, value: Any) -> Any:
    """Return NULL, blank, zero or empty, whichever is another value that the column takes."""
    if field.null:
        return None
    empty: dict[type, Any] = {str: "", int: 0, float: 0.0, dict: {}, list: []}
    return value if field.is_relation or field.unique else empty.get(type(value), value)


def _other_text(value: str | None, length: int | None) -> str:
    if not value:
        return "x"
    last = "x" if value[-1] != "x" else "y"
    return value + last if length is None or len(value) < length else value[:-1] + last


def _other_number(field: models.Field, value: int | None) -> int:
    alone = value is None or field.name in unique_fields(field.model)
    return next_number(field) if alone else value + 1


def _other_document(value: Any) -> Any:
    if isinstance(value, dict):
        # 1 and "1" are not the same; nor is a number in a list of one.
        return {**value, **{key: str(one) for key, one in value.items() if type(one) is int}, "added": 1}
    return [*value, 1] if isinstance(value, list) else [value, 1]


def _key(row: models.Model) -> str:
    return name(str(row._meta.pk.column))


def _key_value(row: models.Model) -> Any:
    return row._meta.pk.get_db_prep_value(row.pk, connection)
