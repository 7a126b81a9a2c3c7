"""One analysis of one case, from the checks to the ordered outcome."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from imaging.checks.base import CHEST_CT_NODULES, CheckParameters
from imaging.checks.registry import REGISTRY
from imaging.pipeline import NOT_APPLICABLE, RAN, AnalysisParameters, analyse
from imaging.types import AnalysisOutcome, Case, LabelIssue, Rejection
from tests.factories.cases import (
    LEFT_LUNG,
    candidate,
    case,
    four_readers,
    nodule,
    point,
    prediction,
    reader,
    without_finding,
)

PARAMETERS = AnalysisParameters(checks=CHEST_CT_NODULES)


def one_missed() -> Case:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0), set_id="c", finding_id="c-1")
    return case(*sets, predicted=prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.9)))


def outcome_of(looked_at: Case) -> AnalysisOutcome:
    return analyse(case=looked_at, parameters=PARAMETERS)


def test_every_registered_check_leaves_an_outcome() -> None:
    outcome = outcome_of(one_missed())
    assert [entry.check for entry in outcome.checks] == [check.name for check in REGISTRY]
    assert sum(entry.issue_count for entry in outcome.checks) == len(outcome.issues)
    assert {entry.status for entry in outcome.checks} == {RAN}


def test_a_check_that_does_not_apply_says_why_and_stops_no_other() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0)
    outcome = outcome_of(case(reader("a", label)))
    details = {entry.check: entry.detail for entry in outcome.checks if entry.status == NOT_APPLICABLE}
    assert set(details) == {"missing_nodule", "spurious_label", "boundary", "reader_disagreement"}
    assert "no model has looked at this case" in details["missing_nodule"]


def test_what_a_check_passed_over_stands_in_its_outcome() -> None:
    labels = (
        nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0),
        point(finding_id="a-2", place_mm=LEFT_LUNG),
    )
    outcome = outcome_of(case(reader("a", *labels), predicted=prediction()))
    (entry,) = [entry for entry in outcome.checks if entry.check == "spurious_label"]
    assert "a point mark has no size" in entry.detail


def test_two_checks_on_one_place_stay_apart_and_name_each_other() -> None:
    outcome = outcome_of(one_missed())
    assert [(issue.check, issue.annotation_set_id) for issue in outcome.issues] == [
        ("missing_nodule", "c"),
        ("reader_disagreement", "c"),
    ]
    also = [issue.evidence["also_raised"] for issue in outcome.issues]
    assert [entry[0]["check"] for entry in also if isinstance(entry, list)] == ["reader_disagreement", "missing_nodule"]


def test_an_issue_alone_at_its_place_refers_to_nothing() -> None:
    outcome = outcome_of(case(reader("a"), predicted=one_missed().prediction))
    assert all("also_raised" not in issue.evidence for issue in outcome.issues)
    assert len(outcome.issues) == 1


def test_issues_come_surest_first_and_in_the_same_order_every_time() -> None:
    first, again = outcome_of(one_missed()), outcome_of(one_missed())
    scores = [issue.score for issue in first.issues]
    assert scores == sorted(scores, reverse=True)
    assert [issue.reason for issue in first.issues] == [issue.reason for issue in again.issues]


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
