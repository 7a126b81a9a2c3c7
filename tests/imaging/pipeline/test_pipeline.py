"""One analysis of one case, from the checks to the ordered outcome."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from imaging.checks.base import CHEST_CT_NODULES, CheckParameters
from imaging.checks.registry import REGISTRY
from imaging.checks.words import CLOSING
from imaging.pipeline import NOT_APPLICABLE, RAN, AnalysisParameters, analyse
from imaging.scoring.calibrator import UNCALIBRATED, Calibration, CheckModel
from imaging.scoring.merge import checks_of
from imaging.scoring.order import expected_value
from imaging.types import AnalysisOutcome, Case, LabelIssue, Rejection
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    candidate,
    case,
    four_readers,
    nodule,
    point,
    prediction,
    reader,
    without_finding,
)

PARAMETERS = AnalysisParameters(checks=CHEST_CT_NODULES, calibration=UNCALIBRATED)


def one_missed() -> Case:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0), set_id="c", finding_id="c-1")
    return case(*sets, predicted=prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.9)))


def outcome_of(looked_at: Case) -> AnalysisOutcome:
    return analyse(case=looked_at, parameters=PARAMETERS)


def test_every_registered_check_leaves_an_outcome() -> None:
    outcome = outcome_of(one_missed())
    assert [entry.check for entry in outcome.checks] == [check.name for check in REGISTRY]
    spoken = [checks_of(issue) for issue in outcome.issues]
    assert {entry.check: entry.issue_count for entry in outcome.checks} == {
        check.name: sum(check.name in names for names in spoken) for check in REGISTRY
    }
    assert {entry.status for entry in outcome.checks} == {RAN}


def test_a_check_that_does_not_apply_says_why_and_stops_no_other() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0)
    outcome = outcome_of(case(reader("a", label)))
    details = {entry.check: entry.detail for entry in outcome.checks if entry.status == NOT_APPLICABLE}
    assert set(details) == {"missing_nodule", "spurious_label", "ambiguous", "reader_disagreement"}
    assert "no model has looked at this case" in details["missing_nodule"]


def test_what_a_check_passed_over_stands_in_its_outcome() -> None:
    labels = (
        nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0),
        point(finding_id="a-2", place_mm=LEFT_LUNG),
    )
    outcome = outcome_of(case(reader("a", *labels), predicted=prediction()))
    (entry,) = [entry for entry in outcome.checks if entry.check == "spurious_label"]
    assert "a point mark has no size" in entry.detail


def test_two_checks_on_one_place_become_one_issue_with_both_reasons() -> None:
    (issue,) = outcome_of(one_missed()).issues
    assert (issue.check, issue.annotation_set_id) == ("missing_nodule", "c")
    assert checks_of(issue) == ("missing_nodule", "reader_disagreement")
    also = issue.evidence["also_raised"]
    assert isinstance(also, list)
    assert [entry["check"] for entry in also] == ["reader_disagreement"]
    assert also[0]["reason"] in issue.reason
    assert issue.reason.count(CLOSING) == 1 and issue.reason.endswith(CLOSING)


def test_an_issue_of_one_check_refers_to_no_other() -> None:
    (issue,) = outcome_of(case(reader("a"), predicted=one_missed().prediction)).issues
    assert "also_raised" not in issue.evidence
    assert checks_of(issue) == ("missing_nodule",)


def test_issues_come_by_expected_value_and_in_the_same_order_every_time() -> None:
    sets = (*one_missed().annotation_sets[:2], reader("c"), reader("d"))
    looked_at = case(*sets, predicted=prediction(candidate(centre_mm=RIGHT_LUNG, diameter_mm=5.0, probability=0.95)))
    first, again = outcome_of(looked_at), outcome_of(looked_at)
    values = [expected_value(issue=issue) for issue in first.issues]
    assert len(values) > 2 and values == sorted(values, reverse=True)
    assert [issue.reason for issue in first.issues] == [issue.reason for issue in again.issues]


def test_nothing_below_the_reporting_threshold_is_reported_after_calibration() -> None:
    timid = CheckModel(
        check="missing_nodule",
        version=next(check.version for check in REGISTRY if check.name == "missing_nodule"),
        intercept=-20.0,
        slope=1.0,
        terms=(),
        floor=0.001,
        ceiling=0.999,
        examples=100,
        wrong=50,
        rests_on_model=False,
    )
    calibration = Calibration(models={"missing_nodule": timid}, support_gain=0.0, provenance={})
    parameters = AnalysisParameters(checks=CHEST_CT_NODULES, calibration=calibration)
    (issue,) = analyse(case=one_missed(), parameters=parameters).issues
    assert checks_of(issue) == ("reader_disagreement",)


def test_calibration_may_raise_what_a_check_held_unlikely_above_the_threshold() -> None:
    unlikely = candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.35)
    looked_at = case(reader("a"), reader("b"), predicted=prediction(unlikely))
    assert outcome_of(looked_at).issues == ()
    bold = CheckModel(
        check="missing_nodule",
        version=next(check.version for check in REGISTRY if check.name == "missing_nodule"),
        intercept=6.0,
        slope=1.0,
        terms=(),
        floor=0.001,
        ceiling=0.999,
        examples=100,
        wrong=50,
        rests_on_model=False,
    )
    calibration = Calibration(models={"missing_nodule": bold}, support_gain=0.0, provenance={})
    found = analyse(
        case=looked_at, parameters=AnalysisParameters(checks=CHEST_CT_NODULES, calibration=calibration)
    ).issues
    assert [issue.annotation_set_id for issue in found] == ["a", "b"]
    assert all(float(str(issue.evidence["raw_score"])) < CHEST_CT_NODULES.report_from <= issue.score for issue in found)


def test_lesions_are_reported_whether_or_not_anything_is_wrong() -> None:
    agreed = case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0))
    outcome = outcome_of(agreed)
    assert outcome.issues == ()
    assert [len(lesion.members) for lesion in outcome.lesions] == [4]


def test_a_case_that_nobody_read_is_analysed_to_an_empty_outcome() -> None:
    outcome = outcome_of(case(reader("a", read=False), predicted=prediction()))
    assert outcome.issues == ()
    assert outcome.lesions == ()
    assert {entry.status for entry in outcome.checks} == {NOT_APPLICABLE}


def test_an_unexpected_error_in_a_check_is_not_swallowed() -> None:
    @dataclass(frozen=True)
    class Broken:
        name: str = "broken"
        version: str = "1"

        def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
            raise ZeroDivisionError

        def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
            return ()

    with pytest.raises(ZeroDivisionError):
        analyse(case=one_missed(), parameters=PARAMETERS, checks=(Broken(),))


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name"):
        analyse(case=one_missed(), parameters=PARAMETERS, checks=(REGISTRY[0], REGISTRY[0]))
