"""One analysis of one case: run every check, record what ran and what did not, and order what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging.checks.base import Check, CheckParameters
from imaging.checks.context import read_sets
from imaging.checks.registry import REGISTRY
from imaging.errors import NotApplicable
from imaging.masks.matching import match_lesions
from imaging.types import AnalysisOutcome, Case, CheckOutcome, LabelIssue, Lesion

RAN = "ran"
NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class AnalysisParameters:
    """What decides the outcome of an analysis beside the case itself; recorded with every run."""

    checks: CheckParameters


def analyse(*, case: Case, parameters: AnalysisParameters, checks: Sequence[Check] = REGISTRY) -> AnalysisOutcome:
    """Return everything that the checks found on a case, surest first, and how each check ended.

    A check that does not apply is recorded with its reason and does not stop the others; what a check passed over
    stands in its outcome's detail. Issues of different checks about the same set at the same place stay apart, for
    each has its own reason; their evidence names each other under ``also_raised``.
    The result depends on the arguments alone. Raises ValueError for two checks of one name.
    """
    names = [check.name for check in checks]
    if len(set(names)) != len(names):
        raise ValueError(f"two checks share a name: {', '.join(sorted(names))}")
    issues: list[LabelIssue] = []
    outcomes = []
    for check in checks:
        try:
            found = check.run(case=case, parameters=parameters.checks)
            abstained = check.abstentions(case=case, parameters=parameters.checks)
        except NotApplicable as refusal:
            outcomes.append(CheckOutcome(check.name, check.version, NOT_APPLICABLE, refusal.message, 0))
            continue
        issues.extend(found)
        detail = "; ".join(dict.fromkeys(rejection.message for rejection in abstained))
        outcomes.append(CheckOutcome(check.name, check.version, RAN, detail, len(found)))
    ordered = sorted(_cross_referenced(issues), key=_order)
    return AnalysisOutcome(issues=tuple(ordered), lesions=_lesions(case), checks=tuple(outcomes))


def _lesions(case: Case) -> tuple[Lesion, ...]:
    try:
        return match_lesions(read_sets(case=case))
    except NotApplicable:
        return ()


def _cross_referenced(issues: Sequence[LabelIssue]) -> list[LabelIssue]:
    result = []
    ordered = sorted(issues, key=_order)
    for issue in issues:
        also = [
            {"check": other.check, "finding_id": other.finding_id, "score": other.score}
            for other in ordered
            if other.check != issue.check and _same_subject(issue, other)
        ]
        result.append(replace(issue, evidence={**issue.evidence, "also_raised": also}) if also else issue)
    return result


def _same_subject(first: LabelIssue, second: LabelIssue) -> bool:
    if first.annotation_set_id != second.annotation_set_id:
        return False
    if first.finding_id is not None and second.finding_id is not None:
        return first.finding_id == second.finding_id
    return math.dist(first.place_mm, second.place_mm) < max(first.radius_mm, second.radius_mm)


def _order(issue: LabelIssue) -> tuple[float, str, str, str, tuple[float, float, float]]:
    # Scores that agree to nine digits are ties; what is left of them depends on the order of floating-point sums.
    return (-round(issue.score, 9), issue.check, issue.annotation_set_id, issue.finding_id or "", issue.place_mm)
