"""What the score formulas promise."""

from __future__ import annotations

import pytest

from imaging.checks.probability import (
    all_elsewhere,
    beyond_tolerance,
    fewer_than_a_quarter_would_mark,
    from_log_odds,
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


def silence(
    *,
    sensitivity: float | None = None,
    candidate: float | None = None,
    place: float | None = None,
    contrast: float | None = None,
    confirming: int = 0,
    silent: int = 0,
) -> float:
    return spurious(
        prior=0.08,
        place_probability=place,
        model_sensitivity=sensitivity,
        candidate_probability=candidate,
        contrast_hu=contrast,
        least_contrast_hu=75.0,
        nothing_there_odds=6.0,
        confirming_readers=confirming,
        silent_readers=silent,
        silence_weight=1.0,
        reader_sensitivity=0.75,
        reader_share_spread=2.0,
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
    assert silence(sensitivity=0.95, candidate=0.4) < silence(sensitivity=0.95, candidate=0.1) < 0.64


def test_an_answer_about_the_very_place_is_bayes_rule_and_outweighs_the_search() -> None:
    # Odds 8 : 92 times 49 for a probability of one in fifty.
    assert silence(place=0.02) == pytest.approx(392 / 484)
    assert silence(place=0.5) == pytest.approx(0.08)
    assert silence(place=0.9, sensitivity=0.95) < 0.08 < silence(place=0.1, candidate=0.6)


def test_the_silence_of_readers_weighs_what_a_share_that_varies_makes_of_it() -> None:
    # Of true nodules a quarter is marked by none of one other reader, 1.875 / 24 by none of three.
    assert silence(silent=1) == pytest.approx(1 / (1 + 92 / 8 * 0.25 / 0.95))
    assert silence(silent=3) == pytest.approx(1 / (1 + 92 / 8 * (1.875 / 24) / 0.95**3))


def test_contrast_speaks_for_a_label_only_by_its_absence() -> None:
    assert silence(contrast=0.0) > silence(contrast=75.0) > silence(contrast=300.0)
    assert silence(contrast=300.0) == pytest.approx(silence(), abs=1e-3)


def test_several_labels_on_nothing_tell_of_their_set_and_one_does_not() -> None:
    one, two, three = (all_elsewhere(labels=count, prior_one=0.08, prior_set=0.02) for count in (1, 2, 3))
    assert one < 0.25 < two < 0.8 < three


def test_witnesses_move_a_prior_by_their_log_odds() -> None:
    assert from_log_odds(prior=0.5, weights=()) == pytest.approx(0.5)
    assert from_log_odds(prior=0.05, weights=(1.0, -1.0)) == pytest.approx(0.05)


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
