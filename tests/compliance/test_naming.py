"""What verification names: the place, the column, the row that went astray, the clock (REQ-01).

The same over every table of the service: tests/matrices.
"""

from __future__ import annotations

import datetime
import json
import uuid
from types import SimpleNamespace

import pytest

from compliance import altered_events, ledger_order, ledger_walk, loose_rows
from compliance.models import Event, LedgerEntry
from compliance.problems import Problem
from compliance.sealing import seal
from compliance.verification import verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.scenes import rename_case, view_case
from tests.compliance.testapp.models import Case

pytestmark = pytest.mark.requirement("REQ-01")

OTHER = uuid.UUID(int=7)
EVENT, PLACE, ROW, MANY = "compliance_event", "compliance_ledgerentry", "testapp_case", "testapp_slice"


def event_of(index: int) -> Event:
    return LedgerEntry.objects.select_related("event").get(index=index).event


def altered(*statements: str) -> list[Problem]:
    """Run statements past the triggers, with {0}, {1} ... in the place of the sealed events' keys."""
    keys = [f"'{event.hex}'" for event in LedgerEntry.objects.order_by("index").values_list("event_id", flat=True)]
    with past_the_triggers() as cursor:
        for statement in statements:
            cursor.execute(statement.format(*keys))
    return list(verify_live().problems)


def named(found: list[Problem]) -> set[tuple[int | None, str, str]]:
    return {(one.event_index, one.table, one.field) for one in found}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            ['UPDATE compliance_ledgerentry SET leaf_hash = upper(leaf_hash) WHERE "index" = 1'],
            {(1, PLACE, "leaf_hash")},
        ),
        (
            [f"UPDATE compliance_ledgerentry SET leaf_hash = '{'ab' * 32}' WHERE \"index\" = 1"],
            {(1, PLACE, "leaf_hash")},
        ),
        (
            [f"UPDATE compliance_ledgerentry SET link_hash = '{'ab' * 32}' WHERE \"index\" = 1"],
            {(1, PLACE, "link_hash")},
        ),
        (
            ["UPDATE compliance_ledgerentry SET link_hash = 'none', leaf_hash = 'none' WHERE \"index\" = 1"],
            {(1, PLACE, "link_hash"), (1, PLACE, "leaf_hash")},
        ),
        # The chain is whole at both ends of the gap: nothing after it is accused.
        (['DELETE FROM compliance_ledgerentry WHERE "index" IN (1, 2)'], {(1, PLACE, "")}),
        (['UPDATE compliance_ledgerentry SET "index" = 1000000000000 WHERE "index" = 3'], {(3, PLACE, "")}),
        (
            ['UPDATE compliance_ledgerentry SET "index" = -1 WHERE "index" = 0'],
            {(-1, PLACE, "index"), (0, PLACE, "")},
        ),
        (
            [
                "UPDATE compliance_ledgerentry SET event_id = 'x' WHERE \"index\" = 1",
                'UPDATE compliance_ledgerentry SET event_id = {1} WHERE "index" = 2',
                'UPDATE compliance_ledgerentry SET event_id = {2} WHERE "index" = 1',
            ],
            {(1, PLACE, "event_id"), (2, PLACE, "event_id")},
        ),
        (["UPDATE compliance_ledgerentry SET sealed_at = 'then' WHERE \"index\" = 1"], {(1, PLACE, "sealed_at")}),
        (["UPDATE compliance_ledgerentry SET sealed_at = '2999-01-01' WHERE \"index\" = 1"], {(1, PLACE, "sealed_at")}),
        (["UPDATE compliance_ledgerentry SET sealed_at = '2020-01-01' WHERE \"index\" = 1"], {(1, PLACE, "sealed_at")}),
        # The event's time, its reason and who acted stand in its history row, too; the view's reason nowhere else.
        (["UPDATE compliance_event SET occurred_at = '2020-01-01' WHERE id = {1}"], {(1, EVENT, "occurred_at")}),
        (
            ["UPDATE compliance_event SET actor_name = 'x', reason = 'y' WHERE id = {1}"],
            {(1, EVENT, "actor_name")},
        ),
        (["UPDATE compliance_event SET reason = 'another' WHERE id = {3}"], {(3, EVENT, "")}),
        (['UPDATE compliance_event SET commitments = \'{{"a": "b"}}\' WHERE id = {3}'], {(3, EVENT, "commitments")}),
        (["UPDATE compliance_event SET rows = '[]' WHERE id = {1}"], {(1, EVENT, "rows")}),
        (["UPDATE compliance_event SET rows = '[1]' WHERE id = {1}"], {(1, EVENT, "rows")}),
        (
            [
                "UPDATE compliance_event SET rows = json_array(json_extract(rows, '$[1]'), json_extract(rows, '$[0]')) "
                "WHERE id = {0}"
            ],
            {(0, EVENT, "rows")},
        ),
        (["UPDATE compliance_event SET rows = json_set(rows, '$[1].count', 7) WHERE id = {0}"], {(0, EVENT, "rows")}),
        (["UPDATE compliance_event SET rows = '{{}}' WHERE id = {1}"], {(1, EVENT, "")}),
        ([f"UPDATE compliance_event SET id = '{OTHER.hex}' WHERE id = {{1}}"], {(1, EVENT, "id")}),
        (["DELETE FROM compliance_event WHERE id = {3}"], {(3, EVENT, "")}),
        (["UPDATE testapp_slice SET event_id = {1} WHERE number = 1"], {(0, MANY, "event_id")}),
        ([f"UPDATE testapp_slice SET event_id = '{OTHER.hex}' WHERE number = 1"], {(0, MANY, "event_id")}),
        ([f"UPDATE testapp_slice SET id = '{OTHER.hex}' WHERE number = 1"], {(0, MANY, "")}),
        (["UPDATE testapp_historicalcase SET history_id = 99 WHERE title = 'Scar'"], {(2, ROW, "history_id")}),
        (["DELETE FROM compliance_rowshape"], {(None, "compliance_rowshape", "")}),
        (
            ["INSERT INTO compliance_subtree (level, \"index\", hash) VALUES (8, 5, 'ab')"],
            {(0, "compliance_subtree", "hash")},
        ),
        (
            ["INSERT INTO compliance_subtree (level, \"index\", hash) VALUES (9999, 0, 'ab')"],
            {(0, "compliance_subtree", "hash")},
        ),
        (
            ["INSERT INTO compliance_subtree (level, \"index\", hash) VALUES (1, 0, 'ab')"],
            {(0, "compliance_subtree", "hash")},
        ),
    ],
)
def test_what_was_altered_is_named_and_nothing_else(
    sealed_case: Case, statements: list[str], expected: set[tuple[int | None, str, str]]
) -> None:
    found = altered(*statements)
    assert named(found) == expected, [one.message for one in found]


