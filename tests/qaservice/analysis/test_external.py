"""Predictions made elsewhere in the place of the QA model: found by name, pinned, and named wherever they speak."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compliance.recording import SYSTEM
from qaservice.analysis.external import prediction_names, sets_named
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, QAModel, SeriesResult
from qaservice.analysis.services import request_run
from qaservice.common.errors import Conflict
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant
from qaservice.storage.selectors import read_blob
from tests.factories.records import PASSWORD, make_user
from tests.imaging.readers.label_makers import CENTRE_MM, OTHER_SERIES, luna16, predictions_json
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

# A reader marked nothing here; the algorithm did, a centimetre away from what the reader did mark.
ELSEWHERE_MM = CENTRE_MM[0] + 10.0


@pytest.fixture
def labelled(project: Project, tmp_path: Path) -> Project:
    """Two scans read by one reader, one of them seen by an algorithm, which found what the reader left out."""
    wide = {"count": 6, "PixelSpacing": [2, 2]}
    files = {**series_files(**wide), **series_files(series=OTHER_SERIES, **wide)}
    files["nodules.csv"] = luna16() + luna16(series=OTHER_SERIES).partition(b"\n")[2]
    files["detector.json"] = predictions_json(x=ELSEWHERE_MM)
    done = ingest(project, written_to(tmp_path / "in", files))
    assert outcomes(done)["detector.json"] == ("stored", "")
    return project


def detector(*, version: str) -> bytes:
    return predictions_json().replace(b'"version": "1.0"', f'"version": "{version}"'.encode())


@pytest.mark.requirement("REQ-36")
def test_an_algorithm_s_predictions_speak_in_the_place_of_the_model_and_are_named(labelled: Project) -> None:
    told = StringIO()
    call_command("analyze", project=labelled.key, predictions="detector", stdout=told)
    assert "detector 1.0 (predictions made elsewhere)" in told.getvalue()
    run = AnalysisRun.objects.get()
    assert (run.state, run.external_predictions) == ("completed", "detector")
    assert run.model.external
    assert run.model.bundle_sha256 == hashlib.sha256(predictions_json(x=ELSEWHERE_MM)).hexdigest()
    seen = SeriesResult.objects.get(series__series_instance_uid=SERIES)
    said = json.loads(read_blob(seen.prediction_id))
    assert said["model"] == {"name": "detector", "version": "1.0", "bundle_sha256": run.model.bundle_sha256}
    assert [one["probability"] for one in said["candidates"]] == [0.9]
    assert said["validated_diameters_mm"] is None
    details = " ".join(check["detail"] for check in seen.checks)
    assert "validated" in details, "checks that need a validated size range say that they abstain"
    flag = Flag.objects.get(check_name="missing_nodule", series__series_instance_uid=SERIES)
    observation = FlagObservation.objects.get(flag=flag)
    assert observation.model_sha256 == run.model.bundle_sha256
    assert "imported" in observation.reason and "the model " not in observation.reason


def test_a_scan_that_the_algorithm_did_not_see_is_checked_without_it_and_says_so(labelled: Project) -> None:
    call_command("analyze", project=labelled.key, predictions="detector 1.0", stdout=StringIO())
    unseen = SeriesResult.objects.get(series__series_instance_uid=OTHER_SERIES)
    said = json.loads(read_blob(unseen.prediction_id))
    assert said["abstained_because"] == "no predictions of detector 1.0 are held for it"


def test_a_name_that_fits_several_versions_or_none_is_not_guessed(labelled: Project, tmp_path: Path) -> None:
    ingest(labelled, written_to(tmp_path / "newer", {"newer.json": detector(version="2.0")}))
    assert prediction_names(labelled) == ["detector 1.0", "detector 2.0"]
    with pytest.raises(Conflict) as caught:
        sets_named(project=labelled, name="detector")
    assert caught.value.code == "predictions-ambiguous"
    assert [row.algorithm["version"] for row in sets_named(project=labelled, name="detector 2.0")] == ["2.0"]
    with pytest.raises(CommandError, match=r"held are: detector 1\.0; detector 2\.0"):
        call_command("analyze", project=labelled.key, predictions="nobody")
    assert not AnalysisRun.objects.exists() and not QAModel.objects.exists()


def test_predictions_are_registered_once_and_anew_when_more_have_come(labelled: Project, tmp_path: Path) -> None:
    first = request_run(project=labelled, actor=SYSTEM, reason="a test", predictions="detector")
    more = predictions_json(series=OTHER_SERIES)
    ingest(labelled, written_to(tmp_path / "more", {"more.json": more}))
    second = request_run(project=labelled, actor=SYSTEM, reason="a test", predictions="detector")
    digests = sorted(hashlib.sha256(data).hexdigest() for data in (predictions_json(x=ELSEWHERE_MM), more))
    assert second.model.bundle_sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert first.model != second.model and QAModel.objects.count() == 2


def test_the_api_asks_for_a_run_of_predictions_and_shows_whose_they_are(labelled: Project) -> None:
    lead = make_user("lead")
    grant(project=labelled, user=lead, role=Role.QA_LEAD, actor=SYSTEM, reason="leads the test")
    client = Client()
    assert client.login(username="lead", password=PASSWORD)
    page = client.get(f"/projects/{labelled.key}/").content.decode()
    assert '<option value="detector 1.0">' in page, "the lead can choose whose opinion is heard"
    address = f"/api/v1/projects/{labelled.key}/runs/"
    wrong = client.post(address, {"reason": "x", "predictions": "nobody"}, content_type="application/json")
    assert wrong.status_code == 409 and wrong.json()["code"] == "no-such-predictions"
    made = client.post(address, {"reason": "own model", "predictions": "detector"}, content_type="application/json")
    assert made.status_code == 202
    assert made.json()["model"] == "detector 1.0 (predictions made elsewhere)"
    assert made.json()["external_predictions"] == "detector"
    assert "detector 1.0 (predictions made elsewhere)" in client.get(f"/projects/{labelled.key}/").content.decode()
