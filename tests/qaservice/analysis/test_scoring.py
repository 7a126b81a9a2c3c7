"""Probabilities in the service: what a run fixes, what verdicts change, in which order flags are shown and to whom."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from compliance.recording import SYSTEM, change
from imaging.pipeline import AnalysisOutcome
from imaging.types import LabelIssue
from qaservice.analysis import patterns
from qaservice.analysis.calibration import (
    calibration_record,
    checks_in,
    golden_of,
    past_precision,
    precision_of,
    probability_of,
    recalibration_of,
    recalibration_of_run,
    settled_of,
)
from qaservice.analysis.golden import add_golden_case
from qaservice.analysis.models import (
    AnalysisRun,
    Flag,
    FlagObservation,
    Independence,
    QAModel,
    RunCalibration,
    SeriesStanding,
)
from qaservice.analysis.opinions import Opinion
from qaservice.analysis.patterns import newest_run, patterns_of
from qaservice.analysis.results import Stored, store_result
from qaservice.analysis.selectors import flags_of
from qaservice.analysis.states import FLAG
from qaservice.common.transitions import step
from qaservice.labels.models import AnnotationSet, Finding, FindingRevision
from qaservice.labels.services import identify_reader
from qaservice.projects.models import Project
from qaservice.review.selectors import unassigned_places
from tests.factories.records import PASSWORD, PLACE, Site, assign_first_three, make_flag, make_run, make_site
from tests.imaging.readers.label_makers import CENTRE_MM
from tests.imaging.scoring.examples import issue
from tests.qaservice.analysis.golden_site import deliver

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]


def settle(flag: Flag, outcome: str) -> None:
    with change("flag.settled", actor=SYSTEM, reason="a test", subject=("flag", str(flag.pk))):
        step(flag, machine=FLAG, name="settle", expected_revision=flag.revision, changes={"outcome": outcome})


def settled_site(*outcomes: str) -> Site:
    site = make_site(flags=len(outcomes))
    for flag, outcome in zip(site.flags, outcomes, strict=True):
        settle(flag, outcome)
    return site


def stored(site: Site, run: AnalysisRun, *issues: LabelIssue) -> Stored:
    """Store what a run's checks found on the site's series."""
    return store_result(
        run=run,
        series=site.series,
        opinion=Opinion(
            prediction=None,
            model_sha256=run.model.bundle_sha256,
            input_sha256="cd" * 32,
            abstained_because="a test",
        ),
        outcome=AnalysisOutcome(issues=issues, lesions=(), checks=()),
        without_model=issues,
        independence=SeriesStanding(
            run=run, series=site.series, independence=Independence.INDEPENDENT, why="a test", refused=False
        ),
        complete=lambda: None,
    )


def about(site: Site, **fields: object) -> LabelIssue:
    """An issue on the first annotator's finding, unless told otherwise."""
    known = {"set_id": str(site.sets[0].pk), "finding_id": str(site.findings[0].pk)}
    return issue(**{**known, **fields})  # type: ignore[arg-type]  # handed on as the test gave them


def run_of(site: Site, number: int) -> AnalysisRun:
    return make_run(project=site.project, version=site.run.dataset_version, number=number, sha256=f"{number:02d}" * 32)


def test_the_share_of_settled_flags_that_were_right_comes_with_its_interval() -> None:
    site = settled_site("label-wrong", "label-wrong", "label-right", "cannot-tell")
    (found,) = past_precision(project=site.project).values()
    assert (found.check, found.right, found.settled) == ("missing_nodule", 2, 3)
    assert found.words == (
        "2 of 3 settled flags of this check were right in this project (67%, 95 % interval 21% to 94%)."
    )
    unknown = precision_of(check="rules", known={})
    assert unknown.words == "No flag of this check has been settled in this project yet."


def test_verdicts_shift_the_probabilities_of_the_next_run_and_not_those_of_one_asked_for_before() -> None:
    site = make_site(flags=6)
    with change("run.requested", actor=SYSTEM, reason="a test", subject=("run", str(site.run.pk))):
        calibration_record(run=site.run).save()
    for flag in site.flags:
        settle(flag, "label-right")
    after = recalibration_of(project=site.project)
    assert after.verdicts == {"missing_nodule": 6}
    assert after.probability(check="missing_nodule", probability=0.8) < 0.45
    assert recalibration_of_run(run=site.run).verdicts == {}
    later = run_of(site, 2)
    with change("run.requested", actor=SYSTEM, reason="a test", subject=("run", str(later.pk))):
        calibration_record(run=later).save()
    assert recalibration_of_run(run=AnalysisRun.objects.get(pk=later.pk)) == after


