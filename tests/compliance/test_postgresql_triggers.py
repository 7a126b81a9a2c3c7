"""PostgreSQL: the triggers themselves are watched, and put back as they should be."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import IntegrityError, connection, models

from compliance import history, postgresql
from compliance.history import Difference
from tests.compliance.databases import in_use
from tests.compliance.scenes import open_case
from tests.compliance.testapp.models import Case
from tests.plugins.postgres import django_settings, temporary_database

pytestmark = [pytest.mark.postgres, pytest.mark.requirement("REQ-10")]


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_altered_disabled_dropped_and_added_triggers_are_named_and_put_right(postgres_database: str) -> None:
    run("ALTER TABLE testapp_slice DISABLE TRIGGER compliance_append_only")
    run("ALTER TABLE testapp_blob ENABLE TRIGGER compliance_append_only")
    run("DROP TRIGGER compliance_guard ON testapp_case")
    run("DROP TRIGGER compliance_mirror ON testapp_historicalcase")
    run(
        "CREATE TRIGGER compliance_mirror AFTER INSERT ON testapp_historicalcase FOR EACH ROW "
        "EXECUTE FUNCTION compliance_mirror('testapp_case', 'id', 'last_seen,title')"
    )
    run(
        "CREATE TRIGGER compliance_more BEFORE DELETE ON testapp_lease "
        "FOR EACH ROW EXECUTE FUNCTION compliance_refuse()"
    )
    run("CREATE OR REPLACE FUNCTION compliance_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    wrong = [
        Difference("", "compliance_guard", "altered"),
        Difference("testapp_blob", "compliance_append_only", "disabled"),
        Difference("testapp_case", "compliance_guard", "missing"),
        Difference("testapp_historicalcase", "compliance_mirror", "altered"),
        Difference("testapp_lease", "compliance_more", "left over"),
        Difference("testapp_slice", "compliance_append_only", "disabled"),
    ]
    assert sorted(history.install(), key=lambda one: (one.table, one.name)) == wrong
    assert history.differences() == []
    assert str(wrong[0]) == "compliance_guard() is altered"
    open_case()
    with pytest.raises(IntegrityError):
        models.QuerySet(Case).update(title="x")


def test_a_guard_that_was_dropped_whole_is_missing_with_its_triggers(postgres_database: str) -> None:
    run("DROP FUNCTION compliance_guard CASCADE")
    assert [(one.table, one.name, one.fault) for one in history.differences()] == [
        ("testapp_case", "compliance_guard", "missing"),
        ("", "compliance_guard", "missing"),
    ]


def test_names_that_need_quotes_get_them() -> None:
    assert postgresql._name("plain_name") == "plain_name"
    assert postgresql._name('Odd "name"') == '"Odd ""name"""'


def test_an_empty_database_passes_the_checks_that_migrate_runs_first(
    postgres_url: str, django_db_blocker: pytest.FixtureRequest
) -> None:
    with django_db_blocker.unblock(), temporary_database(postgres_url) as url, in_use(django_settings(url)):
        assert run_checks(databases=["default"]) == []
        assert history.differences() == []
        call_command("migrate", verbosity=0)
        assert run_checks(databases=["default"]) == []


def test_a_database_that_waits_for_a_migration_is_judged_after_it(postgres_database: str) -> None:
    run("DROP TRIGGER compliance_guard ON testapp_case")
    assert [message.id for message in run_checks(databases=["default"])] == ["compliance.E008"]
    run("DELETE FROM django_migrations WHERE app = 'testapp'")
    assert run_checks(databases=["default"]) == []
