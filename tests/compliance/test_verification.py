"""Verification of the live record: any altered byte makes it fail, and the failure names the record (REQ-01)."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models

from compliance import ledger_walk, reconciliation, row_checks, verification
from compliance.ledger import merkle
from compliance.models import Event, LedgerEntry
from compliance.problems import Problem
from compliance.sealing import head, seal
from compliance.verification import VerificationResult, verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.scenes import open_case, rename_case, view_case
from tests.compliance.testapp.models import Case, Slice

pytestmark = pytest.mark.requirement("REQ-01")


@pytest.fixture
def case(database: str) -> Case:
    """Events 0 to 3: opened with three slices, renamed twice, viewed; then one that is not sealed."""
    case = open_case(slices=3)
    for title in ("Mass", "Scar"):
        rename_case(case, title)
    view_case(case)
    seal()
    view_case(case)
    return case


def altered(*statements: str) -> VerificationResult:
    with past_the_triggers() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return verify_live()


def key(value: uuid.UUID) -> str:
    """A UUID as this database's SQL writes it."""
    return f"'{value}'" if connection.vendor == "postgresql" else f"'{value.hex}'"


def event_of(index: int) -> Event:
    return LedgerEntry.objects.select_related("event").get(index=index).event


def test_an_honest_record_verifies(case: Case) -> None:
    result = verify_live(checkpoint=head())
    assert (result.ok, result.sealed, result.unsealed, result.rows) == (True, 4, 1, 6)
    assert (result.first, result.problems, result.problem_count) == (None, (), 0)
    assert result.head == head()[1]


@pytest.mark.parametrize(
    "column", ["kind", "actor_id", "actor_name", "actor_role", "reason", "subject_type", "subject_id", "project_key"]
)
def test_an_altered_text_of_an_event_is_found(case: Case, column: str) -> None:
    event = event_of(2)
    result = altered(f"UPDATE compliance_event SET {column} = {column} || 'x' WHERE id = {key(event.pk)}")
    assert not result.ok
    assert (result.first.event_index, result.first.record_id, result.first.field) == (2, str(event.pk), column)
    assert f"its {column} was altered" in result.first.message


@pytest.mark.parametrize(
    "assignment",
    [
        "simulated = NOT simulated",
        "payload = '{\"a\": 1}'",
        "payload = '{\"a\": 1.5}'",
        "rows = '[]'",
        "txid = txid + 1",
        "occurred_at = '2020-01-01 00:00:00+00:00'",
    ],
)
def test_any_other_altered_column_of_an_event_is_found(case: Case, assignment: str) -> None:
    result = altered(f"UPDATE compliance_event SET {assignment} WHERE id = {key(event_of(1).pk)}")
    assert (result.ok, result.first.event_index) == (False, 1)


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("title = 'Other'", "title"),
        ("state = 'closed'", "state"),
        ("size_mm = 9.99", "size_mm"),
        ("score = 0.2", "score"),
        ("tags = '[]'", "tags"),
        ("revision = 9", "revision"),
        ("actor_name = 'Bob'", "actor_name"),
        ("reason = 'another'", "reason"),
        ("txid = txid + 1", "txid"),
        ("history_type = '+'", "history_type"),
        ("history_date = '2020-01-01 00:00:00+00:00'", "history_date"),
    ],
)
def test_an_altered_history_row_is_named_with_its_event_and_field(case: Case, assignment: str, field: str) -> None:
    row = case.history.get(title="Mass")
    result = altered(f"UPDATE testapp_historicalcase SET {assignment} WHERE history_id = {row.pk}")
    assert not result.ok
    assert (result.first.event_index, result.first.event_id) == (1, str(row.event_id))
    assert (result.first.table, result.first.record_id, result.first.field) == ("testapp_case", str(case.pk), field)


