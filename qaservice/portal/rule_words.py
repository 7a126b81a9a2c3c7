"""A project's rules as people read them, what changes between two versions, and what a rule may speak of."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.rules import SCORES
from imaging.checks.rules_terms import (
    OPERATORS,
    About,
    Comparison,
    Condition,
    FieldReference,
    Joined,
    Rule,
    RuleSet,
    Scalar,
    Severity,
)

ASKED_OF = {
    About.FINDING: "every label",
    About.SET: "everything that one reader marked on a series",
    About.SERIES: "every series",
    About.PHASES: "a reader's two marks of one place in two series of a study",
    About.TIME_POINTS: "a reader's two marks of one place in two studies of a patient",
}
RAISES = {
    About.FINDING: "a flag",
    About.SET: "a concern",
    About.SERIES: "a concern",
    About.PHASES: "a flag on the later mark",
    About.TIME_POINTS: "a flag on the later mark",
}
COMPARED = {
    "is": "is",
    "is_not": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "less": "is less than",
    "at_most": "is at most",
    "more": "is more than",
    "at_least": "is at least",
}
GROUPS = {
    "features": "measured",
    "characteristics": "rated",
    "acquisition": "the scan's",
    "first": "the first mark's",
    "second": "the second mark's",
    "change": "change of",
    "ratio": "ratio of",
    "count": "number of",
    "least": "smallest",
    "most": "largest",
    "spread": "spread of",
}
NAMES = {"readers": "number of readers", "marked_on": "day of the label", "split": "part of the dataset"}
UNITS = (("_mm3", " in mm³"), ("_mm", " in mm"), ("_hu", " in HU"), ("_mas", " in mAs"), ("_ma", " in mA"))

EXAMPLE = """rules:
  - id: small-is-small
    version: "1"
    severity: impossible
    about: finding
    message: A nodule under 3 mm cannot be this large.
    where: {field: category, is: "nodule < 3 mm"}
    must: {field: diameter_mm, at_most: 4}
  - id: two-readers
    version: "1"
    severity: doubtful
    about: series
    message: Every scan is read by two readers.
    must: {field: readers, at_least: 2}
"""
FIELDS: tuple[tuple[About, str, tuple[str, ...]], ...] = (
    (
        About.FINDING,
        ASKED_OF[About.FINDING],
        (
            "category",
            "diameter_mm",
            "reader",
            "guideline",
            "marked_on",
            "split",
            "features.volume_mm3",
            "features.model_probability",
            "characteristics.malignancy",
            "acquisition.kernel",
        ),
    ),
    (
        About.SET,
        ASKED_OF[About.SET],
        ("reader", "guideline", "split", "count.all", "count.nodule >= 3 mm", "most.diameter_mm", "acquisition.kernel"),
    ),
    (About.SERIES, ASKED_OF[About.SERIES], ("readers", "split", "count.all", "spread.diameter_mm", "acquisition.kvp")),
    (
        About.PHASES,
        ASKED_OF[About.PHASES],
        ("first.category", "second.diameter_mm", "change.features.volume_mm3", "ratio.features.volume_mm3"),
    ),
    (
        About.TIME_POINTS,
        ASKED_OF[About.TIME_POINTS],
        ("first.category", "second.category", "days_between", "ratio.features.volume_mm3"),
    ),
)
"""Fields by what a rule is about, examples of each group; tests hold them to what the parser takes."""


@dataclass(frozen=True)
class RuleWords:
    """One rule in plain words. ``demand``: "must be so" or "must not be so"; ``where`` and ``proposes`` may be ""."""

    rule_id: str
    version: str
    severity: str
    probability: float
    message: str
    asked_of: str
    raises: str
    where: str
    demand: str
    condition: str
    proposes: str


@dataclass(frozen=True)
class RuleChanges:
    """What becomes of rules by a new version. ``unmarked``: changed rules that are still called the same version."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    unmarked: tuple[str, ...]

    @property
    def any(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def rules_in_words(rules: RuleSet) -> list[RuleWords]:
    """Return each rule in plain words, in the order of the document."""
    return [_in_words(rule) for rule in rules.rules]


def changes_between(*, standing: RuleSet, tried: RuleSet) -> RuleChanges:
    """Return which rules are new, changed and gone in ``tried``, by their ids."""
    before = {rule.rule_id: rule for rule in standing.rules}
    after = {rule.rule_id: rule for rule in tried.rules}
    changed = [name for name, rule in after.items() if name in before and before[name] != rule]
    return RuleChanges(
        new=tuple(name for name in after if name not in before),
        changed=tuple(changed),
        gone=tuple(name for name in before if name not in after),
        unmarked=tuple(name for name in changed if before[name].version == after[name].version),
    )


def field_in_words(name: str) -> str:
    """Return a field's name in words: ``features.volume_mm3`` as "measured volume in mm³"."""
    root, dot, rest = name.partition(".")
    if dot and root in GROUPS:
        return f"{GROUPS[root]} {field_in_words(rest)}"
    if name in NAMES:
        return NAMES[name]
    for ending, unit in UNITS:
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " ") + unit
    return name.replace("_", " ")


def condition_in_words(condition: Condition) -> str:
    """Return a condition as a clause; what is nested stands in brackets."""
    if isinstance(condition, Comparison):
        return _comparison(condition)
    if isinstance(condition, Joined):
        word = " and " if condition.word == "all" else " or "
        return word.join(
            f"({condition_in_words(part)})" if isinstance(part, Joined) else condition_in_words(part)
            for part in condition.parts
        )
    return f"not ({condition_in_words(condition.part)})"


def operators_in_words() -> list[tuple[str, str]]:
    """Return every operator with its meaning."""
    return list(OPERATORS.items())


def severities() -> list[tuple[str, float]]:
    """Return every severity with the probability that a broken rule of it starts from."""
    return [(severity.value, SCORES[severity]) for severity in Severity]


def _in_words(rule: Rule) -> RuleWords:
    demand = rule.must if rule.must is not None else rule.must_not
    assert demand is not None  # the parser takes no rule without
    near = f", at most {rule.within_mm:g} mm apart" if rule.within_mm is not None else ""
    return RuleWords(
        rule_id=rule.rule_id,
        version=rule.version,
        severity=rule.severity.value,
        probability=SCORES[rule.severity],
        message=rule.message,
        asked_of=ASKED_OF[rule.about] + near,
        raises=RAISES[rule.about],
        where="" if rule.where is None else condition_in_words(rule.where),
        demand="must be so" if rule.must is not None else "must not be so",
        condition=condition_in_words(demand),
        proposes="" if rule.suggest is None else rule.suggest.value,
    )


def _comparison(one: Comparison) -> str:
    name, value = field_in_words(one.field), one.value
    if one.operator == "known":
        return f"{name} is {'known' if value else 'not known'}"
    if one.operator == "between" and isinstance(value, tuple):
        return f"{name} lies between {_value(value[0])} and {_value(value[1])}"
    if isinstance(value, FieldReference):
        return f"{name} {COMPARED[one.operator]} {field_in_words(value.name)}"
    if isinstance(value, tuple):
        return f"{name} {COMPARED[one.operator]} {', '.join(_value(part) for part in value)}"
    return f"{name} {COMPARED[one.operator]} {_value(value)}"


def _value(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else f"“{value}”" if isinstance(value, str) else str(value)
