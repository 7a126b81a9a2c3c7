"""Keeping, destroying and proving through the API."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.checkpoints import key_history, publish
from compliance.ledger import verify_proof
from compliance.ledger.note import COSIGNATURE, Checkpoint, Note
from compliance.recording import SYSTEM
from compliance.signers import FileSigner
from compliance.witness import witness
from compliance.witnesses import name_witness
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.retention import services
from qaservice.retention.models import RecordClass
from qaservice.studies.models import Study
from tests.factories.records import PASSWORD, Site, make_site, make_user

pytestmark = [pytest.mark.django_db(transaction=False), pytest.mark.requirement("REQ-41")]

ENTRIES = {name: {"years": 1, "basis": "contract 7"} for name in RecordClass.values}


@pytest.fixture
def site() -> Site:
    return make_site()


def client_of(site: Site, role: str, name: str) -> Client:
    person = make_user(name)
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the test")
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def post(client: Client, name: str, body: dict[str, Any], **arguments: Any) -> Any:
    return client.post(reverse(f"api:{name}", kwargs=arguments), body, content_type="application/json")


def test_two_leads_dispose_of_a_study_through_the_api(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = client_of(site, Role.QA_LEAD, "first"), client_of(site, Role.QA_LEAD, "second")
    auditor, key = client_of(site, Role.AUDITOR, "auditor"), site.project.key
    study = str(Study.objects.get(project=site.project).pk)
    why = {"reason": "the contract ended"}
    assert post(auditor, "retention-schedule", {**why, "entries": ENTRIES}, key=key).status_code == 403
    assert post(first, "retention-schedule", {"entries": ENTRIES}, key=key).json()["code"] == "reason-missing"
    assert post(first, "retention-schedule", {**why, "entries": 3}, key=key).json()["code"] == "entries"
    assert post(first, "retention-schedule", {**why, "entries": ENTRIES}, key=key).json()["number"] == 1
    hold = post(first, "legal-holds", {**why, "matter": "case 9", "study": study}, key=key).json()
    early = post(first, "dispositions", {**why, "studies": [study]}, key=key)
    assert (early.status_code, early.json()["code"]) == (409, "legal-hold")
    assert post(first, "lift-hold", why, key=key, hold_id=hold["id"]).json()["lifted_at"]
    assert post(first, "lift-hold", why, key=key, hold_id=uuid.uuid4()).status_code == 404
    early = post(first, "dispositions", {**why, "studies": [study]}, key=key)
    assert (early.status_code, early.json()["code"]) == (409, "within-retention")
    true = services.now()
    monkeypatch.setattr(services, "now", lambda: true.replace(year=true.year + 3, day=1))
    assert post(first, "dispositions", {**why, "studies": ["x"]}, key=key).status_code == 404
    made = post(first, "dispositions", {**why, "studies": [study]}, key=key).json()
    steps = {"key": key, "disposition_id": made["id"]}
    assert post(first, "disposition-step", why, **steps, step="approve").json()["code"] == "same-person"
    assert post(second, "disposition-step", why, **steps, step="approve").json()["approved_by"] == "Second"
    assert post(second, "disposition-step", why, **steps, step="burn").status_code == 404
    assert post(second, "disposition-step", why, key=key, disposition_id=uuid.uuid4(), step="drop").status_code == 404
    assert post(second, "disposition-step", why, **steps, step="carry-out").json()["state"] == "carried-out"
    assert post(second, "disposition-step", why, **steps, step="drop").json()["code"] == "wrong-state"
    told = auditor.get(reverse("api:retention", kwargs={"key": key})).json()
    assert told["schedule"] == {"number": 1, "entries": ENTRIES}
    assert [one["study"] for one in told["destroyed"]] == [study]
    assert told["holds"] == []


@pytest.mark.requirement("REQ-42")
def test_use_and_withdrawal_through_the_api_and_what_a_viewer_is_told(site: Site) -> None:
    lead, key = client_of(site, Role.QA_LEAD, "lead-2"), site.project.key
    study = str(Study.objects.get(project=site.project).pk)
    asked = {"purposes": ["training"], "basis": "form 3", "until": "2099-01-31", "reason": "the form was signed"}
    use = post(lead, "study-use", asked, key=key, study_id=study).json()
    assert (use["purposes"], use["until"], use["images"]) == (["training"], "2099-01-31", "held")
    assert lead.get(reverse("api:study-use", kwargs={"key": key, "study_id": study})).json() == use
    assert post(lead, "study-use", {**asked, "purposes": "x"}, key=key, study_id=study).status_code == 400
    done = post(lead, "withdraw-study", {"reason": "the patient asked"}, key=key, study_id=study).json()
    assert done["withdrawn_at"] and done["images"].startswith("withdrawn: consent")
    assert done["destroyed"]["state"] == "done"
    reply = lead.get(reverse("api:slice", kwargs={"series_id": site.series.pk, "index": 0}))
    assert (reply.status_code, reply.json()["code"]) == (410, "study-withdrawn")
    assert "withdrawn" in reply.json()["detail"]


@pytest.mark.requirement("REQ-01")
def test_a_witness_takes_the_checkpoint_away_and_brings_its_signature_back(site: Site, tmp_path: Path) -> None:
    auditor = client_of(site, Role.AUDITOR, "auditor")
    reader = client_of(site, Role.READER, "some-reader")
    address = reverse("api:checkpoint")
    assert reader.get(address).status_code == 403
    assert auditor.get(address).json()["code"] == "no-checkpoint"
    publish()
    signer = FileSigner.create(tmp_path / "w", name="auditor.example.org/w1", kind=COSIGNATURE)
    name_witness(str(signer.key), actor=SYSTEM, reason="the auditor's machine")
    log_key = next(key for _, key, _ in key_history())

    def fetched() -> tuple[Note, dict[str, Any]]:
        told = auditor.get(address).json()
        return Note.parse(told["note"].encode()), told

    def signed(note: Note, last: Checkpoint | None, proof: list[str]) -> str:
        steps = [bytes.fromhex(one) for one in proof]
        line = witness(note=note, log_key=log_key, last=last, proof=steps, signer=signer, seconds=1_900_000_000)
        return str(Note(note.text, (note.signatures[0], line)))

    first, told = fetched()
    assert told["key"] == str(log_key) and told["witnesses"] == [{"key": str(signer.key), "last": None}]
    early = signed(first, None, [])
    publish()
    second, _ = fetched()
    heads = Checkpoint.parse(first.text), Checkpoint.parse(second.text)
    asked = reverse("api:consistency") + f"?first={heads[0].size}&second={heads[1].size}"
    late = signed(second, heads[0], auditor.get(asked).json()["proof"])
    why = {"reason": "the monthly witness"}
    assert post(auditor, "cosignatures", {**why, "note": late}).json() == {"kept": [str(signer.key)]}
    refused = post(auditor, "cosignatures", {**why, "note": early})
    assert (refused.status_code, refused.json()["code"]) == (400, "not-taken")
    assert "does not continue it" in refused.json()["detail"]
    assert post(auditor, "cosignatures", {**why, "note": "nonsense"}).status_code == 400
    assert auditor.get(reverse("api:consistency") + "?first=9&second=x").status_code == 400
    boss = make_user("boss", is_administrator=True)
    administrator = Client()
    administrator.force_login(boss)
    assert administrator.get(address).json()["witnesses"][0]["last"] == heads[1].size


@pytest.mark.requirement("REQ-03")
def test_a_proof_card_comes_as_json_and_pdf_and_names_one_record(site: Site, tmp_path: Path) -> None:
    lead, key = client_of(site, Role.QA_LEAD, "lead-2"), site.project.key
    flag = site.flags[0]
    why = {"reason": "asked for by the sponsor"}
    card = post(lead, "proof-cards", {**why, "flag": flag.number}, key=key)
    whole = json.loads(card.content)
    assert whole["record"]["id"] == str(flag.pk)
    (tmp_path / "card.json").write_bytes(card.content)
    assert verify_proof.main([str(tmp_path / "card.json"), "--key", whole["key"]]) == 0
    pdf = post(lead, "proof-cards", {**why, "flag": flag.number, "form": "pdf"}, key=key)
    assert pdf["Content-Type"] == "application/pdf" and pdf.content.startswith(b"%PDF-")
    for body in ({}, {"flag": "1"}, {"flag": 1, "finding": "x"}, {"flag": 1, "show": "x"}):
        assert post(lead, "proof-cards", {**why, **body}, key=key).json()["code"] == "no-subject"
    assert post(lead, "proof-cards", {**why, "finding": "2.25.1"}, key=key).status_code == 404
