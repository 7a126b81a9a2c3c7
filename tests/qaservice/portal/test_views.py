"""The portal's pages on the server's side: who sees which, what filters give, and how errors are told."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from compliance.models import Event
from compliance.recording import SYSTEM, change
from compliance.sealing import seal
from qaservice.projects.models import Membership, Project, Role
from qaservice.projects.services import grant
from qaservice.review.models import Assignment
from qaservice.studies.models import Ingest, IngestItem
from tests.factories.records import PASSWORD, Site, assign_first_three, make_site, make_user

pytestmark = pytest.mark.django_db

LEAD_PAGES = (
    "",
    "flags/",
    "series/",
    "deliveries/",
    "people/",
    "trail/",
    "looks/",
    "reports/",
    "models/",
    "dataset/",
    "rules/",
)


@pytest.fixture
def site() -> Site:
    made = make_site(flags=2)
    for flag in made.flags:
        assign_first_three(made, flag)
    return made


def at(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


@pytest.mark.parametrize("path", LEAD_PAGES)
def test_every_page_of_the_lead_opens_and_says_that_this_is_not_for_clinical_use(site: Site, path: str):
    response = at("lung-lead").get(f"/projects/lung/{path}")
    assert response.status_code == 200
    assert b"Not for clinical use" in response.content
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.requirement("REQ-33")
@pytest.mark.parametrize("path", ["flags/", "dataset/", "rules/", "people/", "trail/", "reports/", "deliveries/"])
def test_a_reader_is_refused_the_pages_that_would_end_their_blindness(site: Site, path: str):
    assert at("lung-reader-1").get(f"/projects/lung/{path}").status_code == 403


@pytest.mark.requirement("REQ-33")
def test_a_readers_overview_names_no_check(site: Site):
    content = at("lung-reader-1").get("/projects/lung/").content.decode()
    assert "2 cases to read" in content
    assert "missing nodule" not in content and "missing_nodule" not in content


@pytest.mark.requirement("REQ-06")
def test_a_project_that_one_has_no_role_in_does_not_exist(site: Site):
    make_user("stranger")
    assert at("stranger").get("/projects/lung/").status_code == 404
    assert at("stranger").get("/").status_code == 200


@pytest.mark.requirement("REQ-33")
def test_the_case_of_another_reader_does_not_exist(site: Site):
    case = Assignment.objects.filter(reader=site.readers[0]).first()
    assert case is not None
    assert at("lung-reader-1").get(f"/projects/lung/cases/{case.pk}/").status_code == 200
    assert at("lung-reader-2").get(f"/projects/lung/cases/{case.pk}/").status_code == 404


def test_a_batch_leads_from_case_to_case_and_back_to_the_worklist(site: Site):
    client = at("lung-reader-1")
    ids = [str(pk) for pk in Assignment.objects.filter(reader=site.readers[0]).values_list("pk", flat=True)]
    begun = client.get("/projects/lung/worklist/batch/", {"case": ids})
    assert begun.status_code == 302
    first = client.get(begun.url)
    assert first.context["next_url"].startswith(f"/projects/lung/cases/{ids[1]}/?batch=")
    second = client.get(first.context["next_url"])
    assert second.context["next_url"] == "/projects/lung/worklist/"


def test_a_batch_of_nothing_and_a_batch_that_nobody_made_are_told_apart(site: Site):
    client = at("lung-reader-1")
    assert client.get("/projects/lung/worklist/batch/").url == "/projects/lung/worklist/"
    assert client.get("/projects/lung/worklist/batch/", {"case": "'; drop"}).status_code == 400


def test_the_next_case_is_one_that_still_waits(site: Site):
    first, second = Assignment.objects.filter(reader=site.readers[0]).order_by("flag__number")
    response = at("lung-reader-1").get(f"/projects/lung/cases/{first.pk}/next/")
    assert response.url == f"/projects/lung/cases/{second.pk}/"


def test_the_worklist_can_be_filtered_and_sorted(site: Site):
    client = at("lung-reader-1")
    flags = [one.flag.number for one in client.get("/projects/lung/worklist/?ordering=-number").context["rows"].page]
    assert flags == [2, 1]
    assert len(client.get("/projects/lung/worklist/?state=done").context["rows"].page) == 0


def test_flags_can_be_narrowed_to_a_check_and_a_state(site: Site):
    client = at("lung-lead")
    assert len(client.get("/projects/lung/flags/?check=missing_nodule&state=open").context["rows"].page) == 2
    assert len(client.get("/projects/lung/flags/?check=boundary").context["rows"].page) == 0
    assert len(client.get("/projects/lung/flags/?state=settled").context["rows"].page) == 0


@pytest.mark.requirement("REQ-04")
def test_the_trail_can_be_searched_by_person_kind_reason_and_day(site: Site):
    seal()
    client = at("lung-lead")

    def found(**asked: str) -> int:
        return len(client.get("/projects/lung/trail/", asked).context["rows"])

    everything = Event.objects.filter(project_key="lung").count()
    assert found() == everything
    assert found(kind="assignment.made", actor=str(site.lead.pk)) == 6
    assert found(text="FIRST reads") == 6
    assert found(since="2020-01-01", until="2020-12-31") == 0
    refused = client.get("/projects/lung/trail/", {"since": "no day at all"})
    assert refused.status_code == 400 and "is no day or time" in refused.content.decode()
    assert found(subject=str(site.flags[0].pk)) == 4


@pytest.mark.requirement("REQ-13")
@pytest.mark.parametrize("path", ["analyse/", "assign/", "reports/make/", "people/grant/"])
def test_a_button_without_a_reason_changes_nothing(site: Site, path: str):
    before = Event.objects.count()
    client = at("lung-lead")
    logged_in = Event.objects.count()
    sent = {"reason": "  ", "username": "lung-reader-1", "role": "reader"}
    told = client.post(f"/projects/lung/{path}", sent, follow=True)
    assert b"Give a reason" in told.content
    assert Event.objects.count() == logged_in == before + 1


def test_roles_are_given_and_withdrawn_with_a_reason(site: Site):
    make_user("newcomer")
    client = at("lung-lead")
    client.post("/projects/lung/people/grant/", {"username": "newcomer", "role": "reader", "reason": "joins the panel"})
    held = Membership.objects.get(project=site.project, user__username="newcomer")
    assert held.active
    client.post(f"/projects/lung/people/{held.pk}/withdraw/", {"reason": "left the panel"})
    held.refresh_from_db()
    assert not held.active


def test_a_clash_of_roles_is_explained(site: Site):
    sent = {"username": "lung-reader-1", "role": "auditor", "reason": "wants to look"}
    told = at("lung-lead").post("/projects/lung/people/grant/", sent, follow=True)
    assert "reads would not be blind" in told.content.decode().lower()


@pytest.mark.requirement("REQ-16")
def test_a_reader_of_the_source_is_linked_to_their_account(site: Site):
    sent = {"reader_label": "annotator 1", "username": "lung-reader-4", "reason": "the same person"}
    told = at("lung-lead").post("/projects/lung/people/identify/", sent, follow=True)
    assert "will not be asked about labels of their own" in told.content.decode()


def test_an_auditor_inspects_and_changes_nothing(site: Site):
    auditor = make_user("auditor")
    grant(project=site.project, user=auditor, role=Role.AUDITOR, actor=SYSTEM, reason="audits")
    client = at("auditor")
    assert client.get("/projects/lung/trail/").status_code == 200
    assert client.get(f"/projects/lung/flags/{site.flags[0].pk}/").status_code == 200
    assert client.post("/projects/lung/assign/", {"reason": "no right"}).status_code == 403
    assert client.post("/projects/lung/verify/").status_code == 200


def test_a_new_project_belongs_to_whoever_opens_it(site: Site):
    sent = {"key": "second", "title": "Second", "reason": "a new cohort"}
    at("lung-lead").post("/projects/", sent)
    assert Project.objects.get(key="second").memberships.get().user == site.lead


def test_a_simulated_actor_opens_no_project(site: Site):
    make_user("robot", kind="simulated")
    told = at("robot").post("/projects/", {"key": "second", "title": "Second", "reason": "because"})
    assert told.status_code == 403
    assert not Project.objects.filter(key="second").exists()


@pytest.mark.requirement("REQ-17")
def test_every_file_of_a_delivery_is_listed_and_the_refused_ones_can_be_picked_out(site: Site):
    ingest = Ingest(project=site.project, source_name="delivery.zip", state="completed", summary={"stored": 1})
    with change("ingest.received", actor=SYSTEM, reason="for a test", subject=("ingest", str(ingest.pk))):
        ingest.save()
        for name, outcome, message in (("a.dcm", "stored", ""), ("b.dcm", "refused", "no pixels in it")):
            IngestItem(ingest=ingest, name=name, kind="dicom", outcome=outcome, message=message).save()
    client = at("lung-lead")
    assert "delivery.zip" in client.get("/projects/lung/deliveries/").content.decode()
    address = f"/projects/lung/deliveries/{ingest.pk}/"
    assert "a.dcm" in client.get(address).content.decode()
    for asked in ("trouble", "refused"):
        content = client.get(f"{address}?outcome={asked}").content.decode()
        assert "no pixels in it" in content and "a.dcm" not in content


@pytest.mark.parametrize("path", ["deliveries", "series", "flags"])
def test_what_does_not_exist_is_told_as_a_page(site: Site, path: str):
    response = at("lung-lead").get(f"/projects/lung/{path}/{uuid.uuid4()}/")
    assert response.status_code == 404
    assert b"This is not possible" in response.content


def test_a_wrong_password_does_not_say_what_was_wrong():
    make_user("someone")
    response = Client().post("/login/", {"username": "someone", "password": "guess"})
    assert b"The name or the password is wrong" in response.content
