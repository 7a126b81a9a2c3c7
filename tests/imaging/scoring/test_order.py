"""In which order issues are worth an expert's minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.checks.registry import REGISTRY
from imaging.scoring.merge import merged
from imaging.scoring.order import SEVERITIES, expected_value, ordered, severity_of, size_weight
from tests.imaging.scoring.examples import PATIENT, issue, issues, probabilities

sizes = st.floats(min_value=0, max_value=60)


@PATIENT
@given(sizes, sizes)
def test_a_larger_lesion_never_weighs_less(first: float, second: float) -> None:
    smaller, larger = sorted((first, second))
    assert 0 < size_weight(diameter_mm=smaller) <= size_weight(diameter_mm=larger) <= 1


@PATIENT
@given(probabilities, probabilities)
def test_a_more_probable_error_is_never_worth_less(first: float, second: float) -> None:
    lower, higher = sorted((first, second))
    assert expected_value(issue=issue(score=lower)) <= expected_value(issue=issue(score=higher)) <= 1


@PATIENT
@given(issues())
def test_the_order_is_by_expected_value_and_changes_no_probability(found) -> None:
    joined = merged(issues=found, support_gain=0.0)
    listed = ordered(issues=joined)
    values = [round(expected_value(issue=one), 9) for one in listed]
    assert values == sorted(values, reverse=True)
    assert sorted(one.score for one in listed) == sorted(one.score for one in joined)


def test_a_missed_large_lesion_comes_before_a_surer_remark_on_an_outline() -> None:
    missed = issue(check="missing_nodule", finding_id=None, score=0.7, radius_mm=5.0)
    outline = issue(check="boundary", score=0.9, radius_mm=5.0)
    assert [one.check for one in ordered(issues=(outline, missed))] == ["missing_nodule", "boundary"]


def test_the_gravest_of_several_checks_counts_and_the_factors_are_told() -> None:
    (joined,) = merged(issues=[issue(score=0.9), issue(check="wrong_category", score=0.4)], support_gain=0.0)
    (one,) = ordered(issues=(joined,))
    worth = one.evidence["worth"]
    assert severity_of(issue=one) == SEVERITIES["wrong_category"]
    assert worth["severity"] == 0.7 and worth["size_weight"] == 1.0
    assert worth["expected_value"] == pytest.approx(0.63)
    assert worth["severity_because"] == SEVERITIES["wrong_category"].why


def test_what_is_ambiguous_waits_behind_claims() -> None:
    claim = issue(score=0.5)
    unclear = issue(check="reader_disagreement", score=0.5, evidence={"ambiguous": True})
    assert [one.check for one in ordered(issues=(unclear, claim))] == ["boundary", "reader_disagreement"]


def test_every_registered_check_has_a_severity_with_a_reason() -> None:
    for check in REGISTRY:
        assert 0 < SEVERITIES[check.name].weight <= 1
        assert SEVERITIES[check.name].why