def test_a_removed_history_row_and_one_under_another_event_are_missed_where_they_belong(case: Case) -> None:
    first = case.history.get(title="Nodule")
    moved = f"UPDATE testapp_historicalcase SET event_id = {key(event_of(3).pk)} WHERE history_id = {first.pk}"
    result = altered(moved)
    assert [(one.event_index, one.record_id, one.field) for one in result.problems] == [(0, str(case.pk), "event_id")]
    result = altered(
        "UPDATE testapp_historicalcase SET title = 'and altered' WHERE title = 'Nodule'",
        "DELETE FROM testapp_historicalcase WHERE title = 'Mass'",
    )
    found = [(problem.event_index, problem.message.split(": ")[1].split(" (")[0]) for problem in result.problems[:3]]
    assert found == [
        (0, f"its history row {first.pk} is missing or unreadable"),
        (1, f"its history row {first.pk + 1} is missing or unreadable"),
        (3, "its event does not name it"),
    ]


def test_an_altered_row_among_many_is_named(case: Case) -> None:
    row = Slice.objects.get(number=1)
    result = altered("UPDATE testapp_slice SET position_mm = 1.26 WHERE number = 1")
    assert (result.first.event_index, result.first.table, result.first.record_id) == (0, "testapp_slice", str(row.pk))


def test_a_row_removed_from_many_is_counted_and_a_row_added_is_not_named(case: Case) -> None:
    result = altered("DELETE FROM testapp_slice WHERE number = 1")
    assert result.first.message.startswith("testapp_slice: 2 rows of 'slices', and the event says 3")
    columns = [field.column for field in Slice._meta.concrete_fields][1:]
    result = altered(
        f"INSERT INTO testapp_slice (id, {', '.join(columns)}) SELECT {key(uuid.UUID(int=5))}, "
        + ", ".join(
            key(event_of(1).pk) if name == "event_id" else "77" if name == "number" else name for name in columns
        )
        + " FROM testapp_slice WHERE number = 0"
    )
    assert any(
        problem.record_id == str(uuid.UUID(int=5)) and "does not name it" in problem.message
        for problem in result.problems
    )


def test_two_swapped_rows_whose_marks_agree_are_still_caught_by_the_root() -> None:
    digests = {"a": "1" * 64, "b": "1" * 8 + "2" * 56}
    assert row_checks._strange_rows(digests, "1" * 16) == []


def test_an_altered_entry_breaks_the_chain_at_its_place(case: Case) -> None:
    result = altered('UPDATE compliance_ledgerentry SET link_hash = leaf_hash WHERE "index" = 1')
    assert (result.first.event_index, result.first.table) == (1, "compliance_ledgerentry")
    assert "does not follow" in result.first.message


@pytest.mark.parametrize("text", ["nonsense", "ab"])
def test_a_hash_that_is_none_breaks_the_chain_at_its_place(case: Case, text: str) -> None:
    result = altered(
        f"UPDATE compliance_ledgerentry SET link_hash = '{text}', leaf_hash = '{text}' WHERE \"index\" = 2"
    )
    assert result.first.event_index == 2


def test_a_gap_a_swap_and_a_removed_event_are_named(case: Case) -> None:
    result = altered('DELETE FROM compliance_ledgerentry WHERE "index" = 1')
    assert result.first.message == "event 1: its place in the ledger is missing or unreadable"
    gone = event_of(2).pk
    result = altered(f"DELETE FROM compliance_event WHERE id = {key(gone)}")
    named = {problem.event_index: problem.message for problem in reversed(result.problems)}
    assert named[2] == f"event 2: the event {gone} is missing"
    assert any("its event is not in the record" in problem.message for problem in result.problems)


def test_a_ledger_whose_end_was_cut_off_is_caught_by_a_checkpoint(case: Case) -> None:
    seal()
    checkpoint = head()
    last = event_of(4).pk
    result = altered(
        'DELETE FROM compliance_ledgerentry WHERE "index" = 4', f"DELETE FROM compliance_event WHERE id = {key(last)}"
    )
    assert result.ok
    result = verify_live(checkpoint=checkpoint)
    assert result.first.message == "event 4 is not there; the head given 5 says that 5 events were sealed"
    other = verify_live(checkpoint=(2, "ab" * 32))
    assert other.first.message.startswith("the root over 2 events is ")
    assert verify_live(checkpoint=(0, merkle.EMPTY_ROOT.hex())).ok


