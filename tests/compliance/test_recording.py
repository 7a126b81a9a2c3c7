"""Changes and events: who, why, about what, and nothing kept where one of them is missing."""

from __future__ import annotations

import datetime
import threading
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Value
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from compliance import events as compliance_events
from compliance import recording
from compliance.events import event_document, is_bulk
from compliance.ledger.canonical import NotCanonical
from compliance.models import Event
from compliance.recording import (
    SYSTEM,
    Actor,
    AnonymousActor,
    BlankReason,
    Happening,
    LostRace,
    UnrecordedChange,
    UnregisteredEvent,
    change,
    compare_and_swap,
    current_change,
    record_event,
    record_events,
    register_event,
    registered_events,
)
from compliance.rows import row_digest, row_values
from compliance.sealing import seal
from compliance.verification import verify_live
from tests.compliance.scenes import ANN, BOT, open_case, rename_case
from tests.compliance.testapp.models import Blob, Case, Slice

SUBJECT = ("case", "7")


@pytest.mark.requirement("REQ-08")
def test_a_change_records_time_person_role_old_value_new_value_and_reason(database: str) -> None:
    before = datetime.datetime.now(tz=datetime.UTC)
    case = rename_case(open_case(title="Nodule"), "Mass")
    new, old = case.history.all()
    event = new.event
    assert (old.title, new.title) == ("Nodule", "Mass")
    assert (new.history_type, old.history_type) == ("~", "+")
    assert (new.actor_id, new.actor_name, new.actor_role, new.reason) == (
        "ann",
        "Ann Reader",
        "reader",
        "a better title",
    )
    assert (event.actor_id, event.actor_name, event.actor_role) == ("ann", "Ann Reader", "reader")
    assert (event.kind, event.subject_type, event.subject_id) == ("case.changed", "case", str(case.pk))
    assert before <= new.history_date == event.occurred_at <= datetime.datetime.now(tz=datetime.UTC)


def test_the_event_carries_the_digest_of_every_row_as_it_was_stored(database: str) -> None:
    case = open_case(slices=3)
    event = Event.objects.get()
    single, bulk = event.rows
    history = case.history.get()
    assert single["digest"] == row_digest(row_values(history))
    assert (single["table"], single["id"], single["history_id"]) == ("testapp_case", str(case.pk), str(history.pk))
    assert (bulk["table"], bulk["label"], bulk["count"]) == ("testapp_slice", "slices", 3)
    assert is_bulk(bulk)
    assert {row.event_id for row in Slice.objects.all()} == {event.pk}


@pytest.mark.requirement("REQ-13")
@pytest.mark.parametrize("reason", ["", "   ", "\n\t"])
def test_a_blank_reason_is_refused_before_anything_is_written(database: str, reason: str) -> None:
    with pytest.raises(BlankReason), change("case.opened", actor=ANN, reason=reason, subject=SUBJECT):
        Case(title="never").save()
    assert not Event.objects.exists()
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    "actor",
    [Actor("", "Ann", "reader"), Actor("ann", " ", "reader"), Actor("ann", "Ann", "")],
    ids=["id", "name", "role"],
)
def test_an_actor_without_id_name_or_role_is_refused(database: str, actor: Actor) -> None:
    with pytest.raises(AnonymousActor):
        record_event("case.viewed", actor=actor, reason="why", subject=SUBJECT)
    assert not Event.objects.exists()


def test_an_unregistered_event_and_a_blank_subject_are_refused(database: str) -> None:
    with pytest.raises(UnregisteredEvent, match=r"case\.burnt"):
        record_event("case.burnt", actor=ANN, reason="why", subject=SUBJECT)
    with pytest.raises(ValueError, match="subject"):
        record_event("case.viewed", actor=ANN, reason="why", subject=("case", " "))
    assert not Event.objects.exists()


def test_an_event_kind_has_one_meaning_and_is_listed() -> None:
    register_event("case.viewed", "A case was looked at", "REQ-40")
    with pytest.raises(ValueError, match="another meaning"):
        register_event("case.viewed", "Something else")
    with pytest.raises(ValueError, match="a kind and a description"):
        register_event("case.blank", " ")
    kinds = [event.kind for event in registered_events()]
    assert kinds == sorted(kinds)
    assert "case.opened" in kinds


def test_an_event_without_rows_keeps_its_payload_and_says_who_is_simulated(database: str) -> None:
    key = record_event(
        "case.viewed",
        actor=BOT,
        reason="demo",
        subject=SUBJECT,
        payload={"shown": ["image"], "count": 2**53 - 1, "x": None},
    )
    event = Event.objects.get(pk=key)
    assert event.payload == {"shown": ["image"], "count": 2**53 - 1, "x": None}
    assert event.rows == []
    assert event.simulated
    assert str(event) == "case.viewed of case 7"
    assert event_document(event)["occurred_at"].endswith("Z")


