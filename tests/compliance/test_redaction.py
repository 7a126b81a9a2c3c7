"""Redaction destroys a payload field and leaves a record that still verifies, and says who did it and why (REQ-39)."""

from __future__ import annotations

import json
import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, models, transaction

from compliance.checkpoints import publish
from compliance.errors import BlankReason, RedactionRefused
from compliance.evidence import build_kit
from compliance.models import Event
from compliance.recording import record_event
from compliance.redaction import redact
from compliance.sealing import seal
from compliance.verification import verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.kits import checked, contents, joined, lines, repacked, second_opinion
from tests.compliance.scenes import ANN, open_case

pytestmark = pytest.mark.requirement("REQ-39")

SECRET = "Doe^Jane-4711"


def told(**payload: Any) -> Event:
    case = open_case()
    payload = payload or {"file": SECRET, "count": 3, "list": [1, {"a": None}]}
    key = record_event(
        "case.viewed", actor=ANN, reason="looked", subject=("case", str(case.pk)), project_key="lung", payload=payload
    )
    return Event.objects.get(pk=key)


def stored_text() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT payload, salts, commitments, rows FROM compliance_event")
        return str(cursor.fetchall())


@pytest.mark.parametrize("sealed", [True, False])
def test_a_redacted_field_is_gone_and_the_record_verifies_and_shows_it(
    database: str, tmp_path: Path, sealed: bool
) -> None:
    event = told()
    if sealed:
        publish()
    out = StringIO()
    call_command("redact", str(event.pk), "file", reason="a name slipped in", stdout=out)
    after = Event.objects.get(pk=event.pk)
    assert after.redacted == ["file"]
    assert after.payload == {"count": 3, "list": [1, {"a": None}]}
    assert after.commitments == event.commitments
    assert SECRET not in stored_text()
    assert event.salts["file"] not in stored_text()
    said = Event.objects.get(kind="record.redacted")
    assert (said.reason, said.subject_id, said.payload["fields"]) == ("a name slipped in", str(event.pk), ["file"])
    assert f"event {said.pk} says so" in out.getvalue()
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish(), project_key="lung")
    result = verify_live()
    assert (result.ok, result.redacted) == (True, 1)
    assert SECRET.encode() not in b"".join(contents(kit.path).values())
    for run in (checked, second_opinion):
        status, output = run(kit.path)
        assert status == 0
        assert "1 fields redacted" in output


def test_a_field_that_went_without_a_redaction_is_named_live_and_in_both_verifiers(
    sqlite_database: Path, tmp_path: Path
) -> None:
    event = told()
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish())
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    place = next(n for n, entry in enumerate(events) if entry["event"]["id"] == str(event.pk))
    del events[place]["event"]["payload"]["file"], events[place]["event"]["salts"]["file"]
    forged = repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(events)}, manifest=True)
    for run in (checked, second_opinion):
        status, output = run(forged)
        assert status == 1
        assert f"FAILED: event {place} (case.viewed, {event.pk}): the payload field file is gone" in output
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE compliance_event SET payload = '{}', salts = '{}' WHERE kind = 'case.viewed'")
    result = verify_live()
    assert result.problem_count == 3
    assert (result.first.event_index, result.first.field) == (place, "payload.count")


@pytest.mark.parametrize(("part", "value"), [("payload", "Roe"), ("salts", "00" * 16)])
def test_an_altered_value_or_salt_is_named_by_its_field(
    sqlite_database: Path, tmp_path: Path, part: str, value: str
) -> None:
    event = told(file=SECRET)
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish())
    files = contents(kit.path)
    events = lines(files["events.jsonl"])
    events[1]["event"][part]["file"] = value
    forged = repacked(tmp_path / "k.zip", {**files, "events.jsonl": joined(events)}, manifest=True)
    for run in (checked, second_opinion):
        assert "the payload field file was altered" in run(forged)[1]
    with past_the_triggers() as cursor:
        cursor.execute(
            f"UPDATE compliance_event SET {part} = '{json.dumps({'file': value})}' WHERE kind = 'case.viewed'"
        )
    first = verify_live().first
    assert (first.event_id, first.field) == (str(event.pk), "payload.file")


def test_what_cannot_be_redacted_is_refused_and_leaves_nothing(database: str) -> None:
    event = told()
    for key, fields, message in (
        (uuid.uuid4(), ["file"], "no event"),
        (event.pk, ["other"], "does not hold other; it holds count, file, list"),
        (event.pk, [], "does not hold nothing"),
    ):
        with pytest.raises(RedactionRefused, match=message):
            redact(event_id=key, fields=fields, actor=ANN, reason="why")
    with pytest.raises(BlankReason):
        redact(event_id=event.pk, fields=["file"], actor=ANN, reason=" ")
    said = redact(event_id=event.pk, fields=["file"], actor=ANN, reason="why")
    with pytest.raises(RedactionRefused, match="does not hold file"):
        redact(event_id=event.pk, fields=["file"], actor=ANN, reason="twice")
    with pytest.raises(RedactionRefused, match="of itself"):
        redact(event_id=said, fields=["fields"], actor=ANN, reason="cover up")
    with pytest.raises(CommandError, match="no event"):
        call_command("redact", str(uuid.uuid4()), "file", reason="why")
    assert Event.objects.filter(kind="record.redacted").count() == 1


@pytest.mark.requirement("REQ-09")
@pytest.mark.parametrize(
    "after",
    [
        {"payload": {}, "salts": {}},
        {"payload": {"count": 3}},
        {"salts": {}},
        {"payload": {"count": 4, "list": [1, {"a": None}]}},
        {"payload": {"count": 3, "list": [1, {"a": None}], "file": "x"}},
        {"reason": "another"},
        {"commitments": {}},
    ],
)
def test_the_triggers_let_nothing_go_but_what_a_redaction_names(database: str, after: dict[str, Any]) -> None:
    event = told()
    seal()
    rows: models.QuerySet[Event] = models.QuerySet(Event)
    with pytest.raises(IntegrityError):
        rows.filter(pk=event.pk).update(**after)
    with pytest.raises(IntegrityError), transaction.atomic():
        record_event(
            "record.redacted", actor=ANN, reason="of file alone", subject=("event", str(event.pk)),
            payload={"fields": ["file"]},
        )  # fmt: skip
        rows.filter(pk=event.pk).update(**after)
    assert Event.objects.get(pk=event.pk).payload == event.payload
    assert verify_live().ok


@pytest.mark.postgres
@pytest.mark.requirement("REQ-09")
def test_on_postgresql_a_redaction_of_another_transaction_opens_nothing(postgres_database: str) -> None:
    event = told()
    record_event(
        "record.redacted", actor=ANN, reason="why", subject=("event", str(event.pk)), payload={"fields": ["file"]}
    )
    kept = {name: value for name, value in event.payload.items() if name != "file"}
    salts = {name: value for name, value in event.salts.items() if name != "file"}
    with pytest.raises(IntegrityError):
        models.QuerySet(Event).filter(pk=event.pk).update(payload=kept, salts=salts)
