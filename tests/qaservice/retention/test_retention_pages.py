"""The pages Retention, Proofs and Proof card."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from compliance.checkpoints import key_history, publish
from compliance.ledger.note import COSIGNATURE, Note
from compliance.models import Event
from compliance.recording import SYSTEM
from compliance.signers import FileSigner
from compliance.witness import witness
from compliance.witnesses import name_witness
from qaservice.labels.models import Finding
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.retention import services
from qaservice.retention.models import DataUse, Disposition, LegalHold, RecordClass
from qaservice.studies.models import Study
from tests.factories.records import PASSWORD, Site, make_site, make_user

pytestmark = [pytest.mark.django_db(transaction=False), pytest.mark.requirement("REQ-41")]


@pytest.fixture
def site() -> Site:
    return make_site()


def logged_in(site: Site, role: str, name: str) -> Client:
    person = make_user(name)
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the test")
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def sent(client: Client, name: str, body: dict[str, Any], *arguments: object) -> str:
    """Press a button, and return the page that it leads to."""
    return client.post(reverse(f"portal:{name}", args=["lung", *arguments]), body, follow=True).content.decode()


def opened(client: Client, name: str, query: str = "") -> str:
    response = client.get(reverse(f"portal:{name}", args=["lung"]) + query)
    assert response.status_code == 200, response.content.decode()
    return response.content.decode()


def test_the_page_sets_a_schedule_holds_proposes_and_destroys_by_two(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = logged_in(site, Role.QA_LEAD, "first"), logged_in(site, Role.QA_LEAD, "second")
    auditor = logged_in(site, Role.AUDITOR, "auditor")
    study = Study.objects.get(project=site.project)
    why = {"reason": "the contract says so"}
    assert "No schedule is set, so everything is kept." in opened(auditor, "retention")
    assert "Set the schedule" not in opened(auditor, "retention")
    entries = {
        f"{name}-{part}": value for name in RecordClass.values for part, value in (("years", 1), ("basis", "c 7"))
    }
    assert "Give a reason" in sent(first, "retention-schedule", entries)
    assert "the years are a whole number" in sent(first, "retention-schedule", {**why, **entries, "images-years": "x"})
    assert "Version 1 of the schedule holds" in sent(first, "retention-schedule", {**why, **entries})
    assert "no study of that UID" in sent(first, "place-hold", {**why, "matter": "m", "study": "2.25.9"})
    sent(first, "place-hold", {**why, "matter": "case 9", "study": study.study_instance_uid})
    proposal = {**why, "study": [str(study.pk)]}
    assert "under a legal hold (case 9)" in sent(first, "propose-disposition", proposal)
    assert "The hold is lifted." in sent(first, "lift-hold", why, LegalHold.objects.get().pk)
    assert first.post(reverse("portal:lift-hold", args=["lung", uuid.uuid4()]), why).status_code == 404
    assert "has to be kept until" in sent(first, "propose-disposition", proposal)
    assert "no such study" in sent(first, "propose-disposition", {**why, "study": ["x"]})
    true = services.now()
    monkeypatch.setattr(services, "now", lambda: true.replace(year=true.year + 3, day=1))
    page = sent(first, "propose-disposition", proposal)
    assert "A colleague approves it before anything is destroyed." in page
    step = Disposition.objects.get().pk
    assert "ask a colleague" in sent(first, "disposition-step", {**why, "step": "approve"}, step)
    assert "it can be carried out now" in sent(second, "disposition-step", {**why, "step": "approve"}, step)
    assert first.post(reverse("portal:disposition-step", args=["lung", uuid.uuid4()]), why).status_code == 404
    page = sent(second, "disposition-step", {**why, "step": "carry-out"}, step)
    assert "looked for, and gone" in page and "the time of keeping is over" in page
    assert "possible only from" in sent(second, "disposition-step", {**why, "step": "drop"}, step)


@pytest.mark.requirement("REQ-42")
def test_the_page_records_a_use_and_a_withdrawal_and_the_case_says_so(site: Site) -> None:
    lead = logged_in(site, Role.QA_LEAD, "lead-2")
    study = Study.objects.get(project=site.project)
    why = {"reason": "the form was signed"}
    use = {**why, "purpose": ["training", "research"], "basis": "form 3"}
    assert "YYYY-MM-DD" in sent(lead, "record-use", {**use, "until": "2030-02-31"}, study.pk)
    page = sent(lead, "record-use", {**use, "until": "2030-02-28"}, study.pk)
    assert "training models" in page or "other research, training models" in page
    assert "form 3, until 2030-02-28" in page
    assert "The consent is withdrawn, and" in sent(lead, "withdraw-study", {"reason": "asked"}, study.pk)
    assert "consent withdrawn" in opened(lead, "retention")
    assert "withdrawn before" in sent(lead, "withdraw-study", {"reason": "again"}, study.pk)
    DataUse.objects.get()
    page = lead.get(reverse("portal:series", args=["lung", site.series.pk])).content.decode()
    assert "consent to the use of this study was withdrawn" in page


@pytest.mark.requirement("REQ-03")
def test_the_card_of_a_flag_shows_on_a_page_and_is_handed_out_as_pdf_and_json(site: Site) -> None:
    auditor, flag = logged_in(site, Role.AUDITOR, "auditor"), site.flags[0]
    asked = reverse("portal:proof-card", args=["lung"])
    early = auditor.get(f"{asked}?flag={flag.number}")
    assert (early.status_code, "younger than the newest checkpoint" in early.content.decode()) == (409, True)
    publish()
    page = opened(auditor, "proof-card", f"?flag={flag.number}")
    assert str(flag.pk) in page and "data:image/svg+xml;base64," in page
    other = Finding.objects.exclude(annotation_set=flag.annotation_set).first()
    assert other is None or str(other.tracking_uid) not in page
    for query in ("", "?flag=x", "?flag=1&finding=2.25", f"?flag={'9' * 12}"):
        assert auditor.get(asked + query).status_code == 400
    assert auditor.get(f"{asked}?flag=999").status_code == 404
    handed = reverse("portal:proof-card-file", args=["lung"])
    body = {"flag": flag.number, "reason": "asked for"}
    assert auditor.post(handed, {**body, "form": "pdf"}).content.startswith(b"%PDF-")
    reply = auditor.post(handed, {**body, "form": "json"})
    assert json.loads(reply.content)["record"]["id"] == str(flag.pk)
    assert "attachment" in reply["Content-Disposition"]
    assert auditor.post(handed, {"flag": flag.number}).status_code == 400
    assert Event.objects.filter(kind="proof.exported").count() == 2


@pytest.mark.requirement("REQ-01")
def test_the_proofs_page_hands_out_checkpoints_and_takes_a_witness_signature(site: Site, tmp_path: Path) -> None:
    auditor = logged_in(site, Role.AUDITOR, "auditor")
    file = reverse("portal:checkpoint-file", args=["lung"])
    assert "No checkpoint was published yet." in opened(auditor, "proofs")
    assert auditor.get(file).status_code == 404
    first = publish()
    assert "No witness is named." in opened(auditor, "proofs")
    signer = FileSigner.create(tmp_path / "w", name="auditor.example.org/w1", kind=COSIGNATURE)
    name_witness(str(signer.key), actor=SYSTEM, reason="the auditor's machine")
    publish()
    note = Note.parse(auditor.get(file).content)
    size = int(first.text.splitlines()[1])
    assert json.loads(auditor.get(f"{file}?since={size}").content)["first"]["size"] == size
    assert auditor.get(f"{file}?since=99999").status_code == 400
    log_key = next(key for _, key, _ in key_history())
    line = witness(note=note, log_key=log_key, last=None, proof=[], signer=signer, seconds=1_900_000_000)
    signed = SimpleUploadedFile("signed", str(Note(note.text, (note.signatures[0], line))).encode())
    why = {"reason": "the monthly witness"}
    assert "send the checkpoint" in sent(auditor, "cosign", why).lower()
    assert "was not taken" in sent(auditor, "cosign", {**why, "note": SimpleUploadedFile("x", b"nonsense")})
    page = sent(auditor, "cosign", {**why, "note": signed})
    assert "The signature of auditor.example.org/w1 is kept" in page
    assert f"the checkpoint over {note.text.splitlines()[1]} events" in page