def test_an_event_by_itself_is_one_statement_and_one_commit(database: str) -> None:
    record_event("case.viewed", actor=ANN, reason="why", subject=SUBJECT)
    with CaptureQueriesContext(connection) as sent:
        record_event("case.viewed", actor=ANN, reason="why", subject=SUBJECT, payload={"page": "3"})
    assert [query["sql"].split()[0] for query in sent] == ["INSERT"]
    assert Event.objects.count() == 2


def test_several_events_are_one_statement_and_one_commit_and_each_is_as_if_recorded_alone(database: str) -> None:
    said = {"page": "3", "blinded": True, "n\u00e4chste": [1, None]}
    happenings = [
        Happening(kind="case.viewed", actor=ANN, reason=f" {number} ", subject=("case", str(number)), payload=said)
        for number in range(7)
    ]
    record_events(happenings[:1])
    with CaptureQueriesContext(connection) as sent:
        keys = record_events(happenings[1:])
    assert [query["sql"].split()[0] for query in sent] == ["INSERT"]
    events = Event.objects.in_bulk(keys)
    assert [(events[key].reason, events[key].subject_id, events[key].payload) for key in keys] == [
        (str(number), str(number), said) for number in range(1, 7)
    ]
    assert len({salt for event in events.values() for salt in event.salts.values()}) == 3 * len(keys)
    assert record_events([]) == []
    seal()
    assert (verify_live().ok, verify_live().sealed) == (True, 7)


