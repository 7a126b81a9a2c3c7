"""A project's rules: read with clear refusals, applied without running anything, and tried before they go live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from imaging.checks.rules import RESTS_ON_MODEL, apply_rules, rehearse
from imaging.checks.rules_document import MOST_CHARACTERS, parse_rules, read_rules
from imaging.checks.rules_subjects import DAYS_TAG, holds
from imaging.checks.rules_terms import RuleSet, UnusableRules
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.types import Action, Category

BASE: Mapping[str, object] = {
    "id": "a-rule",
    "version": "1",
    "severity": "impossible",
    "about": "finding",
    "message": "This cannot be.",
}


def _rules(**changes: object) -> RuleSet:
    row = {**BASE, **changes}
    return parse_rules({"rules": [{name: value for name, value in row.items() if value is not None}]})


def _mark(name: str, **changes: object) -> FindingFacts:
    made = FindingFacts(
        set_id="s-1",
        reader_label="Reader 1",
        finding_id=name,
        category=Category.NODULE_GE_3MM,
        place_mm=(10.0, 20.0, 30.0),
        diameter_mm=8.0,
        features={"volume_mm3": 268.0, "missing_slices_count": 0.0},
        characteristics={"malignancy": 3, "calcification": 6},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the tests name fields


def _series(number: int, *marks: FindingFacts, **changes: object) -> SeriesFacts:
    made = SeriesFacts(
        series_instance_uid=f"2.25.{number}",
        study_instance_uid=f"2.25.9{number}",
        patient="p-1",
        split="train",
        acquisition={"kvp": "120", "kernel": "B30f"},
        embedding_version="",
        embedding=(),
        slice_hashes=(),
        findings=marks,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the tests name fields


def _raised(facts: DatasetFacts, **changes: object) -> list[str]:
    outcome = apply_rules(facts=facts, rules=_rules(**changes))
    return [str(one.issue.finding_id) for one in outcome.issues]


def test_a_vocabulary_is_kept() -> None:
    facts = DatasetFacts((_series(1, _mark("a"), _mark("b", category=Category.NON_NODULE)),))
    allowed = {"field": "category", "in": ["nodule >= 3 mm", "nodule < 3 mm"]}
    assert _raised(facts, must=allowed) == ["b"]
    assert _raised(facts, must={"field": "category", "not_in": ["nodule >= 3 mm"]}) == ["a"]


def test_a_range_is_kept_and_what_is_not_known_breaks_no_rule() -> None:
    facts = DatasetFacts((_series(1, _mark("a", diameter_mm=31.0), _mark("b"), _mark("c", diameter_mm=None)),))
    assert _raised(facts, must={"field": "diameter_mm", "between": [1, 30]}) == ["a"]
    assert _raised(facts, must={"field": "diameter_mm", "known": True}) == ["c"]
    [told] = rehearse(facts=facts, rules=_rules(must={"field": "diameter_mm", "between": [1, 30]}))
    assert (told.asked, told.broken, told.untold) == (3, 1, 1)


def test_an_impossible_combination_is_found_and_the_rule_proposes_a_category() -> None:
    small = _mark("a", category=Category.NODULE_LT_3MM, characteristics={"malignancy": 5})
    facts = DatasetFacts((_series(1, small, _mark("b")),))
    rules = _rules(
        must_not={
            "all": [
                {"field": "category", "is": "nodule < 3 mm"},
                {"any": [{"field": "characteristics.malignancy", "more": 4}, {"field": "diameter_mm", "at_least": 9}]},
            ]
        },
        suggest="nodule >= 3 mm",
    )
    [located] = apply_rules(facts=facts, rules=rules).issues
    issue = located.issue
    assert (issue.finding_id, issue.check, issue.check_version) == ("a", "rule:a-rule", "1")
    assert issue.score == 0.97
    assert "This cannot be." in issue.reason
    assert "the malignancy is 5" in issue.reason
    [proposal] = issue.proposals
    assert (proposal.action, proposal.category) == (Action.RECATEGORISE, Category.NODULE_GE_3MM)
    assert issue.evidence["features"] == {"characteristics.malignancy": 5.0, "diameter_mm": 8.0}
    assert issue.evidence[RESTS_ON_MODEL] is False


def test_a_rule_that_reads_a_models_word_says_that_it_rests_on_it() -> None:
    facts = DatasetFacts((_series(1, _mark("a", features={"model_probability": 0.01})),))
    [located] = apply_rules(facts=facts, rules=_rules(must={"field": "features.model_probability", "more": 0.1})).issues
    assert located.issue.evidence[RESTS_ON_MODEL] is True


def test_contradictions_across_slices_are_found_by_their_features() -> None:
    gap = _mark("a", features={"missing_slices_count": 2.0})
    facts = DatasetFacts((_series(1, gap, _mark("b")),))
    assert _raised(facts, must={"field": "features.missing_slices_count", "is": 0}) == ["a"]


def test_odd_co_occurrence_within_a_set_or_series_is_a_concern() -> None:
    crowded = _series(1, *(_mark(f"n{number}", category=Category.NON_NODULE) for number in range(4)))
    facts = DatasetFacts((crowded, _series(2, _mark("x"))))
    rules = _rules(about="set", must_not={"field": "count.non-nodule", "more": 3}, severity="doubtful")
    outcome = apply_rules(facts=facts, rules=rules)
    [concern] = outcome.concerns
    assert (concern.series, concern.score, concern.subject) == (("2.25.1",), 0.5, "2.25.1 s-1")
    assert outcome.checks[0].issue_count == 1
    whole = _rules(about="series", must={"field": "readers", "at_least": 2})
    assert len(apply_rules(facts=facts, rules=whole).concerns) == 2


def test_phases_of_a_study_are_held_against_each_other_for_each_reader() -> None:
    first = _series(1, _mark("a"), _mark("far", place_mm=(90.0, 0.0, 0.0)), study_instance_uid="2.25.5")
    calcified = _mark("b", set_id="s-2", place_mm=(11.0, 20.0, 30.0), characteristics={"calcification": 3})
    stranger = _mark("c", set_id="s-3", reader_label="Reader 2", characteristics={"calcification": 3})
    second = _series(2, calcified, stranger, study_instance_uid="2.25.5")
    alike = {"field": "second.characteristics.calcification", "is": {"field": "first.characteristics.calcification"}}
    rules = _rules(about="phases", within_mm=5, must=alike)
    [located] = apply_rules(facts=DatasetFacts((first, second)), rules=rules).issues
    assert (located.series_instance_uid, located.issue.finding_id) == ("2.25.2", "b")
    assert located.issue.evidence["compared_with"] == {"series": "2.25.1", "finding": "a"}


def test_time_points_of_a_patient_are_held_against_each_other_in_order() -> None:
    before = _series(7, _mark("a", tracking_uid="t"), acquisition={DAYS_TAG: 0.0})
    after = _series(
        3,
        _mark("b", tracking_uid="t", place_mm=(400.0, 0, 0), features={"volume_mm3": 100.0}),
        acquisition={DAYS_TAG: 90.0},
    )
    facts = DatasetFacts((after, before))
    shrunk = _rules(about="time-points", within_mm=10, must={"field": "ratio.features.volume_mm3", "at_least": 0.5})
    [located] = apply_rules(facts=facts, rules=shrunk).issues
    assert located.issue.finding_id == "b"
    assert _raised(facts, about="time-points", within_mm=10, must={"field": "days_between", "is": 90}) == []
    # Another patient's later scan is no time point of this one.
    apart = DatasetFacts((replace(after, patient="p-2"), before))
    assert apply_rules(facts=apart, rules=shrunk).issues == ()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"field": "diameter_mm", "less": 5}, None),
        ({"not": {"field": "diameter_mm", "less": 5}}, None),
        ({"all": [{"field": "diameter_mm", "less": 5}, {"field": "category", "is": "non-nodule"}]}, False),
        ({"any": [{"field": "diameter_mm", "less": 5}, {"field": "category", "is": "nodule >= 3 mm"}]}, True),
        ({"any": [{"field": "diameter_mm", "less": 5}, {"field": "category", "is": "non-nodule"}]}, None),
        ({"field": "acquisition.kvp", "is": 120}, True),
        ({"field": "acquisition.kernel", "more": 3}, None),
        ({"field": "diameter_mm", "known": False}, True),
    ],
)
def test_what_is_not_known_is_neither_true_nor_false(condition: object, expected: bool | None) -> None:
    facts = DatasetFacts((_series(1, _mark("a", diameter_mm=None)),))
    [rule] = _rules(must=condition).rules
    from imaging.checks.rules_subjects import subjects_of

    [subject] = subjects_of(facts=facts, rule=rule)
    assert rule.must is not None
    assert holds(condition=rule.must, fields=subject.fields) is expected


CLEAR = {"field": "category", "is": "non-nodule"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "Not Good"}, "rule 1, id"),
        ({"severity": "grave"}, "a-rule, severity: it is one of impossible, doubtful, note"),
        ({"about": "slice"}, "a-rule, about"),
        ({"message": ""}, "a-rule, message"),
        ({"version": None}, "a-rule, version"),
        ({"must": None}, "a-rule, must: a rule says what must be so or what must not"),
        ({"must_not": CLEAR}, "one of the two"),
        ({"wher": CLEAR}, "a-rule, wher: there is no such field"),
        ({"must": {"field": "colour", "is": "red"}}, "a-rule, must.field: a rule about finding has no field 'colour'"),
        ({"must": {"field": "category", "matches": ".*"}}, "a-rule, must: beside its field it has one of"),
        ({"must": {"field": "category", "is": "a", "is_not": "b"}}, "a-rule, must"),
        ({"must": {"field": "diameter_mm", "less": "five"}}, "a-rule, must.less: it is a number or a field"),
        ({"must": {"field": "diameter_mm", "between": [5, 1]}}, "the smaller number comes first"),
        ({"must": {"field": "category", "in": []}}, "a-rule, must.in"),
        ({"must": {"all": [CLEAR, {"any": []}]}}, "a-rule, must.all[2].any"),
        ({"must": {"not": CLEAR, "field": "category"}}, "a-rule, must.not: it stands alone"),
        ({"about": "phases"}, "a-rule, must.field: a rule about phases has no field 'category'"),
        ({"about": "phases", "must": {"field": "first.category", "is": "x"}}, "a-rule, within_mm"),
        ({"within_mm": 3}, "a-rule, within_mm: only pairs have a distance"),
        ({"suggest": "lump"}, "a-rule, suggest"),
        ({"must": {"field": "features.__class__.__init__", "is": 1}}, "a-rule, must.field"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_by_rule_and_field(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UnusableRules) as refusal:
        _rules(**{"must": CLEAR, **changes})
    assert words in refusal.value.message
    assert refusal.value.code == "unusable-rules"


def test_conditions_have_bounds() -> None:
    deep: object = CLEAR
    for _ in range(7):
        deep = {"not": deep}
    with pytest.raises(UnusableRules, match="nested"):
        _rules(must=deep)
    with pytest.raises(UnusableRules, match="at most 50 comparisons"):
        _rules(must={"all": [CLEAR] * 51})
    with pytest.raises(UnusableRules, match="another rule has it already"):
        parse_rules({"rules": [{**BASE, "must": CLEAR}] * 2})
    with pytest.raises(UnusableRules, match="at most 200 rules"):
        parse_rules({"rules": [{**BASE, "id": f"r-{number}", "must": CLEAR} for number in range(201)]})


def test_json_and_yaml_say_the_same() -> None:
    document = {"rules": [{**BASE, "must": CLEAR}]}
    yaml = """
