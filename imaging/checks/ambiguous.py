"""Ambiguous: neither the model nor the readers are sure of a place. A case for adjudication, not an error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    candidates_at,
    is_nodule,
    lesions_of,
    marks_of,
    nearby,
    nodule_probability_at,
    opinion_at,
    prediction_of,
    read_sets,
    structures_passed_over,
)
from imaging.checks.deviation import certain_difference
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder
from imaging.checks.places import finding_diameter_mm, share_a_place
from imaging.checks.words import counted, percent, who_marked
from imaging.masks.overlap import dice
from imaging.types import AnnotationSet, Case, LabelIssue, Lesion, Rejection

FEATURES = COMMON_FEATURES | {
    "kind_ambiguous": "always 1: the score is a probability of ambiguity, and never one of error",
    "model_probability": "the model's probability of a nodule here",
    "model_doubt": "1 at a probability of one half, falling to 0 at certainty",
    "marking_readers": "readers who marked a nodule here",
    "silent_readers": "readers who did not",
    "reader_doubt": "1 where the readers are split evenly, 0 where they agree; absent with one reader",
    "outline_doubt": "voxels of which the model is not sure over those of its outline, at most 1",
    "least_dice": "overlap of the two readers' outlines that differ most",
}

_LEAST = 0.5
"""Below, somebody is sure."""

_ALONE = 0.8
"""What the model's doubt is worth with one reader, whose own confidence nobody knows."""

_OUTLINE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """One issue for each lesion of which nobody is sure (``evidence["kind"] == "ambiguous"``).

    It never says that a label is wrong and proposes nothing: it asks for adjudication. Its score is the probability
    that the place is ambiguous: the geometric mean of the model's doubt (1 - |2 p - 1| at its probability p when asked
    about the place, or of its candidate there) and the readers' (4 s (1 - s) for a share s who marked a nodule), a
    fifth of it depending on how unsure the model is of the outline. So readers who agree, or a model that is sure,
    leave no ambiguity. With one reader the model's doubt alone counts, held back. The issue stands at the first of the
    lesion's marks in order of sets, and all readers are implicated. Features: ``FEATURES``.
    """

    name: str = "ambiguous"
    version: str = "1"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable without a model, whose confidence would be one side, or readers."""
        prediction_of(case=case)
        sets = read_sets(case=case)
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        issues = (_issue(lesion, sets, builder) for lesion in lesions_of(case=case))
        return tuple(issue for issue in issues if issue is not None)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return what is no nodule."""
        return structures_passed_over(case=case)


def _issue(lesion: Lesion, sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> LabelIssue | None:
    parameters = builder.parameters
    marks = tuple(mark for mark in marks_of(case=builder.case, lesion=lesion) if is_nodule(finding=mark.finding))
    probability = _model_probability(marks, builder)
    if not marks or probability is None:
        return None
    marked = sum(_marked(item, marks, builder) for item in sets)
    model_doubt = 1 - abs(2 * probability - 1)
    share = marked / len(sets)
    reader_doubt = 4 * share * (1 - share) if len(sets) > 1 else None
    doubt = math.sqrt(model_doubt * reader_doubt) if reader_doubt is not None else _ALONE * model_doubt
    outline_doubt = _outline_doubt(marks, builder)
    known = 1.0 if outline_doubt is None else outline_doubt
    score = doubt * (1 - _OUTLINE_SHARE + _OUTLINE_SHARE * known)
    if score < max(_LEAST, parameters.report_from):
        return None
    first = min(marks, key=lambda mark: (mark.set_id, mark.finding.finding_id))
    sizes = [finding_diameter_mm(finding=mark.finding) for mark in marks]
    outlines = [mark.finding.mask for mark in marks if mark.finding.mask is not None]
    where = builder.where(lesion.centre_mm)
    return builder.issue(
        set_id=first.set_id,
        finding_id=first.finding.finding_id,
        place_mm=lesion.centre_mm,
        diameter_mm=max((size for size in sizes if size is not None), default=None),
        score=score,
        reason=(
            f"Nobody is sure of this place ({where}): the model gives a nodule {percent(probability=probability)}, and "
            f"{who_marked(marked=marked, total=len(sets))}. Nothing here says that a label is wrong; it may be a case "
            f"for adjudication, where {_how_many(len(sets))} can be heard together."
        ),
        implicated=tuple(item.set_id for item in sets),
        evidence={
            "kind": "ambiguous",
            "model_probability": probability,
            "marked_by": sorted({mark.set_id for mark in marks}),
            "readers": len(sets),
            "suggested": "adjudication",
        },
        features={
            "kind_ambiguous": 1.0,
            "model_probability": probability,
            "model_doubt": model_doubt,
            "marking_readers": marked,
            "silent_readers": len(sets) - marked,
            "reader_doubt": reader_doubt,
            "outline_doubt": outline_doubt,
            "least_dice": min((dice(one, two) for one, two in combinations(outlines, 2)), default=None),
        },
    )


def _how_many(readers: int) -> str:
    return "a second reader" if readers == 1 else f"all {counted(number=readers, noun='reader')}"


def _marked(item: AnnotationSet, marks: tuple[Mark, ...], builder: IssueBuilder) -> bool:
    case, margin = builder.case, builder.parameters.match_margin_mm
    return any(
        is_nodule(finding=finding)
        and share_a_place(first=finding, second=mark.finding, grid=case.volume.grid, margin_mm=margin)
        for mark in marks
        for finding in nearby(case=case, finding=mark.finding, item=item, margin_mm=margin)
    )


def _model_probability(marks: tuple[Mark, ...], builder: IssueBuilder) -> float | None:
    case, margin = builder.case, builder.parameters.match_margin_mm
    asked = [nodule_probability_at(case=case, finding=mark.finding, margin_mm=margin) for mark in marks]
    places = [probability for probability in asked if probability is not None]
    if places:
        return sum(places) / len(places)
    # Without validated sizes the confidence that an algorithm gives itself is no probability to doubt by.
    if prediction_of(case=case).validated_diameters_mm is None:
        return None
    here = [
        candidate.probability
        for mark in marks
        for candidate in candidates_at(case=case, finding=mark.finding, margin_mm=margin)[:1]
    ]
    return max(here, default=None)


def _outline_doubt(marks: tuple[Mark, ...], builder: IssueBuilder) -> float | None:
    case = builder.case
    found = []
    for mark in marks:
        opinion = opinion_at(case=case, finding=mark.finding, margin_mm=builder.parameters.match_margin_mm)
        if opinion is None or opinion.probability is None or mark.finding.mask is None:
            continue
        difference = certain_difference(label=mark.finding.mask, probability=opinion.probability, offset_mm=0.0)
        found.append(min(difference.uncertain_share, 1.0))
    return max(found, default=None)