def test_a_row_that_left_its_event_under_another_key_is_told_by_its_own(sealed_case: Case) -> None:
    found = altered(f"UPDATE testapp_historicalcase SET id = '{OTHER.hex}', event_id = {{3}} WHERE title = 'Nodule'")
    (own,) = [one for one in found if one.record_id == str(sealed_case.pk)]
    assert (own.event_index, own.field) == (0, "event_id")
    assert "event_id and id were altered" in own.message
    (other,) = [one for one in found if one != own]
    assert (other.record_id, other.message.split(": ")[1]) == (str(OTHER), "it is gone without a trace in its history")


def test_more_loose_rows_than_are_paired_are_each_named(sealed_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loose_rows, "MOST", 0)
    found = altered(
        "UPDATE testapp_historicalcase SET event_id = {3} WHERE title = 'Mass'",
        "UPDATE testapp_slice SET event_id = {1} WHERE number = 1",
    )
    assert {(one.event_index, one.message.split(" (")[0].split(": ")[1]) for one in found} == {
        (0, "2 rows of 'slices', and the event says 3"),
        (1, "its event does not name it"),
        (1, f"its history row {sealed_case.history.get(title='Mass').pk} is missing or unreadable"),
        (3, "its event does not name it"),
    }


def test_more_altered_events_than_are_looked_into_are_named_without_a_field(
    sealed_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_walk, "MOST", 0)
    assert named(altered("UPDATE compliance_event SET kind = 'x' WHERE id = {1}")) == {(1, EVENT, "")}
    monkeypatch.setattr(ledger_walk, "MOST", 1)
    monkeypatch.setattr(altered_events, "MOST", 1)
    assert named(altered()) == {(1, EVENT, "kind")}, "a registered kind needs no other event"


def test_an_event_in_which_one_row_stands_in_the_place_of_another_is_named_without_a_field(sealed_case: Case) -> None:
    # One entry gone and another one there are two alterations, and beyond what is tried.
    entry = json.dumps({**event_of(1).rows[0], "id": str(OTHER)}).replace("{", "{{").replace("}", "}}")
    found = altered(f"UPDATE compliance_event SET rows = json_array(json('{entry}')) WHERE id = {{1}}")
    assert named(found) == {(1, EVENT, "")}


def clock(shift: datetime.timedelta) -> SimpleNamespace:
    """A stand-in for the module ``datetime`` whose present is elsewhere."""
    now = SimpleNamespace(now=lambda tz: datetime.datetime.now(tz=tz) + shift)
    return SimpleNamespace(datetime=now, UTC=datetime.UTC)


@pytest.mark.requirement("REQ-12")
def test_a_clock_that_went_back_is_named_at_the_first_place_after_it(
    sealed_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        monkeypatch.setattr("compliance.recording.datetime", clock(datetime.timedelta(hours=-3)))
        monkeypatch.setattr("compliance.sealing.datetime", clock(datetime.timedelta(hours=-3)))
        view_case(sealed_case)
        seal()
        found = verify_live().problems
        assert {(one.event_index, one.field) for one in found} == {(4, "sealed_at"), (4, "occurred_at")}


@pytest.mark.requirement("REQ-12")
def test_a_time_of_sealing_that_stands_out_is_named_and_not_the_place_after_it(
    sealed_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_order, "CLOCK_SECONDS", 0)
    for title in ("a", "b"):
        rename_case(sealed_case, title)
        seal()
    last = LedgerEntry.objects.get(index=5).sealed_at
    later = last + (datetime.datetime.now(tz=datetime.UTC) - last) / 2
    stored = f"{later:%Y-%m-%d %H:%M:%S.%f}"
    (found,) = altered(f"UPDATE compliance_ledgerentry SET sealed_at = '{stored}' WHERE \"index\" = 4")
    assert (found.event_index, found.field) == (4, "sealed_at")