@pytest.mark.requirement("REQ-10")
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE testapp_case SET title = 'Other'", "title is not what its history says"),
        ("DELETE FROM testapp_case", "it is gone without a trace"),
        ("UPDATE testapp_case SET id = {new}", "it is gone without a trace"),
        ("UPDATE testapp_historicalcase SET history_type = '-' WHERE title = 'Scar'", "its history does not say so"),
    ],
)
def test_what_went_around_the_record_comes_to_light(case: Case, statement: str, message: str) -> None:
    result = altered(statement.format(new=key(uuid.UUID(int=9))))
    assert not result.ok
    assert any(message in problem.message and problem.table == "testapp_case" for problem in result.problems)


def test_on_sqlite_an_unrecorded_update_needs_no_intruder_and_is_found_all_the_same(sqlite_database: Path) -> None:
    case = open_case()
    seal()
    models.QuerySet(Case).filter(pk=case.pk).update(title="by raw update")
    result = verify_live()
    assert (result.first.table, result.first.record_id, result.first.field) == ("testapp_case", str(case.pk), "title")


def test_an_unsealed_event_is_judged_by_its_rows_too(case: Case) -> None:
    rename_case(case, "Late")
    result = altered("UPDATE testapp_historicalcase SET reason = 'x' WHERE title = 'Late'")
    assert (result.first.event_index, result.first.field) == (None, "reason")
    assert "an unsealed event" in result.first.message


@pytest.mark.parametrize("rows", ['[{"id": "x"}]', "[1]", '{"a": 1}', "[null]"])
def test_an_unsealed_event_that_says_nonsense_of_its_rows_is_named(case: Case, rows: str) -> None:
    rename_case(case, "Late")
    event = Event.objects.get(entry__isnull=True, kind="case.changed")
    result = altered(f"UPDATE compliance_event SET rows = '{rows}' WHERE id = {key(event.pk)}")
    assert any(problem.event_id == str(event.pk) and "cannot be read" in problem.message for problem in result.problems)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("UPDATE compliance_event SET payload = '{broken' WHERE id = {event}", 1),
        ("UPDATE compliance_event SET occurred_at = 'yesterday' WHERE id = {event}", 1),
        ("UPDATE compliance_event SET occurred_at = '2026-13-45 00:00:00' WHERE id = {event}", 1),
        ("UPDATE testapp_historicalcase SET tags = '{broken' WHERE title = 'Mass'", 1),
        ("UPDATE testapp_historicalcase SET history_date = 'then' WHERE title = 'Mass'", 1),
        ("UPDATE testapp_historicalcase SET size_mm = 'wide' WHERE title = 'Mass'", 1),
        ("UPDATE testapp_historicalcase SET id = 'nobody' WHERE title = 'Mass'", 1),
        ("UPDATE testapp_historicalcase SET event_id = 'nothing' WHERE title = 'Mass'", 1),
        ("UPDATE testapp_historicalcase SET title = CAST(x'ff00fe' AS TEXT) WHERE title = 'Mass'", 1),
        ("UPDATE testapp_slice SET facts = '{broken' WHERE number = 1", 0),
        ("UPDATE testapp_slice SET id = 'nobody' WHERE number = 1", 0),
        ("UPDATE compliance_ledgerentry SET event_id = 'nothing' WHERE \"index\" = 1", 1),
    ],
)
def test_bytes_that_cannot_even_be_read_do_not_stop_verification(
    sqlite_database: Path, statement: str, index: int
) -> None:
    case = open_case(slices=3)
    rename_case(case, "Mass")
    seal()
    result = altered(statement.replace("{event}", key(event_of(1).pk)))
    assert (result.ok, result.first.event_index) == (False, index)


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-45 00:00:00"])
def test_a_live_row_and_an_unsealed_event_that_cannot_be_read_are_named(sqlite_database: Path, moment: str) -> None:
    case = open_case()
    event = Event.objects.get().pk
    result = altered(
        "UPDATE testapp_case SET parent_id = 'nobody'",
        f"UPDATE compliance_event SET occurred_at = '{moment}'",
    )
    messages = [problem.message for problem in result.problems]
    assert f"testapp_case {case.pk}: its stored bytes cannot be read" in messages
    assert f"unsealed event {event}: it cannot be read" in messages


