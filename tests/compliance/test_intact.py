"""What is read quickly because it is intact, and what is read slowly because it is not, are judged alike (REQ-01)."""

from __future__ import annotations

import json
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from typing import Any, Never

import pytest
from django.db import connection

from compliance import ledger_walk, read_ahead
from compliance.events import is_bulk
from compliance.intact import Reader
from compliance.models import Event, LedgerEntry
from compliance.read_ahead import ReadAhead
from compliance.recording import record_event
from compliance.redaction import redact
from compliance.sealing import seal
from compliance.verification import VerificationResult, verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.scenes import ANN, open_case, rename_case, view_case
from tests.compliance.testapp.models import Case, Slice

pytestmark = pytest.mark.requirement("REQ-01")

VIEWED = "(SELECT event_id FROM compliance_ledgerentry WHERE index = 4)"
OF_A_VIEW = f"event_id = {VIEWED}"
ALTERATIONS = {
    "nothing": [],
    "an event": ["UPDATE compliance_event SET reason = 'another' WHERE kind = 'case.changed'"],
    "a history row": ["UPDATE testapp_historicalcase SET title = 'x' WHERE title = 'Scar'"],
    "a history row lost": ["DELETE FROM testapp_historicalcase WHERE title = 'Scar'"],
    "a history row moved to an event without rows": [
        f"UPDATE testapp_historicalcase SET {OF_A_VIEW} WHERE title = 'Scar'"
    ],
    "one row of many": ["UPDATE testapp_slice SET position_mm = 7.5 WHERE number = 1"],
    "one row of many moved to an event without rows": [f"UPDATE testapp_slice SET {OF_A_VIEW} WHERE number = 1"],
    "a link": ["UPDATE compliance_ledgerentry SET link_hash = leaf_hash WHERE index = 2"],
    "a place lost": ["DELETE FROM compliance_ledgerentry WHERE index = 3"],
    "a time of sealing": ["UPDATE compliance_ledgerentry SET sealed_at = '2030-01-01 00:00:00+00:00' WHERE index = 3"],
    "a time of sealing set back": [
        "UPDATE compliance_ledgerentry SET sealed_at = '2020-01-01 00:00:00+00:00' WHERE index = 6"
    ],
    "a payload": ["""UPDATE compliance_event SET payload = '{"page": "4"}' WHERE subject_id = 'page'"""],
    "a live row": ["UPDATE testapp_case SET state = 'closed'"],
}


@pytest.fixture
def story(database: str) -> Case:
    """Events 0 to 7: opened with three slices, a page seen and redacted, renamed twice, and views between them."""
    case = open_case(slices=3)
    seen = {"page": "3", "name": "Doe^Jane"}
    record_event("case.viewed", actor=ANN, reason="why", subject=("case", "page"), project_key="lung", payload=seen)
    redact(event_id=Event.objects.get(subject_id="page").pk, fields=["name"], actor=ANN, reason="a name")
    for title in ("Mass", "Scar"):
        rename_case(case, title)
        view_case(case)
    seal(limit=6)
    view_case(case)
    seal()
    return case


def found(result: VerificationResult) -> tuple[Any, ...]:
    problems = sorted(str(problem) for problem in result.problems)
    return problems, result.sealed, result.unsealed, result.rows, result.redacted, result.head


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_was_altered_is_named_alike_however_much_is_read_at_once(
    story: Case, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with past_the_triggers() as cursor:
        for statement in ALTERATIONS[what]:
            cursor.execute(statement.replace("index =", '"index" ='))
    monkeypatch.setattr(Reader, "stretch", lambda *_: None)
    slowly = verify_live()
    monkeypatch.undo()
    assert slowly.ok == (what == "nothing")
    for stretch in (1, 3, 500):
        monkeypatch.setattr(ledger_walk, "STRETCH", stretch)
        assert found(verify_live()) == found(slowly)


@pytest.mark.parametrize("what", ["nothing", "a history row", "a place lost", "a payload"])
def test_processes_that_read_ahead_find_what_one_finds(story: Case, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    with past_the_triggers() as cursor:
        for statement in ALTERATIONS[what]:
            cursor.execute(statement.replace("index =", '"index" ='))
    alone = verify_live()
    assert alone.ok == (what == "nothing")
    monkeypatch.setattr(read_ahead, "SMALL", 1)
    for stretch in (1, 3):
        monkeypatch.setattr(ledger_walk, "STRETCH", stretch)
        with read_ahead.stretches(size=alone.sealed, processes=2) as reader:
            assert isinstance(reader, ReadAhead if connection.vendor == "postgresql" else Reader)
        assert found(verify_live(processes=2)) == found(alone)


def test_what_other_processes_cannot_read_is_read_by_this_one(story: Case) -> None:
    class Broken(Executor):
        def submit(self, *_: object, **__: object) -> Never:
            raise BrokenExecutor

    stretch = ReadAhead(Broken(), size=8).stretch(0, 8)
    assert stretch == Reader().stretch(0, 8) is not None


@pytest.mark.parametrize(("of_many", "lost"), [(False, "marks"), (False, "table"), (True, "label"), (True, "count")])
def test_an_event_that_was_sealed_without_all_it_should_say_of_its_rows_is_named(
    database: str, of_many: bool, lost: str
) -> None:
    open_case(slices=3)
    event = Event.objects.get()
    for entry in event.rows:
        if is_bulk(entry) == of_many:
            del entry[lost]
    with past_the_triggers() as cursor:
        cursor.execute(f"UPDATE compliance_event SET rows = '{json.dumps(event.rows)}'")
    seal()
    said = f"event {event.pk} (case.opened): what it says of its rows cannot be read"
    assert said in [problem.message for problem in verify_live().problems]


def test_an_intact_record_is_read_quickly_from_end_to_end(story: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_walk, "check_rows", None)
    monkeypatch.setattr(ledger_walk, "_entries", None)
    result = verify_live()
    assert (result.ok, result.sealed, result.rows, result.redacted) == (True, 8, 6, 1)


def test_a_row_that_its_event_does_not_name_is_found_even_if_it_cannot_be_read(
    sqlite_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case(slices=3)
    view_case(case)
    seal()
    row = Slice.objects.get(number=2)
    viewed = LedgerEntry.objects.get(index=1).event_id
    with past_the_triggers() as cursor:
        cursor.execute(
            "INSERT INTO testapp_slice (id, number, kind, position_mm, facts, case_id, event_id) "
            f"SELECT '{viewed.hex}', 9, kind, position_mm, facts, 'nobody', '{viewed.hex}' FROM testapp_slice "
            f"WHERE id = '{row.pk.hex}'"
        )
    assert connection.vendor == "sqlite"
    result = verify_live()
    assert [problem.message for problem in result.problems] == [
        f"testapp_slice {viewed}: its stored bytes cannot be read"
    ]