def test_a_run_of_before_there_was_a_calibration_is_recalibrated_by_nothing() -> None:
    assert recalibration_of_run(run=make_site().run).verdicts == {}


def test_what_is_learnt_from_is_the_probability_before_any_verdict() -> None:
    site = make_site(flags=0)
    evidence = {"probability_before_verdicts": 0.9, "raw_score": 0.7}
    stored(site, run_of(site, 2), about(site, score=0.3, evidence=evidence))
    settle(Flag.objects.get(), "label-wrong")
    (learnt,) = settled_of(project=site.project)
    assert (learnt.check, learnt.probability, learnt.label_was_wrong) == ("boundary", 0.9, True)


def test_the_golden_set_says_what_no_verdict_has_said_yet() -> None:
    site = make_site(flags=2)
    x, y, z = PLACE
    # The second annotator's nodule lies 40 mm beside the place of the two flags.
    there = about(site, check="missing_nodule", finding_id=None, place_mm=(x + 41.0, y, z), score=0.7)
    stored(site, run_of(site, 2), there)
    assert golden_of(project=site.project) == []
    add_golden_case(series=site.series, annotation_set=site.sets[1], synthetic=True, actor=SYSTEM, reason="a test")
    found = golden_of(project=site.project)
    assert sorted((one.check, one.probability, one.label_was_wrong) for one in found) == [
        ("missing_nodule", 0.7, True),
        ("missing_nodule", 0.8, False),
        ("missing_nodule", 0.8, False),
    ]
    assert recalibration_of(project=site.project).verdicts == {"missing_nodule": 3}
    settle(site.flags[0], "label-right")
    assert len(golden_of(project=site.project)) == 2
    assert recalibration_of(project=site.project).verdicts == {"missing_nodule": 3}


def test_a_flag_on_the_golden_set_itself_teaches_nothing() -> None:
    site = make_site(flags=1)
    add_golden_case(series=site.series, annotation_set=site.sets[0], synthetic=True, actor=SYSTEM, reason="a test")
    assert golden_of(project=site.project) == []


def test_an_ambiguous_place_teaches_nothing_about_probabilities() -> None:
    site = make_site(flags=0)
    stored(site, run_of(site, 2), about(site, check="ambiguous"))
    settle(Flag.objects.get(), "label-wrong")
    assert settled_of(project=site.project) == []


def test_a_flag_stays_one_when_another_check_takes_the_lead() -> None:
    site = make_site(flags=0)
    assert stored(site, run_of(site, 2), about(site, check="boundary")) == Stored(raised=1, observed=0, reopened=0)
    again = stored(site, run_of(site, 3), about(site, check="wrong_category", score=0.9))
    assert again == Stored(raised=0, observed=1, reopened=0)
    flag = Flag.objects.get()
    assert flag.check_name == "boundary"
    assert [one.check_name for one in flag.observations.order_by("run__number")] == ["boundary", "wrong_category"]


def test_a_flag_that_reopens_is_about_what_speaks_now() -> None:
    site = make_site(flags=0)
    stored(site, run_of(site, 2), about(site, check="boundary", score=0.3))
    settle(Flag.objects.get(), "label-right")
    assert stored(site, run_of(site, 3), about(site, check="wrong_category", score=0.9)).reopened == 1
    assert (Flag.objects.get().check_name, Flag.objects.get().score) == ("wrong_category", 0.9)


def test_what_is_ambiguous_and_what_is_claimed_of_one_label_are_two_flags_in_every_run() -> None:
    site = make_site(flags=0)
    both = (about(site, check="boundary"), about(site, check="ambiguous", score=0.5))
    assert stored(site, run_of(site, 2), *both).raised == 2
    assert stored(site, run_of(site, 3), *both) == Stored(raised=0, observed=2, reopened=0)
    assert Flag.objects.count() == 2


