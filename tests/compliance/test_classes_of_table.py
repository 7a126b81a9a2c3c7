"""What the three classes of table let through and what they refuse, whichever way it is tried."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command, load_command_class
from django.db import IntegrityError, models
from django.db.transaction import TransactionManagementError
from simple_history.utils import bulk_create_with_history, update_change_reason

from compliance import registry
from compliance.base import HistoryRow, VersionedModel
from compliance.errors import AppendOnly, UnrecordedChange
from compliance.models import Event, LedgerEntry
from compliance.recording import change
from compliance.sealing import seal
from tests.compliance.scenes import ANN, open_case, rename_case
from tests.compliance.testapp.models import Blob, Case, Lease, Slice

LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.requirement("REQ-10")
@pytest.mark.parametrize(
    "write",
    [
        lambda case: case.save(),
        lambda case: case.save(update_fields=["title"]),
        lambda case: case.save(update_fields=["title", "last_seen"]),
        lambda case: case.save(update_fields=[]),
        lambda case: case.save_base(),
        lambda case: case.save_without_historical_record(),
        lambda case: case.delete(),
        lambda case: Case.objects.filter(pk=case.pk).update(title="x"),
        lambda case: Case.objects.filter(pk=case.pk).delete(),
        lambda case: Case.objects.bulk_update([case], ["title"]),
        lambda case: Case.objects.bulk_create([Case(title="x")]),
        lambda case: Case.objects.update_or_create(pk=case.pk, defaults={"title": "x"}),
        lambda case: bulk_create_with_history([Case(title="x")], Case),
        lambda case: Case(title="outside any change").save(),
        lambda case: Case.objects.create(title="outside any change"),
    ],
)
def test_a_versioned_row_changes_in_no_other_way(sqlite_database: Path, write: Callable[[Case], object]) -> None:
    case = open_case()
    case.title = "altered"
    with pytest.raises(UnrecordedChange):
        write(case)
    assert Case.objects.get().title == "Nodule"
    assert Case.history.count() == 1


def test_a_creation_that_bypasses_save_writes_no_row_without_history(sqlite_database: Path) -> None:
    with pytest.raises(UnrecordedChange):
        Case(title="x").save_base(raw=True)
    assert not Case.objects.exists()


def test_a_new_instance_under_a_stored_key_undoes_the_transaction_it_overwrites_in(database: str) -> None:
    case = open_case()
    with (
        # The refusal is caught inside, and yet the transaction can only be rolled back.
        pytest.raises(TransactionManagementError),
        change("case.changed", actor=ANN, reason="why", subject=("case", "1")),
        pytest.raises(UnrecordedChange),
    ):
        Case(pk=case.pk, title="overwritten").save_base(force_update=True)
    assert Case.objects.get().title == "Nodule"


def test_a_deletion_past_the_models_own_guard_is_refused_all_the_same(database: str) -> None:
    case = open_case()
    with pytest.raises((UnrecordedChange, IntegrityError)):
        models.Model.delete(case)
    assert Case.objects.exists()
    assert Case.history.count() == 1


def test_fixtures_are_not_loaded_into_versioned_tables(database: str, tmp_path: Path) -> None:
    fixture = tmp_path / "cases.json"
    fixture.write_text(json.dumps([{"model": "testapp.case", "pk": "5" * 32, "fields": {"title": "smuggled"}}]))
    with pytest.raises(UnrecordedChange):
        call_command("loaddata", str(fixture))
    assert not Case.objects.exists()


def test_operational_fields_are_saved_alone_and_leave_no_history(database: str) -> None:
    case = open_case()
    case.last_seen = LONG_AGO
    case.save(update_fields=["last_seen"])
    assert Case.objects.get().last_seen == LONG_AGO
    assert Case.history.count() == 1
    assert "last_seen" not in {field.name for field in Case.history.model._meta.get_fields()}
    assert case.history.get().instance.last_seen == LONG_AGO


@pytest.mark.parametrize(
    "write",
    [
        lambda row: row.save(),
        lambda row: row.save(update_fields=["number"]),
        lambda row: row.save(force_update=True),
        lambda row: row.delete(),
        lambda row: Slice.objects.update(number=3),
        lambda row: Slice.objects.all().delete(),
        lambda row: Slice.objects.bulk_update([row], ["number"]),
    ],
)
def test_a_write_once_row_is_never_changed_or_removed(sqlite_database: Path, write: Callable[[Slice], object]) -> None:
    open_case(slices=1)
    with change("slices.stored", actor=ANN, reason="why", subject=("case", "1")), pytest.raises(AppendOnly):
        write(Slice.objects.get())
    assert Slice.objects.get().number == 0


def test_a_write_once_row_needs_a_change_and_no_bulk_way_but_record_many(sqlite_database: Path) -> None:
    for write in (
        lambda: Blob(sha256="a", size=1).save(),
        lambda: Blob.objects.bulk_create([Blob(sha256="a", size=1)]),
    ):
        with pytest.raises(UnrecordedChange):
            write()
    assert not Blob.objects.exists()


@pytest.mark.parametrize("model", [Event, LedgerEntry, Case.history.model])
def test_the_ledgers_tables_and_history_are_written_by_compliance_alone(
    sqlite_database: Path, model: type[models.Model]
) -> None:
    open_case()
    seal()
    row = model.objects.get()
    for refused in (
        lambda: row.save(),
        lambda: row.delete(),
        lambda: model.objects.update(pk=row.pk),
        lambda: model.objects.all().delete(),
        lambda: model.objects.bulk_update([row], ["event"]),
    ):
        with pytest.raises(AppendOnly):
            refused()
    with pytest.raises(UnrecordedChange):
        model.objects.bulk_create([model()])
    assert model.objects.count() == 1


def test_an_operational_row_is_free(sqlite_database: Path) -> None:
    Lease.objects.create(name="a")
    Lease.objects.update(name="b")
    Lease.objects.all().delete()
    assert not Lease.objects.exists()


def test_history_cannot_be_backdated_or_given_another_reason(sqlite_database: Path) -> None:
    case = Case(title="x")
    case._history_date = LONG_AGO
    case._change_reason = "somebody else's"
    case._history_user = "somebody else"
    with change("case.opened", actor=ANN, reason="mine", subject=("case", "1")) as running:
        case.save()
    row = case.history.get()
    assert (row.history_date, row.reason, row.actor_id) == (running.occurred_at, "mine", "ann")
    assert (row.history_user, row.history_change_reason) == ("ann", "mine")
    with pytest.raises(AppendOnly):
        update_change_reason(case, "rewritten")


@pytest.mark.requirement("REQ-05")
@pytest.mark.parametrize("name", ["clean_old_history", "clean_duplicate_history", "populate_history"])
def test_the_history_packages_purges_are_refused(name: str) -> None:
    with pytest.raises(CommandError, match="Refused: history rows are evidence"):
        call_command(name)
    with pytest.raises(SystemExit) as ended:
        load_command_class("compliance", name).run_from_argv(["manage.py", name, "--auto", "--days", "3"])
    assert ended.value.code == 1


def test_history_of_equal_times_is_ordered_by_its_id(sqlite_database: Path) -> None:
    with change("case.opened", actor=ANN, reason="why", subject=("case", "1")):
        case = Case(title="1")
        case.save()
        from compliance.recording import compare_and_swap

        for revision in (1, 2):
            compare_and_swap(
                Case, pk=case.pk, expected_revision=revision, where={}, changes={"title": str(revision + 1)}
            )
    other = open_case(title="other")
    rows = list(case.history.all())
    assert len({row.history_date for row in rows}) == 1
    assert [row.title for row in rows] == ["3", "2", "1"]
    assert case.history.latest().title == "3"
    assert [row.title for row in Case.history.latest_of_each().order_by("history_id")] == ["3", "other"]
    assert [rows[1].next_record.title, rows[1].prev_record.title] == ["3", "1"]
    assert rows[0].next_record is None
    assert {one.title for one in Case.history.as_of(other.history.get().history_date)} == {"3", "other"}


def test_a_field_that_bears_a_name_of_the_history_row_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="reason is the history row's own name"):
        type(
            "Clash",
            (VersionedModel,),
            {"__module__": "tests.compliance.testapp.models", "reason": models.TextField()},
        )


def test_every_table_of_the_app_has_its_class() -> None:
    classes = {model._meta.db_table: registry.classes_of(model) for model in registry.concrete_models()}
    assert classes["testapp_case"] == (registry.TableClass.VERSIONED,)
    assert classes["testapp_historicalcase"] == (registry.TableClass.HISTORY,)
    assert classes["testapp_slice"] == (registry.TableClass.WRITE_ONCE,)
    assert classes["testapp_lease"] == (registry.TableClass.OPERATIONAL,)
    assert classes["compliance_event"] == classes["compliance_ledgerentry"] == (registry.TableClass.LEDGER,)
    assert registry.tracked_columns(Case) == (
        "id", "revision", "title", "state", "size_mm", "score", "tags", "parent_id",
    )  # fmt: skip
    assert issubclass(registry.history_model(Case), HistoryRow)


def test_rows_say_what_they_are(sqlite_database: Path) -> None:
    case = rename_case(open_case(slices=1), "Mass")
    seal()
    assert str(LedgerEntry.objects.first()).startswith("0: ")
    assert str(case.history.first()).startswith("Mass as of")
