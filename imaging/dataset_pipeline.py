"""One pass over a whole dataset: every dataset check and every rule of the project, none stopped by another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imaging.checks.dataset import (
    Concern,
    DatasetCheck,
    DatasetFindings,
    DatasetOutcome,
    DatasetParameters,
    LocatedIssue,
)
from imaging.checks.dataset_registry import DATASET_REGISTRY
from imaging.checks.rules import apply_rule
from imaging.checks.rules_terms import Rule, RuleSet
from imaging.checks.subgroups import hits_of, subgroup_notes
from imaging.errors import NotApplicable
from imaging.facts.types import DatasetFacts
from imaging.pipeline import NOT_APPLICABLE, RAN
from imaging.types import CheckOutcome

FAILED = "failed"
"""Status of a check that broke down: its word is missing, and the others stand."""

Step = Callable[[], DatasetFindings]


def analyse_dataset(
    *,
    facts: DatasetFacts,
    parameters: DatasetParameters,
    rules: RuleSet,
    checks: Sequence[DatasetCheck] = DATASET_REGISTRY,
    progress: Callable[[int, int, str], None] | None = None,
) -> DatasetOutcome:
    """Return everything that the checks and rules found over a dataset, surest first, and how each ended.

    A check that does not apply is recorded with its reason; one that breaks down is recorded as failed, with the kind
    of its error and not its text, which may quote data; neither stops the others. What a check passed over, and
    whether it mostly speaks of one small subgroup, stands in its outcome's detail. ``progress`` is told (checks done,
    checks in all, the next one's name) between checks and may raise to end the pass. Raises ValueError for two checks
    of one name.
    """
    steps = [(check.name, check.version, _asking(check, facts, parameters)) for check in checks]
    steps += [(rule.check, rule.version, _applying(rule, facts)) for rule in rules.rules]
    names = [name for name, _version, _step in steps]
    if len(set(names)) != len(names):
        raise ValueError(f"two checks share a name: {', '.join(sorted(names))}")
    issues: list[LocatedIssue] = []
    concerns: list[Concern] = []
    outcomes = []
    for number, (name, version, step) in enumerate(steps):
        if progress is not None:
            progress(number, len(steps), name)
        found, outcome = _taken(name, version, step, facts)
        outcomes.append(outcome)
        issues += found.issues
        concerns += found.concerns
    return DatasetOutcome(
        issues=tuple(sorted(issues, key=_issue_order)),
        concerns=tuple(sorted(concerns, key=_concern_order)),
        checks=tuple(outcomes),
    )


def _asking(check: DatasetCheck, facts: DatasetFacts, parameters: DatasetParameters) -> Step:
    return lambda: check.run(facts=facts, parameters=parameters)


def _applying(rule: Rule, facts: DatasetFacts) -> Step:
    return lambda: apply_rule(facts=facts, rule=rule)


def _taken(name: str, version: str, step: Step, facts: DatasetFacts) -> tuple[DatasetFindings, CheckOutcome]:
    try:
        found = step()
    except NotApplicable as refusal:
        return DatasetFindings(), CheckOutcome(name, version, NOT_APPLICABLE, refusal.message, 0)
    except Exception as error:  # whatever one check stumbles over must not silence the others
        return DatasetFindings(), CheckOutcome(name, version, FAILED, f"it broke down: {type(error).__name__}", 0)
    notes = [one.message for one in found.passed_over]
    notes += subgroup_notes(facts=facts, hits=hits_of(found.issues))
    detail = "; ".join(dict.fromkeys(notes))
    return found, CheckOutcome(name, version, RAN, detail, len(found.issues) + len(found.concerns))


def _issue_order(one: LocatedIssue) -> tuple[float, str, str, str, str]:
    issue = one.issue
    # Scores that agree to nine digits are ties, as in the pipeline of one case.
    return (
        -round(issue.score, 9),
        issue.check,
        one.series_instance_uid,
        issue.annotation_set_id,
        issue.finding_id or "",
    )


def _concern_order(one: Concern) -> tuple[float, str, str, str]:
    return (-round(one.score, 9), one.check, one.kind, one.subject)
