"""Fitting a check's probability: what must hold, whatever the examples say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.scoring.calibrator import Calibration, calibration_as_json, expit, logit, read_calibration
from imaging.training.score_fit import Example, fit_check, fit_support_gain, quality


def examples(
    *,
    count: int = 400,
    seed: int = 1,
    check: str = "boundary",
    shift: float = -1.5,
    weight: float = 0.8,
    name: str = "model_deviation_mm",
    groups: int = 20,
) -> list[Example]:
    """Issues whose score is off by ``shift`` in log-odds, with one telling number and one that tells nothing."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        score = float(generator.uniform(0.05, 0.95))
        told = float(generator.normal(3.0, 1.5))
        wrong = bool(generator.uniform() < expit(logit(score) + shift + weight * (told - 3.0)))
        features = {name: told, "slice_step_mm": float(generator.choice([1.25, 2.5])), "score": score}
        if number % 4 == 0:
            features.pop("slice_step_mm")
        made.append(Example(check, "3", str(number % groups), score, features, wrong))
    return made


def test_scores_that_are_off_come_out_calibrated_on_scans_that_were_held_out() -> None:
    fit = fit_check(examples=examples(), rests_on_model=True)
    assert fit.model is not None and fit.before is not None and fit.after is not None
    assert fit.before.ece > 0.15
    assert fit.after.ece < 0.06
    assert fit.after.brier < fit.before.brier
    assert fit.model.rests_on_model
    assert fit.model.version == "3"


def test_a_telling_number_is_used_and_its_direction_kept() -> None:
    fit = fit_check(examples=examples(), rests_on_model=False)
    assert fit.model is not None
    gained = {term.name: sum(term.steps) for term in fit.model.terms}
    assert gained["model_deviation_mm"] > 1.5
    assert abs(gained["slice_step_mm"]) < 0.9


def test_a_number_that_must_raise_the_probability_never_lowers_it_though_the_examples_say_so() -> None:
    fit = fit_check(examples=examples(weight=-0.8), rests_on_model=False)
    assert fit.model is not None
    assert all(step >= 0 for term in fit.model.terms if term.name == "model_deviation_mm" for step in term.steps)
    free = fit_check(examples=examples(weight=-0.8, name="volume_mm3"), rests_on_model=False)
    assert free.model is not None
    assert {term.name: sum(term.steps) for term in free.model.terms}["volume_mm3"] < -1.5


def test_the_slope_is_never_negative_even_where_the_score_points_the_wrong_way() -> None:
    upside_down = [replace(one, score=1 - one.score) for one in examples(shift=0.0, weight=0.0)]
    fit = fit_check(examples=upside_down, rests_on_model=False)
    assert fit.model is not None
    assert fit.model.slope == 0.0


def test_too_few_examples_teach_nothing_and_say_so() -> None:
    fit = fit_check(examples=examples(count=30), rests_on_model=False)
    assert fit.model is None
    assert fit.why.startswith("30 examples")
    assert fit.out_of_fold == tuple(one.score for one in examples(count=30))


def test_one_scan_is_no_sample_however_many_issues_it_has() -> None:
    assert fit_check(examples=examples(groups=2), rests_on_model=False).model is None


def test_a_check_that_was_always_right_is_believed_no_further_than_its_examples_reach() -> None:
    always = [replace(one, wrong=True) for one in examples(count=80)]
    fit = fit_check(examples=always, rests_on_model=False)
    assert fit.model is not None
    assert fit.model.terms == ()
    assert fit.model.ceiling == pytest.approx(1 - 1 / 82, abs=1e-6)
    assert 0.9 < fit.model.probability(score=0.5, features={}) <= fit.model.ceiling


def test_where_the_reasoned_score_is_right_nothing_worse_replaces_it() -> None:
    fit = fit_check(examples=examples(shift=0.0, weight=0.0, count=60), rests_on_model=False)
    assert fit.before is not None and fit.after is not None
    assert fit.model is None or fit.after.log_loss < fit.before.log_loss


def test_the_fit_is_the_same_every_time_and_survives_its_file() -> None:
    first = fit_check(examples=examples(), rests_on_model=False).model
    second = fit_check(examples=examples(), rests_on_model=False).model
    assert first is not None and first == second
    kept = read_calibration(calibration_as_json(Calibration({"boundary": first}, 0.2, {"date": "2026-11-21"})))
    assert kept.models["boundary"] == first


def test_two_checks_are_not_fitted_together() -> None:
    with pytest.raises(ValueError, match="one check at one version"):
        fit_check(examples=[*examples(), *examples(check="rules")], rests_on_model=False)


def test_further_support_counts_only_where_held_out_scans_gain_by_it() -> None:
    generator = np.random.default_rng(3)
    odds = generator.normal(size=600)
    further = generator.integers(0, 3, size=600).astype(np.float64)
    groups = [str(number % 15) for number in range(600)]
    chance = generator.uniform(size=600)
    helps = chance < np.array([expit(one + 0.7 * more) for one, more in zip(odds, further, strict=True)])
    gain = fit_support_gain(odds=odds, further=further, truths=helps, groups=groups)
    assert gain == pytest.approx(0.7, abs=0.25)
    harms = chance < np.array([expit(one - 0.7 * more) for one, more in zip(odds, further, strict=True)])
    assert fit_support_gain(odds=odds, further=further, truths=harms, groups=groups) == 0.0
    alone = fit_support_gain(odds=odds, further=np.zeros(600), truths=helps, groups=groups)
    assert alone == 0.0


def test_quality_of_a_perfect_and_of_an_upside_down_score() -> None:
    truths = np.array([True] * 50 + [False] * 50)
    perfect = quality(scores=truths.astype(np.float64), truths=truths)
    assert (perfect.ece, perfect.brier) == (0.0, 0.0)
    assert quality(scores=1.0 - truths, truths=truths).ece == 1.0
