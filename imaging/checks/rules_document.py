"""A project's own rules as a document: read from JSON or YAML, checked word by word, never executed.

A document is ``{"rules": [...]}``. A rule says what it is about, when it speaks (``where``), and what must or must not
be so::

    - id: small-is-small
      version: "1"
      severity: impossible          # impossible, doubtful or note
      about: finding                # finding, set, series, phases or time-points
      message: A nodule under 3 mm cannot be this large.
      where: {field: category, is: "nodule < 3 mm"}
      must: {field: diameter_mm, at_most: 4}

A condition is one comparison (``field`` and one operator), or ``all``, ``any`` (lists) or ``not`` of conditions. What
is compared with may be another field: ``{field: second.category, is: {field: first.category}}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Never

import yaml

from imaging.checks.rules_terms import (
    NUMBER_OPERATORS,
    OPERATORS,
    About,
    Comparison,
    Condition,
    FieldReference,
    Joined,
    Negated,
    Rule,
    RuleSet,
    Severity,
    UnusableRules,
)
from imaging.types import Category

MOST_CHARACTERS = 200_000
MOST_RULES = 200
MOST_COMPARISONS = 50
DEEPEST = 6

_FINDING_FIELDS = ("category", "diameter_mm", "reader", "guideline", "marked_on", "split")
_GROUPS = ("features", "characteristics", "acquisition")
_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,29}$")
_NAME = re.compile(r"^[A-Za-z0-9_ <>=-]{1,60}$")
_KEYS = {"id", "version", "severity", "message", "about", "where", "must", "must_not", "within_mm", "suggest"}


def read_rules(text: str) -> RuleSet:
    """Return the rules of a JSON or YAML text. Raises UnusableRules, naming rule and field."""
    return parse_rules(document_of(text))


def document_of(text: str) -> Mapping[str, object]:
    """Return a JSON or YAML text as plain values. Raises UnusableRules where it is neither, or uses YAML's aliases."""
    if len(text) > MOST_CHARACTERS:
        _refuse("document", "", f"it is longer than {MOST_CHARACTERS} characters")
    try:
        # YAML reads JSON too, but takes tabs amiss.
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _PlainLoader)  # noqa: S506  # a SafeLoader
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = getattr(error, "lineno", None) or (mark.line + 1 if mark is not None else 0)
        _refuse("document", "", f"it is neither JSON nor YAML{f'; look at line {line}' if line else ''}")
    if not isinstance(document, Mapping):
        _refuse("document", "", 'it has to be a mapping with the one key "rules"')
    return document


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them unfold into more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def parse_rules(document: Mapping[str, object]) -> RuleSet:
    """Return the rules of a document of plain values. Raises UnusableRules, naming rule and field."""
    stray = sorted(str(key) for key in document if key != "rules")
    if stray:
        _refuse("document", stray[0], 'the one key is "rules"')
    rows = document.get("rules")
    if not isinstance(rows, list) or len(rows) > MOST_RULES:
        _refuse("document", "rules", f"it is a list of at most {MOST_RULES} rules")
    rules = tuple(_rule(row, f"rule {number}") for number, row in enumerate(rows, start=1))
    seen: set[str] = set()
    for rule in rules:
        if rule.rule_id in seen:
            _refuse(rule.rule_id, "id", "another rule has it already")
        seen.add(rule.rule_id)
    return RuleSet(rules)


def _rule(row: object, place: str) -> Rule:
    if not isinstance(row, Mapping):
        _refuse(place, "", "a rule is a mapping")
    name = row.get("id")
    if not isinstance(name, str) or not _ID.match(name):
        _refuse(place, "id", "it is 1 to 30 small letters, digits and hyphens")
    stray = sorted(str(key) for key in row if key not in _KEYS)
    if stray:
        _refuse(name, stray[0], f"there is no such field; fields are {', '.join(sorted(_KEYS))}")
    about = About(_word(row, name, "about", [one.value for one in About]))
    if ("must" in row) == ("must_not" in row):
        _refuse(name, "must", "a rule says what must be so or what must not, one of the two")
    budget = [MOST_COMPARISONS]
    conditions = {
        key: _condition(row[key], name, key, about, 1, budget) if key in row else None
        for key in ("where", "must", "must_not")
    }
    return Rule(
        rule_id=name,
        version=_text(row, name, "version", 20),
        severity=Severity(_word(row, name, "severity", [one.value for one in Severity])),
        message=_text(row, name, "message", 300),
        about=about,
        within_mm=_within(row, name, about),
        suggest=_suggestion(row, name, about),
        **conditions,
    )


def _condition(value: object, rule: str, place: str, about: About, depth: int, budget: list[int]) -> Condition:
    if depth > DEEPEST:
        _refuse(rule, place, f"conditions are nested at most {DEEPEST} deep")
    if not isinstance(value, Mapping) or not value:
        _refuse(rule, place, "a condition is a mapping")
    for word in ("all", "any"):
        if word in value:
            parts = value[word]
            if len(value) != 1 or not isinstance(parts, list) or not parts:
                _refuse(rule, f"{place}.{word}", "it stands alone and holds a list of conditions")
            inner = [
                _condition(one, rule, f"{place}.{word}[{number}]", about, depth + 1, budget)
                for number, one in enumerate(parts, start=1)
            ]
            return Joined(word, tuple(inner))
    if "not" in value:
        if len(value) != 1:
            _refuse(rule, f"{place}.not", "it stands alone")
        return Negated(_condition(value["not"], rule, f"{place}.not", about, depth + 1, budget))
    budget[0] -= 1
    if budget[0] < 0:
        _refuse(rule, place, f"a rule holds at most {MOST_COMPARISONS} comparisons")
    return _comparison(value, rule, place, about)


