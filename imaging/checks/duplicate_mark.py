"""Duplicate mark: one reader marks one lesion twice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from imaging.agreement.overlap import containment
from imaging.checks.base import CheckParameters
from imaging.checks.context import read_sets, structures_passed_over
from imaging.checks.issues import IssueBuilder, merged
from imaging.checks.places import finding_diameter_mm
from imaging.checks.probability import BROKEN_RULE, beyond_tolerance
from imaging.masks.boxes import box_containment
from imaging.masks.place import centre_of, mask_holds, radius_of
from imaging.types import Action, Case, Finding, Grid, LabelIssue, Proposal, Rejection


@dataclass(frozen=True, slots=True)
class DuplicateMark:
    """One issue for each pair of marks of one reader that are probably one lesion.

    Two outlines or two boxes: score is the share of the smaller one that lies in the larger; so boxes on neighbouring
    slices, as tools that draw slice by slice leave them, are no duplicates. A point, sphere or box whose centre lies
    in an outline, or that lies near another: the probability that they are closer than the margin (half the larger
    diameter, at least ``duplicate_margin_mm``), with half the margin as measurement error. Pairs below one half are
    neighbours. The smaller mark is the suspect; with equal sizes the later one in the order of ids.
    """

    name: str = "duplicate_mark"
    version: str = "2"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where nobody read the case."""
        grid = case.volume.grid
        issues = []
        for item in read_sets(case=case):
            ordered = sorted(item.findings, key=lambda finding: finding.finding_id)
            for first, second in combinations(ordered, 2):
                score = one_lesion_twice(first=first, second=second, grid=grid, parameters=parameters)
                if score >= max(0.5, parameters.report_from):
                    kept, suspect = sorted((first, second), key=radius_of, reverse=True)
                    issues.append(self._issue(item.set_id, kept, suspect, score, case, parameters))
        return merged(issues=issues)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return other structures, which may be drawn in parts or over each other by intent."""
        return structures_passed_over(case=case)

    def _issue(
        self, set_id: str, kept: Finding, suspect: Finding, score: float, case: Case, parameters: CheckParameters
    ) -> LabelIssue:
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        place = centre_of(suspect)
        contradiction = (
            f" One says {kept.category.value}, the other {suspect.category.value}."
            if kept.category is not suspect.category
            else ""
        )
        return builder.issue(
            set_id=set_id,
            finding_id=suspect.finding_id,
            place_mm=place,
            diameter_mm=finding_diameter_mm(finding=kept),
            score=score,
            reason=(
                f"This label set marks this place twice ({builder.where(place)}).{contradiction} The two marks may "
                "mean one lesion, and one of them may be enough."
            ),
            implicated=(set_id,),
            evidence={
                "other_finding": kept.finding_id,
                "categories": [kept.category.value, suspect.category.value],
            },
            proposals=(Proposal(action=Action.REMOVE, origin="the same reader's other mark covers the place"),),
        )


def one_lesion_twice(*, first: Finding, second: Finding, grid: Grid, parameters: CheckParameters) -> float:
    """Return the probability that two marks of one reader, on one grid, are one lesion; formula as in the class."""
    if first.mask is not None and second.mask is not None:
        return min(containment(first=first.mask, second=second.mask), BROKEN_RULE)
    if first.box is not None and second.box is not None:
        return min(box_containment(first=first.box, second=second.box, grid=grid), BROKEN_RULE)
    for one, other in ((first, second), (second, first)):
        if one.mask is not None and mask_holds(one.mask, centre_of(other)):
            return BROKEN_RULE
    margin = parameters.duplicate_margin_mm
    if first.mask is None and second.mask is None:
        # Beside an outline half the diameter already reaches the edge, so there only the bare margin counts.
        margin = max(margin, radius_of(first), radius_of(second))
    apart = math.dist(centre_of(first), centre_of(second))
    return beyond_tolerance(deviation=margin - apart, tolerance=0.0, spread=margin / 2)
