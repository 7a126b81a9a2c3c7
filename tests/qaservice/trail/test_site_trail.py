"""What happened to accounts belongs to no project, and an auditor finds it (REQ-04, REQ-06)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.accounts.services import deactivate_user
from qaservice.projects.models import Role
from qaservice.projects.services import create_project, grant
from tests.factories.records import make_user
from tests.qaservice.trail.conftest import body
from tests.qaservice.trail.scene import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REQ-04"), pytest.mark.requirement("REQ-06")]


@pytest.fixture
def left(scene: Scene) -> str:
    """Somebody who came, was given roles in two projects, and left; their id."""
    person = make_user("newcomer")
    other = create_project(key="heart", title="Hearts", actor=SYSTEM, reason="another one")
    for project in (scene.site.project, other):
        grant(project=project, user=person, role=Role.INTEGRATOR, actor=SYSTEM, reason="hands files in")
    deactivate_user(user=person, actor=SYSTEM, reason="left the hospital")
    return str(person.pk)


def found(client: Client, **asked: str) -> list[tuple[str, str]]:
    answer = client.get(reverse("api:site-events"), {"ordering": "time", **asked})
    assert answer.status_code == 200, answer.content
    return [(one["kind"], one["project"]) for one in answer.json()["results"]]


def test_an_auditor_finds_the_life_of_an_account_with_the_roles_of_the_projects_that_they_audit(
    left: str, at: Callable[[str], Client]
):
    auditor = at("auditor")
    life = [("account.created", ""), ("membership.granted", "lung"), ("account.deactivated", "")]
    assert found(auditor, subject=left) == life, "the other project does not exist for this auditor"
    assert found(auditor, subject=left, kind="account.deactivated") == [life[2]]
    assert found(auditor, subject=left, text="hospital") == [life[2]]
    assert found(auditor, subject=left, since="2999-01-01") == []
    assert found(auditor, role="user", kind="account.login")[0] == ("account.login", "")
    assert {project for _, project in found(auditor)} == {"", "lung"}
    assert not [kind for kind, project in found(auditor) if project and not kind.startswith("membership.")]
    make_user("boss", is_administrator=True)
    assert ("membership.granted", "heart") in found(at("boss"), subject=left)


def test_the_page_names_the_account_and_links_what_the_person_may_open(left: str, at: Callable[[str], Client]):
    make_user("boss", is_administrator=True)
    link = reverse("portal:account-of", args=[left])
    asked = {"subject": left, "kind": "account.deactivated"}
    page = at("auditor").get(reverse("portal:site-trail"), asked).content.decode()
    assert "Newcomer (newcomer)" in page and "left the hospital" in page and link not in page
    assert f'href="{reverse("portal:administration")}"' not in page
    assert link in at("boss").get(reverse("portal:site-trail"), asked).content.decode()
    assert reverse("portal:site-trail") in at("auditor").get("/projects/lung/trail/").content.decode()
    wrong = at("auditor").get(reverse("portal:site-trail"), {"since": "yesterday"})
    assert wrong.status_code == 400 and "no day or time" in wrong.content.decode()


@pytest.mark.requirement("REQ-03")
def test_it_is_handed_out_as_lines_and_as_pdf_for_a_reason_and_that_is_on_record(
    left: str, at: Callable[[str], Client]
):
    auditor, address = at("auditor"), reverse("portal:site-trail-export")
    asked = {"subject": left, "format": "jsonl"}
    assert auditor.post(address, asked).status_code == 400, "no reason"
    lines = [json.loads(line) for line in body(auditor.post(address, {**asked, "reason": "inspection"})).splitlines()]
    assert [one["event"]["kind"] for one in lines[1:-1]][::2] == ["account.created", "account.deactivated"]
    assert lines[0]["project"] == "" and lines[0]["ledger"]["checkpoint"]
    pdf = auditor.post(reverse("api:site-trail-exports"), {"subject": left, "format": "pdf", "reason": "inspection"})
    assert body(pdf).startswith(b"%PDF-") and "site-trail.pdf" in pdf["Content-Disposition"]
    handed = Event.objects.filter(kind="trail.exported", project_key="")
    assert [(one.actor_name, one.actor_role, one.subject_type) for one in handed] == [
        ("Auditor", "auditor", "site")
    ] * 2


@pytest.mark.requirement("REQ-15")
def test_nobody_else_sees_what_happened_to_accounts(left: str, at: Callable[[str], Client]):
    for name in ("lung-lead", "lung-reader-1"):
        client = at(name)
        assert client.get(reverse("api:site-events")).status_code == 403
        assert client.get(reverse("portal:site-trail")).status_code == 403
        for address in ("api:site-trail-exports", "portal:site-trail-export"):
            assert client.post(reverse(address), {"reason": "x", "format": "jsonl"}).status_code == 403
