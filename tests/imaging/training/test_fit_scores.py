"""From spoilt cases to a calibration: which issues are examples, of what, and never from the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity
from imaging.training.fit_scores import fit, report
from imaging.training.score_examples import examples_of
from imaging.training.spoilt import Excused, Rate, SpoiltCase
from imaging.training.spoilt_grounds import BENCHMARK_SEEDS, FIT_SEEDS
from tests.factories.cases import LEFT_LUNG, RIGHT_LUNG, candidate, case, nodule, prediction, reader

FIRST = FIT_SEEDS.start


def spoilt(
    *,
    seed: int = FIRST,
    errors: Sequence[InjectedError] = (),
    excused: Sequence[Excused] = (),
    probability: float = 0.9,
) -> SpoiltCase:
    """A reader marked the nodule on the right and nothing on the left, where the model sees one."""
    own = reader("a", nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=8.0))
    seen = prediction(
        candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=probability),
        candidate(centre_mm=RIGHT_LUNG, diameter_mm=8.0, probability=0.95),
    )
    return SpoiltCase(seed, "phantom", 1, Rate.HIGH, case(own, predicted=seen), tuple(errors), tuple(excused), ())


def missing() -> InjectedError:
    return InjectedError(ErrorKind.MISSING, Severity.MODERATE, "a", None, None, LEFT_LUNG, 9.0)


def of_missing(one: SpoiltCase) -> list[bool]:
    return [seen.wrong for seen in examples_of([one]).seen if seen.issue.check == "missing_nodule"]


def test_the_seeds_for_fitting_and_those_for_the_benchmark_do_not_meet() -> None:
    assert (FIT_SEEDS.start, BENCHMARK_SEEDS.start) == (40_000_000, 50_000_000)
    assert not set(FIT_SEEDS[::1_000_000]) & set(BENCHMARK_SEEDS)
    assert FIT_SEEDS.stop <= BENCHMARK_SEEDS.start


def test_a_case_of_the_benchmark_is_refused() -> None:
    with pytest.raises(ValueError, match="50000000 is not for fitting"):
        examples_of([spoilt(seed=BENCHMARK_SEEDS.start)])


def test_an_issue_is_an_example_of_what_it_turned_out_to_be() -> None:
    assert of_missing(spoilt(errors=[missing()])) == [True]
    assert of_missing(spoilt()) == [False]


def test_what_can_be_called_neither_right_nor_wrong_is_no_example() -> None:
    assert of_missing(spoilt(excused=[Excused("a", LEFT_LUNG, 4.5, "overlooked by the reader")])) == []


def test_a_label_that_is_wrong_in_another_way_is_no_example_of_a_check_that_does_not_speak_of_it() -> None:
    rated = InjectedError(ErrorKind.WRONG_RATING, Severity.MODERATE, "a", None, None, LEFT_LUNG, 3.0)
    mirrored = InjectedError(ErrorKind.MIRRORED, Severity.MODERATE, "a", None, None, LEFT_LUNG, 80.0)
    assert of_missing(spoilt(errors=[rated])) == []
    assert of_missing(spoilt(errors=[mirrored])) == []


def test_the_checks_that_change_without_the_model_rest_on_it() -> None:
    assert "missing_nodule" in examples_of([spoilt(errors=[missing()])]).rest_on_model


def test_a_fit_states_its_worth_before_and_after_and_where_it_comes_from() -> None:
    cases = [
        spoilt(
            seed=FIRST + number,
            errors=[missing()] if number % 3 else [],
            probability=0.7 + 0.005 * number,
        )
        for number in range(48)
    ]
    fitted = fit(examples=examples_of(cases), provenance={"seeds": "some"})
    model = fitted.calibration.models["missing_nodule"]
    assert (model.examples, model.wrong, model.rests_on_model) == (48, 32, True)
    assert fitted.calibration.provenance == {"seeds": "some", "examples": 48, "cases": 48}
    told = report(fitted)
    checks = told["checks"]
    assert isinstance(checks, dict)
    found = checks["missing_nodule"]
    assert found["fitted"] and found["after"]["log_loss"] < found["before"]["log_loss"]
    assert sum(row["count"] for row in found["after"]["table"]) == 48
