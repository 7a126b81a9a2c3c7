"""A flag on which readers disagree goes to somebody who has not read it, and their verdict settles it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagState
from qaservice.common.errors import Conflict, Gone, NotPermitted
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.review.duties import deciders
from qaservice.review.models import Assignment
from qaservice.review.selectors import next_waiting, unassigned_places, worklist
from qaservice.review.services import assign, send_to_adjudicator
from qaservice.studies.models import PixelRemoval, RemovalCause
from tests.factories.records import PASSWORD, Site, assign_first_three, make_flag, make_site, make_user
from tests.qaservice.review.test_duties import disputed, vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def judge(site: Site) -> User:
    person = make_user("judge")
    grant(project=site.project, user=person, role=Role.ADJUDICATOR, actor=SYSTEM, reason="decides")
    return person


def at(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


@pytest.mark.requirement("REQ-14")
@pytest.mark.requirement("REQ-16")
def test_the_lead_sends_a_disputed_flag_from_its_page_to_one_who_has_not_read_it(site: Site, judge: User):
    flag, lead = disputed(site), at("lung-lead")
    page, address = reverse("portal:flag", args=["lung", flag.pk]), reverse("portal:adjudicate", args=["lung", flag.pk])
    shown = lead.get(page).content.decode()
    assert "Judge, adjudicator" in shown and f'value="{site.readers[3].username}"' in shown
    assert not [one for one in site.readers[:3] if f'value="{one.username}"' in shown]
    assert "Give a reason" in lead.post(address, {"adjudicator": "judge", "reason": " "}, follow=True).content.decode()
    assert "say who decides" in lead.post(address, {"reason": "x"}, follow=True).content.decode().lower()
    read = lead.post(address, {"adjudicator": site.readers[0].username, "reason": "x"}, follow=True).content.decode()
    assert "someone else must decide" in read
    told = lead.post(address, {"adjudicator": "judge", "reason": "they differ"}, follow=True).content.decode()
    assert "Judge was asked to decide" in told and "has not yet" in told and "Send to them" not in told
    made = Event.objects.filter(kind="assignment.made").latest("occurred_at")
    assert (made.actor_name, made.reason) == ("Lung-Lead", "they differ")
    [case] = worklist(user=judge, project=site.project, state="waiting")
    vote(case, "label-right")
    settled = Flag.objects.get(pk=flag.pk)
    assert (settled.state, settled.outcome) == (FlagState.SETTLED, "label-right")
    assert "Send to them" not in lead.get(page).content.decode()


@pytest.mark.requirement("REQ-16")
def test_the_same_over_the_api_and_nobody_else_may_send_it(site: Site, judge: User):
    flag = disputed(site)
    address, lead = reverse("api:adjudication", args=[flag.pk]), at("lung-lead")
    assert [one["username"] for one in lead.get(address).json()] == ["judge", site.readers[3].username]
    asked = {"adjudicator": "judge", "reason": "they differ"}
    assert at(site.readers[3].username).post(address, asked).status_code == 403
    assert lead.post(address, {**asked, "reason": ""}).status_code == 400
    assert lead.post(address, {**asked, "adjudicator": "nobody-here"}).status_code == 400
    assert lead.post(address, asked).json()["state"] == "assigned"
    again = lead.post(address, {**asked, "adjudicator": site.readers[3].username})
    assert (again.status_code, again.json()["code"]) == (409, "decision-waits")


@pytest.mark.requirement("REQ-14")
def test_only_a_disputed_flag_is_decided_and_only_by_who_may_read(site: Site, judge: User):
    with pytest.raises(Conflict, match="nothing to decide"):
        send_to_adjudicator(flag=site.flags[0], adjudicator=judge, actor=SYSTEM, reason="a try")
    flag = disputed(site)
    assert deciders(flag=flag) == [judge, site.readers[3]]
    with pytest.raises(NotPermitted):
        send_to_adjudicator(flag=flag, adjudicator=site.lead, actor=SYSTEM, reason="a try")
    address = reverse("api:adjudication", args=[site.run.pk])
    assert at("lung-lead").get(address).status_code == 404


@pytest.mark.requirement("REQ-42")
def test_a_case_whose_images_were_withdrawn_waits_for_nobody(site: Site):
    site.flags.append(make_flag(site=site, number=2))
    first, *_ = assign_first_three(site, site.flags[0])
    assert [flag.number for flag, _ in unassigned_places(project=site.project)] == [2]
    with change(
        "retention.consent-withdrawn", actor=SYSTEM, reason="a test", subject=("study", str(site.series.study_id))
    ):
        PixelRemoval(study=site.series.study, cause=RemovalCause.WITHDRAWN).save()
    reader = first.reader
    assert not worklist(user=reader, project=site.project, state="waiting")
    assert unassigned_places(project=site.project) == []
    assert next_waiting(assignment=Assignment.objects.select_related("flag").get(pk=first.pk)) is None
    with pytest.raises(Gone):
        assign(flag=site.flags[1], reader=reader, actor=SYSTEM, reason="a try")
    page = at(reader.username).get("/projects/lung/worklist/", {"state": "all"}).content.decode()
    assert "images no longer held" in page and reverse("portal:case", args=["lung", first.pk]) not in page
