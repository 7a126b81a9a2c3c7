"""Golden set, evaluations and releases over the API: who may, what is told, and what a blind reader never learns."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from compliance.recording import SYSTEM
from qaservice.analysis.models import FitnessEvaluation, Flag
from qaservice.analysis.releases import release_flags
from qaservice.jobs.runner import drain
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant
from qaservice.review.models import Assignment
from qaservice.review.services import assign_open_flags, give_verdict
from tests.factories.records import PASSWORD, make_user
from tests.imaging.readers.label_makers import CENTRE_MM
from tests.qaservice.analysis.golden_site import WHY, deliver, reader_sets

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

ELSEWHERE_MM = CENTRE_MM[0] + 10.0
BLIND_WORDS = ("unproven", "proven", "independen", "model", "held", "fitness", "missing_nodule")
READ = {Role.QA_LEAD, Role.AUDITOR}
WRITES = ("golden-cases", "evaluations", "flag-releases")


def person(project: Project, role: str, name: str = "person") -> Client:
    grant(project=project, user=make_user(name), role=role, **WHY)
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def post(client: Client, project: Project, name: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    address = reverse(f"api:{name}", kwargs={"key": project.key})
    answer = client.post(address, body, content_type="application/json")
    return answer.status_code, answer.json()


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_only_who_inspects_sees_fitness_and_only_who_leads_changes_it(project: Project, role: str) -> None:
    client = person(project, role)
    for name in ("golden-cases", "model-fitness", "evaluations"):
        code = client.get(reverse(f"api:{name}", kwargs={"key": project.key})).status_code
        assert code == (200 if role in READ else 403), f"{role} on {name}: {code}"
    assert client.get(f"/projects/{project.key}/fitness/").status_code == (200 if role in READ else 403)
    for name in WRITES:
        asked = {"reason": "x", "series": str(uuid.uuid4()), "annotation_set": str(uuid.uuid4())}
        code, told = post(client, project, name, asked)
        assert (code == 403) is (role != Role.QA_LEAD), f"{role} on {name}: {code} {told}"
    for path in ("evaluate", "threshold", "release"):
        code = client.post(f"/projects/{project.key}/fitness/{path}/", {"reason": "x"}).status_code
        assert code == (302 if role == Role.QA_LEAD else 403), f"{role} on {path}: {code}"


def test_a_lead_builds_a_golden_set_sets_a_threshold_and_has_a_model_measured(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    client = person(project, Role.QA_LEAD)
    for row in reader_sets(project):
        asked = {"series": str(row.series_id), "annotation_set": str(row.pk), "reason": "three readers agreed"}
        code, told = post(client, project, "golden-cases", asked)
        assert code == 201 and told["nodules"] == 1 and told["synthetic"] is False
    terms = {"least_sensitivity": "0.9", "most_false_positives": "1", "smallest_mm": "3", "least_nodules": "2"}
    address = reverse("api:policies", kwargs={"key": project.key})
    half = {"reason": "first", "fitness_threshold": terms}
    assert client.patch(address, half, content_type="application/json").json()["code"] == "threshold-incomplete"
    whole = {"reason": "first", "fitness_threshold": terms | {"judged_on": "estimate"}, "leakage_policy": "mark"}
    assert client.patch(address, whole, content_type="application/json").json()["leakage_policy"] == "mark"
    assert post(client, project, "evaluations", {"predictions": "detector"})[1]["code"] == "reason-missing"
    code, _ = post(client, project, "evaluations", {"predictions": "detector", "reason": "before the first run"})
    assert code == 202
    drain(project_key=project.key, on_progress=lambda _progress: None)
    told = client.get(reverse("api:model-fitness", kwargs={"key": project.key})).json()
    assert told["golden_nodules"] == 2 and told["models"][0]["fitness"] == "proven"
    made = client.get(reverse("api:evaluations", kwargs={"key": project.key})).json()[0]
    assert made["outcome"] == "met" and made["figures"]["found"] == 2
    page = client.get(f"/projects/{project.key}/fitness/").content.decode()
    assert "proven model" in page and "2 of 2 nodules" in page
    evaluation = FitnessEvaluation.objects.get()
    chart = client.get(f"/projects/{project.key}/fitness/{evaluation.pk}/froc.svg")
    assert chart["Content-Type"] == "image/svg+xml" and "script-src" not in chart["Content-Security-Policy"]
    assert client.get(f"/projects/{project.key}/fitness/{evaluation.pk}/nothing.svg").status_code == 404
    case = client.get(reverse("api:golden-cases", kwargs={"key": project.key})).json()[0]
    withdrawn = reverse("api:golden-withdraw", kwargs={"key": project.key, "case_id": case["id"]})
    assert client.post(withdrawn, {"reason": "doubtful"}, content_type="application/json").status_code == 204
    told = client.get(reverse("api:model-fitness", kwargs={"key": project.key})).json()
    assert told["models"][0]["fitness"] == "unproven" and told["models"][0]["stale"] is True


@pytest.fixture
def held(project: Project, tmp_path: Path) -> Project:
    """A project whose detector raised flags without being proven."""
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    call_command("analyze", project=project.key, predictions="detector", verbosity=0)
    return project


def test_everything_that_shows_a_flag_says_that_its_model_is_unproven(held: Project) -> None:
    client = person(held, Role.QA_LEAD)
    listed = client.get(reverse("api:flags", kwargs={"key": held.key})).json()["results"]
    missing = next(one for one in listed if one["check_name"] == "missing_nodule")
    assert missing["held"] and missing["model_part"] == "needed" and missing["model_fitness"] == "unproven"
    assert "unproven model" in missing["model_marks"]
    record = client.get(reverse("api:flag", kwargs={"flag_id": missing["id"]})).json()
    assert "unproven model" in record["model_marks"] and record["held"]
    for path in ("flags/", f"flags/{missing['id']}/"):
        page = client.get(f"/projects/{held.key}/{path}").content.decode()
        assert "unproven model" in page and "held back from readers" in page.lower()
    series = client.get(f"/projects/{held.key}/series/{missing['series']}/").content.decode()
    assert "Unproven model when the run was asked for" in series and "raining data not stated" in series
    standings = client.get(reverse("api:standings", kwargs={"series_id": missing["series"]})).json()
    assert standings[0]["independence"] == "not-stated"
    run = client.get(reverse("api:runs", kwargs={"key": held.key})).json()[0]
    assert run["model_fitness"] == "unproven" and "threshold" in run["model_fitness_why"]


@pytest.mark.requirement("REQ-33")
def test_a_blind_reader_learns_nothing_of_the_model_from_a_released_flag(held: Project) -> None:
    lead = person(held, Role.QA_LEAD, "lead")
    reader = person(held, Role.READER, "ada")
    code, told = post(lead, held, "flag-releases", {"reason": "nothing else to read yet"})
    assert code == 200 and len(told["released"]) == 2
    assign_open_flags(project=held, actor=SYSTEM, reason="first reads")
    assignment = Assignment.objects.filter(reader__username="ada", flag__check_name="missing_nodule").first()
    assert assignment is not None
    worklist = reader.get(reverse("api:worklist", kwargs={"key": held.key})).content.decode().lower()
    case = reader.get(reverse("api:case", kwargs={"assignment_id": assignment.pk})).json()
    assert case["revealed"] is None
    shown = worklist + json.dumps({name: value for name, value in case.items() if name != "revealed"}).lower()
    assert [word for word in BLIND_WORDS if word in shown] == []
    give_verdict(assignment=assignment, user=assignment.reader, decision="label-right", rationale="nothing there")
    after = reader.post(reverse("api:reveal", kwargs={"assignment_id": assignment.pk})).json()
    assert after["revealed"]["worth"]["marks"][0] == "unproven model"
    assert after["revealed"]["worth"]["released"] is True


def test_released_flags_are_named_and_strangers_to_the_project_are_refused(held: Project) -> None:
    lead = person(held, Role.QA_LEAD, "lead")
    flags = list(Flag.objects.filter(check_name="missing_nodule").order_by("number"))
    assert post(lead, held, "flag-releases", {"reason": "x", "flags": [str(uuid.uuid4())]})[1]["code"] == "no-such-flag"
    code, told = post(lead, held, "flag-releases", {"reason": "clear to see", "flags": [str(flags[0].pk)]})
    assert code == 200 and told["released"] == [str(flags[0])]
    release_flags(project=held, **WHY)
    code, told = post(lead, held, "flag-releases", {"reason": "again"})
    assert code == 409 and told["code"] == "nothing-held"


def test_the_portal_does_the_lead_s_work_on_the_golden_set(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    client = person(project, Role.QA_LEAD)
    row = reader_sets(project)[0]
    series = client.get(f"/projects/{project.key}/series/{row.series_id}/").content.decode()
    assert "Use as the truth of a golden case" in series
    added = client.post(f"/projects/{project.key}/golden/{row.pk}/add/", {"reason": "agreed"}, follow=True)
    assert "Golden case:" in added.content.decode()
    terms = {"least_sensitivity": "0.9", "most_false_positives": "1", "smallest_mm": "3", "least_nodules": "1"}
    form = terms | {"judged_on": "interval", "leakage_policy": "refuse", "reason": "protocol 2"}
    page = client.post(f"/projects/{project.key}/fitness/threshold/", form, follow=True).content.decode()
    assert "even the unfavourable ones must hold" in page
    call_command("evaluate_model", project=project.key, predictions="detector", verbosity=0)
    page = client.get(f"/projects/{project.key}/fitness/").content.decode()
    assert "model that failed its fitness test" in page
    model = FitnessEvaluation.objects.get().model_id
    again = client.post(f"/projects/{project.key}/fitness/evaluate/", {"model": str(model), "reason": "once more"})
    assert again.status_code == 302
    drain(project_key=project.key, on_progress=lambda _progress: None)
    assert FitnessEvaluation.objects.count() == 2
    make = client.get(f"/projects/{project.key}/fitness/?evaluation=7")
    assert make.status_code == 404
    blank = client.post(f"/projects/{project.key}/fitness/release/", {"reason": ""}, follow=True).content.decode()
    assert "Give a reason" in blank
