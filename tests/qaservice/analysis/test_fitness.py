"""The golden set and the fitness gate: what is proven, what is not, what goes stale, and what readers are asked."""

from __future__ import annotations

import uuid
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from compliance.models import Event
from qaservice.analysis import evaluating, services
from qaservice.analysis.evaluations import request_evaluation
from qaservice.analysis.fitness import Standing, standing_of
from qaservice.analysis.golden import add_golden_case, golden_cases, truths_of, withdraw_golden_case
from qaservice.analysis.models import (
    Fitness,
    FitnessEvaluation,
    Flag,
    GoldenResult,
    ObservationStanding,
    QAModel,
    RunStanding,
)
from qaservice.analysis.releases import release_flags
from qaservice.analysis.standing import held_flags
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.jobs.errors import WorkerStopping
from qaservice.jobs.models import Job
from qaservice.jobs.runner import run_job
from qaservice.labels.models import AnnotationSet, SetKind
from qaservice.projects.models import Project
from qaservice.projects.services import set_policies
from qaservice.review.selectors import unassigned_places
from qaservice.storage.selectors import read_blob
from tests.imaging.readers.label_makers import CENTRE_MM
from tests.qaservice.analysis.golden_site import WHY, ask_of_models, deliver, make_golden, reader_sets

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

ELSEWHERE_MM = CENTRE_MM[0] + 10.0


def evaluated(project: Project) -> FitnessEvaluation:
    call_command("evaluate_model", project=project.key, predictions="detector", stdout=StringIO())
    return FitnessEvaluation.objects.latest("number")


def state_of(project: Project) -> tuple[str, str]:
    project.refresh_from_db()
    standing = standing_of(project=project, model=QAModel.objects.get())
    return standing.fitness, standing.why