rules:
  - id: a-rule
    version: 1
    severity: impossible
    about: finding
    message: This cannot be.
    must: {field: category, is: non-nodule}
"""
    assert read_rules(json.dumps(document)) == read_rules(yaml) == parse_rules(document)
    assert read_rules("rules: []").rules == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rules",
        "{",
        "rules: [",
        "rules: 3",
        "rules: []\nmore: 1",
        "a: &a [1]\nrules: [*a, *a]",
        "!!python/object/apply:os.system ['true']",
        "rules: " + "[" * 5000,
        "#" * (MOST_CHARACTERS + 1),
    ],
)
def test_a_text_that_is_no_document_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(UnusableRules):
        read_rules(text)


def test_a_rehearsal_counts_gives_examples_and_shares_and_raises_nothing() -> None:
    siemens = {"manufacturer": "SIEMENS"}
    many = [
        _series(number, _mark(f"f{number}", diameter_mm=3.0 + number), acquisition=siemens) for number in range(1, 31)
    ]
    facts = DatasetFacts(tuple(many))
    [told] = rehearse(facts=facts, rules=_rules(must={"field": "diameter_mm", "at_most": 23}))
    assert (told.rule_id, told.asked, told.broken) == ("a-rule", 30, 10)
    assert told.by_group["manufacturer"] == {"SIEMENS": (10, 30)}
    assert len(told.examples) == 5
    assert told.examples[0]["values"] == {"diameter_mm": 24.0}
    assert told.note == ""


def test_a_rehearsal_says_when_a_rule_speaks_of_one_small_group() -> None:
    rare = [
        _series(number, _mark(f"f{number}"), acquisition={"kernel": "B80f" if number < 6 else "B30f"})
        for number in range(40)
    ]
    [told] = rehearse(
        facts=DatasetFacts(tuple(rare)), rules=_rules(must_not={"field": "acquisition.kernel", "is": "B80f"})
    )
    assert told.note == "most of these (6 of 6) are of kernel 'B80f', which has 15% of all findings"
