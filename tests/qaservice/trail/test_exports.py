"""What is handed out verifies against the ledger by hashes alone, says what it is, and is itself on record (REQ-03)."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pypdfium2 as pdfium
import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from compliance.ledger import chain, merkle
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.commitments import commitment, leaf_document
from compliance.ledger.note import Checkpoint, Note
from compliance.models import Event, LedgerEntry
from compliance.recording import SYSTEM, record_event
from compliance.redaction import redact
from compliance.sealing import root_at
from qaservice.trail import exporting, paging
from tests.qaservice.trail.conftest import body
from tests.qaservice.trail.scene import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REQ-03")]


def taken(client: Client, address: str, **asked: Any) -> bytes:
    answer = client.post(address, {"reason": "inspection", **asked})
    assert answer.status_code == 200, answer.content
    assert "attachment" in answer["Content-Disposition"]
    return body(answer)


def lines_of(data: bytes) -> list[dict[str, Any]]:
    """The lines, after what the last one says of those before it was checked."""
    lines = [json.loads(line) for line in data.splitlines()]
    assert [canonical_bytes(line) for line in lines] == data.splitlines(), "every line is canonical"
    end = lines.pop()
    before = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    assert end == {"type": "end", "lines": len(lines), "sha256": hashlib.sha256(before).hexdigest()}
    return lines


def checked_event(line: dict[str, Any]) -> bytes:
    """The leaf of an event's line, computed from the line alone."""
    event = line["event"]
    for name, value in event["payload"].items():
        assert commitment(name=name, value=value, salt=event["salts"][name]) == event["commitments"][name]
    leaf = chain.leaf_hash(leaf_document(event))
    assert leaf.hex() == line["leaf_hash"]
    return leaf


def pages_of(data: bytes) -> str:
    with pdfium.PdfDocument(io.BytesIO(data)) as document:
        return re.sub(r"\s+", " ", " ".join(page.get_textpage().get_text_range() for page in document))


