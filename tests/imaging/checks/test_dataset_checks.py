"""Checks over a whole dataset: planted faults are found, clean cohorts stay silent, and one check stops no other."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.dataset import CHEST_CT_DATASET, DatasetFindings, DatasetParameters
from imaging.checks.dataset_registry import DATASET_REGISTRY
from imaging.checks.near_duplicate import NearDuplicate
from imaging.checks.out_of_distribution import ABSTAINED_TAG, UNUSUAL_IS_WRONG, OutOfDistribution
from imaging.checks.rules_document import parse_rules
from imaging.checks.rules_terms import RuleSet
from imaging.checks.taxonomy_drift import TaxonomyDrift
from imaging.dataset_pipeline import FAILED, analyse_dataset
from imaging.errors import NotApplicable
from imaging.facts.appearance import EMBEDDING_NAMES
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.pipeline import NOT_APPLICABLE, RAN
from imaging.types import Category
from tests.factories.facts import cohort, copied_hashes, with_findings, with_series

PARAMETERS = CHEST_CT_DATASET
NO_RULES = RuleSet(())
CLEAN_SEEDS = 20


def _other(category: Category) -> Category:
    return Category.NODULE_GE_3MM if category is Category.NODULE_LT_3MM else Category.NODULE_LT_3MM


def _renamed(series: SeriesFacts, number: int) -> SeriesFacts:
    """The same findings under other ids, as another series of another study and patient."""
    findings = tuple(
        replace(one, set_id=f"{one.set_id}-{number}", finding_id=f"{one.finding_id}-{number}")
        for one in series.findings
    )
    return replace(
        series,
        series_instance_uid=f"2.25.3{number:04d}",
        study_instance_uid=f"2.25.4{number:04d}",
        patient=f"patient-other-{number}",
        findings=findings,
    )


@pytest.mark.slow
def test_clean_cohorts_stay_silent_in_nineteen_of_twenty() -> None:
    noisy, raised = [], []
    for seed in range(CLEAN_SEEDS):
        outcome = analyse_dataset(facts=cohort(seed=seed), parameters=PARAMETERS, rules=NO_RULES)
        assert [one.status for one in outcome.checks] == [RAN] * len(DATASET_REGISTRY)
        raised.append(len(outcome.issues))
        if outcome.concerns:
            noisy.append((seed, [one.subject for one in outcome.concerns]))
    assert len(noisy) <= CLEAN_SEEDS // 20, noisy
    # Of 480 findings each.
    assert np.percentile(raised, 95) <= 2
    assert sum(raised) <= 6


def test_a_pass_gives_the_same_every_time() -> None:
    facts = cohort(seed=3)
    first, second = (analyse_dataset(facts=facts, parameters=PARAMETERS, rules=NO_RULES) for _ in range(2))
    assert [one.issue.evidence for one in first.issues] == [one.issue.evidence for one in second.issues]
    assert [one.evidence for one in first.concerns] == [one.evidence for one in second.concerns]


@pytest.mark.parametrize("seed", range(3))
def test_an_image_of_another_kind_is_a_concern_that_names_what_differs(seed: int) -> None:
    facts = cohort(seed=seed)
    odd = facts.series[7]
    moved = (0, 1, 2, 3, 21, 27)
    strange = replace(odd, embedding=tuple(value + 1.5 * (at in moved) for at, value in enumerate(odd.embedding)))
    found = OutOfDistribution().run(facts=with_series(facts, strange), parameters=PARAMETERS)
    [concern] = [one for one in found.concerns if one.kind == "image-unlike-the-rest"]
    assert concern.series == (odd.series_instance_uid,)
    # Of forty series one is not surely strange; see the test with more of them.
    assert concern.score > 0.4
    differs = concern.evidence["differs_most"]
    assert isinstance(differs, dict)
    assert set(differs) <= {EMBEDDING_NAMES[at] for at in moved}


def test_with_few_series_nothing_is_called_unlike_the_rest() -> None:
    with pytest.raises(NotApplicable, match="no population"):
        OutOfDistribution().run(facts=cohort(seed=1, series=PARAMETERS.least_series - 1), parameters=PARAMETERS)


def test_the_fewer_the_series_the_less_an_outlier_is_worth() -> None:
    def score(number: int) -> float:
        facts = cohort(seed=4, series=number)
        odd = replace(facts.series[0], embedding=tuple(value + 0.4 for value in facts.series[0].embedding))
        found = OutOfDistribution().run(facts=with_series(facts, odd), parameters=replace(PARAMETERS, report_from=0.0))
        return max(one.score for one in found.concerns if odd.series_instance_uid in one.series)

    assert score(12) < score(120)


def test_an_unusual_finding_is_an_issue_that_says_in_what() -> None:
    facts = cohort(seed=2, series=60)
    series = facts.series[5]
    target = next(one for one in series.findings if one.category is Category.NODULE_GE_3MM)
    odd = replace(target, features={**target.features, "sphericity": 0.05, "mean_hu": 2400.0})
    found = OutOfDistribution().run(facts=with_series(facts, with_findings(series, odd)), parameters=PARAMETERS)
    [located] = [one for one in found.issues if one.issue.finding_id == odd.finding_id]
    assert located.series_instance_uid == series.series_instance_uid
    differs = located.issue.evidence["differs_most"]
    assert isinstance(differs, dict)
    assert {"sphericity", "mean_hu"} <= set(differs)
    assert "2.4e+03 HU" in located.issue.reason
    assert located.issue.blind_reason == "This place may deserve a second look."


def test_a_lesion_that_all_readers_mark_alike_is_unusual_and_not_wrong() -> None:
    facts = cohort(seed=2, series=60)
    series = facts.series[5]
    lesion = next(one for one in series.findings if one.category is Category.NODULE_GE_3MM)
    same = [one for one in series.findings if one.finding_id.rsplit("-", 1)[0] == lesion.finding_id.rsplit("-", 1)[0]]
    odd = [replace(one, features={**one.features, "sphericity": 0.05, "mean_hu": 2400.0}) for one in same]
    assert len(odd) == 3
    alone = OutOfDistribution().run(facts=with_series(facts, with_findings(series, odd[0])), parameters=PARAMETERS)
    together = OutOfDistribution().run(facts=with_series(facts, with_findings(series, *odd)), parameters=PARAMETERS)
    assert alone.issues[0].issue.score > UNUSUAL_IS_WRONG**2
    assert len(together.issues) <= 1
    assert all(one.issue.score <= UNUSUAL_IS_WRONG**2 for one in together.issues)


def test_a_rare_tag_and_a_silent_model_are_concerns_of_their_own() -> None:
    facts = cohort(seed=6, series=200)
    odd = replace(facts.series[9], acquisition={**facts.series[9].acquisition, "patient_position": "FFP"})
    others = [
        replace(one, acquisition={**one.acquisition, "patient_position": "HFS"})
        for one in facts.series
        if one.series_instance_uid != odd.series_instance_uid
    ]
    silent = replace(others[0], acquisition={**others[0].acquisition, ABSTAINED_TAG: "slices too thick"})
    found = OutOfDistribution().run(facts=with_series(facts, odd, *others, silent), parameters=PARAMETERS)
    kinds = {(one.kind, one.series) for one in found.concerns}
    assert ("rare-acquisition", (odd.series_instance_uid,)) in kinds
    assert ("outside-the-model", (silent.series_instance_uid,)) in kinds


@pytest.mark.parametrize("bits", [0, 2, 4])
@pytest.mark.parametrize("order", [1, -1])
def test_a_copied_image_is_found_however_it_was_encoded_or_stacked(bits: int, order: int) -> None:
    facts = cohort(seed=8, series=25)
    original = facts.series[3]
    copy = replace(facts.series[11], slice_hashes=copied_hashes(original.slice_hashes, bits=bits, seed=bits)[::order])
    found = NearDuplicate().run(facts=with_series(facts, copy), parameters=PARAMETERS)
    [concern] = [one for one in found.concerns if one.kind == "same-image-twice"]
    assert set(concern.series) == {original.series_instance_uid, copy.series_instance_uid}
    assert concern.evidence["one_patient"] is False
    assert "two patients' keys" in concern.reason


def test_half_of_a_series_is_still_a_copy_and_a_tenth_is_not() -> None:
    facts = cohort(seed=8, series=25)
    original, other = facts.series[3], facts.series[11]
    half = replace(other, slice_hashes=original.slice_hashes[::2])
    tenth = replace(other, slice_hashes=original.slice_hashes[:4] + other.slice_hashes[4:])
    assert len(NearDuplicate().run(facts=with_series(facts, half), parameters=PARAMETERS).concerns) >= 1
    assert NearDuplicate().run(facts=with_series(facts, tenth), parameters=PARAMETERS).concerns == ()


def test_two_reconstructions_of_one_study_are_less_of_a_concern_than_one_image_of_two_patients() -> None:
    facts = cohort(seed=8, series=25)
    one = facts.series[3]
    again = replace(one, series_instance_uid="2.25.99", findings=())
    [same_study] = NearDuplicate().run(facts=with_series(facts, again), parameters=PARAMETERS).concerns
    stranger = replace(again, patient="someone", study_instance_uid="2.25.98", split=one.split)
    [other] = NearDuplicate().run(facts=with_series(facts, stranger), parameters=PARAMETERS).concerns
    assert same_study.score < other.score


def test_a_patient_in_two_splits_is_found_by_key_and_by_image() -> None:
    facts = cohort(seed=8, series=25)
    first, second = facts.series[0], facts.series[1]
    assert first.split != second.split
    by_key = with_series(facts, replace(second, patient=first.patient))
    [concern] = NearDuplicate().run(facts=by_key, parameters=PARAMETERS).concerns
    assert concern.kind == "same-patient-in-two-splits"
    assert set(concern.series) == {first.series_instance_uid, second.series_instance_uid}
    by_image = with_series(facts, replace(second, slice_hashes=first.slice_hashes))
    kinds = {one.kind for one in NearDuplicate().run(facts=by_image, parameters=PARAMETERS).concerns}
    assert kinds == {"same-image-twice", "same-patient-in-two-splits"}


def test_labels_filed_under_two_studies_are_found_though_the_images_differ() -> None:
    facts = cohort(seed=8, series=25)
    source = facts.series[3]
    other = _renamed(source, 1)
    wrong = replace(other, slice_hashes=facts.series[11].slice_hashes[:5] + tuple(f"{n:016x}" for n in range(1, 40)))
    [concern] = NearDuplicate().run(facts=with_series(facts, wrong), parameters=PARAMETERS).concerns
    assert concern.kind == "copied-labels"
    assert set(concern.series) == {source.series_instance_uid, wrong.series_instance_uid}
    # Where the image is a copy too, the labels belong to it.
    kinds = {
        one.kind
        for one in NearDuplicate()
        .run(facts=with_series(facts, replace(other, split=source.split)), parameters=PARAMETERS)
        .concerns
    }
    assert kinds == {"same-image-twice"}


def test_duplicates_cost_no_more_than_in_proportion_to_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    from imaging.checks import near_duplicate

    plain = near_duplicate._overlap

    def counting(first: np.ndarray, second: np.ndarray, reach: int) -> tuple[float, float, int]:
        compared.append(1)
        return plain(first, second, reach)

    monkeypatch.setattr(near_duplicate, "_overlap", counting)
    NearDuplicate().run(facts=cohort(seed=8, series=150, lesions=1, readers=1, slices=60), parameters=PARAMETERS)
    assert len(compared) == 0


def _drifting(facts: DatasetFacts, *, reader: str = "", guideline_from: int = -1) -> DatasetFacts:
    changed = []
    for number, series in enumerate(facts.series):
        findings = []
        for one in series.findings:
            moved = one.reader_label == reader or (guideline_from >= 0 and number >= guideline_from)
            mark = replace(one, guideline="2") if 0 <= guideline_from <= number else one
            if moved and _draw(one) % 10 < 5:
                mark = replace(mark, category=_other(mark.category), characteristics={"malignancy": 5})
            findings.append(mark)
        changed.append(replace(series, findings=tuple(findings)))
    return DatasetFacts(tuple(changed))


def _draw(finding: FindingFacts) -> int:
    return zlib.crc32(finding.finding_id.encode())


def test_a_reader_who_uses_categories_otherwise_is_a_concern() -> None:
    facts = _drifting(cohort(seed=5, series=60), reader="Reader 2")
    found = TaxonomyDrift().run(facts=facts, parameters=PARAMETERS).concerns
    by_reader = [one for one in found if one.kind.endswith("-by-reader")]
    assert {one.evidence["group"] for one in by_reader} == {"Reader 2"}
    assert max(one.score for one in by_reader) > 0.8
    assert all(one.evidence["readers"] == ["Reader 2"] for one in by_reader)
    assert not [one for one in found if one.kind.endswith("-by-time")]


def test_a_new_guideline_that_moves_the_ratings_is_a_concern() -> None:
    facts = _drifting(cohort(seed=5, series=60), guideline_from=30)
    found = TaxonomyDrift().run(facts=facts, parameters=PARAMETERS).concerns
    assert any(one.kind == "rating-by-guideline" and one.evidence["group"] == "2" for one in found)
    assert all(float(str(one.evidence["cramers_v"])) >= 0.1 for one in found)


def test_one_patient_with_many_alike_marks_is_no_drift() -> None:
    facts = cohort(seed=5, series=20)
    first = facts.series[0]
    many = tuple(
        replace(first.findings[0], finding_id=f"many-{number}", category=Category.NODULE_LT_3MM) for number in range(60)
    )
    facts = with_series(facts, replace(first, findings=(*first.findings, *many)))
    assert TaxonomyDrift().run(facts=facts, parameters=PARAMETERS).concerns == ()


def test_drift_needs_something_to_compare() -> None:
    facts = cohort(seed=5, readers=1)
    alone = DatasetFacts(
        tuple(
            replace(one, findings=tuple(replace(mark, marked_on="2026-01-01") for mark in one.findings))
            for one in facts.series
        )
    )
    with pytest.raises(NotApplicable, match="all labels are of one reader"):
        TaxonomyDrift().run(facts=alone, parameters=PARAMETERS)


def test_what_a_qa_model_said_changes_nothing() -> None:
    facts = cohort(seed=1, series=30)
    told = DatasetFacts(
        tuple(
            replace(
                series,
                findings=tuple(
                    replace(mark, features={**mark.features, "model_probability": float(number % 2)})
                    for number, mark in enumerate(series.findings)
                ),
            )
            for series in facts.series
        )
    )
    plain, heard = (analyse_dataset(facts=one, parameters=PARAMETERS, rules=NO_RULES) for one in (facts, told))
    assert [one.issue.evidence for one in plain.issues] == [one.issue.evidence for one in heard.issues]
    assert [one.evidence for one in plain.concerns] == [one.evidence for one in heard.concerns]


class _Broken:
    name = "broken"
    version = "1.0"

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        raise RuntimeError("Patient Jane Doe")


def test_a_check_that_breaks_down_stops_no_other_and_its_error_is_not_quoted() -> None:
    facts = cohort(seed=1, series=14)
    outcome = analyse_dataset(facts=facts, parameters=PARAMETERS, rules=NO_RULES, checks=(_Broken(), *DATASET_REGISTRY))
    assert outcome.checks[0].status == FAILED
    assert outcome.checks[0].detail == "it broke down: RuntimeError"
    assert [one.status for one in outcome.checks[1:]].count(FAILED) == 0


def test_a_dataset_of_nothing_is_told_and_not_failed() -> None:
    outcome = analyse_dataset(facts=DatasetFacts(()), parameters=PARAMETERS, rules=NO_RULES)
    assert {one.status for one in outcome.checks} == {NOT_APPLICABLE}
    assert (outcome.issues, outcome.concerns) == ((), ())


def test_progress_may_end_a_pass_between_checks() -> None:
    told: list[str] = []

    def stop(done: int, total: int, name: str) -> None:
        told.append(name)
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_dataset(facts=cohort(seed=1, series=14), parameters=PARAMETERS, rules=NO_RULES, progress=stop)
    assert told == [check.name for check in DATASET_REGISTRY[:2]]


def test_a_rule_that_mostly_hits_one_small_group_says_so() -> None:
    facts = cohort(seed=1, series=40)
    few = [replace(series, acquisition={**series.acquisition, "kernel": "B80f"}) for series in facts.series[:4]]
    rules = parse_rules(
        {
            "rules": [
                {
                    "id": "sharp-kernels",
                    "version": "1",
                    "severity": "note",
                    "about": "finding",
                    "message": "No labels on sharp kernels.",
                    "must_not": {"field": "acquisition.kernel", "is": "B80f"},
                }
            ]
        }
    )
    outcome = analyse_dataset(facts=with_series(facts, *few), parameters=PARAMETERS, rules=rules, checks=())
    [check] = outcome.checks
    assert check.check == "rule:sharp-kernels"
    assert "of kernel 'B80f', which has 10% of all findings" in check.detail
