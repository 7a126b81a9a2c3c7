"""What the score formulas promise."""

from __future__ import annotations

import pytest

from imaging.checks.probability import (
    beyond_tolerance,
    fewer_than_a_quarter_would_mark,
    majority_would_mark,
    pool,
    spurious,
)


def votes(marked: int, silent: int) -> float:
    return majority_would_mark(marked=marked, silent=silent, model_probability=None, model_weight=0.0)


def seen(probability: float, marked: int, silent: int) -> float:
    return majority_would_mark(marked=marked, silent=silent, model_probability=probability, model_weight=4.0)


def lone(marked: int, silent: int) -> float:
    return fewer_than_a_quarter_would_mark(marked=marked, silent=silent, model_probability=None, model_weight=0.0)


def silence(*, sensitivity: float, whisper: float | None = None, confirming: int = 0) -> float:
    return spurious(
        prior=0.08,
        model_sensitivity=sensitivity,
        whisper=whisper,
        confirming_readers=confirming,
        reader_sensitivity=0.75,
        reader_false_mark=0.05,
    )


def test_an_even_vote_is_even_odds() -> None:
    assert votes(2, 2) == pytest.approx(0.5)
    assert votes(1, 1) == pytest.approx(0.5)


def test_three_of_four_point_at_the_fourth_and_one_of_four_at_nobody_much() -> None:
    assert 0.8 < votes(3, 1) < 0.95
    assert votes(1, 3) == pytest.approx(1 - votes(3, 1))
    assert lone(1, 3) < 0.5


def test_a_mark_that_more_readers_left_out_is_likelier_wrong() -> None:
    assert lone(1, 3) < lone(1, 7) < lone(1, 15)
    assert lone(1, 15) > 0.9


def test_the_model_moves_a_vote_in_its_own_direction() -> None:
    assert seen(0.94, 3, 1) > votes(3, 1)
    assert seen(0.2, 2, 2) < 0.5 < seen(0.94, 2, 2)
    rising = [seen(probability, 0, 1) for probability in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)]
    assert rising == sorted(rising)


def test_four_silent_readers_outweigh_the_model_without_silencing_it() -> None:
    assert 0.2 < seen(0.94, 0, 4) < 0.5 < seen(0.94, 0, 1)


def test_silence_weighs_what_the_sensitivity_at_that_size_makes_it_weigh() -> None:
    # Odds 8 : 92 times 20 for a sensitivity of .95.
    assert silence(sensitivity=0.95) == pytest.approx(160 / 252)
    assert silence(sensitivity=0.0) == pytest.approx(0.08)
    assert silence(sensitivity=0.6) < silence(sensitivity=0.85) < silence(sensitivity=0.95)


def test_a_whisper_counts_for_the_label() -> None:
    assert silence(sensitivity=0.95, whisper=0.4) < silence(sensitivity=0.95, whisper=0.1) < 0.64


def test_another_reader_who_marked_it_all_but_clears_a_label() -> None:
    assert silence(sensitivity=0.95, confirming=1) < 0.15
    assert silence(sensitivity=0.95, confirming=2) < 0.02


def test_a_deviation_at_its_tolerance_is_even_odds() -> None:
    assert beyond_tolerance(deviation=1.25, tolerance=1.25, spread=0.75) == pytest.approx(0.5)
    assert beyond_tolerance(deviation=2.0, tolerance=1.25, spread=0.75) == pytest.approx(0.8413, abs=1e-4)


def test_pooled_opinions_add_when_alike_and_cancel_when_opposed() -> None:
    assert pool(opinions=((0.9, 1.0), (0.9, 1.0))) == pytest.approx(81 / 82)
    assert pool(opinions=((0.9, 1.0), (0.1, 1.0))) == pytest.approx(0.5)
    assert pool(opinions=((0.9, 0.0),)) == pytest.approx(0.5)


def test_scores_stay_short_of_certainty_at_the_extremes() -> None:
    for score in (votes(0, 500), votes(500, 0), pool(opinions=((1.0, 1.0), (1.0, 1.0))), silence(sensitivity=1.0)):
        assert 0.0 < score < 1.0


def test_a_score_that_is_no_number_is_an_error_not_a_score() -> None:
    with pytest.raises(ValueError, match="not a number"):
        beyond_tolerance(deviation=float("nan"), tolerance=1.0, spread=1.0)
