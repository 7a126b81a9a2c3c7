"""Calibration measures on scores whose calibration is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.errors import NotApplicable
from imaging.evaluation.calibration import (
    brier_score,
    brier_skill,
    expected_calibration_error,
    recalibration,
    reliability_table,
)


def drawn(power: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logit is ``power`` times the true logit."""
    generator = np.random.default_rng(17)
    logits = generator.normal(-1.0, 1.5, 20_000)
    truths = generator.uniform(size=logits.size) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-power * logits)), truths


def test_calibrated_scores_have_slope_one_and_little_error() -> None:
    scores, truths = drawn(1.0)
    fit = recalibration(scores=scores, truths=truths)
    assert fit.slope == pytest.approx(1.0, abs=0.05)
    assert fit.intercept == pytest.approx(0.0, abs=0.05)
    assert expected_calibration_error(scores=scores, truths=truths, bins=15) < 0.015
    assert brier_skill(scores=scores, truths=truths) > 0.2


def test_scores_twice_too_extreme_have_slope_one_half() -> None:
    scores, truths = drawn(2.0)
    assert recalibration(scores=scores, truths=truths).slope == pytest.approx(0.5, abs=0.03)
    assert expected_calibration_error(scores=scores, truths=truths, bins=15) > 0.05


def test_a_reliability_table_by_hand() -> None:
    scores = np.array([0.1, 0.3, 0.6, 0.8])
    truths = np.array([False, True, True, True])
    low, high = reliability_table(scores=scores, truths=truths, bins=2)
    assert (low.count, low.mean_score, low.observed_share) == (2, pytest.approx(0.2), 0.5)
    assert (high.lower, high.upper, high.observed_share) == (0.6, 0.8, 1.0)
    assert expected_calibration_error(scores=scores, truths=truths, bins=2) == pytest.approx(0.5 * 0.3 + 0.5 * 0.3)
    assert brier_score(scores=scores, truths=truths) == pytest.approx((0.01 + 0.49 + 0.16 + 0.04) / 4)


def test_equal_scores_are_never_parted_between_bins() -> None:
    scores = np.array([0.2] * 7 + [0.9] * 3)
    truths = np.array([False] * 7 + [True] * 3)
    table = reliability_table(scores=scores, truths=truths, bins=5)
    assert [(row.count, row.lower, row.upper) for row in table] == [(7, 0.2, 0.2), (3, 0.9, 0.9)]


def test_saying_the_prevalence_has_no_skill() -> None:
    truths = np.array([True] * 3 + [False] * 7)
    assert brier_skill(scores=np.full(10, 0.3), truths=truths) == pytest.approx(0.0)


def test_what_has_no_value_is_refused() -> None:
    alike = np.array([True, True])
    with pytest.raises(NotApplicable):
        brier_skill(scores=np.array([0.1, 0.9]), truths=alike)
    with pytest.raises(NotApplicable):
        recalibration(scores=np.array([0.1, 0.9]), truths=np.array([False, True]))
    with pytest.raises(NotApplicable):
        reliability_table(scores=np.array([]), truths=np.array([], dtype=bool), bins=3)
    with pytest.raises(ValueError, match="no probability"):
        brier_score(scores=np.array([1.2]), truths=np.array([True]))
    with pytest.raises(ValueError, match="2 scores for 1 outcomes"):
        brier_score(scores=np.array([0.1, 0.2]), truths=np.array([True]))
