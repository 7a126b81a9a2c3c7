"""What a model said of a series is shown with its silences: why it abstained, and what "nothing found" is worth."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.test import Client

from compliance.recording import SYSTEM, change
from imaging.inference import applicability, backends, detectability
from qaservice.analysis.models import QAModel, SeriesResult
from qaservice.analysis.said import ELSEWHERE, said_of, scope_of, silence_of
from qaservice.reports.evidence import gather
from qaservice.reports.sections.closing import deviations, software
from qaservice.review import blinding
from qaservice.review.blinding import case_view
from qaservice.review.models import Assignment
from qaservice.review.services import give_verdict, reveal
from qaservice.storage.services import store_blob
from tests.factories.records import PASSWORD, Site, assign_first_three, make_flag, make_run, make_site

pytestmark = pytest.mark.django_db

STATED = {
    "applicability": {"slice_step_mm": [0.5, 3.0]},
    "detectability": {
        "source": "40 synthetic scans",
        "false_per_scan": 1.0,
        "cells": [{"diameter_mm": [4.0, 6.0], "kind": "solid", "slice_step_mm": 2.5, "found": 7, "of": 9}],
    },
}
SILENT = {
    "threshold": 0.5,
    "backend": "torch-f32 2.13.0 on CPU AVX512",
    "backend_refusals": ["The backend openvino-f32 was refused: it differs."],
    "candidates": [{"centre_mm": [0, 0, 0], "probability": 0.4}],
}


@pytest.fixture
def site() -> Site:
    return make_site(flags=0)


def analysed(site: Site, said: object, *, metadata: object = None, external: bool = False) -> QAModel:
    """Store what a new model said of the site's series; the site's run becomes that model's."""
    digest = f"{QAModel.objects.count():064x}"
    with change("run.requested", actor=SYSTEM, reason="for a test", subject=("model", "test")):
        model = QAModel(
            name="bundle", version="1", bundle_sha256=digest, metadata=metadata or {}, model_card="", external=external
        )
        model.save()
    site.run = make_run(
        project=site.project, version=site.run.dataset_version, number=site.run.number + 1, sha256=digest
    )
    with change(
        "series.analysed",
        actor=SYSTEM,
        reason="for a test",
        subject=("series", str(site.series.pk)),
        project_key=site.project.key,
    ):
        SeriesResult(
            run=site.run,
            series=site.series,
            prediction=store_blob(data=json.dumps(said).encode(), media_type="application/json"),
            input_sha256="cd" * 32,
            checks=[],
            lesions=[],
        ).save()
    return model


def series_page(site: Site) -> str:
    client = Client()
    assert client.login(username=site.lead.username, password=PASSWORD)
    return client.get(f"/projects/{site.project.key}/series/{site.series.pk}/").content.decode()


def test_nothing_found_is_shown_with_what_the_model_found_of_what_was_there(site: Site):
    analysed(site, SILENT, metadata=STATED)
    [said] = said_of(series=site.series)
    assert (said.reported, said.candidates, said.abstained_because) == (0, 1, "")
    assert "7 of 9 nodules of 4 to 6 mm" in said.silence
    page = series_page(site)
    assert "Nothing found at its operating point of 50" in page
    assert "7 of 9 nodules of 4 to 6 mm" in page
    assert "<td>7 of 9</td>" in page
    assert "validated for slice steps of 0.5 to 3 mm" in page
    assert "The backend openvino-f32 was refused" in page


def test_candidates_at_the_operating_point_are_counted_and_the_silence_elsewhere_still_told(site: Site):
    analysed(site, SILENT | {"candidates": [{"probability": 0.5}, {"probability": 0.1}]}, metadata=STATED)
    page = series_page(site)
    assert "1 candidate at or above its operating point" in page
    assert "there may still be something" in page


def test_an_abstention_is_shown_with_its_reason(site: Site):
    analysed(site, {"abstained_because": "The scan has a slice step of 5 mm."}, metadata=STATED)
    page = series_page(site)
    assert "No opinion in run 2: The scan has a slice step of 5 mm." in page
    assert "Nothing found" not in page


