"""SQLite: the append-only tables refuse whoever opens the file, and the triggers survive migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from compliance import history, sqlite
from compliance.history import Difference
from compliance.sealing import seal
from tests.compliance.scenes import open_case, rename_case
from tests.compliance.testapp.models import Case, Slice

EVENT = "event_id, actor_id, actor_name, actor_role, reason"


@pytest.fixture
def intruder(sqlite_database: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection to a file that has a case with two slices, sealed."""
    rename_case(open_case(slices=2), "Mass")
    seal()
    plain = sqlite3.connect(sqlite_database, isolation_level=None)
    yield plain
    plain.close()


@pytest.mark.requirement("REQ-05")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE compliance_event SET reason = 'another'",
        "DELETE FROM compliance_event",
        "UPDATE compliance_ledgerentry SET link_hash = leaf_hash",
        "DELETE FROM compliance_ledgerentry",
        "UPDATE testapp_historicalcase SET title = 'x'",
        "DELETE FROM testapp_historicalcase",
        "UPDATE testapp_slice SET number = number + 10",
        "DELETE FROM testapp_slice",
        "DELETE FROM testapp_case",
        "UPDATE OR IGNORE testapp_slice SET number = 7",
        "INSERT OR REPLACE INTO compliance_event SELECT * FROM compliance_event",
        "INSERT OR REPLACE INTO compliance_ledgerentry SELECT * FROM compliance_ledgerentry",
        "INSERT OR REPLACE INTO testapp_historicalcase SELECT * FROM testapp_historicalcase",
        "INSERT OR REPLACE INTO testapp_slice SELECT * FROM testapp_slice",
        "REPLACE INTO testapp_case SELECT * FROM testapp_case",
        "INSERT INTO testapp_slice SELECT * FROM testapp_slice WHERE true ON CONFLICT DO UPDATE SET number = 9",
        # Another key, and yet in the way by a unique constraint: REPLACE would remove the stored row silently.
        "INSERT OR REPLACE INTO testapp_slice (id, event_id, case_id, number, kind, position_mm, facts) "
        "SELECT 'other', event_id, case_id, number, kind, position_mm, facts FROM testapp_slice WHERE number = 1",
        'INSERT OR REPLACE INTO compliance_ledgerentry SELECT "index" + 9, leaf_hash, link_hash, sealed_at, event_id '
        "FROM compliance_ledgerentry",
    ],
)
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_what_is_written_once_stays_whoever_opens_the_file(
    intruder: sqlite3.Connection, statement: str, recursive: str
) -> None:
    intruder.execute(f"PRAGMA recursive_triggers = {recursive}")
    before = list(intruder.iterdump())
    with pytest.raises(sqlite3.IntegrityError):
        intruder.execute(statement)
    assert list(intruder.iterdump()) == before


@pytest.mark.parametrize("blank", EVENT.split(", ")[1:])
@pytest.mark.parametrize("text", ["", " \t\n"])
def test_history_by_nobody_or_without_a_reason_is_refused(intruder: sqlite3.Connection, blank: str, text: str) -> None:
    columns = [row[1] for row in intruder.execute("PRAGMA table_info(testapp_historicalcase)")]
    values = ["NULL" if name == "history_id" else f"'{text}'" if name == blank else f'"{name}"' for name in columns]
    with pytest.raises(sqlite3.IntegrityError, match="needs an actor and a reason"):
        intruder.execute(
            f"INSERT INTO testapp_historicalcase SELECT {', '.join(values)} FROM testapp_historicalcase LIMIT 1"
        )


def test_a_partial_unique_index_stands_in_the_way_only_under_its_condition(intruder: sqlite3.Connection) -> None:
    insert = (
        "INSERT OR REPLACE INTO testapp_slice (id, event_id, case_id, number, kind, position_mm, facts) "
        "SELECT ?, event_id, case_id, ?, ?, position_mm, facts FROM testapp_slice WHERE number = 1"
    )
    intruder.execute(insert, ("a" * 32, 5, "scout"))
    intruder.execute(insert, ("b" * 32, 6, "image"))
    with pytest.raises(sqlite3.IntegrityError, match="stored already"):
        intruder.execute(insert, ("c" * 32, 7, "scout"))
    kinds = dict(intruder.execute("SELECT number, kind FROM testapp_slice"))
    assert kinds == {0: "image", 1: "image", 5: "scout", 6: "image"}


def test_unique_keys_come_from_the_table_itself(sqlite_database: Path) -> None:
    with connection.cursor() as cursor:
        keys = sqlite.unique_keys(cursor, Slice)
    assert {(key.columns, bool(key.condition)) for key in keys} == {
        (("id",), False),
        (("case_id", "number"), False),
        (("case_id",), True),
    }


def test_a_unique_index_over_an_expression_is_refused(sqlite_database: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX by_expression ON testapp_slice (lower(kind), id)")
        with pytest.raises(ImproperlyConfigured, match="by_expression is unique over an expression"):
            sqlite.unique_keys(cursor, Slice)


def as_migrations_see(name: str) -> type[models.Model]:
    """The model as a migration holds it: its columns, without the classes that it derives from."""
    return MigrationLoader(connection).project_state().apps.get_model("testapp", name)


def test_a_remade_table_loses_its_triggers_and_migrate_puts_them_back(sqlite_database: Path) -> None:
    open_case(slices=1)
    field = models.CharField(max_length=5, default="x")
    field.set_attributes_from_name("extra")
    with connection.schema_editor() as editor:
        editor._remake_table(as_migrations_see("Slice"), create_field=field)
    lost = history.differences()
    assert {one.table for one in lost} == {"testapp_slice"}
    assert {one.fault for one in lost} == {"missing"}
    call_command("migrate", verbosity=0)
    assert history.differences() == []


def test_a_remade_table_can_be_remade_again_under_its_triggers(sqlite_database: Path) -> None:
    open_case(slices=1)
    for name in ("Case", "Slice", "HistoricalCase"):
        with connection.schema_editor() as editor:
            editor._remake_table(as_migrations_see(name))
        history.install()
    assert history.differences() == []
    assert Slice.objects.count() == Case.history.count() == 1


def test_a_trigger_that_was_dropped_replaced_or_added_is_named_and_put_right(sqlite_database: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute('DROP TRIGGER "compliance_no_delete__testapp_slice"')
        cursor.execute('DROP TRIGGER "compliance_no_update__testapp_slice"')
        cursor.execute(
            'CREATE TRIGGER "compliance_no_update__testapp_slice" BEFORE UPDATE ON "testapp_slice" BEGIN SELECT 1; END'
        )
        cursor.execute('CREATE TRIGGER "compliance_more" BEFORE UPDATE ON "testapp_lease" BEGIN SELECT 1; END')
        cursor.execute('CREATE TRIGGER "others" BEFORE UPDATE ON "testapp_lease" BEGIN SELECT 1; END')
    wrong = [
        Difference("testapp_lease", "compliance_more", "left over"),
        Difference("testapp_slice", "compliance_no_delete__testapp_slice", "missing"),
        Difference("testapp_slice", "compliance_no_update__testapp_slice", "altered"),
    ]
    assert sorted(history.install(), key=str) == sorted(wrong, key=str)
    assert history.differences() == []
    assert str(wrong[0]) == "compliance_more on testapp_lease is left over"


def test_tables_that_do_not_exist_yet_wait_for_their_migration(sqlite_database: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE testapp_slice")
    assert history.differences() == []
