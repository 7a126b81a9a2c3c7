"""Other people's bundles in the service: registered, looked at, approved by people, run, and voided by any change."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from compliance.models import Event
from compliance.recording import OPERATOR, SYSTEM, Actor, change, compare_and_swap
from qaservice.accounts.models import User
from qaservice.analysis import foreign
from qaservice.analysis.approvals import approve_model, obstacles, standing_approval, withdraw_approval
from qaservice.analysis.foreign import register_foreign
from qaservice.analysis.models import AnalysisRun, ModelApproval, QAModel, SeriesResult
from qaservice.analysis.services import request_run
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant
from qaservice.storage.files import path_of
from qaservice.storage.selectors import read_blob
from tests.factories.records import PASSWORD, make_user
from tests.imaging.inference.foreign.made import bright_bundle, pinned
from tests.imaging.readers.label_makers import luna16
from tests.imaging.readers.made import a_file
from tests.qaservice.studies.deliveries import ingest, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

LOOKED_AT = {"models/model.pt": ""}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bright_bundle(tmp_path / "bright")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the look at the weights, for tests that are about something else."""

    def looked_at(*, names: list[str], **_rest: object) -> dict[str, str]:
        return {name: LOOKED_AT.get(name, "") for name in names}

    monkeypatch.setattr(foreign, "check_weights", looked_at)


def registered(source: Path, *, actor: Actor = OPERATOR, given: Mapping[str, Any] | None = None) -> QAModel:
    return register_foreign(
        source=source, fallback_name="bright", given=given or {}, actor=actor, reason="a test registers it"
    ).model


def lead_of(project: Project, name: str = "lea") -> User:
    person = make_user(name)
    grant(project=project, user=person, role=Role.QA_LEAD, actor=SYSTEM, reason="leads the test")
    return person


def as_lead(person: User) -> Actor:
    return person.as_actor(role=Role.QA_LEAD)


def approved(project: Project, model: QAModel, actor: Actor = OPERATOR) -> ModelApproval:
    return approve_model(
        project=project, model=model, bundle_sha256=model.bundle_sha256, actor=actor, reason="its code was read"
    )


def regulated(project: Project) -> Project:
    with change("project.created", actor=SYSTEM, reason="a test", subject=("project", str(project.pk))):
        return compare_and_swap(
            Project, pk=project.pk, expected_revision=project.revision, where={}, changes={"regulated": True}
        )


def scanned(project: Project, tmp_path: Path) -> Project:
    """A project with one scan of 24 slices that holds one bright cube, and one reader's mark on it."""
    files: dict[str, bytes] = {}
    for number in range(24):
        stored = np.full((32, 40), 174, dtype=np.int16)
        if 9 <= number < 15:
            stored[12:18, 16:22] = 1074
        files[f"scan/{number:02d}.dcm"] = a_file(number=number, stored=stored, PixelSpacing=[2, 2])
    files["nodules.csv"] = luna16()
    ingest(project, written_to(tmp_path / "in", files))
    return project


@pytest.mark.requirement("REQ-36")
def test_a_bundle_is_registered_with_every_file_kept_and_every_expression_shown(bundle: Path) -> None:
    model = registered(bundle)
    assert model.foreign and model.bundle_sha256 == pinned(bundle)
    assert {file["name"] for file in model.files} >= {"configs/inference.json", "models/model.pt", "LICENSE"}
    for file in model.files:
        assert read_blob(file["sha256"]) == (bundle / file["name"]).read_bytes()
    said = model.inspection["described"]
    assert said["intended_use"] == "This is an example, not to be used for diagnostic purposes"
    assert "LUNA16" in said["training_data"] and "Balls in grey boxes" in said["training_data"]
    assert [name for name, _text in said["licences"]] == ["LICENSE"]
    places = {one["place"]: one["text"] for one in model.inspection["code"]}
    assert places["initialize::0"] == "$monai.utils.set_determinism(seed=123)"
    assert places["preprocessing::transforms::0::_target_"] == "LoadImaged"
    assert model.inspection["weight_check"] == {"done": True, "why": "", "files": {"models/model.pt": ""}}
    assert obstacles(model) == []