def _comparison(value: Mapping[object, object], rule: str, place: str, about: About) -> Comparison:
    field = _field(value.get("field"), rule, place, about)
    operators = [str(key) for key in value if key != "field"]
    if len(operators) != 1 or operators[0] not in OPERATORS:
        _refuse(rule, place, f"beside its field it has one of {', '.join(OPERATORS)}")
    operator = operators[0]
    wanted = value[operator]
    if isinstance(wanted, Mapping):
        if set(wanted) != {"field"} or operator in ("in", "not_in", "between", "known"):
            _refuse(rule, f"{place}.{operator}", "it cannot be compared with that")
        return Comparison(field, operator, FieldReference(_field(wanted["field"], rule, place, about)))
    if operator in ("in", "not_in"):
        if not isinstance(wanted, list) or not wanted or not all(_is_scalar(one) for one in wanted):
            _refuse(rule, f"{place}.{operator}", "it is a list of texts or numbers")
        return Comparison(field, operator, tuple(wanted))
    if operator == "between":
        if not isinstance(wanted, list) or len(wanted) != 2 or not all(_is_number(one) for one in wanted):
            _refuse(rule, f"{place}.{operator}", "it is a list of two numbers")
        if wanted[0] > wanted[1]:
            _refuse(rule, f"{place}.{operator}", "the smaller number comes first")
        return Comparison(field, operator, tuple(wanted))
    if operator == "known":
        if not isinstance(wanted, bool):
            _refuse(rule, f"{place}.{operator}", "it is true or false")
        return Comparison(field, operator, wanted)
    if operator in NUMBER_OPERATORS:
        if not _is_number(wanted):
            _refuse(rule, f"{place}.{operator}", "it is a number or a field")
    elif not _is_scalar(wanted):
        _refuse(rule, f"{place}.{operator}", "it is a text, a number or a field")
    assert isinstance(wanted, str | int | float)
    return Comparison(field, operator, wanted)


def _field(name: object, rule: str, place: str, about: About) -> str:
    if not isinstance(name, str):
        _refuse(rule, f"{place}.field", "it is missing")
    if not _is_field(name, about):
        _refuse(rule, f"{place}.field", f"a rule about {about.value} has no field {name[:60]!r}")
    return name


def _is_field(name: str, about: About) -> bool:
    if about.is_pair:
        root, _, rest = name.partition(".")
        if root in ("first", "second"):
            return _is_finding_field(rest)
        return name == "days_between" or (root in ("change", "ratio") and _in_group(rest, _GROUPS[:2]))
    if about is About.FINDING:
        return _is_finding_field(name)
    root, _, rest = name.partition(".")
    if root == "count":
        return rest == "all" or rest in [one.value for one in Category]
    if root in ("least", "most", "spread"):
        return _in_group(rest, _GROUPS[:2]) or rest == "diameter_mm"
    alone = ("reader", "guideline", "split") if about is About.SET else ("split", "readers")
    return name in alone or _in_group(name, ("acquisition",))


def _is_finding_field(name: str) -> bool:
    return name in _FINDING_FIELDS or _in_group(name, _GROUPS)


def _in_group(name: str, groups: Sequence[str]) -> bool:
    root, _, rest = name.partition(".")
    return root in groups and bool(_NAME.match(rest))


def _within(row: Mapping[object, object], rule: str, about: About) -> float | None:
    value = row.get("within_mm")
    if not about.is_pair:
        if value is not None:
            _refuse(rule, "within_mm", "only pairs have a distance")
        return None
    if not _is_number(value) or not isinstance(value, int | float) or not 0 < value <= 1000:
        _refuse(rule, "within_mm", "a rule about pairs says how near the two marks lie, above 0 and at most 1000 mm")
    return float(value)


def _suggestion(row: Mapping[object, object], rule: str, about: About) -> Category | None:
    if "suggest" not in row:
        return None
    if about not in (About.FINDING, About.PHASES, About.TIME_POINTS):
        _refuse(rule, "suggest", "only a finding has a category to propose")
    return Category(_word(row, rule, "suggest", [one.value for one in Category]))


def _word(row: Mapping[object, object], rule: str, field: str, words: Sequence[str]) -> str:
    value = row.get(field)
    if not isinstance(value, str) or value not in words:
        _refuse(rule, field, f"it is one of {', '.join(words)}")
    return value


def _text(row: Mapping[object, object], rule: str, field: str, most: int) -> str:
    value = row.get(field)
    if field == "version" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= most:
        _refuse(rule, field, f"it is a text of 1 to {most} characters")
    return value.strip()


def _is_scalar(value: object) -> bool:
    return (isinstance(value, str) and len(value) <= 200) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(rule: str, field: str, why: str) -> Never:
    where = f"{rule}, {field[:120]}" if field else rule
    raise UnusableRules("unusable-rules", f"{where}: {why}", subjects=(rule, field))
