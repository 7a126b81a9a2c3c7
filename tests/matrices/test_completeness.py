"""Every installed table: one class, and what its class promises, standing in the database (REQ-10).

What should stand is written out here once more, apart from the code that installs it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import connection

from compliance.models import Event
from compliance.recorded_history import HistoryRow
from compliance.registry import (
    DECLARED_APPS,
    TableClass,
    classes_of,
    concrete_models,
    history_model,
    models_of,
    operational_columns,
    tracked_columns,
)
from tests.matrices.altering import REGULATED
from tests.matrices.runtime import runtime_role

pytestmark = [pytest.mark.requirement("REQ-10"), pytest.mark.usefixtures("populated")]

ON_POSTGRESQL = {
    TableClass.VERSIONED: {"compliance_guard", "compliance_no_truncate"},
    TableClass.HISTORY: {
        "compliance_append_only",
        "compliance_attribute",
        "compliance_mirror",
        "compliance_no_truncate",
        "compliance_require_event",
    },
    TableClass.WRITE_ONCE: {"compliance_append_only", "compliance_no_truncate", "compliance_require_event"},
    TableClass.LEDGER: {"compliance_append_only", "compliance_no_truncate"},
}
ON_SQLITE = {
    TableClass.VERSIONED: {"no_delete", "no_replace"},
    TableClass.HISTORY: {"attributed", "no_delete", "no_replace", "no_update"},
    TableClass.WRITE_ONCE: {"no_delete", "no_replace", "no_update"},
    TableClass.LEDGER: {"no_delete", "no_replace", "no_update"},
}
RIGHTS = {
    TableClass.VERSIONED: {"SELECT", "INSERT", "UPDATE"},
    TableClass.HISTORY: {"SELECT", "INSERT"},
    TableClass.WRITE_ONCE: {"SELECT", "INSERT"},
    TableClass.LEDGER: {"SELECT", "INSERT"},
}


def classes() -> Iterator[tuple[str, TableClass]]:
    for model in models_of(*REGULATED):
        (kind,) = classes_of(model)
        yield model._meta.db_table, kind


def test_every_installed_model_has_one_class_and_none_of_ours_goes_without() -> None:
    wrong = {model._meta.label: classes_of(model) for model in concrete_models() if len(classes_of(model)) != 1}
    assert wrong == {}
    ours = {model._meta.label for model in apps.get_models() if model._meta.app_label not in DECLARED_APPS}
    assert {one._meta.label for one in models_of(TableClass.DECLARED)} & ours == set()
    assert len(models_of(*REGULATED)) > 50


def test_every_versioned_table_has_a_history_that_keeps_all_its_columns_but_the_operational() -> None:
    for model in models_of(TableClass.VERSIONED):
        history = history_model(model)
        assert issubclass(history, HistoryRow)
        kept = {str(field.column) for field in history._meta.concrete_fields}
        left_out = {str(field.column) for field in model._meta.concrete_fields} - kept
        assert left_out == set(operational_columns(model)), model._meta.label
        assert set(tracked_columns(model)) <= kept
    assert {history_model(model) for model in models_of(TableClass.VERSIONED)} == set(models_of(TableClass.HISTORY))


def test_every_regulated_table_has_the_triggers_of_its_class_and_all_are_in_force() -> None:
    wanted, standing = {}, {}
    for table, kind in classes():
        if connection.vendor == "postgresql":
            wanted[table] = ON_POSTGRESQL[kind] | (
                {"compliance_attribute", "compliance_redact"} if table == Event._meta.db_table else set()
            )
        else:
            wanted[table] = ON_SQLITE[kind] | ({"attributed"} if table == Event._meta.db_table else set())
        standing[table] = triggers_on(table)
    assert standing == wanted
    assert [found.id for found in run_checks(databases=["default"])] == []


def triggers_on(table: str) -> set[str]:
    """Return the record's triggers on a table; on PostgreSQL those that no replication role switches off."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
            found = {name for (name,) in cursor.fetchall()}
            assert all(name.endswith(f"__{table}") for name in found)
            return {name.removeprefix("compliance_").removesuffix(f"__{table}") for name in found}
        cursor.execute(
            "SELECT t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND c.relname = %s AND c.relnamespace = current_schema()::regnamespace",
            [table],
        )
        return {name for name, enabled in cursor.fetchall() if enabled == "A"}


@pytest.mark.requirement("REQ-09")
def test_the_role_that_runs_the_service_has_the_rights_of_each_class_and_owns_nothing() -> None:
    if connection.vendor == "sqlite":
        assert connection.settings_dict["USER"] == "", "SQLite knows no roles"
        return
    with runtime_role() as role, connection.cursor() as cursor:
        for table, kind in classes():
            names = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
            rights = ", ".join(f"has_table_privilege('{role}', '{table}', '{one}')" for one in names)
            cursor.execute(
                f"SELECT {rights}, pg_has_role('{role}', c.relowner, 'MEMBER') FROM pg_class c "
                "WHERE c.relname = %s AND c.relnamespace = current_schema()::regnamespace",
                [table],
            )
            *has, owns = cursor.fetchone()
            assert {one for one, right in zip(names, has, strict=True) if right} == RIGHTS[kind], table
            assert not owns, table
        cursor.execute(f"SELECT has_schema_privilege('{role}', current_schema(), 'CREATE')")
        assert cursor.fetchone() == (False,)


def test_every_regulated_table_of_the_populated_project_has_rows() -> None:
    empty = []
    with connection.cursor() as cursor:
        for table, _ in classes():
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")
            if cursor.fetchone() == (0,):
                empty.append(table)
    assert empty == []
