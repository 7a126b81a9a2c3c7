"""From a reasoned score to a calibrated probability."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.checks.registry import REGISTRY
from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.scoring.calibrator import (
    UNCALIBRATED,
    Calibration,
    calibrated,
    calibration_as_json,
    features_of,
    read_calibration,
    shipped_calibration,
)
from tests.imaging.scoring.examples import PATIENT, deviation, issue, model, probabilities

deviations = st.one_of(st.none(), st.floats(min_value=-50, max_value=50))
weights = st.floats(min_value=0, max_value=5)


def calibration(*, rests_on_model: bool = False) -> Calibration:
    known = model(intercept=-0.5, slope=0.7, terms=(deviation(),), rests_on_model=rests_on_model)
    return Calibration({"boundary": known}, 0.0, {"weights_sha256": "w" * 64, "date": "2026-11-21"})


@PATIENT
@given(probabilities, probabilities, deviations, weights, st.floats(min_value=0, max_value=3))
def test_a_surer_check_never_gives_a_smaller_probability(
    first: float, second: float, millimetres: float | None, weight: float, slope: float
) -> None:
    fitted = model(slope=slope, terms=(deviation(weight=weight),))
    features = {} if millimetres is None else {"deviation_mm": millimetres}
    lower, higher = sorted((first, second))
    assert fitted.probability(score=lower, features=features) <= fitted.probability(score=higher, features=features)


@PATIENT
@given(st.floats(min_value=-50, max_value=50), st.floats(min_value=-50, max_value=50), probabilities, weights)
def test_a_larger_deviation_never_gives_a_smaller_probability(
    first: float, second: float, score: float, weight: float
) -> None:
    fitted = model(terms=(deviation(weight=weight),))
    lower, higher = sorted((first, second))
    assert fitted.probability(score=score, features={"deviation_mm": lower}) <= fitted.probability(
        score=score, features={"deviation_mm": higher}
    )


@PATIENT
@given(probabilities, st.floats(min_value=6.0, max_value=1e6))
def test_beyond_what_was_fitted_nothing_is_extrapolated(score: float, millimetres: float) -> None:
    fitted = model(terms=(deviation(),))
    assert fitted.probability(score=score, features={"deviation_mm": millimetres}) == fitted.probability(
        score=score, features={"deviation_mm": 6.0}
    )


@PATIENT
@given(probabilities, deviations)
def test_no_probability_is_surer_than_the_examples_allow(score: float, millimetres: float | None) -> None:
    fitted = model(intercept=3.0, slope=2.0, terms=(deviation(),))
    features = {} if millimetres is None else {"deviation_mm": millimetres}
    assert 0.01 <= fitted.probability(score=score, features=features) <= 0.99


def test_an_effect_goes_straight_from_knot_to_knot() -> None:
    term = deviation(weight=1.0)
    assert [term.effect(value) for value in (0.0, 0.5, 1.25, 2.0, 4.0, 6.0, 9.0)] == [0, 0, 0.5, 1, 2, 3, 3]


def test_a_number_that_was_not_measured_has_a_weight_of_its_own() -> None:
    fitted = model(terms=(deviation(missing=-2.0),))
    absent = fitted.probability(score=0.5, features={})
    assert absent == pytest.approx(0.1192, abs=1e-4)
    assert fitted.probability(score=0.5, features={"deviation_mm": float("nan")}) == absent


def test_the_checks_own_score_is_kept_beside_the_probability_and_its_basis() -> None:
    seen = issue(score=0.6, evidence={"features": {"deviation_mm": 3.5}})
    after = calibrated(issue=seen, calibration=calibration(), weights_sha256=None)
    assert after.score != seen.score
    assert after.evidence["raw_score"] == 0.6
    assert str(after.evidence["score_basis"]).startswith("calibrated on known truth: 200 sightings")
    assert "2026-11-21" in str(after.evidence["score_basis"])


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (issue(check="duplicate_mark"), "reasoned formula, not calibrated on known truth"),
        (issue(version="9"), "reasoned formula, not calibrated on known truth for version 9 of this check"),
    ],
)
def test_a_check_or_version_without_a_model_keeps_its_reasoned_score_and_says_so(seen, said: str) -> None:
    after = calibrated(issue=seen, calibration=calibration(), weights_sha256=None)
    assert after.score == seen.score == after.evidence["raw_score"]
    assert after.evidence["score_basis"] == said


def test_a_calibration_with_one_qa_model_does_not_speak_for_another() -> None:
    fitted = calibration(rests_on_model=True)
    with_it = calibrated(issue=issue(), calibration=fitted, weights_sha256="w" * 64)
    with_another = calibrated(issue=issue(), calibration=fitted, weights_sha256="v" * 64)
    assert with_it.score != issue().score
    assert with_another.score == issue().score
    assert "with the QA model that was heard here" in str(with_another.evidence["score_basis"])


def test_only_finite_numbers_are_features() -> None:
    seen = issue(evidence={"features": {"a_mm": 1, "b": "words", "c": float("inf"), "d": None, "e": True}})
    assert features_of(seen) == {"a_mm": 1.0, "e": 1.0}
    assert features_of(issue(evidence={"features": [1, 2]})) == {}


def test_a_calibration_survives_its_file() -> None:
    text = calibration_as_json(calibration())
    assert read_calibration(text) == calibration()
    assert calibration_as_json(read_calibration(text)) == text


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (model(slope=-0.1), "slope"),
        (model(terms=(replace(deviation(), steps=(1.0, -1.0)),)), "points against"),
        (model(terms=(replace(deviation(), knots=(0.5, 6.0, 2.0)),)), "do not rise"),
        (model(terms=(replace(deviation(), steps=(1.0,)),)), "do not rise"),
        (replace(model(), floor=0.9, ceiling=0.1), "bounds"),
    ],
)
def test_a_file_that_breaks_a_promise_is_refused(spoilt, said: str) -> None:
    text = calibration_as_json(Calibration({"boundary": spoilt}, 0.0, {}))
    with pytest.raises(ValueError, match=said):
        read_calibration(text)


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2"):
        read_calibration('{"format": 1}')


def test_the_shipped_calibration_reads_and_says_where_it_comes_from() -> None:
    shipped = shipped_calibration()
    assert shipped.provenance
    if shipped.models:
        for name in ("seeds", "code", "weights_sha256", "examples", "date"):
            assert name in shipped.provenance
        bundle = load_bundle(shipped_bundle(), expected_sha256=None)
        # Another bundle wants another fit: its probabilities are other numbers.
        assert shipped.provenance["weights_sha256"] == bundle.weights_sha256
        assert shipped.provenance["opinion_digest"] == bundle.opinion_digest
        versions = {check.name: check.version for check in REGISTRY}
        assert {name: model.version for name, model in shipped.models.items() if name in versions} == {
            name: versions[name] for name in shipped.models if name in versions
        }


def test_without_a_calibration_every_score_is_the_checks_own() -> None:
    assert calibrated(issue=issue(score=0.4), calibration=UNCALIBRATED, weights_sha256=None).score == 0.4
