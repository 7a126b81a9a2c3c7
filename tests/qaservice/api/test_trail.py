"""What the trail keeps and how it is searched: who looked at what, who decided what, on whose evidence."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from qaservice.analysis.models import FlagObservation
from tests.factories.records import PASSWORD, Site, assign_first_three, make_site

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return make_site(flags=2)


def client_of(user: Any) -> Client:
    client = Client()
    assert client.login(username=user.username, password=PASSWORD)
    return client


def events(site: Site, **query: str) -> list[dict[str, Any]]:
    answer = client_of(site.lead).get(reverse("api:events", kwargs={"key": "lung"}), query)
    assert answer.status_code == 200
    return list(answer.json()["results"])


@pytest.mark.requirement("REQ-04")
def test_the_trail_is_searched_by_action_person_and_record(site: Site) -> None:
    first, second = site.flags
    for flag in (first, second):
        assign_first_three(site, flag)
    assert {event["kind"] for event in events(site, kind="assignment.made")} == {"assignment.made"}
    assert len(events(site, kind="assignment.made")) == 6
    of_second = events(site, kind="assignment.made", subject=str(second.pk))
    assert [event["subject"] for event in of_second] == [["flag", str(second.pk)]] * 3
    assert events(site, kind="assignment.made", actor=str(site.readers[0].pk)) == []
    assert len(events(site, kind="assignment.made", actor=str(site.lead.pk))) == 6


@pytest.mark.requirement("REQ-04")
def test_the_trail_comes_newest_first_with_person_role_and_reason(site: Site) -> None:
    assign_first_three(site, site.flags[0])
    found = events(site)
    assert [event["occurred_at"] for event in found] == sorted((event["occurred_at"] for event in found), reverse=True)
    newest = found[0]
    assert (newest["actor"], newest["role"], newest["reason"]) == (site.lead.display_name, "qa_lead", "first reads")


@pytest.mark.requirement("REQ-04")
def test_a_reader_cannot_search_the_trail(site: Site) -> None:
    answer = client_of(site.readers[0]).get(reverse("api:events", kwargs={"key": "lung"}))
    assert answer.status_code == 403


@pytest.mark.requirement("REQ-40")
def test_opening_a_case_records_who_looked_at_which_images(site: Site) -> None:
    assignment, *_ = assign_first_three(site, site.flags[0])
    before = Event.objects.filter(kind="read.opened").count()
    client_of(assignment.reader).get(reverse("api:case", kwargs={"assignment_id": assignment.pk}))
    [opened] = Event.objects.filter(kind="read.opened")[before:]
    assert (opened.actor_id, opened.subject_id) == (str(assignment.reader.pk), str(site.flags[0].pk))
    assert opened.payload["assignment"] == str(assignment.pk)


@pytest.mark.requirement("REQ-40")
def test_a_login_and_a_refused_login_are_recorded_without_what_was_typed(site: Site) -> None:
    address = reverse("portal:login")
    typed = {"username": site.lead.username, "password": "not-her-password"}
    Client().post(address, typed)
    Client().post(address, {**typed, "password": PASSWORD})
    refused = Event.objects.get(kind="account.login-failed")
    assert refused.subject_id == str(site.lead.pk)
    assert "not-her-password" not in repr(refused.payload) + refused.reason
    assert Event.objects.filter(kind="account.login", actor_id=str(site.lead.pk)).exists()


@pytest.mark.requirement("REQ-36")
def test_a_flag_keeps_the_model_the_threshold_and_the_input_that_raised_it(site: Site) -> None:
    assignment, *_ = assign_first_three(site, site.flags[0])
    client = client_of(assignment.reader)
    key = {"assignment_id": assignment.pk}
    voted = client.post(
        reverse("api:verdicts", kwargs=key),
        {"decision": "cannot-tell", "rationale": "small"},
        content_type="application/json",
    )
    assert voted.status_code == 201
    revealed = client.post(reverse("api:reveal", kwargs=key)).json()["revealed"]
    observation = FlagObservation.objects.get(flag=site.flags[0])
    assert revealed["model_sha256"] == observation.model_sha256 == site.run.model.bundle_sha256
    assert (revealed["threshold"], revealed["check_version"]) == (observation.threshold, observation.check_version)
    assert len(observation.input_sha256) == 64
    assert str(observation.run.model) == revealed["model"]
