"""Triggers of the record on PostgreSQL, as data and SQL. All are ENABLE ALWAYS: a replication role bypasses none.

Trigger statements are written as ``pg_get_triggerdef(oid, true)`` prints them, so that what is installed can be
compared with what should be, letter by letter. A release that changes anything here ships a migration of compliance,
an empty one if need be: so ``migrate`` knows that it has something to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import models

from compliance.models import Event
from compliance.registry import (
    TableClass,
    history_model,
    key_column,
    models_of,
    operational_columns,
    subject_model,
)

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")


@dataclass(frozen=True)
class Trigger:
    """One trigger: its table, its name, and the statement that creates it."""

    table: str
    name: str
    statement: str


# Every function names its schema-qualified tables through the trigger's own, and searches pg_catalog first: a
# temporary table of the same name must not be able to stand in for history.
_HEAD = "LANGUAGE plpgsql SET search_path TO 'pg_catalog', 'pg_temp'"

FUNCTIONS: dict[str, str] = {
    "compliance_refuse": """
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
    MESSAGE = format('%s is append-only: %s is refused', TG_TABLE_NAME, TG_OP);
END
""",
    # The one change that an event may undergo: fields of its payload go, each with its salt, named by a redaction of
    # this transaction. Their commitments stay, and the service's own role has no right to UPDATE in the first place.
    "compliance_redact": """
DECLARE
  contents text[] := ARRAY['payload', 'salts'];
  removed text[] := ARRAY(SELECT k FROM jsonb_object_keys(OLD.payload) k EXCEPT SELECT jsonb_object_keys(NEW.payload));
  named boolean;
BEGIN
  IF to_jsonb(NEW) - contents = to_jsonb(OLD) - contents AND cardinality(removed) > 0
    AND NEW.payload = OLD.payload - removed AND NEW.salts = OLD.salts - removed THEN
    EXECUTE format('SELECT true FROM %I.%I e WHERE e.kind = ''record.redacted'' AND e.subject_type = ''event'' '
      'AND e.subject_id = $1 AND e.txid = $2 AND e.payload -> ''fields'' @> $3 LIMIT 1', TG_TABLE_SCHEMA, TG_TABLE_NAME)
      INTO named USING OLD.id::text, pg_current_xact_id()::text::bigint, to_jsonb(removed);
  END IF;
  IF named IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s is append-only: %s is refused', TG_TABLE_NAME, TG_OP);
  END IF;
  RETURN NEW;
END
""",
    "compliance_refuse_truncate": """
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
    MESSAGE = format('%s belongs to the record: TRUNCATE is refused', TG_TABLE_NAME);
END
""",
    "compliance_attribute": r"""
BEGIN
  IF NEW.actor_id !~ '\S' OR NEW.actor_name !~ '\S' OR NEW.actor_role !~ '\S' THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: a change by nobody is refused', TG_TABLE_NAME);
  END IF;
  IF NEW.reason !~ '\S' THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: a blank reason is refused', TG_TABLE_NAME);
  END IF;
  NEW.txid := pg_current_xact_id()::text::bigint;
  RETURN NEW;
END
""",
    # Arguments: versioned table, its key, its operational columns. At the moment a history row is written, it has to
    # mirror the row as it stands: no history of a state that never was, not even in the middle of a transaction.
    "compliance_mirror": """
DECLARE
  operational text[] := string_to_array(TG_ARGV[2], ',');
  recorded jsonb := to_jsonb(NEW);
  standing jsonb;
  mirrored jsonb;
BEGIN
  EXECUTE format('SELECT to_jsonb(t) FROM %I.%I t WHERE t.%I = ($1).%I',
    TG_TABLE_SCHEMA, TG_ARGV[0], TG_ARGV[1], TG_ARGV[1]) INTO standing USING NEW;
  IF NEW.history_type = '-' THEN
    IF standing IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = format('%s: history says that %s is deleted, and it stands', TG_ARGV[0], recorded ->> TG_ARGV[1]);
    END IF;
    RETURN NULL;
  END IF;
  IF standing IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: history of %s, which is not stored', TG_ARGV[0], recorded ->> TG_ARGV[1]);
  END IF;
  standing := standing - operational;
  SELECT jsonb_object_agg(k, recorded -> k) INTO mirrored FROM jsonb_object_keys(standing) k;
  IF mirrored IS DISTINCT FROM standing THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: history of %s holds values that are not stored', TG_ARGV[0], recorded ->> TG_ARGV[1]);
  END IF;
  RETURN NULL;
END
""",
    # Argument: the event table. At commit, the event of a history row or write-once row is of this transaction.
    "compliance_require_event": """
DECLARE
  found_event boolean;
BEGIN
  EXECUTE format('SELECT true FROM %I.%I e WHERE e.id = $1 AND e.txid = $2', TG_TABLE_SCHEMA, TG_ARGV[0])
    INTO found_event USING NEW.event_id, pg_current_xact_id()::text::bigint;
  IF found_event IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: a row without an event of its own transaction is refused', TG_TABLE_NAME);
  END IF;
  RETURN NULL;
END
""",
    # Arguments: history table, key, operational columns. At commit, the newest history row of this transaction holds
    # the row exactly as it stands.
    "compliance_guard": """
DECLARE
  operational text[] := string_to_array(TG_ARGV[2], ',');
  old_row jsonb := CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) - operational END;
  new_row jsonb := CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE to_jsonb(NEW) - operational END;
  subject text := coalesce(new_row, old_row) ->> TG_ARGV[1];
  touched record;
  standing jsonb;
  expected jsonb;
  newest jsonb;
  mirrored jsonb;