def test_flags_are_listed_by_expected_value_and_numbered_by_place() -> None:
    site = make_site(flags=0)
    other = str(site.findings[1].pk)
    outline = about(site, check="boundary", score=0.9, place_mm=(0.0, 0.0, -60.0))
    missed = about(site, check="missing_nodule", finding_id=None, score=0.7, place_mm=(0.0, 0.0, -90.0))
    category = about(
        site, check="wrong_category", set_id=str(site.sets[1].pk), finding_id=other, place_mm=(0.0, 0.0, -75.0)
    )
    stored(site, run_of(site, 2), missed, outline, category)
    numbers = {flag.check_name: flag.number for flag in Flag.objects.all()}
    assert numbers == {"boundary": 1, "wrong_category": 2, "missing_nodule": 3}
    listed = [flag.check_name for flag in flags_of(project=site.project)]
    assert listed == ["missing_nodule", "boundary", "wrong_category"]
    assert flags_of(project=site.project, ordering="-score")[0].check_name == "boundary"
    asked = [flag.check_name for flag, _missing in unassigned_places(project=site.project)]
    assert asked == listed


def test_a_flag_of_before_there_were_expected_values_is_listed_by_its_probability() -> None:
    site = make_site(flags=2)
    make_flag(site=site, number=3, score=0.95)
    assert [flag.number for flag in flags_of(project=site.project)] == [3, 1, 2]


def test_what_is_settled_comes_last_where_flags_go_by_what_is_worth_a_look() -> None:
    site = make_site(flags=2)
    settle(make_flag(site=site, number=3, score=0.95), "label-wrong")
    assert [flag.number for flag in flags_of(project=site.project)] == [1, 2, 3]
    assert flags_of(project=site.project, ordering="-score")[0].number == 3


def test_before_the_reveal_nothing_tells_probability_precision_or_order() -> None:
    site = make_site(flags=3)
    assignment, *_ = assign_first_three(site, site.flags[0])
    client = Client()
    assert client.login(username=assignment.reader.username, password=PASSWORD)
    address = reverse("api:case", kwargs={"assignment_id": assignment.pk})
    blind = client.get(address).content.decode()
    assert not any(word in blind for word in ("expected_value", "precision", "reported_from", "basis"))
    body = {"decision": "cannot-tell", "rationale": "small"}
    client.post(reverse("api:verdicts", kwargs={"assignment_id": assignment.pk}), body, content_type="application/json")
    client.post(reverse("api:reveal", kwargs={"assignment_id": assignment.pk}), {}, content_type="application/json")
    revealed = client.get(address).json()["revealed"]
    assert revealed["precision"] == "No flag of this check has been settled in this project yet."
    assert revealed["basis"] == "reasoned formula, not calibrated on known truth"


def test_an_analysis_stores_one_flag_a_label_with_every_check_that_speaks(project: Project, tmp_path: Path) -> None:
    deliver(project, tmp_path / "in", detector_x_mm=CENTRE_MM[0] + 10.0)
    call_command("analyze", project=project.key, predictions="detector", stdout=StringIO())
    kept = RunCalibration.objects.get()
    assert kept.recalibration == {"slope": 1.0, "shifts": {}, "verdicts": {}}
    assert len(kept.shipped["sha256"]) == 64
    observations = list(FlagObservation.objects.select_related("flag", "run"))
    assert observations
    for one in observations:
        assert one.check_name == one.flag.check_name and one.check_name in checks_in(one)
        assert one.expected_value is not None and 0 < one.expected_value <= one.score
        said = probability_of(one)
        assert said.raw_score is not None and said.reported_from == 0.2 and said.basis
    subjects = [(str(one.annotation_set_id), one.finding_id, one.x_mm, one.z_mm) for one in Flag.objects.all()]
    assert len(set(subjects)) == len(subjects)


