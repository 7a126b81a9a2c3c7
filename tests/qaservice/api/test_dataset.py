"""Rules and concerns over the API: who may, what a faulty document is told, and what is settled on the record."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM, change
from imaging.checks.dataset import Concern as FoundConcern
from qaservice.analysis.concerns import store_concerns
from qaservice.analysis.dataset_models import Concern
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, Site, make_site, make_user

pytestmark = pytest.mark.django_db

RULES = """
rules:
  - {id: known-words, version: 1, severity: note, about: finding, message: A word., must: {field: category, is: x}}
"""


@pytest.fixture
def site() -> Site:
    site = make_site(flags=0)
    found = [
        FoundConcern(
            "near_duplicate", "1.0", "same-image-twice", (site.series.series_instance_uid,), 0.9, "Twice.", "a"
        ),
        FoundConcern("taxonomy_drift", "1.0", "category-by-reader", (), 0.4, "Otherwise.", "b", {"readers": ["x"]}),
    ]
    with change("dataset.checked", actor=SYSTEM, reason="x", subject=("run", str(site.run.pk))):
        store_concerns(run=site.run, found=found)
    return site


def client_of(site: Site, role: str) -> Client:
    grant(project=site.project, user=make_user("person"), role=role, actor=SYSTEM, reason="for the matrix")
    client = Client()
    assert client.login(username="person", password=PASSWORD)
    return client


def send(
    client: Client, method: str, name: str, body: Mapping[str, object], **more: object
) -> tuple[int, dict[str, object]]:
    address = reverse(f"api:{name}", kwargs={"key": "lung", **more})
    answer = getattr(client, method)(address, body, content_type="application/json")
    return answer.status_code, answer.json()


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_who_inspects_sees_rules_and_concerns_and_who_leads_changes_them(site: Site, role: str) -> None:
    client = client_of(site, role)
    inspects, leads = role in {Role.QA_LEAD, Role.AUDITOR}, role == Role.QA_LEAD
    assert client.get(reverse("api:concerns", kwargs={"key": "lung"})).status_code == (200 if inspects else 403)
    assert client.get(reverse("api:label-rules", kwargs={"key": "lung"})).status_code == (404 if inspects else 403)
    assert send(client, "put", "label-rules", {"text": RULES, "reason": "ours"})[0] == (201 if leads else 403)
    assert send(client, "post", "label-rules-rehearsal", {"text": RULES})[0] == (409 if leads else 403)
    settled = {"decision": "confirmed", "revision": 1, "reason": "seen"}
    concern = Concern.objects.get(number=1)
    assert send(client, "post", "concern-settle", settled, concern_id=concern.pk)[0] == (200 if leads else 403)


def test_rules_are_put_read_back_and_refused_by_rule_and_field(site: Site) -> None:
    client = client_of(site, Role.QA_LEAD)
    assert send(client, "put", "label-rules", {"text": RULES})[1]["code"] == "reason-missing"
    code, told = send(client, "put", "label-rules", {"text": RULES, "reason": "our protocol"})
    assert (code, told["number"], told["rule_count"], told["reason"]) == (201, 1, 1, "our protocol")
    assert client.get(reverse("api:label-rules", kwargs={"key": "lung"})).json()["text"] == RULES
    faulty = RULES.replace("category", "colour")
    code, told = send(client, "put", "label-rules", {"text": faulty, "reason": "x"})
    assert (code, told["code"]) == (400, "unusable-rules")
    assert told["details"] == {"rule": "known-words", "field": "must.field"}
    assert Event.objects.filter(kind="project.rules-set").count() == 1


def test_concerns_are_listed_by_weight_and_settled_with_a_reason(site: Site) -> None:
    client = client_of(site, Role.QA_LEAD)
    listed = client.get(reverse("api:concerns", kwargs={"key": "lung"})).json()
    assert [(one["name"], one["score"]) for one in listed] == [("C-0001", 0.9), ("C-0002", 0.4)]
    first = listed[0]
    body: dict[str, object] = {
        "decision": "dismissed",
        "revision": first["revision"],
        "reason": "one scan, two kernels",
    }
    code, told = send(client, "post", "concern-settle", body, concern_id=first["id"])
    assert (code, told["state"], told["settled_because"]) == (200, "dismissed", "one scan, two kernels")
    assert send(client, "post", "concern-settle", body, concern_id=first["id"])[0] == 409
    assert send(client, "post", "concern-settle", {**body, "reason": " "}, concern_id=first["id"])[0] == 400
    assert send(client, "post", "concern-settle", body, concern_id=uuid.uuid4())[0] == 404
    other = {**body, "decision": "open", "revision": 2}
    assert send(client, "post", "concern-settle", other, concern_id=first["id"])[1]["code"] == "no-such-decision"
    address = reverse("api:concerns", kwargs={"key": "lung"})
    assert [one["name"] for one in client.get(address, {"state": "open"}).json()] == ["C-0002"]
    assert [one["name"] for one in client.get(address).json()] == ["C-0002", "C-0001"]
