"""System checks: what would let a change go unrecorded stops the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, models
from django.test.utils import isolate_apps

from compliance import checks, history, registry
from compliance.base import OperationalModel, WriteOnceModel
from tests.compliance.testapp.models import Case


def ids(messages: list[django_checks.CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the checks see these models, and no others."""

    def only(*found: type[models.Model]) -> None:
        monkeypatch.setattr(registry, "concrete_models", lambda: iter(found))
        monkeypatch.setattr(checks, "concrete_models", lambda: iter(found))

    return only


@contextmanager
def own_apps() -> Iterator[None]:
    with isolate_apps("tests.compliance.testapp", "compliance"):
        yield


def test_the_app_itself_passes_every_check(sqlite_database: object) -> None:
    assert django_checks.run_checks(databases=["default"]) == []


def test_a_model_of_no_class_or_of_two_is_an_error(installed: Callable[..., None]) -> None:
    with own_apps():

        class Loose(models.Model):  # never shown
            class Meta:
                app_label = "testapp"

        class Torn(OperationalModel, WriteOnceModel):
            class Meta:
                app_label = "testapp"

        class Fine(OperationalModel):
            class Meta:
                app_label = "testapp"

        class Elsewhere(models.Model):  # never shown
            class Meta:
                app_label = "sessions"

    installed(Loose, Torn, Fine, Elsewhere)
    found = checks.every_table_has_one_class()
    assert ids(found) == ["compliance.E001", "compliance.E001"]
    assert "is of none of the classes" in found[0].msg
    assert "write-once and operational" in found[1].msg


def test_one_record_over_two_tables_is_an_error(installed: Callable[..., None]) -> None:
    with own_apps():

        class Parent(WriteOnceModel):
            class Meta:
                app_label = "testapp"

        class Child(Parent):
            class Meta:
                app_label = "testapp"

    installed(Parent, Child)
    found = checks.every_table_has_one_class()
    assert [(message.obj, message.id) for message in found] == [(Child, "compliance.E002")]


def test_a_many_to_many_table_without_a_model_of_its_own_is_an_error() -> None:
    with own_apps():

        class Tag(WriteOnceModel):
            cases = models.ManyToManyField(Case)

            class Meta:
                app_label = "testapp"

        assert registry.classes_of(Tag.cases.through) == ()


@pytest.mark.parametrize("rule", [models.CASCADE, models.SET_NULL, models.SET_DEFAULT])
def test_a_foreign_key_through_which_a_deletion_reaches_records_is_an_error(
    installed: Callable[..., None], rule: Any
) -> None:
    with own_apps():

        class Note(WriteOnceModel):
            case = models.ForeignKey(Case, on_delete=rule, null=True, default=None, related_name="+")
            kept = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")

            class Meta:
                app_label = "testapp"

    installed(Note)
    found = checks.nothing_writes_past_history()
    assert ids(found) == ["compliance.E003"]
    assert found[0].msg.startswith("testapp.Note.case ")


def test_operational_fields_are_real_and_never_key_or_revision(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(Case)
    monkeypatch.setattr(Case, "operational_fields", frozenset({"id", "revision", "absent", "last_seen"}))
    found = checks.nothing_writes_past_history()
    assert ids(found) == ["compliance.E004"] * 3
    assert [message.msg.split("'")[1] for message in found] == ["absent", "id", "revision"]


@pytest.mark.requirement("REQ-10")
def test_history_that_is_switched_off_is_an_error(settings: Any) -> None:
    assert checks.history_cannot_be_switched_off() == []
    settings.SIMPLE_HISTORY_ENABLED = False
    assert ids(checks.history_cannot_be_switched_off()) == ["compliance.E005"]


@pytest.mark.requirement("REQ-05")
def test_the_history_packages_purges_within_reach_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "get_commands", lambda: dict.fromkeys(checks.PURGES, "simple_history"))
    found = checks.history_cannot_be_switched_off()
    assert ids(found) == ["compliance.E006"] * 3
    assert "before" in str(found[0].hint)


def test_the_purges_are_compliances_own_when_the_package_is_installed_behind_it(settings: Any) -> None:
    from django.core.management import get_commands

    for order, owner in ((["compliance", "simple_history"], "compliance"), (["simple_history", "compliance"], "")):
        settings.INSTALLED_APPS = [*order, "tests.compliance.testapp"]
        get_commands.cache_clear()
        found = ids(checks.history_cannot_be_switched_off())
        assert found == ([] if owner else ["compliance.E006"] * 3)
    get_commands.cache_clear()


def test_a_deployment_on_sqlite_is_refused_and_one_on_postgresql_is_not(database: str) -> None:
    deployed = django_checks.run_checks(tags=["security"], include_deployment_checks=True)
    assert ("compliance.E007" in ids(deployed)) == (database == "sqlite")
    assert "compliance.E007" not in ids(django_checks.run_checks(tags=["security"]))


def test_triggers_that_do_not_stand_are_an_error_where_the_database_is_checked(sqlite_database: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute('DROP TRIGGER "compliance_no_delete__testapp_slice"')
    assert django_checks.run_checks() == []
    found = django_checks.run_checks(databases=["default"])
    assert ids(found) == ["compliance.E008"]
    assert "compliance_no_delete__testapp_slice on testapp_slice is missing" in found[0].msg


def test_install_triggers_names_what_it_put_right(sqlite_database: object, capsys: pytest.CaptureFixture[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute('DROP TRIGGER "compliance_no_delete__testapp_slice"')
    call_command("install_triggers")
    assert capsys.readouterr().out.splitlines() == [
        "put right: compliance_no_delete__testapp_slice on testapp_slice is missing",
        "1 put right",
    ]


def test_any_other_database_is_refused() -> None:
    class Elsewhere:
        vendor = "oracle"
        introspection = connection.introspection

    with pytest.raises(ImproperlyConfigured, match="PostgreSQL and SQLite, not on oracle"):
        history._wanted(Elsewhere(), NoTables())


class NoTables:
    """A cursor over nothing."""

    def execute(self, statement: str) -> None:
        pass

    def fetchall(self) -> list[object]:
        return []