@pytest.mark.parametrize(("busy_looks", "problems"), [(0, 0), (1, 0), (2, 0), (9, 1)])
def test_a_change_that_commits_between_two_readings_is_not_taken_for_an_alteration(
    database: str, monkeypatch: pytest.MonkeyPatch, busy_looks: int, problems: int
) -> None:
    case = open_case()
    true_suspects, true_state = reconciliation._suspects, reconciliation._state
    looks: list[int] = []

    def suspects_after_a_change(model: Any, last: Any) -> Any:
        if model is Case:
            rename_case(case, "changed after its history was listed")
        return true_suspects(model, last)

    def state_before_a_change(history: Any, columns: tuple[str, ...]) -> object:
        looks.append(history.pk)
        if len(looks) <= busy_looks:
            rename_case(case, f"changed during look {len(looks)}")
        return true_state(history, columns)

    monkeypatch.setattr(reconciliation, "_suspects", suspects_after_a_change)
    monkeypatch.setattr(reconciliation, "_state", state_before_a_change)
    assert len(list(reconciliation.reconcile())) == problems
    assert len(looks) == min(busy_looks + 1, reconciliation.LOOKS)


def test_many_events_and_problems_are_read_in_parts_and_shown_in_order(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_walk, "CHUNK", 2)
    monkeypatch.setattr(verification, "SHOWN", 2)
    monkeypatch.setattr(reconciliation, "CHUNK", 2)
    cases = [open_case(title=str(number)) for number in range(5)]
    seal()
    view_case(cases[0])
    assert verify_live().ok
    result = altered("UPDATE testapp_historicalcase SET reason = 'x' WHERE title <> '0'")
    assert [problem.event_index for problem in result.problems] == [1, 2]
    assert result.problem_count == 4


def test_a_result_is_plain_data() -> None:
    problem = Problem("m", event_index=1)
    result = VerificationResult(False, 1, 0, 0, "", problem, (problem,), 1)
    assert asdict(result)["problems"][0]["event_index"] == 1
    assert replace(problem, event_index=None).place == float("inf")


def test_the_command_says_ok_or_names_the_first_altered_record_with_status_1(case: Case) -> None:
    out, err = StringIO(), StringIO()
    size, link = head()
    call_command("verify_ledger", size=size, head=link, stdout=out)
    assert out.getvalue().splitlines() == [
        "4 sealed events, 1 not sealed yet, 6 rows",
        "0 checkpoints, 0 fields redacted",
        f"head {link}",
        "OK: nothing was altered",
    ]
    altered("UPDATE testapp_historicalcase SET title = 'Other' WHERE title IN ('Mass', 'Scar')")
    with pytest.raises(
        CommandError, match=f"3 problems, the first: testapp_case {case.pk}: title was altered"
    ) as failed:
        call_command("verify_ledger", stdout=out, stderr=err)
    assert failed.value.returncode == 1
    assert len(err.getvalue().splitlines()) == 2


def test_half_a_checkpoint_is_wrong_usage(case: Case) -> None:
    with pytest.raises(CommandError, match="belong together") as refused:
        call_command("verify_ledger", size=3)
    assert refused.value.returncode == 2


def test_the_sealing_command_says_how_far_the_ledger_reaches(case: Case) -> None:
    out = StringIO()
    call_command("seal_ledger", stdout=out)
    assert out.getvalue() == f"Sealed 1; the ledger holds 5 events, head {head()[1]}\n"
