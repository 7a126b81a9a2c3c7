"""What a project's verdicts make of the shipped calibration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.scoring.recalibrate import NOTHING_SETTLED, Settled, recalibrated, recalibration_from
from tests.imaging.scoring.examples import PATIENT, issue, probabilities

verdicts = st.lists(
    st.builds(Settled, st.sampled_from(("boundary", "missing_nodule")), probabilities, st.booleans()), max_size=40
)


def of_check(check: str, probability: float, *, wrong: int, right: int) -> list[Settled]:
    return [Settled(check, probability, True)] * wrong + [Settled(check, probability, False)] * right


@PATIENT
@given(verdicts, probabilities, probabilities)
def test_what_was_likelier_stays_likelier(settled: list[Settled], first: float, second: float) -> None:
    found = recalibration_from(settled=settled)
    lower, higher = sorted((first, second))
    for check in ("boundary", "never seen"):
        smaller = found.probability(check=check, probability=lower)
        assert 0 <= smaller <= found.probability(check=check, probability=higher) <= 1


@PATIENT
@given(verdicts, st.randoms(use_true_random=False))
def test_the_order_of_the_verdicts_does_not_matter(settled: list[Settled], shuffled) -> None:
    other = list(settled)
    shuffled.shuffle(other)
    assert recalibration_from(settled=settled) == recalibration_from(settled=other)


def test_without_verdicts_nothing_changes() -> None:
    assert recalibration_from(settled=[]) == NOTHING_SETTLED
    after = recalibrated(issue=issue(score=0.37), recalibration=NOTHING_SETTLED)
    assert after.score == 0.37
    assert after.evidence["probability_before_verdicts"] == 0.37


def test_one_verdict_moves_a_probability_a_little_and_many_move_it_to_the_share_found() -> None:
    one = recalibration_from(settled=of_check("boundary", 0.8, wrong=0, right=1))
    many = recalibration_from(settled=of_check("boundary", 0.8, wrong=40, right=160))
    assert 0.6 < one.probability(check="boundary", probability=0.8) < 0.8
    assert many.probability(check="boundary", probability=0.8) == pytest.approx(0.2, abs=0.03)


def test_a_check_without_verdicts_of_its_own_is_shifted_by_no_other() -> None:
    found = recalibration_from(settled=of_check("boundary", 0.5, wrong=1, right=30))
    assert found.probability(check="missing_nodule", probability=0.5) == pytest.approx(0.5)
    assert found.probability(check="boundary", probability=0.5) < 0.15


def test_the_evidence_says_on_how_many_verdicts_a_probability_rests() -> None:
    found = recalibration_from(settled=[*of_check("boundary", 0.5, wrong=3, right=9), Settled("rules", 0.9, True)])
    after = recalibrated(issue=issue(evidence={"score_basis": "calibrated"}), recalibration=found)
    assert after.score < 0.6
    assert after.evidence["probability_before_verdicts"] == 0.6
    assert (
        after.evidence["score_basis"] == "calibrated; shifted by this project's verdicts (12 on this check, 13 in all)"
    )
