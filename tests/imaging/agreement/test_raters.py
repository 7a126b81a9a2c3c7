"""Agreement figures against tables that were published with their answers."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.agreement.raters import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha_interval,
    krippendorff_alpha_nominal,
    krippendorff_alpha_ordinal,
    pairwise_specific_agreement,
    specific_agreement,
)
from imaging.errors import NotApplicable

GAP = float("nan")
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability": four observers, twelve units, missing values.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
)
# The worked example of Fleiss' kappa: ten subjects, fourteen raters, five categories.
TEN_SUBJECTS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
# Fleiss 1971, psychiatric diagnoses: thirty patients, six raters, five categories.
DIAGNOSES = np.array(
    [
        [0, 0, 0, 6, 0],
        [0, 3, 0, 0, 3],
        [0, 1, 4, 0, 1],
        [0, 0, 0, 0, 6],
        [0, 3, 0, 3, 0],
        [2, 0, 4, 0, 0],
        [0, 0, 4, 0, 2],
        [2, 0, 3, 1, 0],
        [2, 0, 0, 4, 0],
        [0, 0, 0, 0, 6],
        [1, 0, 0, 5, 0],
        [1, 1, 0, 4, 0],
        [0, 3, 3, 0, 0],
        [1, 0, 0, 5, 0],
        [0, 2, 0, 3, 1],
        [0, 0, 5, 0, 1],
        [3, 0, 0, 1, 2],
        [5, 1, 0, 0, 0],
        [0, 2, 0, 4, 0],
        [1, 0, 2, 0, 3],
        [0, 0, 0, 0, 6],
        [0, 1, 0, 5, 0],
        [0, 2, 0, 1, 3],
        [2, 0, 0, 4, 0],
        [1, 0, 0, 4, 1],
        [0, 5, 0, 1, 0],
        [4, 0, 0, 0, 2],
        [0, 2, 0, 4, 0],
        [1, 0, 5, 0, 0],
        [0, 0, 0, 0, 6],
    ]
)


def test_fleiss_kappa_gives_the_textbook_value() -> None:
    assert fleiss_kappa(counts=TEN_SUBJECTS) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_gives_the_value_of_the_paper_on_psychiatric_diagnoses() -> None:
    assert fleiss_kappa(counts=DIAGNOSES) == pytest.approx(0.430, abs=5e-4)


def test_fleiss_kappa_refuses_units_with_unequal_numbers_of_raters() -> None:
    with pytest.raises(ValueError, match="same number of raters"):
        fleiss_kappa(counts=np.array([[2, 1], [2, 2]]))


def test_fleiss_kappa_has_no_value_when_everybody_always_says_the_same() -> None:
    with pytest.raises(NotApplicable):
        fleiss_kappa(counts=np.array([[4, 0], [4, 0]]))


def test_krippendorff_alpha_gives_the_published_values_with_missing_ratings() -> None:
    assert krippendorff_alpha_nominal(ratings=OBSERVERS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha_ordinal(ratings=OBSERVERS) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha_interval(ratings=OBSERVERS) == pytest.approx(0.849, abs=5e-4)


def test_krippendorff_alpha_has_no_value_where_no_unit_was_rated_twice() -> None:
    with pytest.raises(NotApplicable):
        krippendorff_alpha_nominal(ratings=np.array([[1, GAP], [GAP, 2]]))


def test_cohen_kappa_agrees_with_the_two_by_two_example_of_grant_readers() -> None:
    # 20 both yes, 5 only the first, 10 only the second, 15 both no: observed .70, chance .50, kappa .40.
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first=first, second=second) == pytest.approx(0.40)


def test_specific_agreement_of_two_readers_is_twice_the_common_marks_over_all_marks() -> None:
    marked = np.array([[1, 1], [1, 1], [1, 0], [0, 1], [1, 0]], dtype=bool)
    assert specific_agreement(marked=marked, read=np.ones_like(marked)) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))


def test_specific_agreement_of_four_readers_pools_their_pairs() -> None:
    marked = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]], dtype=bool)
    read = np.ones_like(marked)
    agreeing, chances = 6 + 0 + 3, (4 + 1 + 3) * 3
    assert specific_agreement(marked=marked, read=read) == pytest.approx(2 * agreeing / chances)
    pairs = pairwise_specific_agreement(marked=marked, read=read)
    assert pairs[(0, 1)] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert pairs[(1, 2)] == pytest.approx(1.0)
    assert len(pairs) == 6


def test_a_reader_who_did_not_read_the_case_is_no_disagreement() -> None:
    marked = np.array([[1, 1, 0], [1, 1, 0]], dtype=bool)
    everyone = np.ones_like(marked)
    without_third = everyone.copy()
    without_third[:, 2] = False
    assert specific_agreement(marked=marked, read=without_third) == 1.0
    assert specific_agreement(marked=marked, read=everyone) < 1.0


def test_specific_agreement_has_no_value_without_any_mark() -> None:
    nothing = np.zeros((0, 4), dtype=bool)
    with pytest.raises(NotApplicable):
        specific_agreement(marked=nothing, read=nothing)
