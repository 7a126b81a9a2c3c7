"""Whatever shows images or identifying data is on record before it is sent, whichever address showed it (REQ-40)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse

from compliance.checkpoints import publish
from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.accounts.models import User
from qaservice.accounts.services import issue_token
from qaservice.analysis.dataset_models import ConcernObservation
from qaservice.labels.models import Finding
from qaservice.portal.viewing import RECORDED_BY_THEMSELVES, SHOWN_ON_POST, WITHOUT_IDENTITIES
from qaservice.projects.models import Project, Role
from qaservice.projects.services import create_project, grant
from qaservice.studies import looks
from qaservice.studies.models import IngestItem
from qaservice.trail.events import DATA_VIEWED
from qaservice.trail.looks import TAKEN_OUT, VIEWED
from tests.factories.records import make_user
from tests.qaservice.api.test_other_projects import Route, client_of, routes, things_of
from tests.qaservice.portal.dataset_site import RULES, keep_cohort, troubled_cohort
from tests.qaservice.trail.scene import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REQ-40")]

# What is sent as bytes is taken to be an image, or to hold some.
PICTURES = ("image/png", "image/jpeg", "application/pdf", "application/zip", "application/octet-stream", "video/")
ASKED: dict[str, dict[str, str]] = {
    "portal:proof-card": {"flag": "1"},
    "api:consistency": {"first": "1", "second": "2"},
    "portal:batch": {},
}
# Addresses that answer a GET only in a state that this walk does not make, and why they show nothing of a patient.
NOT_WALKED = {
    "api:label-rules": "answers the project's rules, and there are none here",
    "api:signature-certification": "answers the site's letter to FDA, and there is none here",
    "portal:batch": "leads on to a case",
    "portal:next-case": "leads on to a case",
    "portal:login": "leads on whoever is logged in",
    "portal:sign": "shows the record to be signed to whom it was put before, as portal:signed-record does",
}


def marks_of(scene: Scene) -> tuple[bytes, ...]:
    """Return what tells a patient, a study or a delivered file apart: an answer that holds one of these shows it."""
    series = scene.site.series
    told = {
        series.study.patient_key,
        series.study.study_instance_uid,
        series.series_instance_uid,
        *IngestItem.objects.filter(ingest__project=scene.site.project).values_list("name", flat=True),
        *IngestItem.objects.filter(ingest__project=scene.site.project).values_list("ingest__source_name", flat=True),
        *Finding.objects.filter(annotation_set__project=scene.site.project).values_list("tracking_uid", flat=True),
    }
    return tuple(one.encode() for one in sorted(told))


def observe_concern(scene: Scene, concern: str) -> None:
    """Say of a concern what a run said: it names a series."""
    series = [str(scene.site.series.pk)]
    with change("concern.observed", actor=SYSTEM, reason="for a test", subject=("concern", concern)):
        ConcernObservation(
            concern_id=concern,
            run=scene.site.run,
            check_version="1",
            score=0.5,
            reason="a test",
            series=series,
            evidence={},
        ).save()


def sent(answer: HttpResponseBase) -> bytes:
    return b"".join(answer) if answer.streaming else answer.content  # type: ignore[attr-defined]  # either has its own


def looks_by(user: User) -> int:
    return Event.objects.filter(actor_id=str(user.pk), kind__in=(*VIEWED, *TAKEN_OUT)).count()


@pytest.mark.slow
def test_every_address_that_shows_images_or_identifying_data_records_who_was_shown_what(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(looks, "ONE_LOOK", timedelta(0))
    site = scene.site
    integrator, boss = make_user("integrator"), make_user("boss", is_administrator=True)
    grant(project=site.project, user=integrator, role=Role.INTEGRATOR, actor=SYSTEM, reason="hands files in")
    things = things_of(site) | {"model_id": str(site.run.model_id), "user_id": str(site.lead.pk), "key": "lung"}
    things |= {"revision_id": str(scene.after.pk), "intent_id": str(uuid.uuid4()), "handle": "none"}
    things |= {"alert_id": str(uuid.uuid4())}
    observe_concern(scene, things["concern_id"])
    publish()
    marks, people = marks_of(scene), (site.lead, site.readers[0], scene.auditor, integrator, boss)
    clients: dict[User, Client] = {one: client_of(one) for one in people}
    named, walked, faults = {route.name for route in routes()}, set[str](), list[str]()
    for route in routes():
        told = shown(route, things, clients, marks)
        walked |= {route.name} if told is not None else set()
        faults += told or []
    assert not faults, "\n".join(faults)
    unwalked = {name for name in named - walked if answers_get(name, things, clients)} - set(NOT_WALKED)
    assert not unwalked, "give them what they need to answer, or say in NOT_WALKED why they show nothing"
    lists = WITHOUT_IDENTITIES | RECORDED_BY_THEMSELVES | SHOWN_ON_POST | set(NOT_WALKED)
    assert lists <= named, f"there are no such addresses: {lists - named}"


def shown(
    route: Route, things: dict[str, str], clients: dict[User, Client], marks: tuple[bytes, ...]
) -> list[str] | None:
    """Ask as everybody; return what is wrong with what was shown, None where nobody was shown anything."""
    address, faults = reverse(route.name, kwargs={name: things[name] for name in route.arguments}), None
    for user, client in clients.items():
        before = looks_by(user)
        answer = client.get(address, ASKED.get(route.name, {}))
        if answer.status_code != 200:
            continue
        faults, body, media = faults or [], sent(answer), answer.headers.get("Content-Type", "")
        marked = [mark.decode() for mark in marks if mark in body]
        identifying = media.startswith(PICTURES) or bool(marked)
        of_people = route.name in WITHOUT_IDENTITIES or route.name.endswith("-register")
        if of_people and identifying:
            faults.append(f"{route.name} shows {user} {media} with {marked}, and is listed as if it did not")
        if not of_people and looks_by(user) == before:
            faults.append(f"{route.name} shows {user} something, and nothing records it")
    return faults


def answers_get(name: str, things: dict[str, str], clients: dict[User, Client]) -> bool:
    """Return whether an address answers a GET at all: others are for POST alone."""
    route = next(one for one in routes() if one.name == name)
    address = reverse(name, kwargs={argument: things[argument] for argument in route.arguments})
    return any(client.get(address).status_code != 405 for client in clients.values())


def test_a_look_says_who_what_and_when_once_for_what_is_opened_together(scene: Scene, at: Callable[[str], Client]):
    lead, flag = at("lung-lead"), scene.site.flags[0]
    for _ in range(3):
        assert lead.get(reverse("portal:flag", args=["lung", flag.pk])).status_code == 200
    look = Event.objects.get(kind=DATA_VIEWED)
    assert (look.actor_name, look.actor_role, look.project_key) == ("Lung-Lead", "qa_lead", "lung")
    assert (look.subject_type, look.subject_id) == ("flag", str(flag.pk))
    assert look.payload == {"page": "portal:flag"} and look.reason == "opened the page"
    assert lead.get(reverse("portal:series-list", args=["lung"])).status_code == 200
    assert Event.objects.filter(kind=DATA_VIEWED).count() == 2, "another page is another look"
    page = at("auditor").get("/projects/lung/looks/", {"what": "viewed"}).content.decode()
    assert page.count("data.viewed") >= 2


def test_a_programs_look_is_recorded_under_its_account_and_a_refusal_is_none(scene: Scene):
    token = issue_token(user=scene.site.lead, label="a program", actor=SYSTEM, reason="for a test")
    program = Client(headers={"Authorization": f"Bearer {token}"})
    assert program.get(reverse("api:series", args=[scene.site.series.pk])).status_code == 200
    look = Event.objects.get(kind=DATA_VIEWED)
    assert (look.actor_name, look.subject_type, look.project_key) == ("Lung-Lead", "series", "lung")
    assert look.reason == "asked for the data"
    assert program.get(reverse("api:series", args=[uuid.uuid4()])).status_code == 404
    assert Client().get(reverse("api:series", args=[scene.site.series.pk])).status_code in {401, 403}
    assert program.get("/nowhere/").status_code == 404
    assert Event.objects.filter(kind=DATA_VIEWED).count() == 1


def test_a_rehearsal_of_rules_shows_what_they_would_raise_and_is_a_look(scene: Scene, at: Callable[[str], Client]):
    keep_cohort(project=scene.site.project, run=scene.site.run, facts=troubled_cohort(series=4))
    lead = at("lung-lead")
    told = lead.post(reverse("api:label-rules-rehearsal", args=["lung"]), {"text": RULES})
    assert told.status_code == 200, told.content
    assert Event.objects.get(kind=DATA_VIEWED).payload == {"page": "api:label-rules-rehearsal"}
    assert lead.post(reverse("portal:rules", args=["lung"]), {"text": RULES, "step": "try"}).status_code == 200
    assert Event.objects.filter(kind=DATA_VIEWED).count() == 2


def test_the_trail_over_several_projects_is_a_look_at_each_that_was_asked_for(
    scene: Scene, at: Callable[[str], Client]
):
    other = create_project(key="heart", title="Hearts", actor=SYSTEM, reason="another one").key
    grant(
        project=Project.objects.get(key=other),
        user=scene.auditor,
        role=Role.AUDITOR,
        actor=SYSTEM,
        reason="inspects both",
    )
    auditor = at("auditor")
    assert auditor.get(reverse("api:trail"), {"project": other}).status_code == 200
    assert set(Event.objects.filter(kind=DATA_VIEWED).values_list("project_key", flat=True)) == {other}
    assert auditor.get(reverse("api:trail")).status_code == 200
    assert set(Event.objects.filter(kind=DATA_VIEWED).values_list("project_key", flat=True)) == {other, "lung"}