def test_a_model_is_proven_only_when_it_has_met_the_projects_own_threshold(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    make_golden(project)
    without = evaluated(project)
    assert without.outcome == "no-threshold"
    assert state_of(project) == ("unproven", "the project has set no fitness threshold")
    ask_of_models(project)
    assert state_of(project)[0] == "unproven" and "the threshold has changed" in state_of(project)[1]
    met = evaluated(project)
    assert (met.outcome, met.number) == ("met", 2)
    assert met.figures["found"] == 2 and met.figures["nodules"] == 2 and met.figures["false_positives"] == 0
    assert met.figures["sensitivity"]["lower"] == pytest.approx(0.158, abs=0.001), "two of two prove little"
    assert state_of(project)[0] == "proven"
    assert read_blob(met.plots["froc"]).startswith(b"<svg") and b"2/2 found" in read_blob(met.plots["froc"])


def test_a_model_that_misses_is_said_to_have_failed_and_what_it_lacks_is_named(
    project: Project, tmp_path: Path
) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    make_golden(project)
    ask_of_models(project, most_false_positives="0.5")
    made = evaluated(project)
    assert made.outcome == "not-met"
    assert "the sensitivity is 0.000" in made.why and "false positives a scan is 1.00" in made.why
    assert state_of(project)[0] == "failed"


def test_the_limits_can_be_asked_to_hold_instead_of_the_figures(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    make_golden(project)
    ask_of_models(project, judged_on="interval")
    assert evaluated(project).outcome == "not-met"
    assert "lower limit of the sensitivity is 0.158" in state_of(project)[1]


def test_too_few_golden_nodules_prove_nothing_and_condemn_nothing(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    make_golden(project)
    ask_of_models(project, least_nodules="3")
    assert evaluated(project).outcome == "too-few"
    assert state_of(project)[0] == "unproven" and "2 golden nodules counted" in state_of(project)[1]


def test_a_changed_golden_set_asks_for_a_new_evaluation(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    first, _ = make_golden(project)
    ask_of_models(project, least_nodules="1")
    evaluated(project)
    assert state_of(project)[0] == "proven"
    withdraw_golden_case(case=first, **WHY)
    assert (
        state_of(project)[0] == "unproven" and "the golden set has changed since evaluation 1" in state_of(project)[1]
    )
    again = add_golden_case(series=first.series, annotation_set=first.annotation_set, synthetic=False, **WHY)
    assert again.pk != first.pk
    assert state_of(project)[0] == "proven", "the same truth of the same images is the same golden set"


def test_a_threshold_states_every_term_or_there_is_none(project: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_policies(project=project, policies={"fitness_threshold": {"least_sensitivity": 0.8}}, **WHY)
    assert caught.value.code == "threshold-incomplete" and "judged_on" in caught.value.message
    for term, value in (("least_sensitivity", "1.1"), ("least_nodules", "2.5"), ("smallest_mm", "nan")):
        with pytest.raises(InvalidInput, match=term):
            ask_of_models(project, **{term: value})
    assert ask_of_models(project).fitness_threshold["least_sensitivity"] == "0.5"
    assert set_policies(project=project, policies={"fitness_threshold": {}}, **WHY).fitness_threshold == {}


def test_the_truth_of_a_golden_case_is_frozen_and_named_by_its_digest(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    case = make_golden(project)[0]
    (truth,) = truths_of(case)
    assert truth.included and truth.diameter_mm and truth.centre_mm == pytest.approx(CENTRE_MM)
    event = Event.objects.get(kind="golden.added", subject_id=str(case.series_id))
    assert event.payload["truth_sha256"] == case.truth_sha256 and event.reason == "a test"
    with pytest.raises(Conflict) as caught:
        add_golden_case(series=case.series, annotation_set=case.annotation_set, synthetic=False, **WHY)
    assert caught.value.code == "golden-already"


def test_an_algorithm_s_own_predictions_are_never_the_truth(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    row = AnnotationSet.objects.filter(kind=SetKind.ALGORITHM).select_related("series__project")[0]
    with pytest.raises(InvalidInput) as caught:
        add_golden_case(series=row.series, annotation_set=row, synthetic=False, **WHY)
    assert caught.value.code == "unusable-truth"
    other = reader_sets(project)[1]
    with pytest.raises(InvalidInput) as caught:
        add_golden_case(series=reader_sets(project)[0].series, annotation_set=other, synthetic=False, **WHY)
    assert caught.value.code == "set-of-another-series"


def test_a_killed_evaluation_goes_on_after_the_last_stored_case(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project, tmp_path / "in")
    make_golden(project)
    job = request_evaluation(project=project, predictions="detector", **WHY)
    looked: list[str] = []
    ask = evaluating.opinion_of

    def interrupted(**asked: object) -> object:
        looked.append(asked["series"].series_instance_uid)  # type: ignore[attr-defined]  # a row
        if len(looked) == 2:
            raise WorkerStopping
        return ask(**asked)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(evaluating, "opinion_of", interrupted)
    assert run_job(job.pk, "one") == "requeued"
    assert GoldenResult.objects.count() == 1 and not FitnessEvaluation.objects.exists()
    assert run_job(job.pk, "two") == "done"
    assert run_job(job.pk, "three") == "not-claimed"
    assert looked[1] == looked[2] and len(set(looked)) == 2 and len(looked) == 3
    assert FitnessEvaluation.objects.count() == 1 and GoldenResult.objects.count() == 2


def test_an_evaluation_without_a_golden_set_is_refused(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    with pytest.raises(CommandError, match="no golden set"):
        call_command("evaluate_model", project=project.key, predictions="detector")
    assert not Job.objects.filter(kind="analysis.evaluation").exists()


def analysed(project: Project) -> list[Flag]:
    call_command("analyze", project=project.key, predictions="detector", stdout=StringIO())
    return list(Flag.objects.filter(project=project).order_by("number"))


@pytest.mark.requirement("REQ-36")
def test_flags_that_rest_on_an_unproven_model_wait_for_the_lead(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    flags = analysed(project)
    assert [flag.check_name for flag in flags].count("missing_nodule") == 2
    standing = RunStanding.objects.get()
    assert standing.fitness == "unproven" and "no fitness threshold" in standing.why
    held = list(held_flags(project=project))
    assert held and {flag.check_name for flag in held} == {"missing_nodule"}
    stamped = ObservationStanding.objects.filter(observation__flag__in=held)
    assert {(one.model_part, one.fitness) for one in stamped} == {("needed", "unproven")}
    waiting = {flag.pk for flag, _missing in unassigned_places(project=project)}
    assert waiting.isdisjoint({flag.pk for flag in held})
    released = release_flags(project=project, flags=held[:1], **WHY)
    assert [one.flag for one in released] == held[:1]
    assert held[0].pk in {flag.pk for flag, _missing in unassigned_places(project=project)}
    assert list(held_flags(project=project)) == held[1:]
    event = Event.objects.get(kind="flags.released")
    assert event.payload["flags"] == [held[0].number] and event.reason == "a test"
    with pytest.raises(Conflict) as caught:
        release_flags(project=project, flags=held[:1], **WHY)
    assert caught.value.code == "nothing-held"


def test_evidence_that_comes_later_is_held_back_anew(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    analysed(project)
    release_flags(project=project, **WHY)
    assert not held_flags(project=project).exists()
    analysed(project)
    assert held_flags(project=project).count() == 2


def test_a_proven_model_s_flags_go_to_readers_at_once_and_a_failed_one_s_do_not(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    monkeypatch.setattr(services, "standing_of", lambda **_asked: Standing(Fitness.PROVEN, "as if"))
    analysed(project)
    assert not held_flags(project=project).exists()
    assert set(ObservationStanding.objects.values_list("fitness", flat=True)) == {"proven"}
    monkeypatch.setattr(services, "standing_of", lambda **_asked: Standing(Fitness.FAILED, "as if"))
    analysed(project)
    assert held_flags(project=project).count() == 2


def test_what_readers_say_without_the_model_is_never_held_back(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=ELSEWHERE_MM)
    flags = analysed(project)
    alone = ObservationStanding.objects.exclude(model_part="needed")
    held = {flag.pk for flag in held_flags(project=project)}
    assert held.isdisjoint({one.observation.flag_id for one in alone})
    assert len(held) + alone.count() == len(flags)


def test_the_command_marks_lists_and_withdraws_golden_cases(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    with pytest.raises(CommandError, match="say why"):
        call_command("golden", "add", project=project.key, truth="LUNA16")
    label = reader_sets(project)[0].reader_label
    told = StringIO()
    call_command("golden", "add", project=project.key, truth=label, synthetic=True, reason="known truth", stdout=told)
    assert "2 golden cases, 2 nodules" in told.getvalue() and "phantom" in told.getvalue()
    uid = golden_cases(project=project)[0].series.series_instance_uid
    told = StringIO()
    call_command("golden", "withdraw", project=project.key, series=uid, reason="doubtful", stdout=told)
    assert "1 golden cases" in told.getvalue()
    with pytest.raises(CommandError, match="no-such-set"):
        call_command("golden", "add", project=project.key, series=uid, truth="nobody", reason="x")
    with pytest.raises(CommandError, match="no-such-series"):
        call_command("golden", "add", project=project.key, series=f"2.25.{uuid.uuid4().int}", reason="x")
