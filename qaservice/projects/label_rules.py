"""A project's own rules for its labels: set by its QA lead as a document, versioned, on the record."""

from __future__ import annotations

import hashlib

from django.db.models import Max, QuerySet

from compliance.recording import Actor, change
from imaging.checks.rules_document import document_of, parse_rules
from imaging.checks.rules_terms import RuleSet, UnusableRules
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.projects.models import LabelRules, Project

NO_RULES = RuleSet(())


def rules_from_text(text: str) -> RuleSet:
    """Return the rules of a JSON or YAML text. Raises InvalidInput ``unusable-rules``, naming rule and field."""
    return _read(text)[1]


def set_rules(*, project: Project, text: str, actor: Actor, reason: str) -> LabelRules:
    """Make these the project's rules from its next run on; what was raised before stays. The caller sees to the role.

    ``text``: JSON or YAML, see ``imaging.checks.rules_document``; a document without rules takes them all back.
    Raises InvalidInput ``unusable-rules``, naming rule and field, Conflict ``rules-unchanged``.
    """
    document, rules = _read(text)
    made = LabelRules(
        project=project,
        document=document,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        rule_count=len(rules.rules),
    )
    with change(
        "project.rules-set",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
        payload={"sha256": made.sha256, "rules": [f"{rule.rule_id} {rule.version}" for rule in rules.rules]},
    ) as running:
        # Two versions set at one time are two versions one after the other.
        Project.objects.select_for_update().get(pk=project.pk)
        standing = current_rules(project=project)
        if standing is not None and standing.sha256 == made.sha256:
            raise Conflict("these are the project's rules already", code="rules-unchanged")
        last = LabelRules.objects.filter(project=project).aggregate(last=Max("number"))["last"]
        made.number = (last or 0) + 1
        running.payload["version"] = made.number
        made.save()
    return made


def current_rules(*, project: Project) -> LabelRules | None:
    """Return the rules that stand now, None where none were ever set."""
    return rules_history(project=project).first()


def rules_history(*, project: Project) -> QuerySet[LabelRules]:
    """Return every version of a project's rules, newest first, each with its event (who, when, why)."""
    return LabelRules.objects.filter(project=project).select_related("event").order_by("-number")


def rule_set(row: LabelRules | None) -> RuleSet:
    """Return stored rules as they are applied; none where there are none."""
    return NO_RULES if row is None else parse_rules(row.document)


def _read(text: str) -> tuple[dict[str, object], RuleSet]:
    try:
        document = document_of(text)
        return dict(document), parse_rules(document)
    except UnusableRules as error:
        rule, field = error.subjects
        raise InvalidInput(error.message, code=error.code, details={"rule": rule, "field": field}) from error