@pytest.mark.usefixtures("quick")
def test_the_same_files_are_the_same_model_and_others_another(bundle: Path) -> None:
    first = registered(bundle)
    assert registered(bundle) == first
    (bundle / "docs" / "README.md").write_text("changed")
    assert registered(bundle) != first
    assert QAModel.objects.filter(foreign=True).count() == 2


def test_weights_with_a_payload_are_registered_with_their_fault_and_cannot_be_approved(
    bundle: Path, project: Project
) -> None:
    import pickle

    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(print))
    model = registered(bundle)
    assert "does not load as tensors alone" in obstacles(model)[0]
    with pytest.raises(Conflict) as refused:
        approved(project, model)
    assert refused.value.code == "model-not-approvable"


@pytest.mark.usefixtures("quick")
def test_what_is_no_bundle_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("no bundle")
    for source in (tmp_path / "empty", tmp_path / "nowhere", tmp_path / "empty" / "note.txt"):
        with pytest.raises(InvalidInput):
            registered(source)
    assert not QAModel.objects.exists()


@pytest.mark.requirement("REQ-20")
@pytest.mark.usefixtures("quick")
def test_nothing_foreign_runs_without_a_standing_approval(bundle: Path, project: Project, tmp_path: Path) -> None:
    scanned(project, tmp_path)
    model = registered(bundle)
    with pytest.raises(Conflict) as refused:
        request_run(project=project, actor=SYSTEM, reason="a test", model_name="test_bundle")
    assert refused.value.code == "model-not-approved"
    approved(project, model)
    withdraw_approval(project=project, model=model, actor=OPERATOR, reason="a newer one came")
    with pytest.raises(Conflict):
        request_run(project=project, actor=SYSTEM, reason="a test", model_name="test_bundle")
    assert not AnalysisRun.objects.exists()
    kinds = list(Event.objects.filter(subject_id=str(model.pk)).order_by("occurred_at").values_list("kind", flat=True))
    assert kinds == ["model.registered", "model.approved", "model.approval-withdrawn"]


@pytest.mark.requirement("REQ-20")
@pytest.mark.usefixtures("quick")
def test_an_approval_holds_for_what_was_looked_at_in_one_project(bundle: Path, project: Project) -> None:
    model = registered(bundle)
    with pytest.raises(Conflict) as refused:
        approve_model(project=project, model=model, bundle_sha256="0" * 64, actor=OPERATOR, reason="not looked at")
    assert refused.value.code == "model-digest-differs"
    approved(project, model)
    (bundle / "configs" / "inference.json").write_text(
        (bundle / "configs" / "inference.json").read_text().replace("123", "124")
    )
    assert standing_approval(project=project, model=registered(bundle)) is None
    with pytest.raises(Conflict):
        approved(project, model)


@pytest.mark.requirement("REQ-16")
@pytest.mark.usefixtures("quick")
def test_in_a_regulated_project_another_person_approves_than_who_registered(bundle: Path, project: Project) -> None:
    project = regulated(project)
    lea, max_ = lead_of(project), lead_of(project, "max")
    model = registered(bundle, actor=as_lead(lea))
    for actor in (as_lead(lea), OPERATOR, SYSTEM):
        with pytest.raises(NotPermitted):
            approved(project, model, actor)
    assert approved(project, model, as_lead(max_)).decision == "approved"


@pytest.mark.usefixtures("quick")
def test_a_simulated_actor_approves_no_code(bundle: Path, project: Project) -> None:
    actor = Actor(id="1", name="Cleo", role="qa-lead", simulated=True)
    with pytest.raises(NotPermitted):
        approved(project, registered(bundle), actor)