def habit(site: Site, *, each: int = 10) -> AnalysisRun:
    """Give both annotators labels, flag most of the first one's as too wide, and return the run."""
    with change("annotations.imported", actor=SYSTEM, reason="a test", subject=("series", str(site.series.pk))):
        for one in site.sets:
            for number in range(each):
                finding = Finding(annotation_set=one, tracking_uid=f"2.25.{one.reader_label[-1]}9{number}")
                finding.save()
                FindingRevision(
                    finding=finding,
                    number=1,
                    category="nodule >= 3 mm",
                    shape="point",
                    x_mm=float(number),
                    y_mm=0.0,
                    z_mm=-80.0,
                    origin="drawn by the annotator",
                ).save()
    run = run_of(site, 2)
    own = Finding.objects.filter(annotation_set=site.sets[0]).order_by("tracking_uid")
    evidence = {"features": {"others_bias_mm": 2.1, "slice_step_mm": 2.5}}
    found = [
        replace(about(site, evidence=evidence), finding_id=str(one.pk), place_mm=(float(place), 0.0, -80.0))
        for place, one in enumerate(own)
    ]
    stored(site, run, *found[:9])
    return run


def test_a_readers_habit_is_shown_as_one_pattern_and_settled_labels_are_left_out() -> None:
    site = make_site(flags=0)
    run = habit(site)
    found = patterns_of(run=run)
    (pattern,) = found.patterns
    assert (pattern.pattern.grouping, pattern.pattern.group) == ("reader", "annotator 1")
    assert pattern.pattern.words.startswith("9 of 11 labels of reader “annotator 1” run 2.1 mm outside (0 of 11")
    assert len(pattern.flags) == 9
    for flag in Flag.objects.all()[:7]:
        settle(flag, "label-right")
    assert patterns_of(run=run).patterns == ()


def test_readers_who_are_numbered_anew_on_every_scan_have_no_habits(monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(flags=0)
    run = habit(site)
    assert {one.source_format for one in AnnotationSet.objects.all()} == {"test"}
    monkeypatch.setattr(patterns, "ANONYMOUS_READERS", frozenset({"test"}))
    assert patterns_of(run=run).patterns == ()
    identify_reader(
        project=site.project,
        reader_label="annotator 1",
        user=site.readers[0],
        actor=SYSTEM,
        reason="a test",
    )
    (known,) = patterns_of(run=run).patterns
    assert known.pattern.group == site.readers[0].display_name


def test_without_a_completed_run_there_are_no_patterns() -> None:
    found = patterns_of(run=None)
    assert (found.run, found.patterns, found.rare_groups) == (None, (), ())
    site = make_site()
    assert newest_run(project=site.project) == site.run


def test_patterns_are_read_through_the_api_and_on_the_page_of_flags_by_those_who_lead() -> None:
    site = make_site(flags=0)
    habit(site)
    lead = Client()
    assert lead.login(username=site.lead.username, password=PASSWORD)
    address = reverse("api:flag-patterns", kwargs={"key": site.project.key})
    told = lead.get(address).json()
    assert told["run"] == 2 and told["rare_groups"] == []
    (pattern,) = told["patterns"]
    assert pattern["check_name"] == "boundary" and len(pattern["flags"]) == 9
    assert lead.get(address, {"run": "1"}).json()["patterns"] == []
    assert lead.get(address, {"run": "7"}).status_code == 404
    assert lead.get(address, {"run": "last"}).status_code == 400
    page = lead.get(f"/projects/{site.project.key}/flags/").content.decode()
    assert "Patterns in run 2" in page and "run 2.1 mm outside" in page
    reader = Client()
    assert reader.login(username=site.readers[0].username, password=PASSWORD)
    assert reader.get(address).status_code == 403


def test_the_list_of_flags_tells_what_each_is_worth_and_how_its_check_did_before() -> None:
    site = settled_site("label-wrong", "label-right")
    make_flag(site=site, number=3)
    lead = Client()
    assert lead.login(username=site.lead.username, password=PASSWORD)
    rows = lead.get(reverse("api:flags", kwargs={"key": site.project.key}), {"state": "open"}).json()["results"]
    assert [(row["expected_value"], row["past_right"], row["past_settled"]) for row in rows] == [(0.8, 1, 2)]
    assert rows[0]["past_precision"].startswith("1 of 2 settled flags")
    page = lead.get(f"/projects/{site.project.key}/flags/{site.flags[0].pk}/").content.decode()
    assert "1 of 2 settled flags of this check were right in this project" in page
    assert "not calibrated on known truth" in page
    assert QAModel.objects.count() == 1
