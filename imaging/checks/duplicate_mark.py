"""Duplicate mark: one reader marks one lesion twice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from imaging.agreement.overlap import containment
from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    candidates_at,
    is_nodule,
    nearby,
    opinion_at,
    read_sets,
    structures_passed_over,
)
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder, merged
from imaging.checks.places import centre_of, finding_diameter_mm, radius_of, share_a_place
from imaging.checks.probability import BROKEN_RULE, beyond_tolerance, from_log_odds
from imaging.checks.words import counted
from imaging.masks.boxes import box_containment
from imaging.masks.overlap import jaccard, shared_voxels
from imaging.masks.place import mask_holds
from imaging.types import Action, AnnotationSet, Case, Finding, Grid, LabelIssue, Mask, Proposal, Rejection

FEATURES = COMMON_FEATURES | {
    "overlap_share": "what the two outlines or boxes share, over the smaller one",
    "iou": "the same over both together",
    "distance_mm": "between the two centres",
    "touching": "1 where the outlines share a voxel or lie against each other, else 0",
    "points": "how many of the two have no extent",
    "categories_differ": "1 where they say different things",
    "readers_with_one": "other readers with one nodule mark that covers the place of both",
    "readers_with_two": "other readers with one mark for each",
    "model_one": "1 where the model's outline or candidate at one place holds the other too",
    "model_two": "1 where the model has a candidate for each of them",
}

_TOUCHING = 0.25
"""That two outlines which only touch are one lesion, before anybody else is heard: neighbours touch more often."""

_WITNESS = 1.5
"""Log-odds of one reader, or the model, who sees one thing or two there."""


@dataclass(frozen=True, slots=True)
class DuplicateMark:
    """One issue for each pair of marks of one reader that are probably one lesion.

    Two outlines or two boxes: score is the share of the smaller one that lies in the larger; so boxes on neighbouring
    slices, as tools that draw slice by slice leave them, are no duplicates. A point, sphere or box whose centre lies
    in an outline, or that lies near another: the probability that they are closer than the margin (half the larger
    diameter, at least ``duplicate_margin_mm``), with half the margin as measurement error. Two outlines that overlap
    in part or only touch may be one lesion drawn in two pieces, or two neighbours: there the other readers and the
    model are heard, who have one mark for both or one for each. Pairs below one half are neighbours. The smaller mark
    is the suspect; with equal sizes the later one in the order of ids. Features: ``FEATURES``.
    """

    name: str = "duplicate_mark"
    version: str = "3"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where nobody read the case."""
        issues = []
        sets = read_sets(case=case)
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        for item in sets:
            for first in item.findings:
                for second in nearby(case=case, finding=first, item=item, margin_mm=_reach_mm(first, parameters)):
                    if first.finding_id >= second.finding_id:
                        continue
                    score, features = _judge(first, second, item, sets, case, parameters)
                    if score >= max(0.5, parameters.report_from):
                        kept, suspect = sorted((first, second), key=radius_of, reverse=True)
                        issues.append(_issue(item.set_id, kept, suspect, score, features, builder))
        return merged(issues=sorted(issues, key=lambda issue: str(issue.evidence["other_finding"])))

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return other structures, which may be drawn in parts or over each other by intent."""
        return structures_passed_over(case=case)


def _reach_mm(finding: Finding, parameters: CheckParameters) -> float:
    return max(2 * parameters.duplicate_margin_mm, 2 * radius_of(finding))


def _issue(
    set_id: str,
    kept: Finding,
    suspect: Finding,
    score: float,
    features: dict[str, float | None],
    builder: IssueBuilder,
) -> LabelIssue:
    place = centre_of(suspect)
    contradiction = (
        f" One says {kept.category.value}, the other {suspect.category.value}."
        if kept.category is not suspect.category
        else ""
    )
    seen_as_one = int(features["readers_with_one"] or 0)
    others = f" {counted(number=seen_as_one, noun='other reader').capitalize()} marked it once." if seen_as_one else ""
    return builder.issue(
        set_id=set_id,
        finding_id=suspect.finding_id,
        place_mm=place,
        diameter_mm=finding_diameter_mm(finding=kept),
        score=score,
        reason=(
            f"This label set marks this place twice ({builder.where(place)}).{contradiction}{others} The two marks may "
            "mean one lesion, and one of them may be enough."
        ),
        implicated=(set_id,),
        evidence={
            "other_finding": kept.finding_id,
            "categories": [kept.category.value, suspect.category.value],
        },
        features=features,
        proposals=(Proposal(action=Action.REMOVE, origin="the same reader's other mark covers the place"),),
    )


def _judge(
    first: Finding,
    second: Finding,
    item: AnnotationSet,
    sets: tuple[AnnotationSet, ...],
    case: Case,
    parameters: CheckParameters,
) -> tuple[float, dict[str, float | None]]:
    grid = case.volume.grid
    score = one_lesion_twice(first=first, second=second, grid=grid, parameters=parameters)
    touching = score < BROKEN_RULE and _touch(first.mask, second.mask)
    if score < 0.5 and not touching:
        return score, {}
    one, two = _votes(first, second, item, sets, case, parameters)
    model_one, model_two = _model(first, second, case, parameters)
    if touching:
        votes = _WITNESS * (one - two) + _WITNESS * (model_one - model_two)
        score = max(score, _TOUCHING)
        # What lies wholly in another outline needs no witness, and witnesses do not excuse it.
        score = from_log_odds(prior=score, weights=(max(votes, 0.0) if score >= 0.5 else votes,))
    features: dict[str, float | None] = {
        "overlap_share": None,
        "iou": None,
        "distance_mm": math.dist(centre_of(first), centre_of(second)),
        "touching": float(touching or (score >= 0.5 and first.mask is not None and second.mask is not None)),
        "points": float((radius_of(first) == 0) + (radius_of(second) == 0)),
        "categories_differ": float(first.category is not second.category),
        "readers_with_one": float(one),
        "readers_with_two": float(two),
        "model_one": float(model_one),
        "model_two": float(model_two),
    }
    if first.mask is not None and second.mask is not None:
        features["overlap_share"] = containment(first=first.mask, second=second.mask)
        features["iou"] = jaccard(first.mask, second.mask)
    elif first.box is not None and second.box is not None:
        features["overlap_share"] = box_containment(first=first.box, second=second.box, grid=grid)
    return score, features


def one_lesion_twice(*, first: Finding, second: Finding, grid: Grid, parameters: CheckParameters) -> float:
    """Return the probability that two marks of one reader, on one grid, are one lesion, by where they lie alone."""
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


def _touch(first: Mask | None, second: Mask | None) -> bool:
    if first is None or second is None:
        return False
    one, two, three = first.origin
    reach = Mask(
        grid=first.grid,
        origin=(one - 1, two - 1, three - 1),
        voxels=ndimage.binary_dilation(np.pad(first.voxels, 1)),
    )
    return shared_voxels(reach, second) > 0


def _votes(
    first: Finding,
    second: Finding,
    item: AnnotationSet,
    sets: tuple[AnnotationSet, ...],
    case: Case,
    parameters: CheckParameters,
) -> tuple[int, int]:
    """Return how many other readers have one nodule mark for both findings, and how many have one for each."""
    one = two = 0
    margin = parameters.match_margin_mm
    for other in sets:
        if other.set_id == item.set_id:
            continue
        at = [
            {
                mark
                for mark in nearby(case=case, finding=finding, item=other, margin_mm=margin)
                if is_nodule(finding=mark)
                and share_a_place(first=finding, second=mark, grid=case.volume.grid, margin_mm=margin)
            }
            for finding in (first, second)
        ]
        if len(at[0] | at[1]) >= 2 and at[0] and at[1]:
            two += 1
        elif at[0] & at[1]:
            one += 1
    return one, two


def _model(first: Finding, second: Finding, case: Case, parameters: CheckParameters) -> tuple[bool, bool]:
    """Return whether the model sees one thing that holds both findings, and whether it sees one for each."""
    if case.prediction is None:
        return False, False
    margin = parameters.match_margin_mm
    threshold = case.prediction.threshold
    at = [
        {
            candidate
            for candidate in candidates_at(case=case, finding=finding, margin_mm=margin)
            if candidate.probability >= threshold
        }
        for finding in (first, second)
    ]
    if at[0] and at[1] and len(at[0] | at[1]) >= 2:
        return False, True
    if at[0] & at[1]:
        return True, False
    for finding, other in ((first, second), (second, first)):
        opinion = opinion_at(case=case, finding=finding, margin_mm=margin)
        if opinion is not None and opinion.mask is not None and mask_holds(opinion.mask, centre_of(other)):
            return True, False
    return False, False
