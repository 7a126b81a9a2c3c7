"""The dataset as a whole within a run: facts kept, flags joined, concerns raised once and settled by who may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from compliance.models import Event
from compliance.recording import OPERATOR, SYSTEM, Actor, change
from imaging.types import LabelIssue
from qaservice.analysis.concerns import concerns_of, settle_concern
from qaservice.analysis.dataset_models import (
    Concern,
    ConcernObservation,
    ConcernState,
    DatasetPass,
    SeriesFactsRow,
)
from qaservice.analysis.dataset_pass import check_dataset
from qaservice.analysis.facts import facts_of_run, newest_facts
from qaservice.analysis.models import (
    AnalysisRun,
    Fitness,
    Flag,
    FlagObservation,
    Independence,
    ModelPart,
    RunPart,
    RunState,
    SeriesResult,
)
from qaservice.analysis.opinions import Opinion
from qaservice.analysis.rehearsing import rehearse_rules
from qaservice.analysis.results import Heard, Told, store_told
from qaservice.analysis.selectors import latest_observation
from qaservice.analysis.services import request_run
from qaservice.analysis.standing import is_held
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.jobs.errors import LostLease
from qaservice.jobs.models import Job, JobState
from qaservice.jobs.runner import run_job
from qaservice.labels.models import ReaderIdentity
from qaservice.projects.label_rules import current_rules, rule_set, rules_history, set_rules
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Study
from tests.factories.records import make_user
from tests.qaservice.analysis.golden_site import WHY, deliver

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]

RULES = """
rules:
  - id: tiny-only
    version: 1
    severity: impossible
    about: finding
    message: Nothing as large as this is labelled here.
    must: {field: diameter_mm, at_most: 0.5}
  - id: two-readers
    version: 1
    severity: doubtful
    about: series
    message: Every scan is read by two readers.
    must: {field: readers, at_least: 2}
"""
MODEL_RULE = """
rules:
  - id: seen-by-model
    version: 1
    severity: doubtful
    about: finding
    message: The model should see it too.
    must: {field: features.model_probability, at_least: 0.99999}
