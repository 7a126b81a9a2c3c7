"""Pushing instances: durable before the answer, each with its outcome, joined into a delivery that is judged."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.common.errors import Conflict
from qaservice.jobs.runner import drain
from qaservice.storage.models import Blob
from qaservice.storage.selectors import read_blob
from qaservice.studies import pushing
from qaservice.studies.models import Ingest, IngestItem, Instance, Series
from tests.factories.records import PASSWORD, Site, make_site
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import series_files, slice_file

pytestmark = pytest.mark.django_db

OTHER = SERIES + ".55"


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def client(site: Site) -> Client:
    made = Client()
    assert made.login(username=site.lead.username, password=PASSWORD)
    return made


def opened(client: Client) -> str:
    answer = client.post(
        reverse("api:deliveries", kwargs={"key": "lung"}),
        {"name": "from the PACS", "reason": "a test"},
        content_type="application/json",
    )
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def multipart(parts: list[bytes], *, head: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    body = b"".join(b"--edge\r\n" + head + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"--edge--\r\n"


def push(client: Client, body: bytes, *, many: bool, delivery: str = "") -> Any:
    address = reverse("api:instances", kwargs={"key": "lung"})
    content_type = 'multipart/related; type="application/dicom"; boundary=edge' if many else "application/dicom"
    return client.post(f"{address}?delivery={delivery}" if delivery else address, body, content_type=content_type)


def close(client: Client, delivery: str) -> Any:
    return client.post(
        reverse("api:ingest-close", kwargs={"ingest_id": delivery}),
        {"reason": "all sent"},
        content_type="application/json",
    )


def pushed_files() -> list[Path]:
    found = [place for place in (Path(django_settings.DATA_DIR) / "pushed").rglob("*") if place.is_file()]
    return [place for place in found if not place.parent.name.endswith(".looked-at")]


@pytest.mark.requirement("REQ-17")
def test_pushed_instances_are_judged_as_one_delivery_once_it_is_closed(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    delivery = opened(client)
    files = list(series_files(series=OTHER).values())
    answer = push(client, multipart(files[:4]), many=True, delivery=delivery)
    assert answer.status_code == 200, answer.content
    assert [one["outcome"] for one in answer.json()["instances"]] == ["received"] * 4
    assert [one["sop_instance_uid"] for one in answer.json()["instances"]] == [f"{OTHER}.{n + 1}" for n in range(4)]
    assert push(client, files[4], many=False, delivery=delivery).status_code == 200
    assert not Instance.objects.filter(series_instance_uid=OTHER).exists(), "nothing is judged while it is open"
    assert {place.read_bytes() for place in pushed_files()} == set(files)
    with django_capture_on_commit_callbacks(execute=True):
        assert close(client, delivery).status_code == 202
        drain(project_key="lung", on_progress=lambda progress: None)
    ingest = Ingest.objects.get(pk=delivery)
    assert ingest.state == "completed" and ingest.summary["stored"] == 5 and ingest.source_name == "from the PACS"
    assert Series.objects.get(series_instance_uid=OTHER).state == "accepted"
    stored = Instance.objects.filter(series_instance_uid=OTHER).values_list("blob_id", flat=True)
    assert {read_blob(sha256) for sha256 in stored} == set(files)
    assert pushed_files() == []
    kinds = Event.objects.filter(subject_id=delivery).values_list("kind", flat=True)
    assert {"ingest.opened", "ingest.closed", "ingest.completed"} <= set(kinds)


def test_sending_the_same_instance_again_changes_nothing(client: Client) -> None:
    delivery = opened(client)
    data = slice_file(number=0, series=OTHER)
    assert push(client, data, many=False, delivery=delivery).json()["instances"][0]["outcome"] == "received"
    answer = push(client, multipart([data, data]), many=True, delivery=delivery)
    assert [one["outcome"] for one in answer.json()["instances"]] == ["already-received"] * 2
    assert len(pushed_files()) == 1


def test_every_instance_of_a_request_has_its_own_outcome(client: Client) -> None:
    delivery = opened(client)
    good, nameless = slice_file(number=0, series=OTHER), slice_file(number=1, series=OTHER, SOPInstanceUID="")
    answer = push(client, multipart([good, b"no DICOM at all", nameless]), many=True, delivery=delivery)
    assert answer.status_code == 202
    found = [(one["outcome"], one["code"]) for one in answer.json()["instances"]]
    assert found == [("received", ""), ("refused", "not-a-study-file"), ("refused", "missing-required-tags")]
    assert len(pushed_files()) == 1
    answer = push(client, b"no DICOM at all", many=False, delivery=delivery)
    assert answer.status_code == 409 and answer.json()["instances"][0]["outcome"] == "refused"


def test_instances_without_a_delivery_join_one_that_closes_after_a_quiet_time(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    files = list(series_files(series=OTHER).values())
    deliveries = {push(client, data, many=False).json()["delivery"] for data in files}
    assert len(deliveries) == 1
    assert pushing.close_quiet() == 0, "the last one came just now"
    ingest = Ingest.objects.get(pk=deliveries.pop())
    before = time.time() - pushing.QUIET_SECONDS - 5
    os.utime(ingest.source_path, (before, before))
    with django_capture_on_commit_callbacks(execute=True):
        assert pushing.close_quiet() == 1
        assert pushing.close_quiet() == 0
        drain(project_key="lung", on_progress=lambda progress: None)
    ingest.refresh_from_db()
    assert ingest.state == "completed" and ingest.summary["stored"] == 5
    assert push(client, files[0], many=False).json()["delivery"] != str(ingest.pk)


def test_a_delivery_into_which_nothing_came_is_given_up_after_a_day(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ingest = Ingest.objects.get(pk=opened(client))
    before = time.time() - pushing.STALE_SECONDS - 5
    os.utime(ingest.source_path, (before, before))
    with django_capture_on_commit_callbacks(execute=True):
        assert pushing.close_quiet() == 0
    assert not Path(ingest.source_path).exists()
    ingest.refresh_from_db()
    assert ingest.state == "failed" and "nothing was pushed" in ingest.failure


def test_a_closed_delivery_takes_nothing_more(client: Client) -> None:
    delivery = opened(client)
    assert close(client, delivery).json()["code"] == "empty-delivery"
    push(client, slice_file(number=0, series=OTHER), many=False, delivery=delivery)
    assert close(client, delivery).status_code == 202
    assert close(client, delivery).json()["code"] == "wrong-state"
    answer = push(client, slice_file(number=1, series=OTHER), many=False, delivery=delivery)
    assert answer.status_code == 409 and answer.json()["code"] == "delivery-closed"


def test_a_delivery_closed_while_instances_arrive_does_not_claim_to_have_them(site: Site) -> None:
    ingest = pushing.open_delivery(project=site.project, name="x", actor=SYSTEM, reason="a test")
    pushing.push(ingest=ingest, instances=[[slice_file(number=0, series=OTHER)]])

    def closing() -> Any:
        yield slice_file(number=1, series=OTHER)
        pushing.close(ingest=Ingest.objects.get(pk=ingest.pk), actor=SYSTEM, reason="a test")

    with pytest.raises(Conflict, match="closed"):
        pushing.push(ingest=ingest, instances=[closing()])


BAD: Mapping[str, tuple[bytes, str, int, str]] = {
    "a request cut off": (
        multipart([b"x" * 5000])[:-9],
        "multipart/related; boundary=edge",
        400,
        "multipart-truncated",
    ),
    "no boundary": (b"x", "multipart/related", 400, "multipart-malformed"),
    "parts of another type": (
        multipart([b"x"], head=b"Content-Type: text/plain\r\n"),
        "multipart/related; boundary=edge",
        400,
        "multipart-type",
    ),
    "no parts": (b"--edge--\r\n", "multipart/related; boundary=edge", 400, "nothing-sent"),
    "another content type": (b"x", "text/plain", 415, "unsupported-media-type"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_request_gets_a_clear_answer_and_leaves_nothing(client: Client, case: str) -> None:
    body, content_type, status, code = BAD[case]
    blobs = Blob.objects.count()
    address = reverse("api:instances", kwargs={"key": "lung"})
    answer = client.post(f"{address}?delivery={opened(client)}", body, content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert pushed_files() == [] and Blob.objects.count() == blobs and not IngestItem.objects.exists()


def test_a_request_beyond_the_limit_is_refused_and_leaves_nothing(client: Client, settings: Settings) -> None:
    settings.MAX_UPLOAD_BYTES = 1000
    answer = push(client, slice_file(number=0) * 3, many=False, delivery=opened(client))
    assert answer.json()["code"] == "upload-too-large" and pushed_files() == []


def test_who_may_not_ingest_may_not_push(site: Site) -> None:
    reader = Client()
    assert reader.login(username=site.readers[0].username, password=PASSWORD)
    assert push(reader, slice_file(number=0), many=False).status_code == 403
    assert (
        Client()
        .post(reverse("api:instances", kwargs={"key": "lung"}), b"x", content_type="application/dicom")
        .status_code
        == 401
    )
    assert not Ingest.objects.exists()


def test_a_delivery_is_judged_the_same_whether_or_not_what_was_found_at_its_arrival_is_still_known(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    results = {}
    for series, damage in ((f"{OTHER}.1", False), (f"{OTHER}.2", True)):
        delivery = opened(client)
        push(client, multipart(list(series_files(series=series).values())), many=True, delivery=delivery)
        [kept] = list(Path(Ingest.objects.get(pk=delivery).source_path + ".looked-at").iterdir())
        if damage:
            kept.write_bytes(kept.read_bytes()[:-40])
        with django_capture_on_commit_callbacks(execute=True):
            close(client, delivery)
            drain(project_key="lung", on_progress=lambda progress: None)
        found = Series.objects.get(series_instance_uid=series)
        results[damage] = (
            found.state,
            found.instance_count,
            found.acquisition,
            Ingest.objects.get(pk=delivery).summary,
        )
        assert not kept.parent.exists()
    assert results[False] == results[True] and results[True][0] == "accepted"
