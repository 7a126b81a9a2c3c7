"""Installs the record's triggers and the runtime role's rights, and says where they differ from what should stand.

Installed after every migrate: Django remakes SQLite tables on some migrations, and drops their triggers silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from compliance import postgresql, sqlite
from compliance.postgresql import Trigger
from compliance.registry import TableClass, classes_of, concrete_models

PREFIX = "compliance_"


@dataclass(frozen=True)
class Difference:
    """One trigger or function that is not as it should be: "missing", "altered", "disabled" or "left over"."""

    table: str
    name: str
    fault: str

    def __str__(self) -> str:
        return f"{self.name} on {self.table} is {self.fault}" if self.table else f"{self.name}() is {self.fault}"


def install(*, using: str = DEFAULT_DB_ALIAS) -> list[Difference]:
    """Make the triggers of one database what they should be, and return what had to be put right.

    Tables that do not exist yet are left for the next migrate. Raises ImproperlyConfigured on any other database.
    """
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        wrong = _differences(connection, cursor)
        if connection.vendor == "postgresql":
            for name in postgresql.FUNCTIONS:
                cursor.execute(postgresql.function_statement(name))
        stale = {(one.table, one.name) for one in wrong if one.table}
        for table, name in sorted(stale):
            _drop(connection, cursor, table, name)
        for trigger in _wanted(connection, cursor):
            if (trigger.table, trigger.name) in stale:
                _create(connection, cursor, trigger)
    return wrong


def differences(*, using: str = DEFAULT_DB_ALIAS) -> list[Difference]:
    """Return what is missing, altered, disabled or left over among the record's triggers of one database."""
    connection = connections[using]
    with connection.cursor() as cursor:
        return _differences(connection, cursor)


def grant_runtime_role(*, using: str = DEFAULT_DB_ALIAS) -> str:
    """Give the role that QASERVICE_RUNTIME_DB_ROLE names what the service needs, and no more; return its name.

    Append-only tables: read and insert. Versioned tables: also update. Operational tables: also delete. Anything else:
    read. Does nothing, and returns "", where no role is named or the database is not PostgreSQL. Raises
    ImproperlyConfigured if the role does not exist.
    """
    role = getattr(settings, "QASERVICE_RUNTIME_DB_ROLE", "")
    connection = connections[using]
    if not role or connection.vendor != "postgresql":
        return ""
    quote = connection.ops.quote_name
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            raise ImproperlyConfigured(f"QASERVICE_RUNTIME_DB_ROLE names {role!r}, and the database has no such role")
        cursor.execute(f"GRANT USAGE ON SCHEMA {_schema(cursor)} TO {quote(role)}")
        existing = set(connection.introspection.table_names(cursor))
        for table, rights in _rights().items():
            if table in existing:
                cursor.execute(f"REVOKE ALL ON {quote(table)} FROM {quote(role)}, PUBLIC")
                cursor.execute(f"GRANT {rights} ON {quote(table)} TO {quote(role)}")
    return str(role)


def _rights() -> dict[str, str]:
    by_class = {
        TableClass.LEDGER: "SELECT, INSERT",
        TableClass.HISTORY: "SELECT, INSERT",
        TableClass.WRITE_ONCE: "SELECT, INSERT",
        TableClass.VERSIONED: "SELECT, INSERT, UPDATE",
        TableClass.OPERATIONAL: "SELECT, INSERT, UPDATE, DELETE",
    }
    rights = {"django_migrations": "SELECT"}
    for model in concrete_models():
        (kind, *_) = classes_of(model) or (TableClass.DECLARED,)
        sessions = model._meta.app_label == "sessions"
        rights[model._meta.db_table] = by_class[TableClass.OPERATIONAL] if sessions else by_class.get(kind, "SELECT")
    return rights


def _schema(cursor: Any) -> str:
    cursor.execute("SELECT quote_ident(current_schema())")
    return str(cursor.fetchone()[0])


def _wanted(connection: Any, cursor: Any) -> list[Trigger]:
    existing = set(connection.introspection.table_names(cursor))
    if connection.vendor == "postgresql":
        return [trigger for trigger in postgresql.triggers() if trigger.table in existing]
    if connection.vendor == "sqlite":
        return sqlite.triggers(cursor, existing)
    raise ImproperlyConfigured(f"the record runs on PostgreSQL and SQLite, not on {connection.vendor}")


def _differences(connection: Any, cursor: Any) -> list[Difference]:
    wanted = {(one.table, one.name): one for one in _wanted(connection, cursor)}
    standing = _standing(connection, cursor)
    wrong = []
    for (table, name), trigger in wanted.items():
        statement, enabled = standing.get((table, name), ("", True))
        if not statement:
            wrong.append(Difference(table, name, "missing"))
        elif statement != trigger.statement:
            wrong.append(Difference(table, name, "altered"))
        elif not enabled:
            wrong.append(Difference(table, name, "disabled"))
    wrong += [Difference(table, name, "left over") for table, name in standing if (table, name) not in wanted]
    # Before the first migration there is no table to guard, and so no function that could be missing.
    if connection.vendor == "postgresql" and wanted:
        wrong += _altered_functions(cursor)
    return wrong


def _standing(connection: Any, cursor: Any) -> dict[tuple[str, str], tuple[str, bool]]:
    if connection.vendor == "sqlite":
        cursor.execute("SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'")
        rows = [(table, name, sql, True) for table, name, sql in cursor.fetchall()]
    else:
        cursor.execute(
            "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled = 'A' FROM pg_trigger t "
            "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE NOT t.tgisinternal AND n.nspname = current_schema()"
        )
        rows = cursor.fetchall()
    return {(table, name): (sql, enabled) for table, name, sql, enabled in rows if name.startswith(PREFIX)}


def _altered_functions(cursor: Any) -> list[Difference]:
    cursor.execute(
        "SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = current_schema() AND p.prorettype = 'trigger'::regtype"
    )
    standing = dict(cursor.fetchall())
    wrong = []
    for name, body in postgresql.FUNCTIONS.items():
        if standing.get(name, body) != body:
            wrong.append(Difference("", name, "altered"))
        elif name not in standing:
            wrong.append(Difference("", name, "missing"))
    return wrong


def _drop(connection: Any, cursor: Any, table: str, name: str) -> None:
    on = "" if connection.vendor == "sqlite" else f" ON {connection.ops.quote_name(table)}"
    cursor.execute(f"DROP TRIGGER IF EXISTS {connection.ops.quote_name(name)}{on}")


def _create(connection: Any, cursor: Any, trigger: Trigger) -> None:
    # No parameters: a percent sign in a condition is SQL, not a placeholder.
    cursor.execute(trigger.statement)
    if connection.vendor == "postgresql":
        quote = connection.ops.quote_name
        cursor.execute(f"ALTER TABLE {quote(trigger.table)} ENABLE ALWAYS TRIGGER {quote(trigger.name)}")
