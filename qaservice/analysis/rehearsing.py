"""Trying rules over what a project holds before they go live: counts and examples, and nothing raised."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.rules import RuleRehearsal, rehearse
from qaservice.analysis.facts import newest_facts
from qaservice.common.errors import Conflict
from qaservice.projects.label_rules import current_rules, rule_set, rules_from_text
from qaservice.projects.models import Project


@dataclass(frozen=True)
class Rehearsal:
    """What rules would raise over the newest facts of a project: of how many series and findings, rule by rule."""

    series: int
    findings: int
    rules: tuple[RuleRehearsal, ...]


def rehearse_rules(*, project: Project, text: str | None) -> Rehearsal:
    """Return what the rules of a JSON or YAML text would raise here; None asks for those that stand.

    Raises InvalidInput ``unusable-rules``, Conflict ``no-facts`` where no run has looked at any series yet.
    """
    rules = rule_set(current_rules(project=project)) if text is None else rules_from_text(text)
    facts = newest_facts(project=project)
    if not facts.series:
        raise Conflict("no run has looked at any series here yet, so there is nothing to try rules on", code="no-facts")
    return Rehearsal(
        series=len(facts.series),
        findings=sum(len(one.findings) for one in facts.series),
        rules=rehearse(facts=facts, rules=rules),
    )
