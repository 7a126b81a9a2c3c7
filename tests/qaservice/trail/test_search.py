"""The trail is searched by what an inspector knows, and read page by page without loss or repeat (REQ-04)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse

from compliance import recording
from compliance.models import Event
from compliance.recording import SYSTEM, Actor, record_event
from qaservice.accounts.models import User
from qaservice.projects.models import Membership, Role
from qaservice.projects.services import create_project, grant
from qaservice.trail.paging import ORDERINGS
from tests.factories.records import Site, make_site, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REQ-04")]

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def site() -> Site:
    return make_site()


def happened(site: Site, *, at: datetime, actor: Actor, reason: str, kind: str = "project.changed") -> str:
    """Put an event on record at a time of the test's choosing; the service itself never chooses."""
    clock = mock.Mock(UTC=UTC)
    clock.datetime.now.return_value = at
    with mock.patch.object(recording, "datetime", clock):
        return str(
            record_event(
                kind,
                actor=actor,
                reason=reason,
                subject=("project", str(site.project.pk)),
                project_key=site.project.key,
            )
        )


def found(client: Client, **asked: Any) -> list[str]:
    answer = client.get(reverse("api:events", kwargs={"key": "lung"}), asked)
    assert answer.status_code == 200, answer.content
    return [one["id"] for one in answer.json()["results"]]


def test_each_filter_finds_what_it_says_and_nothing_else(site: Site, at: Callable[[str], Client]):
    ada, ben = Actor("u-ada", "Ada", "qa_lead"), Actor("u-ben", "Ben", "auditor")
    first = happened(site, at=NOON, actor=ada, reason="Two readers are enough for F-0001")
    second = happened(site, at=NOON + timedelta(hours=13), actor=ben, reason="three readers, as before")
    third = happened(site, at=NOON + timedelta(days=2), actor=ada, reason="closed at last", kind="project.closed")
    client = at("lung-lead")
    mine = {"since": "2031-05-04"}
    assert found(client, **mine) == [third, second, first]
    assert found(client, **mine, ordering="time") == [first, second, third]
    assert found(client, since="2031-05-05") == [third, second]
    assert found(client, **mine, until="2031-05-04") == [first], "a day as the end is included"
    assert found(client, **mine, until="2031-05-05T01:00") == [first], "a time as the end is not"
    assert found(client, **mine, actor="u-ada") == [third, first]
    assert found(client, **mine, role="auditor") == [second]
    assert found(client, **mine, kind="project.closed") == [third]
    assert found(client, **mine, kind=["project.closed", "project.changed"]) == [third, second, first]
    assert found(client, **mine, type="project", subject=str(site.project.pk)) == [third, second, first]
    assert found(client, **mine, type="flag") == []
    assert found(client, **mine, text="readers ENOUGH") == [first], "every word, whatever its case"
    assert found(client, **mine, text="F-0001") == [first]
    assert found(client, **mine, text="--") == []


def test_a_record_is_found_by_the_events_that_wrote_it_as_by_those_about_it(site: Site, at: Callable[[str], Client]):
    flag = str(site.flags[0].pk)
    [raised] = found(at("lung-lead"), type="flag", subject=flag)
    observation = site.flags[0].observations.get()
    assert found(at("lung-lead"), type="analysis_flagobservation", subject=str(observation.pk)) == [raised]
    assert found(at("lung-lead"), type="analysis_flagobservation", subject="no id at all") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "yesterday"},
        {"until": "2031-02-31"},
        {"since": "9999-12-31", "until": "9999-12-31"},
        {"ordering": "payload"},
        {"cursor": "after-5b32787a-0000-4000-8000-000000000000"},
        {"cursor": "%%%"},
        {"limit": "many"},
        {"text": "x" * 201},
        {"subject": "a\x00b"},
    ],
)
def test_what_cannot_be_understood_is_refused_and_never_left_out_in_silence(
    site: Site, at: Callable[[str], Client], asked: dict[str, str]
):
    answer = at("lung-lead").get(reverse("api:events", kwargs={"key": "lung"}), asked)
    assert answer.status_code == 400 and answer.json()["code"].startswith(("no-such-", "search-"))


def walk(client: Client, ordering: str, meanwhile: Callable[[], None]) -> list[str]:
    """Read all pages of three events in an ordering, letting something happen between them."""
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"ordering": ordering, "limit": 3, "since": "2031-05-04", "until": "2031-05-04", "cursor": cursor}
        answer = client.get(reverse("api:events", kwargs={"key": "lung"}), asked).json()
        ids += [one["id"] for one in answer["results"]]
        cursor = answer["next"]
        meanwhile()
    return ids