def test_a_model_that_states_nothing_is_said_to_state_nothing(site: Site):
    model = analysed(site, SILENT)
    assert silence_of(model=model, slice_step_mm=None) == detectability.NOT_STATED
    assert scope_of(model=model) == applicability.NOT_STATED
    page = series_page(site)
    assert detectability.NOT_STATED in page
    assert applicability.NOT_STATED.replace("'", "&#x27;") in page


def test_predictions_made_elsewhere_say_nothing_by_their_silence(site: Site):
    model = analysed(site, SILENT, metadata=STATED, external=True)
    assert silence_of(model=model, slice_step_mm=2.5) == ELSEWHERE


@pytest.mark.parametrize("odd", [{"detectability": "good"}, {"detectability": {"cells": [{}]}}, {"applicability": 3}])
def test_metadata_that_mean_something_else_are_taken_for_none(site: Site, odd: dict[str, object]):
    model = analysed(site, SILENT, metadata=odd)
    assert silence_of(model=model, slice_step_mm=2.5) == detectability.NOT_STATED
    assert scope_of(model=model) == applicability.NOT_STATED


def test_of_each_model_the_newest_run_is_shown(site: Site):
    analysed(site, SILENT, metadata=STATED)
    analysed(site, {"abstained_because": "no lungs"}, metadata=STATED)
    assert [(said.run, said.abstained_because) for said in said_of(series=site.series)] == [(3, "no lungs"), (2, "")]


@pytest.mark.requirement("REQ-33")
def test_a_reader_is_not_shown_what_models_said_of_a_series(site: Site):
    analysed(site, SILENT, metadata=STATED)
    client = Client()
    assert client.login(username=site.readers[0].username, password=PASSWORD)
    page = client.get(f"/projects/{site.project.key}/series/{site.series.pk}/").content.decode()
    assert "operating point" not in page


def test_the_report_says_what_a_silence_is_worth_and_which_backend_was_refused(site: Site):
    analysed(site, SILENT, metadata=STATED)
    evidence = gather(project=site.project)
    told = [one.description for one in deviations(evidence) if one.subject == "QA model"]
    assert told[-1:] == ["On 1 series another backend computed it: The backend openvino-f32 was refused: it differs."]
    [card] = [one for one in software(evidence, typst_version="0").models if one.title == "bundle 1"]
    facts = {fact.label: fact.text for fact in card.facts}
    assert "7 of 9 nodules of 4 to 6 mm" in facts["Where it reports nothing"]
    assert "0.5 to 3 mm" in facts["Scans that it is for"]


@pytest.mark.requirement("REQ-33")
def test_a_mark_doubted_for_the_models_silence_comes_with_what_that_silence_is_worth_after_the_blind_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    analysed(site, SILENT, metadata=STATED)
    flag = make_flag(site=site, number=1, finding=site.findings[0])
    first = assign_first_three(site, flag)[0]
    assert case_view(assignment=first).revealed is None
    give_verdict(assignment=first, user=first.reader, decision="label-right", rationale="Seen on three images.")
    first = Assignment.objects.get(pk=first.pk)
    reveal(assignment=first, user=first.reader)
    shown = case_view(assignment=Assignment.objects.get(pk=first.pk)).revealed
    assert shown is not None
    assert shown.silence == "", "the model did outline something here"
    monkeypatch.setattr(blinding, "DOUBTED_FOR_SILENCE", flag.check_name)
    shown = case_view(assignment=Assignment.objects.get(pk=first.pk)).revealed
    assert shown is not None
    assert "7 of 9 nodules of 4 to 6 mm" in shown.silence


def test_settings_know_every_backend_that_the_core_knows():
    assert set(settings.INFERENCE_BACKENDS) == set(backends.CHOICES)
    assert settings.INFERENCE_BACKEND == "auto"
