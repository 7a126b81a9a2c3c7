"""Who looked at which images, and when, is on record, whichever way the images were reached (REQ-40)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from qaservice.review.services import record_opening
from qaservice.studies import looks
from tests.factories.records import assign_first_three
from tests.qaservice.trail.conftest import body
from tests.qaservice.trail.scene import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REQ-40")]


def look_at(client: Client, scene: Scene, index: int) -> None:
    answer = client.get(reverse("api:slice", kwargs={"series_id": scene.site.series.pk, "index": index}))
    assert answer.status_code == 200


def register(client: Client, **asked: str) -> list[tuple[str, str]]:
    answer = client.get(reverse("api:looks", kwargs={"key": "lung"}), {"ordering": "time", **asked})
    assert answer.status_code == 200, answer.content
    # To read the register is a look too: tests.qaservice.trail.test_viewing.
    return [(one["actor"], one["kind"]) for one in answer.json()["results"] if one["kind"] != "data.viewed"]


def test_a_scroll_through_a_series_is_one_look_and_another_persons_is_another(
    scene: Scene, at: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
):
    lead, reader = at("lung-lead"), at("lung-reader-1")
    for index in (7, 8, 9):
        look_at(lead, scene, index)
    look_at(reader, scene, 0)
    first, second = Event.objects.filter(kind="images.viewed").order_by("occurred_at")
    assert (first.actor_name, first.actor_role, first.subject_id) == ("Lung-Lead", "qa_lead", str(scene.site.series.pk))
    assert first.payload == {"image": 8} and (second.actor_name, second.actor_role) == ("Lung-Reader-1", "reader")
    monkeypatch.setattr(looks, "ONE_LOOK", timedelta(0))
    look_at(lead, scene, 9)
    assert Event.objects.filter(kind="images.viewed").count() == 3, "later on it is a look of its own"


def test_an_image_that_is_not_there_or_not_allowed_is_no_look(scene: Scene, at: Callable[[str], Client]):
    at("lung-lead").get(reverse("api:slice", kwargs={"series_id": scene.site.series.pk, "index": 99}))
    Client().get(reverse("api:slice", kwargs={"series_id": scene.site.series.pk, "index": 0}))
    assert not Event.objects.filter(kind="images.viewed").exists()


def test_the_register_tells_looks_reads_and_what_was_taken_out_by_series_and_person(
    scene: Scene, at: Callable[[str], Client]
):
    auditor = at("auditor")
    assignment, *_ = assign_first_three(scene.site, scene.site.flags[2])
    record_opening(assignment=assignment, user=assignment.reader)
    picture = auditor.get(reverse("api:outline-change", args=["lung", scene.after.pk]))
    assert picture["Content-Type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    body(auditor.post(reverse("api:trail-exports", args=["lung"]), {"reason": "inspection", "format": "jsonl"}))
    read, looked = ("Lung-Reader-1", "read.opened"), ("Auditor", "images.viewed")
    assert register(auditor) == [read, looked, ("Auditor", "trail.exported")]
    assert register(auditor, what="viewed") == [read, looked]
    assert register(auditor, what="taken-out") == [("Auditor", "trail.exported")]
    assert register(auditor, actor=str(scene.auditor.pk), what="viewed") == [looked]
    series = str(scene.site.series.pk)
    assert register(auditor, series=series) == [read, looked]
    assert register(auditor, series=str(scene.auditor.pk)) == []
    page = auditor.get("/projects/lung/looks/", {"series": series}).content.decode()
    assert page.count("TEST-1") == 2 and "opened the images" in page
    refused = auditor.get("/projects/lung/looks/", {"series": "all of them"})
    assert refused.status_code == 400 and "a series is named by its id" in refused.content.decode().lower()
    data = body(
        auditor.post(
            reverse("api:trail-exports", args=["lung"]),
            {"reason": "inspection", "format": "jsonl", "register": True, "looks": "viewed", "series": series},
        )
    )
    assert data.count(b'"type":"event"') == 2 and b'"format":"label-qa-looks"' in data