@pytest.mark.parametrize("column", sorted(ORDERINGS))
def test_pages_are_complete_and_repeat_nothing_while_new_events_arrive(
    site: Site, at: Callable[[str], Client], column: str
):
    actors = [Actor(f"u-{name}", name, role) for name, role in (("ada", "qa_lead"), ("ben", "auditor"))]
    # Four share each moment: the id alone tells them apart.
    known = {
        happened(site, at=NOON + timedelta(minutes=number // 4), actor=actors[number % 2], reason=f"step {number % 3}")
        for number in range(11)
    }
    client = at("lung-lead")

    def later() -> None:
        happened(site, at=NOON + timedelta(days=1), actor=actors[0], reason="arrived meanwhile")

    up, down = walk(client, column, later), walk(client, f"-{column}", later)
    assert len(up) == len(set(up)) == len(known) and set(up) == known
    assert down == up[::-1]


def test_the_page_before_is_the_page_that_one_came_from(site: Site, at: Callable[[str], Client]):
    for number in range(7):
        happened(site, at=NOON + timedelta(minutes=number), actor=SYSTEM, reason="a step")
    client = at("lung-lead")
    address, asked = reverse("api:events", kwargs={"key": "lung"}), {"limit": "3", "since": "2031-05-04"}
    pages = [client.get(address, asked).json()]
    assert pages[0]["previous"] is None
    while pages[-1]["next"]:
        pages.append(client.get(address, {**asked, "cursor": pages[-1]["next"]}).json())
    assert [len(page["results"]) for page in pages] == [3, 3, 1]
    back = client.get(address, {**asked, "cursor": pages[2]["previous"]}).json()
    assert back["results"] == pages[1]["results"]
    assert client.get(address, {**asked, "cursor": back["previous"]}).json()["results"] == pages[0]["results"]


@pytest.mark.requirement("REQ-33")
def test_readers_strangers_and_auditors_of_other_projects_get_nothing(site: Site, at: Callable[[str], Client]):
    other = create_project(key="other", title="Other", actor=SYSTEM, reason="for a test")
    elsewhere = make_user("elsewhere")
    grant(project=other, user=elsewhere, role=Role.AUDITOR, actor=SYSTEM, reason="for a test")
    make_user("stranger")
    flag = {"table": "analysis_flag", "record_id": str(site.flags[0].pk)}
    api = [
        ("api:events", {}),
        ("api:looks", {}),
        ("api:record", flag),
        ("portal:trail", {}),
        ("portal:looks", {}),
        ("portal:record", flag),
    ]
    for name, arguments in api:
        address = reverse(name, kwargs={"key": "lung", **arguments})
        told = [at(who).get(address).status_code for who in ("lung-reader-1", "stranger", "elsewhere", "lung-lead")]
        assert told == [403, 404, 404, 200], name
    for name, arguments in (("api:trail-exports", {}), ("api:record-exports", flag)):
        address = reverse(name, kwargs={"key": "lung", **arguments})
        asked = {"format": "jsonl", "reason": "to see"}
        told = [at(who).post(address, asked).status_code for who in ("lung-reader-1", "stranger", "elsewhere")]
        assert told == [403, 404, 404], name
    own = at("elsewhere").get(reverse("api:record", kwargs={"key": "other", **flag}))
    assert own.status_code == 404, "a record is reached through its own project alone"


@pytest.mark.requirement("REQ-33")
def test_whoever_still_reads_sees_no_trail_even_with_a_role_that_would_allow_it(
    site: Site, at: Callable[[str], Client]
):
    reader = User.objects.get(username="lung-reader-1")
    with recording.change(
        "membership.granted", actor=SYSTEM, reason="past the rules", subject=("user", str(reader.pk))
    ):
        Membership(project=site.project, user=reader, role=Role.AUDITOR).save()
    client = at("lung-reader-1")
    refused = client.get(reverse("api:events", kwargs={"key": "lung"}))
    assert refused.status_code == 403 and refused.json()["code"] == "still-reads"
    assert client.get(reverse("portal:trail", args=["lung"])).status_code == 403
    assert client.get(reverse("api:trail")).status_code == 403


def test_the_trail_over_projects_holds_those_that_one_may_audit_and_narrows_to_one(
    site: Site, at: Callable[[str], Client]
):
    other = create_project(key="other", title="Other", actor=SYSTEM, reason="for a test")
    create_project(key="third", title="Third", actor=SYSTEM, reason="for a test")
    grant(project=other, user=site.lead, role=Role.AUDITOR, actor=SYSTEM, reason="for a test")
    client = at("lung-lead")
    kinds = {"kind": "project.created"}
    everywhere = client.get(reverse("api:trail"), kinds).json()["results"]
    assert {one["project"] for one in everywhere} == {"lung", "other"}
    [one] = client.get(reverse("api:trail"), {**kinds, "project": "other"}).json()["results"]
    assert one["project"] == "other" and one["subject"] == ["project", str(other.pk)]
    assert client.get(reverse("api:trail"), {"project": "third"}).status_code == 400
    assert Event.objects.filter(project_key="third").exists()
