"""The role that runs the service can add to the record and never change, empty or disable it (REQ-09)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, ProgrammingError, connection

from compliance.history import grant_runtime_role
from compliance.sealing import head, seal
from compliance.verification import verify_live
from tests.compliance.databases import in_use
from tests.compliance.scenes import open_case, rename_case
from tests.compliance.testapp.models import Case, Lease
from tests.plugins.postgres import django_settings

pytestmark = [pytest.mark.postgres, pytest.mark.requirement("REQ-09")]


@pytest.fixture
def runtime_role(postgres_database: str, settings: Any) -> Iterator[str]:
    """A role without any rights but those that migrate gives it."""
    name = f"runtime_{uuid.uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'runtime'")
    settings.QASERVICE_RUNTIME_DB_ROLE = name
    call_command("migrate", verbosity=0)
    yield name
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def as_runtime(runtime_role: str, postgres_database: str) -> Iterator[None]:
    """Run the test as the service runs."""
    open_case(slices=2)
    seal()
    with in_use({**django_settings(postgres_database), "USER": runtime_role, "PASSWORD": "runtime"}):
        yield


def test_the_service_records_seals_and_verifies_with_the_rights_it_has(as_runtime: None) -> None:
    case = open_case(slices=2)
    rename_case(case, "Mass")
    assert seal() == 2
    assert head()[0] == 3
    assert verify_live().ok
    Lease.objects.create(name="a")
    Lease.objects.all().delete()


@pytest.mark.parametrize(
    "table", ["compliance_event", "compliance_ledgerentry", "testapp_historicalcase", "testapp_slice", "testapp_blob"]
)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET event_id = NULL",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TRIGGER compliance_append_only ON {table}",
        "DROP TABLE {table}",
        "ALTER TABLE {table} OWNER TO CURRENT_USER",
    ],
)
def test_the_service_cannot_change_empty_or_disable_the_trail(as_runtime: None, table: str, statement: str) -> None:
    column = "id" if table == "compliance_event" else "event_id"
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table=table).replace("event_id", column))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION compliance_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP FUNCTION compliance_guard CASCADE",
        "ALTER TABLE testapp_case DISABLE TRIGGER compliance_guard",
        "DELETE FROM testapp_case",
        "TRUNCATE testapp_case CASCADE",
        "CREATE TABLE public.mine (id int)",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('compliance', '0002', now())",
    ],
)
def test_the_service_cannot_reach_the_guard_or_the_schema(as_runtime: None, statement: str) -> None:
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_guard_holds_for_the_service_too(as_runtime: None) -> None:
    with pytest.raises(IntegrityError, match="left no history"), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_case SET title = 'x'")
    assert Case.objects.get().title == "Nodule"


def test_a_role_that_does_not_exist_stops_the_migrate(postgres_database: str, settings: Any) -> None:
    settings.QASERVICE_RUNTIME_DB_ROLE = "nobody_here"
    with pytest.raises(ImproperlyConfigured, match="no such role"):
        grant_runtime_role()


def test_without_a_role_nothing_is_granted(database: str) -> None:
    assert grant_runtime_role() == ""


def test_on_sqlite_a_role_means_nothing(sqlite_database: object, settings: Any) -> None:
    settings.QASERVICE_RUNTIME_DB_ROLE = "somebody"
    assert grant_runtime_role() == ""


def test_install_triggers_says_whose_rights_it_set(runtime_role: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("install_triggers")
    assert capsys.readouterr().out == f"0 put right; {runtime_role} has the service's rights\n"


def test_tables_that_do_not_exist_yet_are_left_out(runtime_role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE testapp_lease")
    assert grant_runtime_role() == runtime_role


def test_a_deployment_that_runs_as_the_owner_is_warned_and_one_that_does_not_is_not(
    runtime_role: str, postgres_database: str
) -> None:
    def warned() -> bool:
        found = run_checks(databases=["default"], include_deployment_checks=True)
        return "compliance.W001" in {message.id for message in found}

    assert warned()
    with in_use({**django_settings(postgres_database), "USER": runtime_role, "PASSWORD": "runtime"}):
        assert not warned()