@pytest.mark.requirement("REQ-36")
@pytest.mark.usefixtures("quick")
def test_an_approved_bundle_s_opinion_is_stored_with_how_it_was_confined(
    bundle: Path, project: Project, tmp_path: Path
) -> None:
    scanned(project, tmp_path)
    model = registered(bundle)
    told = StringIO()
    call_command("approve_model", "test_bundle", project=project.key, digest=model.bundle_sha256, reason="read")
    call_command("analyze", project=project.key, model="test_bundle", stdout=told)
    run = AnalysisRun.objects.get()
    assert (run.state, run.model) == ("completed", model)
    said = json.loads(read_blob(SeriesResult.objects.get().prediction_id))
    assert said["backend"].startswith("MONAI bundle") and "no sockets" in said["backend"]
    assert said["model"]["bundle_sha256"] == model.bundle_sha256
    assert said["validated_diameters_mm"] is None
    (candidate,) = said["candidates"]
    # The middle of columns 16 to 21, rows 12 to 17, slices 9 to 14.
    assert candidate["centre_mm"] == pytest.approx([33.0, 26.0, 27.25], abs=1.0)
    assert said["how"]["overridden"]["bundle_root"]
    assert said["how"]["confinement"]["files"]


@pytest.mark.requirement("REQ-01")
@pytest.mark.usefixtures("quick")
def test_a_stored_file_that_was_altered_after_the_approval_stops_the_run(
    bundle: Path, project: Project, tmp_path: Path
) -> None:
    scanned(project, tmp_path)
    model = registered(bundle)
    approved(project, model)
    digest = next(file["sha256"] for file in model.files if file["name"] == "configs/inference.json")
    place = path_of(digest)
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b"123", b"124"))
    with pytest.raises(CommandError, match="digest"):
        call_command("analyze", project=project.key, model="test_bundle", stdout=StringIO())
    assert AnalysisRun.objects.get().state == "failed"
    assert not SeriesResult.objects.exists()


@pytest.mark.usefixtures("quick")
def test_an_approval_that_is_withdrawn_stops_a_run_that_was_requested(
    bundle: Path, project: Project, tmp_path: Path
) -> None:
    from qaservice.jobs.runner import drain

    scanned(project, tmp_path)
    model = registered(bundle)
    approved(project, model)
    run = request_run(project=project, actor=SYSTEM, reason="a test", model_name=model.bundle_sha256[:12])
    withdraw_approval(project=project, model=model, actor=OPERATOR, reason="second thoughts")
    drain(project_key=project.key, on_progress=lambda _progress: None)
    run.refresh_from_db()
    assert run.state == "failed" and "no standing approval" in run.failure


@pytest.mark.usefixtures("quick")
def test_a_bundle_that_takes_too_long_fails_the_run_and_says_so(
    bundle: Path, project: Project, tmp_path: Path, settings: Settings
) -> None:
    scanned(project, tmp_path)
    approved(project, registered(bundle))
    settings.FOREIGN_SECONDS = 1
    with pytest.raises(CommandError, match="more than 1 second"):
        call_command("analyze", project=project.key, model="test_bundle", stdout=StringIO())
    assert not any((settings.DERIVED_DIR / "foreign").iterdir())


@pytest.mark.usefixtures("quick")
def test_a_name_that_fits_several_bundles_or_none_is_not_guessed(bundle: Path, project: Project) -> None:
    with pytest.raises(CommandError, match="no model of that name"):
        call_command("analyze", project=project.key, model="nothing")
    registered(bundle)
    (bundle / "docs" / "README.md").write_text("changed")
    registered(bundle)
    with pytest.raises(CommandError, match="name one by its digest"):
        call_command("analyze", project=project.key, model="test_bundle")


@pytest.mark.usefixtures("quick")
def test_the_commands_register_list_and_show(bundle: Path, project: Project) -> None:
    told = StringIO()
    call_command("register_model", str(bundle), stdout=told)
    assert "test_bundle 0.1.1 registered" in told.getvalue() and "licence   LICENSE" in told.getvalue()
    listed, shown = StringIO(), StringIO()
    call_command("list_models", stdout=listed)
    assert "not approved anywhere" in listed.getvalue()
    call_command("approve_model", "test_bundle", project=project.key, digest=pinned(bundle), reason="read")
    call_command("list_models", stdout=listed)
    assert "approved in lung-1" in listed.getvalue()
    call_command("list_models", show="test_bundle", stdout=shown)
    assert json.loads(shown.getvalue())["bundle_sha256"] == pinned(bundle)


