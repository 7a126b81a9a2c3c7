"""What a project's rule is made of: conditions as values, so that a rule is data and never code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from imaging.errors import ImagingError
from imaging.types import Category

Scalar = str | int | float | bool


class UnusableRules(ImagingError):
    """A document holds no rules that can be applied; ``subjects`` are the rule and the field that are at fault."""


class About(StrEnum):
    """What a rule is asked of: single findings, one reader's set on a series, a whole series, or the same reader's
    mark of one place in two series of a study (``phases``) or in two studies of a patient (``time-points``)."""

    FINDING = "finding"
    SET = "set"
    SERIES = "series"
    PHASES = "phases"
    TIME_POINTS = "time-points"

    @property
    def is_pair(self) -> bool:
        """Whether it is asked of two findings at a time."""
        return self in (About.PHASES, About.TIME_POINTS)


class Severity(StrEnum):
    """How much a broken rule says: that something cannot be, is doubtful, or is worth a note."""

    IMPOSSIBLE = "impossible"
    DOUBTFUL = "doubtful"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class FieldReference:
    """Another field of the same subject, as the value of a comparison."""

    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field`` against ``value`` by one of ``OPERATORS``."""

    field: str
    operator: str
    value: Scalar | FieldReference | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """``all`` or ``any`` of its parts."""

    word: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """The opposite of its part."""

    part: Condition


Condition = Comparison | Joined | Negated


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Exactly one of ``must`` and ``must_not`` is given. ``within_mm``: how near the two marks of a pair lie;
    ``suggest``: the category that is proposed where the rule is broken, if any."""

    rule_id: str
    version: str
    severity: Severity
    message: str
    about: About
    where: Condition | None
    must: Condition | None
    must_not: Condition | None
    within_mm: float | None
    suggest: Category | None

    @property
    def check(self) -> str:
        """The name under which its issues are known."""
        return f"rule:{self.rule_id}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that the rule reads, in order, each once."""
        found: list[str] = []
        for condition in (self.where, self.must, self.must_not):
            if condition is not None:
                _collect(condition, found)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A project's rules, in the order of its document."""

    rules: tuple[Rule, ...]


NUMBER_OPERATORS = frozenset({"less", "at_most", "more", "at_least"})
OPERATORS: Mapping[str, str] = {
    "is": "equals a text or number",
    "is_not": "differs from it",
    "in": "is one of a list",
    "not_in": "is none of a list",
    "less": "is smaller than a number",
    "at_most": "is that number or smaller",
    "more": "is larger than a number",
    "at_least": "is that number or larger",
    "between": "lies between two numbers, both included",
    "known": "has a value (true) or has none (false)",
}


def _collect(condition: Condition, found: list[str]) -> None:
    if isinstance(condition, Comparison):
        found.append(condition.field)
        if isinstance(condition.value, FieldReference):
            found.append(condition.value.name)
    elif isinstance(condition, Negated):
        _collect(condition.part, found)
    else:
        for part in condition.parts:
            _collect(part, found)