def test_of_several_events_all_or_none_are_recorded(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Happening(kind="case.viewed", actor=ANN, reason="why", subject=SUBJECT)
    with pytest.raises(BlankReason):
        record_events([one, replace(one, reason=" ")])
    with pytest.raises(NotCanonical):
        record_events([one, replace(one, payload={"score": 0.5})])
    with pytest.raises(NotCanonical, match="not a string"):
        record_events([one, replace(one, payload={1: "a"})])  # type: ignore[dict-item]  # as a caller might
    for module in (compliance_events, recording):
        monkeypatch.setattr(module, "CHUNK", 2)
    with pytest.raises(NotCanonical):
        record_events([one] * 4 + [replace(one, payload={"score": 0.5})])
    assert not Event.objects.exists()
    assert len({*record_events([one] * 5)}) == Event.objects.count() == 5


def test_a_row_is_read_back_only_where_it_may_have_gone_again(postgres_database: str) -> None:
    with CaptureQueriesContext(connection) as plain:
        open_case()
    with CaptureQueriesContext(connection) as nested, transaction.atomic():
        open_case()
    for sent in (plain, nested):
        assert [query["sql"].split()[0] for query in sent if query["sql"].startswith(("INS", "SEL"))] == ["INSERT"] * 3
    with (
        CaptureQueriesContext(connection) as sent,
        change("case.opened", actor=ANN, reason="why", subject=SUBJECT),
    ):
        Case(title="kept").save()
        with transaction.atomic():
            Case(title="kept as well").save()
    assert any(query["sql"].startswith("SELECT") for query in sent)
    assert len(Event.objects.order_by("-occurred_at")[0].rows) == 2
    assert verify_live().ok


def test_a_value_that_the_database_works_out_is_recorded_as_it_was_stored(database: str) -> None:
    for title in (Upper(Value("worked out")), "plain", Upper(Value("again"))):
        open_case(title=title)
    assert list(Case.history.order_by("history_id").values_list("title", flat=True)) == ["WORKED OUT", "plain", "AGAIN"]
    assert verify_live().ok


def test_an_event_that_the_database_refuses_takes_the_open_transaction_with_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = uuid.uuid4()
    monkeypatch.setattr(recording.uuid, "uuid4", lambda: same)
    record_event("case.viewed", actor=ANN, reason="why", subject=SUBJECT)
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            record_event("case.viewed", actor=ANN, reason="again", subject=SUBJECT)
        assert transaction.get_rollback()
    assert Event.objects.get().reason == "why"


def test_a_payload_without_canonical_form_undoes_the_whole_change(database: str) -> None:
    with pytest.raises(NotCanonical), change("case.opened", actor=ANN, reason="why", subject=SUBJECT) as running:
        Case(title="gone").save()
        running.payload["score"] = 0.5
    assert not Event.objects.exists()
    assert not Case.objects.exists()


def test_an_error_inside_a_change_leaves_neither_rows_nor_event(database: str) -> None:
    with pytest.raises(RuntimeError, match="half-way"), change("case.opened", actor=ANN, reason="why", subject=SUBJECT):
        Case(title="gone").save()
        raise RuntimeError("half-way")
    assert not Event.objects.exists()
    assert not Case.objects.exists()
    assert not Case.history.exists()
    with pytest.raises(UnrecordedChange):
        current_change()


def test_nested_changes_write_an_event_each_with_their_own_rows(database: str) -> None:
    with change("case.opened", actor=ANN, reason="outer", subject=SUBJECT) as outer:
        first = Case(title="outer")
        first.save()
        with change("slices.stored", actor=SYSTEM, reason="inner", subject=SUBJECT) as inner:
            Slice(case=first, number=1).save()
            assert current_change() is inner
        assert current_change() is outer
        Blob(sha256="ab", size=2**60).save()
    by_reason = {event.reason: [entry["table"] for entry in event.rows] for event in Event.objects.all()}
    assert by_reason == {"outer": ["testapp_case", "testapp_blob"], "inner": ["testapp_slice"]}


def test_rows_that_a_savepoint_rolled_back_are_not_named_by_the_event(database: str) -> None:
    with change("case.opened", actor=ANN, reason="why", subject=SUBJECT) as running:
        kept = Case(title="kept")
        kept.save()
        with pytest.raises(RuntimeError), transaction.atomic():
            Case(title="lost").save()
            Slice.objects.record_many([Slice(case=kept, number=1)], running, root_label="slices")
            raise RuntimeError
    (entry,) = Event.objects.get().rows
    assert entry["id"] == str(kept.pk)


def test_many_rows_are_one_entry_though_they_come_in_several_calls(database: str) -> None:
    case = open_case()
    with change("slices.stored", actor=ANN, reason="why", subject=SUBJECT) as running:
        for number in range(3):
            written = Slice.objects.record_many([Slice(case=case, number=number)], running, root_label="slices")
            assert [row.number for row in written] == [number]
        Slice(case=case, number=9).save()
        assert Slice.objects.record_many([], running, root_label="slices") == []
        assert Case.objects.filter(pk=case.pk).exists()
    single, bulk = Event.objects.get(kind="slices.stored").rows
    assert "digest" in single
    assert bulk["count"] == 3


def test_many_rows_need_the_running_change_one_label_a_table_and_new_rows(database: str) -> None:
    case = open_case()
    row = Slice(case=case, number=1)
    with change("slices.stored", actor=ANN, reason="why", subject=SUBJECT) as outer:
        with change("slices.stored", actor=ANN, reason="why", subject=SUBJECT), pytest.raises(UnrecordedChange):
            Slice.objects.record_many([row], outer, root_label="slices")
        Slice.objects.record_many([row], outer, root_label="slices")
        with pytest.raises(ValueError, match="already has a root 'slices'"):
            Slice.objects.record_many([Slice(case=case, number=2)], outer, root_label="others")
        with pytest.raises(recording.UnrecordedChange.__mro__[1], match="written once"):
            Slice.objects.record_many([row], outer, root_label="slices")
    with pytest.raises(UnrecordedChange):
        Slice.objects.record_many([Slice(case=case, number=3)], outer, root_label="slices")


def test_a_new_thread_does_not_inherit_the_running_change() -> None:
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(current_change())
        except UnrecordedChange as refusal:
            seen.append(refusal)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert isinstance(seen[0], UnrecordedChange)


def test_compare_and_swap_returns_the_row_as_stored_and_raises_its_revision(database: str) -> None:
    case = open_case()
    with change("case.changed", actor=ANN, reason="why", subject=SUBJECT):
        swapped = compare_and_swap(
            Case,
            pk=case.pk,
            expected_revision=1,
            where={"state": "open", "title__startswith": "Nod"},
            changes={"size_mm": Decimal("7.5"), "parent": case, "tags": [0.1]},
        )
    assert (swapped.revision, str(swapped.size_mm), swapped.parent_id) == (2, "7.50", case.pk)
    newest = swapped.history.first()
    assert (newest.revision, newest.size_mm, newest.parent_id, newest.tags) == (2, Decimal("7.50"), case.pk, [0.1])


@pytest.mark.parametrize(
    ("pk", "revision", "where"), [(None, 2, {}), (None, 1, {"state": "closed"}), (uuid.UUID(int=1), 1, {})]
)
def test_whoever_loses_the_race_writes_nothing(database: str, pk: object, revision: int, where: dict[str, str]) -> None:
    case = open_case()
    with pytest.raises(LostRace), change("case.changed", actor=ANN, reason="why", subject=SUBJECT):
        compare_and_swap(Case, pk=pk or case.pk, expected_revision=revision, where=where, changes={"title": "x"})
    assert Event.objects.count() == Case.history.count() == 1
    assert Case.objects.get().title == "Nodule"


def test_compare_and_swap_needs_a_change_and_leaves_key_and_revision_alone(database: str) -> None:
    case = open_case()
    with pytest.raises(UnrecordedChange):
        compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={"title": "x"})
    for forbidden in ("pk", "id", "revision"):
        with (
            pytest.raises(ValueError, match=forbidden),
            change("case.changed", actor=ANN, reason="why", subject=SUBJECT),
        ):
            compare_and_swap(Case, pk=case.pk, expected_revision=1, where={}, changes={forbidden: 5})


def test_a_write_once_row_cannot_be_committed_without_its_event(database: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Blob.objects.model._base_manager.bulk_create([Blob(sha256="ab", size=1, event_id=uuid.uuid4())])
    assert not Blob.objects.exists()