def test_a_searched_trail_is_complete_under_its_head_and_every_line_verifies(
    scene: Scene, at: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(paging, "CHUNK", 5)
    settled = Event.objects.filter(kind="flag.settled").first()
    assert settled is not None
    redact(event_id=settled.pk, fields=["outcome"], actor=SYSTEM, reason="named a person")
    address = reverse("api:trail-exports", kwargs={"key": "lung"})
    client = at("auditor")
    wanted = set(map(str, Event.objects.filter(project_key="lung").values_list("pk", flat=True)))
    answer = client.post(address, {"reason": "inspection", "format": "jsonl"})
    # What happens while it is sent is not in it.
    late = record_event(
        "project.changed", actor=SYSTEM, reason="meanwhile", subject=("project", "x"), project_key="lung"
    )
    header, *events = lines_of(body(answer))
    size, root = header["ledger"]["size"], header["ledger"]["root"]
    assert (header["format"], header["exported_by"]["name"], header["reason"]) == (
        "label-qa-trail",
        "Auditor",
        "inspection",
    )
    assert (
        root_at(size).hex()
        == root
        == Checkpoint.parse(Note.parse(header["ledger"]["checkpoint"].encode()).text).root.hex()
    )
    found = [line["event"]["id"] for line in events]
    assert len(found) == len(set(found)) and set(found) == wanted and str(late) not in found
    stored = dict(LedgerEntry.objects.values_list("index", "leaf_hash"))
    for line in events:
        assert checked_event(line).hex() == stored[line["index"]]
    redacted = next(line["event"] for line in events if line["event"]["id"] == str(settled.pk))
    assert "outcome" not in redacted["payload"] and "outcome" in redacted["commitments"]


def test_a_narrowed_trail_holds_what_was_asked_for_and_its_handing_out_is_sealed(
    scene: Scene, at: Callable[[str], Client]
):
    address = reverse("portal:trail-export", args=["lung"])
    data = taken(at("auditor"), address, format="jsonl", kind="verdict.given", text="opacity")
    header, *events = lines_of(data)
    assert header["search"] == {"projects": ["lung"], "kinds": ["verdict.given"], "text": "opacity"}
    assert {line["event"]["kind"] for line in events} == {"verdict.given"} and len(events) == 7
    exported = Event.objects.get(kind="trail.exported")
    assert (exported.actor_id, exported.reason) == (str(scene.auditor.pk), "inspection")
    assert exported.payload["asked"] == header["search"] and exported.payload["size"] == header["ledger"]["size"]
    assert LedgerEntry.objects.filter(event=exported).exists(), "an export is sealed at once"


def test_the_life_of_a_record_proves_itself_under_its_checkpoint(scene: Scene, at: Callable[[str], Client]):
    flag = scene.site.flags[0]
    address = reverse("api:record-exports", args=["lung", "analysis_flag", flag.pk])
    header, *lines = lines_of(taken(at("auditor"), address, format="jsonl"))
    root, size = bytes.fromhex(header["ledger"]["root"]), header["ledger"]["size"]
    events = {line["event"]["id"]: line for line in lines if line["type"] == "event"}
    for line in events.values():
        merkle.verify_inclusion(
            index=line["index"],
            size=size,
            leaf=checked_event(line),
            proof=[bytes.fromhex(step) for step in line["proof"]],
            root=root,
        )
    rows = [line for line in lines if line["type"] in ("state", "related")]
    assert [line["values"]["state"] for line in rows if line["type"] == "state"] == ["open", "settled"]
    assert {"review_verdict", "review_consensus", "review_correction"} <= {line["table"] for line in rows}
    for line in rows:
        digest = hashlib.sha256(canonical_bytes(line["values"])).hexdigest()
        entries = events[line["event"]]["event"]["rows"]
        identity = {name: line[name] for name in ("table", "id", "history_id")}
        [entry] = [one for one in entries if {name: one.get(name) for name in identity} == identity]
        assert digest == line["digest"] == entry["digest"]


@pytest.mark.requirement("REQ-30")
def test_the_printed_life_marks_what_changed_and_names_who_took_it_and_at_which_head(
    scene: Scene, at: Callable[[str], Client]
):
    address = reverse("portal:record-export", args=["lung", "labels_finding", scene.after.finding_id])
    text = pages_of(taken(at("auditor"), address, format="pdf"))
    exported = Event.objects.get(kind="record.exported")
    assert "CHANGED since the original entry; it was: drawn by hand" in text
    assert "Lung nodules (lung)" in text and "Auditor, auditor" in text and "inspection" in text
    assert exported.payload["root"] in text.replace(" ", "")
    assert "60 voxels, 84.4 mm³" in text and "Image 13, on which most voxels differ" in text
    assert "Not for clinical use" in text
    assert ("Embedded SQLite" in text) is (connection.vendor == "sqlite")


def test_the_printed_trail_names_filter_project_and_head_and_too_much_is_refused(
    scene: Scene, at: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
):
    address = reverse("api:trail-exports", kwargs={"key": "lung"})
    client = at("auditor")
    text = pages_of(taken(client, address, format="pdf", kind="flag.settled"))
    assert "actions flag.settled" in text and "Round: 1" in text and text.count("flag.settled") == 3
    assert "sealed events" in text and "leaf" in text
    monkeypatch.setattr(exporting, "MOST_PRINTED", 5)
    refused = client.post(address, {"reason": "inspection", "format": "pdf"})
    assert refused.status_code == 400 and refused.json()["code"] == "too-much-to-print"
    assert Event.objects.filter(kind="trail.exported").count() == 1, "what was refused was not handed out"


@pytest.mark.requirement("REQ-13")
def test_nothing_is_handed_out_without_a_reason_or_in_an_unknown_form(scene: Scene, at: Callable[[str], Client]):
    client = at("auditor")
    address = reverse("api:trail-exports", kwargs={"key": "lung"})
    assert client.post(address, {"reason": " ", "format": "jsonl"}).status_code == 400
    assert client.post(address, {"reason": "x", "format": "docx"}).status_code == 400
    assert client.post(reverse("portal:trail-export", args=["lung"]), {"reason": "x", "format": ""}).status_code == 400
    assert not Event.objects.filter(kind="trail.exported").exists()
