"""Files that were not taken: they wait with their reason, can be tried again, and are resolved once they are taken."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.jobs.runner import drain
from qaservice.labels.models import AnnotationSet
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant, set_gate_policy, set_policies
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Ingest, IngestItem, IngestState, Series
from qaservice.studies.quarantine import chosen, open_count, quarantined, reason_groups, retry
from tests.factories.records import PASSWORD, make_user
from tests.imaging.readers.label_makers import OTHER_SERIES, luna16, voc
from tests.imaging.readers.made import uid_of
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]


def delivered(project: Project, tmp_path: Path, name: str, files: dict[str, bytes]) -> Ingest:
    return ingest(project, written_to(tmp_path / name, files))


def tried(project: Project, items: list[IngestItem] | None = None) -> Ingest:
    [again] = retry(
        project=project, items=chosen(project=project) if items is None else items, actor=SYSTEM, reason="once more"
    )
    drain(project_key=project.key, on_progress=lambda progress: None)
    again.refresh_from_db()
    assert again.state == IngestState.COMPLETED, again.failure
    return again


def waiting(project: Project) -> dict[str, str]:
    return {item.name: item.code for item in quarantined(project=project, state="open")}


def resolved(project: Project) -> set[str]:
    return {item.name for item in quarantined(project=project, state="resolved")}


@pytest.mark.requirement("REQ-17")
def test_labels_that_came_before_their_images_wait_and_are_taken_when_tried_again(
    project: Project, tmp_path: Path
) -> None:
    first = delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    assert waiting(project) == {"nodules.csv": "images-not-held"}
    delivered(project, tmp_path, "images", series_files(count=6))
    again = tried(project)
    assert outcomes(again) == {"nodules.csv": ("stored", "")}
    assert again.retry_of == first and again.source_path == ""
    assert IngestItem.objects.get(ingest=again).retry_of == IngestItem.objects.get(ingest=first)
    assert waiting(project) == {} and resolved(project) == {"nodules.csv"}
    assert AnnotationSet.objects.count() == 1
    event = Event.objects.get(kind="ingest.retried")
    assert event.payload["retry_of"] == str(first.pk) and event.reason == "once more"


def test_a_try_that_fails_again_takes_the_place_of_the_one_before(project: Project, tmp_path: Path) -> None:
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    again = tried(project)
    [item] = quarantined(project=project, state="open")
    assert item.ingest == again and item.retry_of is not None
    assert open_count(project) == 1


def test_a_file_that_was_sent_again_and_taken_waits_no_longer(project: Project, tmp_path: Path) -> None:
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    delivered(project, tmp_path, "both", {**series_files(count=6), "sent-again.csv": luna16()})
    assert waiting(project) == {} and resolved(project) == {"nodules.csv"}


@pytest.mark.requirement("REQ-17")
def test_slices_of_a_refused_series_wait_until_the_missing_ones_come(project: Project, tmp_path: Path) -> None:
    files = series_files(count=6)
    late = [name for name in files if name.endswith(("003.dcm", "004.dcm"))]
    delivered(project, tmp_path, "some", {name: data for name, data in files.items() if name not in late})
    assert set(waiting(project).values()) == {"missing-slices"} and open_count(project) == 4
    delivered(project, tmp_path, "rest", {name: files[name] for name in late})
    assert waiting(project) == {} and len(resolved(project)) == 4


def test_a_series_that_the_policy_refused_is_judged_anew_when_its_files_are_tried_again(
    project: Project, tmp_path: Path
) -> None:
    set_gate_policy(project=project, policy={"slices-overlap": "quarantine"}, actor=SYSTEM, reason="no overlaps here")
    project.refresh_from_db()
    delivered(project, tmp_path, "thick", series_files(count=6, SliceThickness=3.0))
    assert set(waiting(project).values()) == {"slices-overlap"}
    again = tried(project)
    assert {outcome for outcome, _ in outcomes(again).values()} == {"quarantined"}, "nothing has changed yet"
    assert open_count(project) == 6
    set_gate_policy(project=project, policy={}, actor=SYSTEM, reason="overlaps are fine after all")
    project.refresh_from_db()
    tried(project)
    assert Series.objects.get().grid is not None
    assert waiting(project) == {} and quarantined(project=project, state="resolved").count() == 6


def test_what_cannot_be_read_is_kept_byte_for_byte_and_named(project: Project, tmp_path: Path) -> None:
    broken = slice_file(number=0)[:200] + b"\xff" * 60
    delivered(project, tmp_path, "in", {**series_files(count=6), "broken.dcm": broken})
    [item] = quarantined(project=project, state="open")
    assert item.name == "broken.dcm" and item.kept_id is not None and read_blob(item.kept_id) == broken


@pytest.mark.requirement("REQ-17")
def test_a_project_that_holds_no_identities_keeps_no_bytes_and_says_to_send_the_file_again(
    project: Project, tmp_path: Path
) -> None:
    set_policies(project=project, policies={"identity_policy": "refuse"}, actor=SYSTEM, reason="no names here")
    project.refresh_from_db()
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16(), "broken.dcm": slice_file(number=0)[:300]})
    items = list(quarantined(project=project, state="open"))
    assert items and all(item.kept_id is None for item in items)
    assert all("send it again" in item.message for item in items)
    with pytest.raises(InvalidInput) as caught:
        retry(project=project, items=items, actor=SYSTEM, reason="once more")
    assert caught.value.code == "nothing-kept"


def test_reasons_are_counted_and_the_commonest_comes_first(project: Project, tmp_path: Path) -> None:
    files = {f"{number}.xml": voc(name=f"{OTHER_SERIES}.{number}") for number in range(3)}
    delivered(project, tmp_path, "in", {**series_files(count=6), **files, "cut.xml": b"<LidcReadMessage>"})
    groups = reason_groups(project=project, state="open")
    assert [(group.code, group.files, group.retryable) for group in groups] == [
        ("images-not-held", 3, 3),
        (groups[1].code, 1, 1),
    ]
    assert groups[0].example.startswith("the file describes images that are not held here")


def test_only_the_chosen_files_are_tried_again(project: Project, tmp_path: Path) -> None:
    delivered(
        project, tmp_path, "in", {"a.csv": luna16(), "b.xml": voc(name=uid_of(1)), "cut.xml": b"<LidcReadMessage>"}
    )
    [one] = chosen(project=project, item_ids=[str(IngestItem.objects.get(name="a.csv").pk)])
    assert {item.name for item in chosen(project=project, code="images-not-held")} == {"a.csv", "b.xml"}
    assert set(outcomes(tried(project, [one]))) == {"a.csv"}
    with pytest.raises(InvalidInput) as caught:
        chosen(project=project, item_ids=[str(one.pk)])
    assert caught.value.code == "not-in-quarantine", "the newer try stands for it now"


def test_the_same_files_are_not_tried_twice_at_once(project: Project, tmp_path: Path) -> None:
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    items = chosen(project=project)
    retry(project=project, items=items, actor=SYSTEM, reason="once more")
    with pytest.raises(Conflict) as caught:
        retry(project=project, items=items, actor=SYSTEM, reason="and again")
    assert caught.value.code == "retry-under-way"
    with pytest.raises(InvalidInput) as nothing:
        retry(project=project, items=[], actor=SYSTEM, reason="and again")
    assert nothing.value.code == "nothing-to-retry"


def test_the_command_lists_what_waits_and_tries_it_again(project: Project, tmp_path: Path) -> None:
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    told = StringIO()
    call_command("retry_quarantine", project=project.key, list=True, stdout=told)
    assert "images-not-held" in told.getvalue() and "1 file waits" in told.getvalue()
    delivered(project, tmp_path, "images", series_files(count=6))
    told = StringIO()
    call_command("retry_quarantine", project=project.key, stdout=told)
    assert "1  stored" in told.getvalue() and "0 files wait" in told.getvalue()
    with pytest.raises(CommandError, match="nothing-to-retry"):
        call_command("retry_quarantine", project=project.key)


def person(project: Project, role: str) -> Client:
    user = make_user(f"one-{role}")
    grant(project=project, user=user, role=role, actor=SYSTEM, reason="needed by a test")
    client = Client()
    assert client.login(username=user.username, password=PASSWORD)
    return client


def test_the_api_lists_files_by_reason_and_tries_them_again(project: Project, tmp_path: Path) -> None:
    delivered(project, tmp_path, "labels", {"nodules.csv": luna16(), "cut.xml": b"<LidcReadMessage>"})
    client = person(project, Role.INTEGRATOR)
    address = f"/api/v1/projects/{project.key}/quarantine/"
    told = client.get(address, {"code": "images-not-held"}).json()
    assert told["count"] == 1 and len(told["reasons"]) == 2
    assert [(one["name"], one["kept"], one["delivery"]) for one in told["items"]] == [("nodules.csv", True, "labels")]
    assert client.get(address, {"state": "lost"}).status_code == 400
    assert client.post(f"{address}retry/", {"reason": ""}, content_type="application/json").status_code == 400
    elsewhere = {"reason": "x", "ingest": "00000000-0000-0000-0000-000000000000"}
    assert client.post(f"{address}retry/", elsewhere, content_type="application/json").status_code == 404
    body = {"reason": "the images have come", "items": [told["items"][0]["id"]]}
    made = client.post(f"{address}retry/", body, content_type="application/json")
    assert made.status_code == 202 and [one["retry_of"] for one in made.json()] == [told["items"][0]["ingest"]]
    assert client.get(address, {"state": "resolved"}).json()["items"] == []


@pytest.mark.requirement("REQ-17")
def test_the_page_says_what_is_wrong_and_what_helps_and_its_button_tries_again(
    project: Project, tmp_path: Path
) -> None:
    first = delivered(project, tmp_path, "labels", {"nodules.csv": luna16()})
    client = person(project, Role.QA_LEAD)
    address = f"/projects/{project.key}/quarantine/"
    page = client.get(address).content.decode()
    assert "nodules.csv" in page and "Images not held" in page and "Send the images that the file describes" in page
    assert "1 file not taken" in client.get(f"/projects/{project.key}/").content.decode()
    assert address in client.get(f"/projects/{project.key}/deliveries/{first.pk}/").content.decode()
    unreasoned = client.post(f"{address}retry/", {"code": "images-not-held"}, follow=True).content.decode()
    assert "Give a reason" in unreasoned and Ingest.objects.count() == 1
    done = client.post(f"{address}retry/", {"code": "images-not-held", "reason": "again"}, follow=True)
    assert "1 file is being tried again, in 1 delivery." in done.content.decode()
    assert Ingest.objects.filter(retry_of=first).count() == 1


@pytest.mark.requirement("REQ-06")
@pytest.mark.parametrize("role", [Role.READER, Role.ADJUDICATOR, Role.AUDITOR])
def test_nobody_else_sees_the_quarantine_or_tries_anything_again(project: Project, role: str) -> None:
    client = person(project, role)
    for address in (f"/projects/{project.key}/quarantine/", f"/api/v1/projects/{project.key}/quarantine/"):
        assert client.get(address).status_code == 403
        assert client.post(f"{address}retry/", {"reason": "x"}, content_type="application/json").status_code in {
            302,
            403,
        }
    assert not Ingest.objects.exists()
