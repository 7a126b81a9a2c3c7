"""Several checks about one label become one issue."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.checks.words import CLOSING
from imaging.scoring.merge import checks_of, merged, surest_first
from imaging.scoring.subjects import same_subject, subject_of
from imaging.types import Action, LabelIssue, Proposal, Sphere
from tests.factories.cases import ball
from tests.imaging.scoring.examples import PATIENT, issue, issues, probabilities

gains = st.sampled_from((0.0, 0.4))


def told(found: tuple[LabelIssue, ...]) -> list[tuple[object, ...]]:
    return [(one.check, one.finding_id, one.place_mm, one.score, one.reason, dict(one.evidence)) for one in found]


@PATIENT
@given(issues(), gains)
def test_merging_what_is_merged_changes_nothing(found: list[LabelIssue], gain: float) -> None:
    once = merged(issues=found, support_gain=gain)
    assert told(merged(issues=once, support_gain=gain)) == told(once)


@PATIENT
@given(issues(), gains, st.randoms(use_true_random=False))
def test_the_order_in_which_checks_ran_does_not_matter(found: list[LabelIssue], gain: float, shuffled) -> None:
    other = list(found)
    shuffled.shuffle(other)
    assert told(merged(issues=other, support_gain=gain)) == told(merged(issues=found, support_gain=gain))


@PATIENT
@given(issues(), gains)
def test_no_two_issues_that_remain_are_about_one_thing(found: list[LabelIssue], gain: float) -> None:
    subjects = [subject_of(one) for one in merged(issues=found, support_gain=gain)]
    for place, first in enumerate(subjects):
        assert not any(same_subject(first=first, second=second) for second in subjects[place + 1 :])


@PATIENT
@given(issues(), gains)
def test_nothing_that_was_said_is_lost(found: list[LabelIssue], gain: float) -> None:
    result = merged(issues=found, support_gain=gain)
    entries = [entry for one in result for entry in one.evidence["checks"]]
    assert Counter(entry["check"] for entry in entries) == Counter(one.check for one in found)
    reasons = " ".join(one.reason for one in result)
    assert all(one.reason.removesuffix(CLOSING).strip() in reasons for one in found)


@PATIENT
@given(issues(), gains)
def test_a_merged_issue_is_at_least_as_probable_as_its_surest_part(found: list[LabelIssue], gain: float) -> None:
    for one in merged(issues=found, support_gain=gain):
        parts = [entry["score"] for entry in one.evidence["checks"]]
        assert one.score >= max(parts)
        assert one.score == max(parts) or gain > 0
        assert 0 <= one.score <= 1


@PATIENT
@given(issues())
def test_what_is_ambiguous_never_joins_a_claim(found: list[LabelIssue]) -> None:
    for one in merged(issues=found, support_gain=0.0):
        assert len({check == "ambiguous" for check in checks_of(one)}) == 1


def test_evidence_that_calls_itself_ambiguous_stays_apart_too() -> None:
    claim = issue(check="missing_nodule", finding_id=None)
    split = issue(check="reader_disagreement", finding_id=None, evidence={"ambiguous": True})
    assert len(merged(issues=[claim, split], support_gain=0.0)) == 2
    assert len(merged(issues=[claim, issue(check="reader_disagreement", finding_id=None)], support_gain=0.0)) == 1


@PATIENT
@given(st.lists(probabilities, min_size=3, max_size=5), gains)
def test_what_is_joined_in_two_steps_is_as_if_it_had_been_joined_in_one(scores: list[float], gain: float) -> None:
    names = ("boundary", "wrong_category", "reader_disagreement", "rules", "duplicate_mark")
    found = [issue(check=name, score=score) for name, score in zip(names, scores, strict=False)]
    (once,) = merged(issues=found, support_gain=gain)
    (twice,) = merged(issues=[*merged(issues=found[:2], support_gain=gain), *found[2:]], support_gain=gain)
    assert twice.score == pytest.approx(once.score)
    assert set(checks_of(twice)) == set(checks_of(once))
    assert len(twice.evidence["also_raised"]) == len(once.evidence["also_raised"]) == len(found) - 1


def test_the_surest_leads_and_the_closing_question_is_asked_once() -> None:
    weak = issue(check="wrong_category", score=0.3, reason="The size says otherwise.")
    strong = issue(check="boundary", score=0.7, reason="The outline runs outside.")
    (one,) = merged(issues=[weak, strong], support_gain=0.0)
    assert one.check == "boundary"
    assert one.reason == f"The outline runs outside. The size says otherwise. {CLOSING}"


def test_a_second_source_adds_what_the_fit_found_and_a_second_check_of_one_source_nothing() -> None:
    lead = issue(check="missing_nodule", finding_id=None, score=0.6)
    readers = issue(check="reader_disagreement", finding_id=None, score=0.5)
    (with_readers,) = merged(issues=[lead, readers], support_gain=0.4)
    assert with_readers.score == pytest.approx(0.6911, abs=1e-4)
    alike = issue(check="spurious_label", finding_id=None, score=0.5)
    (with_its_like,) = merged(issues=[lead, alike], support_gain=0.4)
    assert with_its_like.score == 0.6


def test_a_label_and_an_empty_place_beside_it_are_two_things() -> None:
    beside = issue(check="missing_nodule", finding_id=None, place_mm=(11.0, 20.0, 30.0))
    assert len(merged(issues=[issue(), beside], support_gain=0.0)) == 2


def test_a_set_as_a_whole_is_no_empty_place_in_its_middle() -> None:
    whole = issue(check="geometry_mismatch", finding_id=None, evidence={"kind": "import"})
    again = issue(check="geometry_mismatch", finding_id=None, place_mm=(90.0, 0.0, 0.0), evidence={"scope": "set"})
    missed = issue(check="missing_nodule", finding_id=None)
    result = merged(issues=[whole, again, missed], support_gain=0.0)
    assert sorted(len(one.evidence["checks"]) for one in result) == [1, 2]


def test_one_proposal_is_offered_once_and_different_ones_all() -> None:
    outline = Proposal(Action.ADD, "model outline", mask=ball(centre_mm=(0.0, 0.0, 0.0), diameter_mm=8.0))
    again = Proposal(Action.ADD, "majority outline", mask=ball(centre_mm=(0.0, 0.0, 0.0), diameter_mm=8.0))
    sketch = Proposal(Action.ADD, "sketch", sphere=Sphere((0.0, 0.0, 0.0), 8.0))
    remove = Proposal(Action.REMOVE, "nothing here")
    first = issue(check="missing_nodule", finding_id=None, score=0.9, proposals=(outline, sketch))
    second = issue(check="reader_disagreement", finding_id=None, score=0.4, proposals=(again, remove, sketch))
    (one,) = merged(issues=[first, second], support_gain=0.0)
    assert [proposal.origin for proposal in one.proposals] == ["model outline", "sketch", "nothing here"]


def test_ties_are_settled_by_what_the_issues_are_about() -> None:
    found = [issue(set_id="b"), issue(set_id="a"), issue(set_id="a", finding_id="a-0")]
    keys = [(one.annotation_set_id, one.finding_id) for one in sorted(found, key=surest_first)]
    assert keys == [("a", "a-0"), ("a", "a-1"), ("b", "a-1")]
