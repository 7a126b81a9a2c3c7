"""The reader's way through the API, and errors as problem details."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from qaservice.review.models import Verdict
from tests.factories.records import PASSWORD, Site, assign_first_three, make_site

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return make_site()


def client_of(user: Any) -> Client:
    client = Client()
    assert client.login(username=user.username, password=PASSWORD)
    return client


def post(client: Client, name: str, body: dict[str, object], **arguments: object) -> Any:
    return client.post(reverse(f"api:{name}", kwargs=arguments), body, content_type="application/json")


def test_a_case_goes_from_blind_through_reveal_to_final(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    client = client_of(assignment.reader)
    key = {"assignment_id": assignment.pk}
    case = client.get(reverse("api:case", kwargs=key)).json()
    assert (case["next_step"], case["blind"], case["revealed"], case["flag"]["label"]) == (
        "blind",
        True,
        None,
        "F-0001",
    )
    assert (case["slice_index"], case["image_number"]) == (10, 11)
    overlays = client.get(reverse("api:overlays", kwargs=key)).json()
    assert {overlay["role"] for overlay in overlays} == {"label"}

    blind = post(client, "verdicts", {"decision": "cannot-tell", "rationale": "small"}, **key)
    assert blind.status_code == 201 and blind.json()["next_step"] == "reveal"
    case = post(client, "reveal", {}, **key).json()
    assert case["next_step"] == "final" and case["revealed"]["score"] == 0.8
    overlays = client.get(reverse("api:overlays", kwargs=key)).json()
    assert {overlay["role"] for overlay in overlays} == {"label", "other", "proposal"}
    proposal = next(overlay for overlay in overlays if overlay["role"] == "proposal")
    assert proposal["centre"] == pytest.approx([10.0, 28.0, 34.0]) and proposal["radius_mm"] == 3.5

    final = post(client, "verdicts", {"decision": "label-wrong", "rationale": "yes", "proposal_id": "p1"}, **key)
    assert final.status_code == 201 and final.json()["next_step"] == "none"
    assert Verdict.objects.count() == 2


def test_errors_are_problem_details_with_a_code(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    client = client_of(assignment.reader)
    key = {"assignment_id": assignment.pk}
    early = post(client, "reveal", {}, **key)
    assert early.status_code == 409 and early.headers["Content-Type"] == "application/problem+json"
    assert early.json()["code"] == "wrong-state"
    blank = post(client, "verdicts", {"decision": "exclude", "rationale": " "}, **key)
    assert blank.status_code == 400 and blank.json()["code"] == "rationale-missing"
    unknown = post(client, "verdicts", {"decision": "maybe", "rationale": "x"}, **key)
    assert unknown.status_code == 400 and "decision" in unknown.json()["detail"]
    assert Verdict.objects.count() == 0


def test_a_change_without_a_reason_is_refused(site: Site):
    response = post(client_of(site.lead), "assignments", {"reason": "  "}, key="lung")
    assert response.status_code == 400 and response.json()["code"] == "reason-missing"


def test_a_lead_assigns_by_name_and_sees_the_whole_record(site: Site):
    client = client_of(site.lead)
    names = [reader.username for reader in site.readers[:2]]
    made = post(client, "assignments", {"reason": "first reads", "readers": names}, key="lung")
    assert made.status_code == 201 and len(made.json()) == 2
    wrong = post(client, "assignments", {"reason": "first reads", "readers": ["nobody"]}, key="lung")
    assert wrong.status_code == 400 and "nobody" in wrong.json()["detail"]
    record = client.get(reverse("api:flag", kwargs={"flag_id": site.flags[0].pk})).json()
    assert record["check"] == "missing_nodule" and len(record["asked"]) == 2
    flags = client.get(reverse("api:flags", kwargs={"key": "lung"}), {"check": "missing_nodule"}).json()
    assert flags["count"] == 1 and flags["results"][0]["name"] == "F-0001"


def test_a_project_is_opened_with_a_reason_and_the_caller_leads_it(site: Site):
    client = client_of(site.lead)
    made = post(client, "projects", {"key": "second", "title": "Second", "reason": "a new cohort"})
    assert made.status_code == 201
    assert client.get(reverse("api:me")).json()["roles"]["second"] == ["qa_lead"]
    twice = post(client, "projects", {"key": "second", "title": "Second", "reason": "a new cohort"})
    assert twice.status_code == 409 and twice.json()["code"] == "project-exists"
    minority = {"key": "third", "title": "T", "reason": "x", "required_votes": 4, "agreeing_votes": 2}
    refused = post(client, "projects", minority)
    assert refused.status_code == 400


@pytest.mark.requirement("REQ-10")
def test_a_regulated_project_is_refused_on_the_embedded_database(site: Site):
    body = {"key": "fourth", "title": "T", "reason": "x", "regulated": True}
    answer = post(client_of(site.lead), "projects", body)
    if connection.vendor == "sqlite":
        assert answer.status_code == 400 and answer.json()["code"] == "regulated-on-sqlite"
    else:
        assert answer.status_code == 201