BEGIN
  IF old_row = new_row THEN
    RETURN NULL;
  END IF;
  IF old_row -> TG_ARGV[1] <> new_row -> TG_ARGV[1] THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: the key of %s was changed', TG_TABLE_NAME, old_row ->> TG_ARGV[1]);
  END IF;
  IF TG_OP = 'DELETE' THEN
    touched := OLD;
  ELSE
    touched := NEW;
  END IF;
  EXECUTE format('SELECT to_jsonb(t) - $2 FROM %I.%I t WHERE t.%I = ($1).%I',
    TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[1], TG_ARGV[1])
    INTO standing USING touched, operational;
  EXECUTE format(
    'SELECT to_jsonb(h) FROM %I.%I h WHERE h.%I = ($1).%I AND h.txid = $2 ORDER BY h.history_id DESC LIMIT 1',
    TG_TABLE_SCHEMA, TG_ARGV[0], TG_ARGV[1], TG_ARGV[1])
    INTO newest USING touched, pg_current_xact_id()::text::bigint;
  IF newest IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: %s of %s left no history in its transaction', TG_TABLE_NAME, TG_OP, subject);
  END IF;
  IF (standing IS NULL) <> (newest ->> 'history_type' = '-') THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: history of %s does not say what became of it', TG_TABLE_NAME, subject);
  END IF;
  expected := coalesce(standing, CASE WHEN TG_OP = 'DELETE' THEN old_row END);
  SELECT jsonb_object_agg(k, newest -> k) INTO mirrored FROM jsonb_object_keys(expected) k;
  IF expected IS NOT NULL AND mirrored IS DISTINCT FROM expected THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
      MESSAGE = format('%s: the newest history of %s is not the row as it stands', TG_TABLE_NAME, subject);
  END IF;
  RETURN NULL;
END
""",
}


def function_statement(name: str) -> str:
    """Return the statement that creates or replaces one of ``FUNCTIONS``."""
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger {_HEAD} AS $compliance${FUNCTIONS[name]}$compliance$"


def triggers() -> list[Trigger]:
    """Return every trigger that should stand, by table."""
    wanted: list[Trigger] = []
    for model in models_of(TableClass.LEDGER, TableClass.HISTORY, TableClass.WRITE_ONCE):
        wanted += _redactable(model._meta.db_table) if model is Event else _append_only(model._meta.db_table)
    wanted.append(_attribute(Event._meta.db_table))
    for history in models_of(TableClass.HISTORY):
        subject = subject_model(history)
        table = history._meta.db_table
        wanted += [_attribute(table), _mirror(table, subject), _require_event(table)]
    wanted += [_require_event(model._meta.db_table) for model in models_of(TableClass.WRITE_ONCE)]
    for model in models_of(TableClass.VERSIONED):
        wanted += [_guard(model), _no_truncate(model._meta.db_table)]
    return wanted


def _append_only(table: str) -> list[Trigger]:
    event = "BEFORE DELETE OR UPDATE"
    return [
        _row_trigger("compliance_append_only", event, table, "compliance_refuse()"),
        _no_truncate(table),
    ]


def _redactable(table: str) -> list[Trigger]:
    return [
        _row_trigger("compliance_append_only", "BEFORE DELETE", table, "compliance_refuse()"),
        _row_trigger("compliance_redact", "BEFORE UPDATE", table, "compliance_redact()"),
        _no_truncate(table),
    ]


def _no_truncate(table: str) -> Trigger:
    name = "compliance_no_truncate"
    body = f"BEFORE TRUNCATE ON {_name(table)} FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_truncate()"
    return Trigger(table, name, f"CREATE TRIGGER {name} {body}")


def _attribute(table: str) -> Trigger:
    return _row_trigger("compliance_attribute", "BEFORE INSERT", table, "compliance_attribute()")


def _mirror(table: str, subject: type[models.Model]) -> Trigger:
    call = f"compliance_mirror({_arguments(subject._meta.db_table, subject)})"
    return _row_trigger("compliance_mirror", "AFTER INSERT", table, call)


def _require_event(table: str) -> Trigger:
    return _at_commit(
        "compliance_require_event", "AFTER INSERT", table, f"compliance_require_event('{Event._meta.db_table}')"
    )


def _guard(model: type[models.Model]) -> Trigger:
    call = f"compliance_guard({_arguments(history_model(model)._meta.db_table, model)})"
    return _at_commit("compliance_guard", "AFTER INSERT OR DELETE OR UPDATE", model._meta.db_table, call)


def _arguments(table: str, model: type[models.Model]) -> str:
    return ", ".join(f"'{text}'" for text in (table, key_column(model), ",".join(operational_columns(model))))


def _row_trigger(name: str, event: str, table: str, call: str) -> Trigger:
    return Trigger(table, name, f"CREATE TRIGGER {name} {event} ON {_name(table)} FOR EACH ROW EXECUTE FUNCTION {call}")


def _at_commit(name: str, event: str, table: str, call: str) -> Trigger:
    when = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    return Trigger(
        table, name, f"CREATE CONSTRAINT TRIGGER {name} {event} ON {_name(table)} {when} EXECUTE FUNCTION {call}"
    )


def _name(table: str) -> str:
    return table if _PLAIN.match(table) else '"' + table.replace('"', '""') + '"'
