"""Triggers of the record on SQLite: the append-only tables stay so, whoever opens the file with what pragmas.

SQLite has no trigger at commit, so nothing here proves completeness; verification does, afterwards. No trigger refers
to another table: Django remakes tables under a new name, and SQLite refuses to rename while a trigger points nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from compliance.models import Event
from compliance.postgresql import Trigger
from compliance.recorded_history import HistoryRow
from compliance.registry import TableClass, key_column, models_of

_PARTIAL = re.compile(r"\)\s*WHERE\s+(?P<condition>.+)\Z", re.IGNORECASE | re.DOTALL)
_WHITE_SPACE = "' ' || char(9, 10, 11, 12, 13)"


@dataclass(frozen=True)
class UniqueKey:
    """Columns that no two rows share, and the condition under which that holds ("" for always)."""

    columns: tuple[str, ...]
    condition: str


def triggers(cursor: Any, existing: set[str]) -> list[Trigger]:
    """Return every trigger that should stand on the ``existing`` tables, by table.

    INSERT OR REPLACE deletes the row in its way without firing delete triggers, so a BEFORE INSERT trigger looks for
    such a row first, by every unique index that the table really has.
    """
    wanted: list[Trigger] = []
    append_only = models_of(TableClass.LEDGER, TableClass.HISTORY, TableClass.WRITE_ONCE)
    for model in [*append_only, *models_of(TableClass.VERSIONED)]:
        table = model._meta.db_table
        if table not in existing:
            continue
        columns = [str(field.column) for field in model._meta.concrete_fields]
        wanted += [_refuse(table, "DELETE"), _no_replace(table, columns, unique_keys(cursor, model))]
        if model in append_only:
            wanted.append(_redact_only(columns) if model is Event else _refuse(table, "UPDATE"))
        if model is Event or issubclass(model, HistoryRow):
            wanted.append(_attributed(table))
    return wanted


def unique_keys(cursor: Any, model: type[models.Model]) -> list[UniqueKey]:
    """Return the primary key and every unique index of a model's table, partial ones with their condition."""
    table = model._meta.db_table
    keys = [UniqueKey((key_column(model),), "")]
    cursor.execute(f"PRAGMA index_list({quote(table)})")
    for _, index, unique, _, _ in cursor.fetchall():
        if not unique:
            continue
        cursor.execute(f"PRAGMA index_info({quote(index)})")
        columns = tuple(row[2] for row in cursor.fetchall())
        if None in columns:
            raise ImproperlyConfigured(
                f"{index} is unique over an expression; the record's tables need a column for that"
            )
        cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = %s", [index])
        partial = _PARTIAL.search(cursor.fetchone()[0] or "")
        key = UniqueKey(columns, partial["condition"] if partial else "")
        if key not in keys:
            keys.append(key)
    return keys


def quote(name: str) -> str:
    """Return an identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def _refuse(table: str, operation: str) -> Trigger:
    name = f"compliance_no_{operation.lower()}__{table}"
    message = f"{table} is kept for good: {operation} is refused"
    body = f"BEFORE {operation} ON {quote(table)} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    return Trigger(table, name, f"CREATE TRIGGER {quote(name)} {body}")


def _redact_only(columns: list[str]) -> Trigger:
    """Return the trigger that lets fields of an event's payload go, each with its salt, once a redaction names them."""
    table = Event._meta.db_table
    name = f"compliance_no_update__{table}"
    same = " AND ".join(f"NEW.{quote(one)} IS OLD.{quote(one)}" for one in columns if one not in ("payload", "salts"))
    gone = "o.key NOT IN (SELECT key FROM json_each(NEW.payload))"
    says = "e.kind = 'record.redacted' AND e.subject_type = 'event' AND replace(e.subject_id, '-', '') = OLD.id"
    fields = f"{quote(table)} e, json_each(e.payload, '$.fields') f"
    # Names of our own table and columns, here as in every trigger.
    kept = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM json_each(NEW.{one}) n LEFT JOIN json_each(OLD.{one}) o ON o.key = n.key "  # noqa: S608  # as above
        "WHERE o.value IS NOT n.value OR o.type IS NOT n.type)"
        for one in ("payload", "salts")
    )
    paired = (
        "(SELECT count(*) FROM json_each(NEW.salts)) = (SELECT count(*) FROM json_each(NEW.payload)) AND NOT EXISTS "
        "(SELECT 1 FROM json_each(NEW.salts) s WHERE s.key NOT IN (SELECT key FROM json_each(NEW.payload)))"
    )
    named = (
        f"NOT EXISTS (SELECT 1 FROM json_each(OLD.payload) o WHERE {gone} "  # noqa: S608  # as above
        f"AND o.key NOT IN (SELECT f.value FROM {fields} WHERE {says}))"
    )
    fewer = "(SELECT count(*) FROM json_each(NEW.payload)) < (SELECT count(*) FROM json_each(OLD.payload))"
    message = f"{table} is kept for good: UPDATE is refused"
    allowed = f"{same} AND {fewer} AND {kept} AND {paired} AND {named}"
    body = f"BEGIN SELECT RAISE(ABORT, '{message}') WHERE NOT ({allowed}); END"
    return Trigger(table, name, f"CREATE TRIGGER {quote(name)} BEFORE UPDATE ON {quote(table)} {body}")


def _no_replace(table: str, columns: list[str], keys: list[UniqueKey]) -> Trigger:
    name = f"compliance_no_replace__{table}"
    incoming = ", ".join(f"NEW.{quote(column)} AS {quote(column)}" for column in columns)
    in_the_way = []
    for key in keys:
        same = " AND ".join(f"{quote(column)} = NEW.{quote(column)}" for column in key.columns)
        condition = f" AND ({key.condition})" if key.condition else ""
        clash = f"EXISTS (SELECT 1 FROM {quote(table)} WHERE {same}{condition})"  # noqa: S608  # names of our own tables
        if key.condition:
            clash = f"({clash} AND EXISTS (SELECT 1 FROM (SELECT {incoming}) WHERE {key.condition}))"  # noqa: S608  # as above
        in_the_way.append(clash)
    message = f"{table}: a row with this key is stored already"
    body = f"BEGIN SELECT RAISE(ABORT, '{message}') WHERE {' OR '.join(in_the_way)}; END"
    return Trigger(table, name, f"CREATE TRIGGER {quote(name)} BEFORE INSERT ON {quote(table)} {body}")


def _attributed(table: str) -> Trigger:
    name = f"compliance_attributed__{table}"
    blank = " OR ".join(
        f"trim(NEW.{quote(column)}, {_WHITE_SPACE}) = ''"
        for column in ("actor_id", "actor_name", "actor_role", "reason")
    )
    message = f"{table}: a change needs an actor and a reason"
    body = f"BEGIN SELECT RAISE(ABORT, '{message}') WHERE {blank}; END"
    return Trigger(table, name, f"CREATE TRIGGER {quote(name)} BEFORE INSERT ON {quote(table)} {body}")
