"""In which order issues are worth an expert's minute: by what a correction is expected to gain the dataset.

``expected value = probability that the label is wrong x severity of that kind of error x weight of the lesion's size``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imaging.scoring.merge import checks_of, surest_first
from imaging.scoring.subjects import AMBIGUOUS_CHECK, is_ambiguous
from imaging.types import LabelIssue


@dataclass(frozen=True, slots=True)
class Severity:
    """How much one such error costs whoever uses the labels, 1 for the worst, and why."""

    weight: float
    why: str


SEVERITIES: Mapping[str, Severity] = {
    "missing_nodule": Severity(1.0, "a lesion that nobody marked teaches a model to overlook and counts as a miss"),
    "reader_disagreement": Severity(0.9, "a lesion stands or falls with it, but other readers' marks already show it"),
    "spurious_label": Severity(0.9, "a mark on nothing teaches false alarms; the next reader can see that it is wrong"),
    "geometry_mismatch": Severity(1.0, "a label at the wrong place is one lesion missed and one invented"),
    "near_duplicate": Severity(1.0, "the same patient on both sides of a split makes every figure too good"),
    "merged_lesions": Severity(0.7, "two lesions as one falsify the count and the size"),
    "wrong_category": Severity(0.7, "the lesion is there, but counts for or against a model in the wrong class"),
    "confident_learning": Severity(0.6, "the lesion is there; its class or rating is in doubt"),
    "rules": Severity(0.6, "what the project itself forbids; most often a slip of the pen"),
    "incomplete_contour": Severity(0.5, "volume and margin are wrong, the lesion is found all the same"),
    "boundary": Severity(0.5, "volume and margin are wrong, the lesion is found all the same"),
    "duplicate_mark": Severity(0.4, "one lesion counts twice; easily seen and easily mended"),
    "out_of_distribution": Severity(0.4, "unlike the rest is a reason to look, and seldom an error of the label"),
    "taxonomy_drift": Severity(0.4, "a habit that changed: a matter for the guideline before single labels"),
    AMBIGUOUS_CHECK: Severity(0.3, "nothing is called wrong; adjudication says what is meant"),
}
"""Weights by check. They order a list and enter no probability; a different project may hold others to be right."""

OTHERWISE = Severity(0.6, "a check without an entry of its own: the middle of the table")

SIZE_WEIGHTS = ((3.0, 0.6), (6.0, 0.8), (8.0, 1.0))
"""(diameter in mm, weight): linear between, constant outside.

6 and 8 mm are where the Fleischner and Lung-RADS recommendations for a solid nodule change, so that a wrong label
changes what follows for the patient; below 3 mm readers are not asked for an outline. A larger lesion weighs no more.
"""


def expected_value(*, issue: LabelIssue) -> float:
    """Return the issue's expected value, in [0, 1]."""
    return issue.score * severity_of(issue=issue).weight * size_weight(diameter_mm=2 * issue.radius_mm)


def severity_of(*, issue: LabelIssue) -> Severity:
    """Return the gravest severity among the checks that speak in an issue; what is ambiguous has its own."""
    if is_ambiguous(issue):
        return SEVERITIES[AMBIGUOUS_CHECK]
    return max((SEVERITIES.get(check, OTHERWISE) for check in checks_of(issue)), key=lambda one: one.weight)


def size_weight(*, diameter_mm: float) -> float:
    """Return how much a lesion of this size weighs; never less for a larger one."""
    lower_size, lower_weight = SIZE_WEIGHTS[0]
    if diameter_mm <= lower_size:
        return lower_weight
    for size, weight in SIZE_WEIGHTS[1:]:
        if diameter_mm <= size:
            return lower_weight + (weight - lower_weight) * (diameter_mm - lower_size) / (size - lower_size)
        lower_size, lower_weight = size, weight
    return lower_weight


def ordered(*, issues: tuple[LabelIssue, ...]) -> tuple[LabelIssue, ...]:
    """Return the issues by expected value, highest first, each with the value and its factors in its evidence."""
    valued = [(round(expected_value(issue=issue), 9), _explained(issue)) for issue in issues]
    return tuple(issue for _, issue in sorted(valued, key=lambda pair: (-pair[0], surest_first(pair[1]))))


def _explained(issue: LabelIssue) -> LabelIssue:
    severity = severity_of(issue=issue)
    worth = {
        "expected_value": expected_value(issue=issue),
        "severity": severity.weight,
        "severity_because": severity.why,
        "size_weight": size_weight(diameter_mm=2 * issue.radius_mm),
    }
    return replace(issue, evidence={**issue.evidence, "worth": worth})
