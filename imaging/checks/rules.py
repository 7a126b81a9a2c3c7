"""A project's own rules at work: over a dataset, and on trial before they go live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imaging.checks.dataset import Concern, DatasetFindings, LocatedIssue
from imaging.checks.dataset_issues import located_issue
from imaging.checks.probability import BROKEN_RULE
from imaging.checks.rules_subjects import Subject, holds, subjects_of
from imaging.checks.rules_terms import Rule, RuleSet, Scalar, Severity
from imaging.checks.rules_words import said_value
from imaging.checks.subgroups import GROUPINGS, subgroup_notes
from imaging.facts.finding_features import MODEL_FEATURES
from imaging.facts.types import DatasetFacts
from imaging.types import Action, CheckOutcome, Proposal

RESTS_ON_MODEL = "rests_on_model"
"""Key of an issue's evidence: whether the rule that raised it reads what a QA model gave."""

SCORES: Mapping[Severity, float] = {Severity.IMPOSSIBLE: BROKEN_RULE, Severity.DOUBTFUL: 0.5, Severity.NOTE: 0.25}
"""What a broken rule is worth before verdicts say how often it was right. The project states the severity."""

EXAMPLES = 5
_SHOWN = 4


@dataclass(frozen=True, slots=True, eq=False)
class RulesOutcome:
    """What the rules raise, rule by rule, and how each ended: rules broken nowhere are in ``checks`` too."""

    issues: tuple[LocatedIssue, ...]
    concerns: tuple[Concern, ...]
    checks: tuple[CheckOutcome, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RuleRehearsal:
    """What a rule would raise over existing data.

    ``asked``: subjects to which it applies; ``broken``: where it would speak; ``untold``: where a value that it needs
    is not known. ``by_group``: grouping to group to (broken, findings there). ``examples``: series UID, finding id ("")
    and the values read. ``note``: whether it mostly fires on one small subgroup.
    """

    rule_id: str
    version: str
    asked: int
    broken: int
    untold: int
    by_group: Mapping[str, Mapping[str, tuple[int, int]]]
    examples: tuple[Mapping[str, object], ...]
    note: str


@dataclass(slots=True, eq=False)
class _Tally:
    asked: int = 0
    untold: int = 0
    broken: list[Subject] = field(default_factory=list)


def apply_rules(*, facts: DatasetFacts, rules: RuleSet) -> RulesOutcome:
    """Return the issues and concerns of a project's rules over its facts.

    A rule about findings or pairs raises issues (of a pair, on the later finding), one about sets or series concerns.
    Where a value that a rule needs is not known it says nothing.
    """
    issues: list[LocatedIssue] = []
    concerns: list[Concern] = []
    outcomes = []
    for rule in rules.rules:
        found = apply_rule(facts=facts, rule=rule)
        issues += found.issues
        concerns += found.concerns
        detail = "; ".join(one.message for one in found.passed_over)
        number = len(found.issues) + len(found.concerns)
        outcomes.append(CheckOutcome(rule.check, rule.version, "ran", detail, number))
    return RulesOutcome(tuple(issues), tuple(concerns), tuple(outcomes))


def apply_rule(*, facts: DatasetFacts, rule: Rule) -> DatasetFindings:
    """Return what one rule raises over the facts."""
    tally = _tally(facts, rule)
    issues = tuple(_issue(rule, subject) for subject in tally.broken if subject.finding is not None)
    concerns = tuple(_concern(rule, subject) for subject in tally.broken if subject.finding is None)
    return DatasetFindings(issues, concerns)


def rehearse(*, facts: DatasetFacts, rules: RuleSet) -> tuple[RuleRehearsal, ...]:
    """Return what each rule would raise over existing data, without raising anything."""
    return tuple(_rehearsed(facts, rule) for rule in rules.rules)


def _tally(facts: DatasetFacts, rule: Rule) -> _Tally:
    tally = _Tally()
    for subject in subjects_of(facts=facts, rule=rule):
        if rule.where is not None:
            applies = holds(condition=rule.where, fields=subject.fields)
            if applies is None:
                tally.untold += 1
            if not applies:
                continue
        tally.asked += 1
        if rule.must is not None:
            kept = holds(condition=rule.must, fields=subject.fields)
        else:
            assert rule.must_not is not None
            met = holds(condition=rule.must_not, fields=subject.fields)
            kept = None if met is None else not met
        if kept is None:
            tally.untold += 1
        elif not kept:
            tally.broken.append(subject)
    return tally


def _rehearsed(facts: DatasetFacts, rule: Rule) -> RuleRehearsal:
    tally = _tally(facts, rule)
    hits = [
        (subject.series.series_instance_uid, subject.finding.finding_id)
        for subject in tally.broken
        if subject.finding is not None
    ]
    return RuleRehearsal(
        rule_id=rule.rule_id,
        version=rule.version,
        asked=tally.asked,
        broken=len(tally.broken),
        untold=tally.untold,
        by_group=_by_group(facts, hits),
        examples=tuple(
            {
                "series": subject.series.series_instance_uid,
                "set": subject.set_id,
                "finding": subject.finding.finding_id if subject.finding is not None else "",
                "values": _values(rule, subject),
            }
            for subject in tally.broken[:EXAMPLES]
        ),
        note="; ".join(subgroup_notes(facts=facts, hits=hits)),
    )


def _by_group(facts: DatasetFacts, hits: Sequence[tuple[str, str]]) -> dict[str, dict[str, tuple[int, int]]]:
    struck = set(hits)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name, group_of in GROUPINGS.items():
        broken: Counter[str] = Counter()
        everywhere: Counter[str] = Counter()
        for series in facts.series:
            for finding in series.findings:
                group = group_of(series, finding)
                everywhere[group] += 1
                broken[group] += (series.series_instance_uid, finding.finding_id) in struck
        found[name] = {group: (broken[group], everywhere[group]) for group in sorted(everywhere) if group}
    return found


def _values(rule: Rule, subject: Subject) -> dict[str, Scalar | None]:
    return {name: subject.fields(name) for name in rule.fields}


def _said(rule: Rule, subject: Subject) -> str:
    given = _values(rule, subject)
    values = [said_value(name=name, value=value) for name, value in given.items() if value is not None]
    return f" Here {', '.join(values[:_SHOWN])}." if values else ""


def _evidence(rule: Rule, subject: Subject) -> dict[str, object]:
    return {
        "rule": rule.rule_id,
        "severity": rule.severity.value,
        "values": _values(rule, subject),
        RESTS_ON_MODEL: any(name.rpartition(".")[2] in MODEL_FEATURES for name in rule.fields),
    }


def _issue(rule: Rule, subject: Subject) -> LocatedIssue:
    assert subject.finding is not None
    evidence = _evidence(rule, subject)
    if subject.first is not None:
        series, finding = subject.first
        evidence["compared_with"] = {"series": series.series_instance_uid, "finding": finding.finding_id}
    numbers = {
        name: float(value)
        for name, value in _values(rule, subject).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    proposals = (
        (Proposal(Action.RECATEGORISE, f"the project's rule {rule.rule_id}", category=rule.suggest),)
        if rule.suggest is not None and rule.suggest is not subject.finding.category
        else ()
    )
    return located_issue(
        check=rule.check,
        check_version=rule.version,
        series=subject.series,
        finding=subject.finding,
        score=SCORES[rule.severity],
        reason=f"By a rule of this project: {rule.message}{_said(rule, subject)}",
        features=numbers,
        evidence=evidence,
        proposals=proposals,
    )


def _concern(rule: Rule, subject: Subject) -> Concern:
    return Concern(
        check=rule.check,
        check_version=rule.version,
        kind="rule-broken",
        series=(subject.series.series_instance_uid,),
        score=SCORES[rule.severity],
        reason=f"By a rule of this project: {rule.message}{_said(rule, subject)}",
        subject=f"{subject.series.series_instance_uid} {subject.set_id}".strip(),
        evidence=_evidence(rule, subject),
    )
