"""Restore drills: an honest backup passes, an altered or foreign one does not; an old one put in place is caught."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from compliance.checkpoints import publish
from compliance.models import Event
from compliance.sealing import head, root_at, seal
from compliance.verification import verify_live
from tests.compliance.databases import fresh_sqlite, past_the_triggers
from tests.compliance.scenes import open_case, rename_case, view_case

pytestmark = pytest.mark.requirement("REQ-05")


def ran(*arguments: str) -> str:
    out = StringIO()
    call_command("restore_drill", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def last_drill() -> dict[str, Any]:
    return Event.objects.filter(kind="record.restore-drill").order_by("-occurred_at").first().payload


@pytest.fixture
def backed_up(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Make a backup of the database as it is, as an operator would."""

    def make(name: str) -> Path:
        path = tmp_path / name
        if database == "sqlite":
            source = sqlite3.connect(connection.settings_dict["NAME"])
            target = sqlite3.connect(path)
            source.backup(target)
            target.close()
            source.close()
        else:
            url = request.getfixturevalue("postgres_database")
            subprocess.run(["pg_dump", "--format=custom", f"--file={path}", url], check=True, env=os.environ)
        return path

    return make


def test_an_honest_backup_passes_and_the_drill_is_on_the_record(backed_up: Callable[[str], Path]) -> None:
    case = open_case(slices=3)
    rename_case(case, "Mass")
    publish()
    backup = backed_up("backup")
    size, root = head()
    view_case(open_case())
    publish()
    said = ran(str(backup), "--reason", "the quarterly drill")
    assert f"{size} sealed events, root {root}" in said
    assert "1 checkpoints outside compared; 2 events behind" in said
    assert "OK: the backup is whole, and of this ledger" in said
    told = last_drill()
    assert (told["result"], told["size"], told["root"]) == ("passed", size, root)
    assert Event.objects.filter(kind="record.restore-drill").get().reason == "the quarterly drill"
    assert open_case() is not None, "the live database is the one in use again"
    assert verify_live().ok


def test_a_backup_that_was_altered_fails_and_is_named(backed_up: Callable[[str], Path]) -> None:
    case = open_case()
    rename_case(case, "Mass")
    publish()
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE testapp_historicalcase SET title = 'Scar' WHERE title = 'Mass'")
    backup = backed_up("backup")
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE testapp_historicalcase SET title = 'Mass' WHERE title = 'Scar'")
    with pytest.raises(CommandError, match="title was altered"):
        ran(str(backup))
    assert last_drill()["result"] == "failed"
    assert "title was altered" in last_drill()["problems"][0]
    assert verify_live().ok


def test_a_backup_of_another_past_fails_against_the_checkpoints_outside(
    sqlite_database: Path, sqlite_template: Path, tmp_path: Path
) -> None:
    open_case()
    publish()
    forged, empty = tmp_path / "forged", tmp_path / "empty"
    shutil.copy(sqlite_template, empty)
    with fresh_sqlite(sqlite_template, forged):
        view_case(open_case(title="As it never was"))
        seal()
        size, root = head()
    assert root_at(size).hex() != root
    with pytest.raises(CommandError, match="problems, the first"):
        ran(str(forged))
    told = " ".join(last_drill()["problems"])
    assert f"checkpoint {size}: it is not signed by the ledger's key" in told
    assert f"the live ledger has another root over {size} events" in told
    with pytest.raises(CommandError, match="no checkpoint outside that the backup could be compared with"):
        ran(str(empty))
    with sqlite3.connect(empty) as intruder:
        intruder.execute("DROP TRIGGER compliance_no_delete__compliance_event")
    intruder.close()
    with pytest.raises(CommandError, match="lacks a guard"):
        ran(str(empty))


def test_an_old_backup_put_in_place_is_caught(sqlite_database: Path, tmp_path: Path) -> None:
    """What verify_ledger says where somebody went back to an old state to be rid of what came after."""
    case = open_case()
    publish()
    old = tmp_path / "old"
    shutil.copy(connection.settings_dict["NAME"], old)
    rename_case(case, "Mass")
    publish()
    assert ran(str(old)).startswith("2 sealed events")
    publish()
    size = head()[0]
    connection.close()
    shutil.copy(old, sqlite_database)
    result = verify_live()
    assert not result.ok
    assert f"event 2 is not there; checkpoint {size} says that {size} events were sealed" in [
        one.message for one in result.problems
    ]
    view_case(case)
    with pytest.raises(Exception, match="is not of this ledger as it stands"):
        publish()


def test_what_is_no_backup_is_refused_and_that_is_recorded(
    sqlite_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_case()
    publish()
    broken, text, other, dump = (tmp_path / name for name in ("broken", "text", "other", "dump"))
    whole = sqlite_database.read_bytes()
    broken.write_bytes(whole[:16] + b"\xff" * 5000)
    text.write_text("CREATE TABLE x ();")
    dump.write_bytes(b"PGDMP" + bytes(100))
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE something (id integer)")
    database.close()
    for path, what in (
        (tmp_path / "nowhere", "cannot be read"),
        (broken, "damaged"),
        (text, "neither an SQLite file nor a dump"),
        (other, "not this service's database"),
        (dump, "needs a server"),
    ):
        with pytest.raises(CommandError, match=what):
            ran(str(path))
    assert Event.objects.filter(kind="record.restore-drill").count() == 4
    with pytest.raises(CommandError, match="--server is an address"):
        ran(str(dump), "--server", "nonsense nonsense")


@pytest.mark.postgres
def test_a_dump_that_cannot_be_restored_leaves_no_database_behind(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_case()
    publish()
    dump = tmp_path / "dump"
    dump.write_bytes(b"PGDMP" + bytes(100))
    with pytest.raises(CommandError, match="pg_restore failed"):
        ran(str(dump), "--server", postgres_database)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="pg_restore is not installed"):
        ran(str(dump))
    monkeypatch.undo()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'restore_drill_%'")
        assert cursor.fetchone() == (0,)