def as_zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"bright/{file.relative_to(folder)}")
    return buffer.getvalue()


@pytest.mark.requirement("REQ-15")
@pytest.mark.usefixtures("quick")
def test_the_api_registers_a_zip_shows_all_of_it_and_takes_the_decision(bundle: Path, project: Project) -> None:
    lead_of(project)
    client = Client()
    assert client.login(username="lea", password=PASSWORD)
    sent = {"file": SimpleUploadedFile("bright.zip", as_zip(bundle)), "reason": "for comparison"}
    made = client.post(f"/api/v1/projects/{project.key}/models/", sent)
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["state"], body["bundle_sha256"]) == ("not-approved", pinned(bundle))
    assert {"scripts", "configs/inference.json"} & {one["file"] for one in body["code"]}
    address = f"/api/v1/projects/{project.key}/models/{body['id']}/"
    wrong = client.post(f"{address}approval/", {"bundle_sha256": "0" * 64, "reason": "x"}, "application/json")
    assert wrong.status_code == 409 and wrong.json()["code"] == "model-digest-differs"
    right = {"bundle_sha256": body["bundle_sha256"], "reason": "its code was read"}
    assert client.post(f"{address}approval/", {**right, "reason": " "}, "application/json").status_code == 400
    assert client.post(f"{address}approval/", right, "application/json").json()["state"] == "approved"
    shown = client.get(address).json()
    assert [one["reason"] for one in shown["decisions"]] == ["its code was read"]
    assert client.get(f"/api/v1/projects/{project.key}/models/").json()[0]["state"] == "approved"
    gone = client.post(f"{address}withdrawal/", {"reason": "a newer one"}, "application/json").json()
    assert gone["state"] == "not-approved"


@pytest.mark.requirement("REQ-15")
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("role", Role.values)
def test_only_the_lead_registers_and_approves_and_only_who_inspects_looks(
    bundle: Path, project: Project, role: str
) -> None:
    model = registered(bundle)
    person = make_user("person")
    grant(project=project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    client = Client()
    assert client.login(username="person", password=PASSWORD)
    looks, decides = role in {Role.QA_LEAD, Role.AUDITOR}, role == Role.QA_LEAD
    for prefix in ("/api/v1/projects", "/projects"):
        address = f"{prefix}/{project.key}/models/"
        assert client.get(address).status_code == (200 if looks else 403)
        assert client.get(f"{address}{model.pk}/").status_code == (200 if looks else 403)
    decision = {"bundle_sha256": model.bundle_sha256, "reason": "read", "read": "yes"}
    answer = client.post(f"/api/v1/projects/{project.key}/models/{model.pk}/approval/", decision, "application/json")
    assert answer.status_code == (201 if decides else 403)
    page = client.post(f"/projects/{project.key}/models/{model.pk}/approve/", decision)
    assert page.status_code == (302 if decides else 403)


@pytest.mark.usefixtures("quick")
def test_the_page_shows_licence_training_data_every_expression_and_takes_an_approval_only_when_read(
    bundle: Path, project: Project
) -> None:
    configuration = json.loads((bundle / "configs" / "inference.json").read_text())
    configuration["initialize"] = ["$__import__('os').system('id <script>')"]
    (bundle / "configs" / "inference.json").write_text(json.dumps(configuration))
    model = registered(bundle)
    lead_of(project)
    client = Client()
    assert client.login(username="lea", password=PASSWORD)
    address = f"/projects/{project.key}/models/{model.pk}/"
    content = client.get(address).content.decode()
    for text in (
        "starts processes",
        "id &lt;script&gt;",
        "LUNA16, in name only",
        "Apache License",
        model.bundle_sha256,
    ):
        assert text in content
    assert "<script>" not in content.replace('<script type="module"', "")
    decision = {"bundle_sha256": model.bundle_sha256, "reason": "read"}
    client.post(f"{address}approve/", decision)
    assert standing_approval(project=project, model=model) is None
    client.post(f"{address}approve/", {**decision, "read": "yes"})
    assert standing_approval(project=project, model=model) is not None
    assert "made by others" in client.get(f"/projects/{project.key}/").content.decode()
