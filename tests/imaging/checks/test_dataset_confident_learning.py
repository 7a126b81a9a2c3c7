"""Confident learning over findings: swapped categories are found, and what is rare or cannot be told is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.confident_learning import ConfidentLearning
from imaging.checks.dataset import CHEST_CT_DATASET
from imaging.errors import NotApplicable
from imaging.facts.types import DatasetFacts
from imaging.types import Action, Category
from tests.factories.facts import cohort, with_findings, with_series

PARAMETERS = CHEST_CT_DATASET


def _other(category: Category) -> Category:
    return Category.NODULE_GE_3MM if category is Category.NODULE_LT_3MM else Category.NODULE_LT_3MM


@pytest.mark.parametrize("seed", range(3))
def test_swapped_categories_are_found_by_confident_learning(seed: int) -> None:
    facts = cohort(seed=seed, series=50)
    rng = np.random.default_rng(seed)
    swapped = {}
    for number in rng.choice(len(facts.series), 15, replace=False):
        series = facts.series[int(number)]
        mark = series.findings[int(rng.integers(len(series.findings)))]
        facts = with_series(facts, with_findings(series, replace(mark, category=_other(mark.category))))
        swapped[mark.finding_id] = mark.category
    found = ConfidentLearning().run(facts=facts, parameters=PARAMETERS).issues
    raised = {one.issue.finding_id: one.issue for one in found if one.issue.evidence["field"] == "category"}
    hit = swapped.keys() & raised.keys()
    assert len(hit) >= 0.8 * len(swapped)
    assert len(hit) >= 0.9 * len(raised)
    for finding_id in hit:
        [proposal] = raised[finding_id].proposals
        assert (proposal.action, proposal.category) == (Action.RECATEGORISE, swapped[finding_id])
        assert raised[finding_id].evidence["suggested"] == swapped[finding_id].value
        assert 0 <= raised[finding_id].score <= 1


def test_a_rare_category_is_protected_and_the_outcome_says_so() -> None:
    facts = cohort(seed=1, series=50)
    rare = [
        with_findings(series, replace(series.findings[0], category=Category.NON_NODULE)) for series in facts.series[:6]
    ]
    found = ConfidentLearning().run(facts=with_series(facts, *rare), parameters=PARAMETERS)
    ids = {series.findings[0].finding_id for series in rare}
    asked = {one.issue.finding_id for one in found.issues if one.issue.evidence["field"] == "category"}
    assert not ids & asked
    assert any(one.code == "rare-class" and "'non-nodule' has 6" in one.message for one in found.passed_over)


def test_a_classifier_that_tells_nothing_is_not_listened_to() -> None:
    rng = np.random.default_rng(0)
    facts = DatasetFacts(
        tuple(
            replace(
                series,
                findings=tuple(
                    replace(mark, category=Category.NODULE_GE_3MM, characteristics={"texture": int(rng.integers(1, 4))})
                    for mark in series.findings
                ),
            )
            for series in cohort(seed=1).series
        )
    )
    with pytest.raises(NotApplicable, match="the features do not tell it"):
        ConfidentLearning().run(facts=facts, parameters=PARAMETERS)