"""


def analyse(project: Project) -> AnalysisRun:
    call_command("analyze", project=project.key, predictions="detector", verbosity=0)
    run = AnalysisRun.objects.filter(project=project).latest("number")
    assert run.state == RunState.COMPLETED, run.failure
    return run


def lead_of(project: Project, name: str = "lead") -> Actor:
    person = make_user(name)
    grant(project=project, user=person, role=Role.QA_LEAD, **WHY)
    return person.as_actor(role="qa_lead")


def test_a_run_keeps_facts_of_every_series_and_says_how_each_dataset_check_ended(
    project: Project, tmp_path: Path
) -> None:
    deliver(project, tmp_path / "in")
    run = analyse(project)
    facts = facts_of_run(run)
    assert len(facts.series) == SeriesFactsRow.objects.filter(run=run).count() == 2
    assert [one.series_instance_uid for one in facts.series] == sorted(one.series_instance_uid for one in facts.series)
    assert all(one.findings and one.embedding for one in facts.series)
    assert all(one.findings[0].marked_on for one in facts.series)
    statuses = {one["check"]: one["status"] for one in DatasetPass.objects.get(run=run).checks}
    assert statuses["near_duplicate"] == "ran"
    # Two series are no population; it is said, and nothing is raised.
    assert statuses["out_of_distribution"] == "not-applicable"
    assert Event.objects.filter(kind="dataset.checked", subject_id=str(run.pk)).count() == 1
    assert [one.series_instance_uid for one in newest_facts(project=project).series]


def test_facts_name_no_patient_and_group_a_patients_studies(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    run = analyse(project)
    patients = set(Study.objects.filter(project=project).values_list("patient_key", flat=True))
    assert all(patients)
    for row in SeriesFactsRow.objects.filter(run=run):
        stored = read_blob(row.facts_id).decode()
        assert not any(f'"{name}"' in stored for name in patients)
        assert json.loads(stored)["patient"] in {str(one.pk) for one in Study.objects.filter(project=project)}
    assert len({one.patient for one in facts_of_run(run).series}) == len(patients)


def test_a_broken_rule_becomes_a_flag_that_gives_nothing_away_to_blind_readers(
    project: Project, tmp_path: Path
) -> None:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=RULES, **WHY)
    run = analyse(project)
    flags = Flag.objects.filter(project=project, check_name="rule:tiny-only")
    assert flags.count() == 2
    for flag in flags:
        newest = latest_observation(flag=flag)
        assert (newest.part, newest.standing.model_part) == (RunPart.DATASET, ModelPart.NONE)
        assert "Nothing as large as this is labelled here." in newest.reason
        assert newest.blind_reason.startswith("This place may deserve a second look: ")
    assert DatasetPass.objects.get(run=run).rules == current_rules(project=project)


def test_what_the_dataset_checks_say_joins_what_the_run_said_of_the_flag_before(
    project: Project, tmp_path: Path
) -> None:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=RULES, **WHY)
    run = _paused(project)
    result = SeriesResult.objects.filter(run=run).select_related("series")[0]
    [fact] = next(
        one.findings for one in facts_of_run(run).series if one.series_instance_uid == result.series.series_instance_uid
    )
    issue = LabelIssue(
        check="boundary",
        check_version="1",
        annotation_set_id=fact.set_id,
        finding_id=fact.finding_id,
        place_mm=fact.place_mm,
        radius_mm=4.0,
        score=0.4,
        blind_reason="This place may deserve a second look.",
        reason="The outline lies 3 mm outside the model's. Could we look at it together?",
        evidence={"checks": [{"check": "boundary", "version": "1", "score": 0.4}]},
    )
    heard = Heard(
        run,
        Opinion(model_sha256=run.model.bundle_sha256, input_sha256=result.input_sha256),
        Fitness.UNPROVEN,
        Independence.INDEPENDENT,
        RunPart.SERIES,
    )
    offered = [{"id": "p1", "action": "replace-outline", "category": None, "mask": "ab" * 32, "centre_mm": None}]
    with change("series.analysed", actor=SYSTEM, reason="x", subject=("series", str(result.series_id))):
        store_told(heard=heard, series=result.series, told=[Told(issue, offered, ModelPart.NEEDED)])
    flag = Flag.objects.get(finding_id=fact.finding_id)
    assert is_held(flag)
    assert run_job(Job.objects.get(kind="analysis.dataset").pk, "worker") == "done"
    first, second = flag.observations.order_by("part")
    assert latest_observation(flag=flag) == second
    assert {one["check"] for one in second.evidence["checks"]} == {"boundary", "rule:tiny-only"}
    assert "3 mm outside" in second.reason and "Nothing as large as this" in second.reason
    assert second.score > first.score and second.proposals == offered
    # The rule would raise it without any model, so that readers may be asked.
    assert second.standing.model_part == ModelPart.HEARD
    assert not is_held(flag)
    assert Flag.objects.filter(finding_id=fact.finding_id).count() == 1


def test_a_rule_that_reads_the_models_word_rests_on_the_model(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=MODEL_RULE, **WHY)
    analyse(project)
    raised = FlagObservation.objects.filter(part=RunPart.DATASET, flag__check_name="rule:seen-by-model")
    assert raised.exists()
    assert {one.standing.model_part for one in raised} == {ModelPart.NEEDED}


def test_a_second_run_sees_the_same_flags_and_concerns_again(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=RULES, **WHY)
    analyse(project)
    flags, concerns = Flag.objects.count(), Concern.objects.count()
    assert concerns == 2
    second = analyse(project)
    assert (Flag.objects.count(), Concern.objects.count()) == (flags, concerns)
    assert ConcernObservation.objects.filter(run=second).count() == concerns
    assert [str(one.concern) for one in concerns_of(project=project)] == ["C-0001", "C-0002"]


def _paused(project: Project) -> AnalysisRun:
    """A run whose series are done and whose dataset pass waits."""
    run = request_run(project=project, predictions="detector", **WHY)
    for _ in range(3):
        for job in list(Job.objects.filter(state=JobState.QUEUED).exclude(kind="analysis.dataset")):
            assert run_job(job.pk, "worker") == "done"
    assert Job.objects.get(state=JobState.QUEUED).kind == "analysis.dataset"
    run.refresh_from_db()
    return run


def test_a_pass_that_loses_its_job_leaves_nothing_and_is_done_by_the_next(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=RULES, **WHY)
    run = _paused(project)
    before = Flag.objects.count()

    def lost() -> None:
        raise LostLease

    with pytest.raises(LostLease):
        check_dataset(run=run, progress=lambda _done, _total, _name: None, complete=lost)
    assert Flag.objects.count() == before
    assert not DatasetPass.objects.exists() and not Concern.objects.exists()
    job = Job.objects.get(kind="analysis.dataset")
    assert run_job(job.pk, "worker") == "done"
    assert run_job(job.pk, "worker") == "not-claimed"
    assert Concern.objects.count() == 2
    assert Flag.objects.count() > before


def test_a_cancelled_pass_ends_between_checks_and_leaves_nothing(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in")
    run = _paused(project)
    job = Job.objects.get(kind="analysis.dataset")
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    assert run_job(job.pk, "worker") == "cancelled"
    assert not DatasetPass.objects.exists()
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert SeriesFactsRow.objects.filter(run=run).count() == 2


@pytest.fixture
def concern(project: Project, tmp_path: Path) -> Concern:
    deliver(project, tmp_path / "in")
    set_rules(project=project, text=RULES, **WHY)
    analyse(project)
    return Concern.objects.filter(project=project).order_by("number")[0]


@pytest.mark.requirement("REQ-13")
def test_a_lead_settles_a_concern_with_a_reason_and_may_revise_it(concern: Concern, project: Project) -> None:
    lead = lead_of(project)
    settled = settle_concern(
        concern=concern, decision="dismissed", expected_revision=1, actor=lead, reason="one reader is enough here"
    )
    assert (settled.state, settled.settled_because) == (ConcernState.DISMISSED, "one reader is enough here")
    with pytest.raises(Conflict, match="possible only from"):
        settle_concern(concern=settled, decision="dismissed", expected_revision=2, actor=lead, reason="again")
    with pytest.raises(Conflict, match="someone else changed this first"):
        settle_concern(concern=settled, decision="confirmed", expected_revision=1, actor=lead, reason="late")
    with pytest.raises(InvalidInput, match="no decision on a concern"):
        settle_concern(concern=settled, decision="open", expected_revision=2, actor=lead, reason="x")
    revised = settle_concern(
        concern=settled, decision="confirmed", expected_revision=2, actor=lead, reason="the protocol asks for two"
    )
    assert [row.state for row in revised.history.order_by("revision")] == ["open", "dismissed", "confirmed"]
    kinds = Event.objects.filter(kind="concern.settled", subject_id=str(concern.pk))
    assert [one.payload["after"] for one in kinds.order_by("occurred_at")] == ["dismissed", "confirmed"]
    # A later run adds its evidence and decides nothing.
    analyse(project)
    revised.refresh_from_db()
    assert revised.state == ConcernState.CONFIRMED


@pytest.mark.requirement("REQ-16")
def test_nobody_settles_a_concern_about_their_own_labels_and_no_machine_any(concern: Concern, project: Project) -> None:
    lead = lead_of(project)
    reader = str(concern.project.annotation_sets.filter(kind="reader").first().reader_label)  # type: ignore[union-attr]  # delivered above
    with change("membership.granted", actor=SYSTEM, reason="x", subject=("user", lead.id), project_key=project.key):
        ReaderIdentity(project=project, reader_label=reader, user_id=lead.id).save()
    with pytest.raises(NotPermitted, match="series that they labelled"):
        settle_concern(concern=concern, decision="confirmed", expected_revision=1, actor=lead, reason="mine")
    machine = Actor(id=lead.id, name="robot", role="qa_lead", simulated=True)
    for actor in (machine, SYSTEM):
        with pytest.raises(NotPermitted, match="by people"):
            settle_concern(concern=concern, decision="confirmed", expected_revision=1, actor=actor, reason="x")
    settled = settle_concern(
        concern=concern, decision="confirmed", expected_revision=1, actor=OPERATOR, reason="at the console"
    )
    assert settled.state == ConcernState.CONFIRMED


def test_rules_are_versioned_and_a_faulty_document_changes_nothing(project: Project) -> None:
    assert current_rules(project=project) is None
    first = set_rules(project=project, text=RULES, **WHY)
    with pytest.raises(Conflict, match="already"):
        set_rules(project=project, text=RULES, **WHY)
    with pytest.raises(InvalidInput) as refusal:
        set_rules(project=project, text=RULES.replace("at_most", "at_moist"), **WHY)
    assert refusal.value.details == {"rule": "tiny-only", "field": "must"}
    second = set_rules(project=project, text="rules: []", **WHY)
    assert [one.number for one in rules_history(project=project)] == [second.number, first.number] == [2, 1]
    assert rule_set(current_rules(project=project)).rules == ()
    events = Event.objects.filter(kind="project.rules-set").order_by("occurred_at")
    assert [one.payload["rules"] for one in events] == [["tiny-only 1", "two-readers 1"], []]


def test_a_rehearsal_counts_and_raises_nothing(project: Project, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="nothing to try rules on"):
        rehearse_rules(project=project, text=RULES)
    deliver(project, tmp_path / "in")
    analyse(project)
    flags = Flag.objects.count()
    told = rehearse_rules(project=project, text=RULES)
    assert (told.series, told.findings) == (2, 2)
    assert [(one.rule_id, one.asked, one.broken) for one in told.rules] == [("tiny-only", 2, 2), ("two-readers", 2, 2)]
    assert Flag.objects.count() == flags
    assert not Concern.objects.exists() and current_rules(project=project) is None
    assert rehearse_rules(project=project, text=None).rules == ()


def test_the_command_sets_tries_and_shows_rules(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(project, tmp_path / "in")
    analyse(project)
    document = tmp_path / "rules.yaml"
    document.write_text(RULES)
    call_command("label_rules", "rehearse", project=project.key, file=str(document))
    assert "tiny-only 1: would speak 2 times of 2" in capsys.readouterr().out
    with pytest.raises(CommandError, match="say why"):
        call_command("label_rules", "set", project=project.key, file=str(document))
    call_command("label_rules", "set", project=project.key, file=str(document), reason="our protocol")
    call_command("label_rules", "show", project=project.key)
    assert "rules, version 1, 2 rules" in capsys.readouterr().out
    document.write_text("rules: 3")
    with pytest.raises(CommandError, match="unusable-rules"):
        call_command("label_rules", "set", project=project.key, file=str(document), reason="x")
