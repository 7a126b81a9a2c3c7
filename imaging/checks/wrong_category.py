"""Wrong category: the class of a label contradicts its size, its readers, the model, or the scale of its ratings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median

from imaging.checks.base import CheckParameters
from imaging.checks.category_features import FEATURES
from imaging.checks.category_ratings import judge_ratings
from imaging.checks.context import (
    Mark,
    candidates_at,
    is_nodule,
    lesions_of,
    marks_of,
    model_weight,
    nodule_probability_at,
    opinion_at,
    read_sets,
    speaker,
    structures_passed_over,
)
from imaging.checks.issues import Features, IssueBuilder, merged
from imaging.checks.places import centre_of
from imaging.checks.probability import beyond_tolerance, majority_would_mark
from imaging.checks.reader_ratings import judge_unlike
from imaging.checks.words import counted, percent
from imaging.errors import NotApplicable
from imaging.masks.boxes import box_extents_mm
from imaging.masks.measure import measure
from imaging.types import Action, AnnotationSet, Case, Category, Finding, LabelIssue, Mask, Proposal, Rejection


@dataclass(frozen=True, slots=True)
class WrongCategory:
    """Issues of several kinds (``evidence["kind"]``).

    *size*: the longest axis in a slice, LIDC's 3 mm convention, lies on the other side of the border by more than the
    measurement error, one in-plane voxel. The other readers' outlines measure a point mark, which has no size of its
    own, else the model's outline does, with one voxel more. A box, drawn with a voxel to spare on either side, bounds
    the axis: it is at least its longer edge and at most its diagonal. Score: the probability that the true axis lies
    beyond the border, the error taken as two standard deviations, with the spread of careful readers at either end of
    an outline. Nothing is said within the error.
    *rating*, *rating-against-image*, *inverted-scale*: a characteristic outside its scale, one that the voxels
    contradict, and a scale that was read backwards (``category_ratings``).
    *rating-unlike*: a rating far from the other readers', from what is habitual for the size, or from what the reader
    gives otherwise (``reader_ratings``).
    *contradiction*: in one lesion some readers say nodule and others non-nodule; the smaller side is the suspect, with
    the probability that most readers would side with the larger one. An even split accuses the non-nodule side, since
    overlooking a nodule costs more, with a score of about one half. A model that was asked about the place has its say
    in that probability.
    *model*: a reader said non-nodule, nobody disagreed, and the model asked about the place sees a nodule: the
    probability that most readers would with the model's as prior. The opposite, a nodule that the model takes for
    none, is a contradiction where another reader said non-nodule, and else a question for ``spurious_label``.
    Features: ``category_features.FEATURES``.
    """

    name: str = "wrong_category"
    version: str = "5"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where no reader has marked anything."""
        sets = read_sets(case=case)
        marks = [Mark(item.set_id, finding) for item in sets for finding in item.findings]
        if not marks:
            raise NotApplicable("no-findings", "no reader has marked anything on this case")
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        issues: list[LabelIssue] = []
        for lesion in lesions_of(case=case):
            together = marks_of(case=case, lesion=lesion)
            for mark in together:
                issues.extend(_size(mark, together, builder))
            issues.extend(_contradiction(together, builder))
            issues.extend(_against_model(together, sets, builder))
        issues.extend(judge_ratings(sets=sets, builder=builder))
        issues.extend(judge_unlike(sets=sets, builder=builder))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return other structures: their names are no nodule categories, and no nodule category is theirs."""
        return structures_passed_over(case=case)


def _size(mark: Mark, together: tuple[Mark, ...], builder: IssueBuilder) -> list[LabelIssue]:
    if not is_nodule(finding=mark.finding):
        return []
    parameters = builder.parameters
    measured = _long_axis(mark, together, builder)
    if measured is None:
        return []
    low, high, error, source = measured
    small = mark.finding.category is Category.NODULE_LT_3MM
    # Of a box only bounds are known: the one that speaks for the label is held against it.
    axis = low if small else high
    beyond = axis - parameters.nodule_limit_mm if small else parameters.nodule_limit_mm - axis
    if beyond <= error:
        return []
    right = Category.NODULE_GE_3MM if small else Category.NODULE_LT_3MM
    spread = error / 2
    if mark.finding.mask is not None:
        # The outline contradicts the class, but careful readers draw its ends that far apart.
        spread = math.hypot(spread, parameters.reader_spread_mm)
    return [
        _issue(
            mark,
            builder,
            score=beyond_tolerance(deviation=beyond, tolerance=0.0, spread=spread),
            reason=(
                f"This label says {mark.finding.category.value}; the longest axis {source} is {axis:.1f} mm. "
                f"That is {beyond:.1f} mm beyond the border of {parameters.nodule_limit_mm:g} mm, and measuring "
                f"explains no more than {error:.1f} mm. The right class may be {right.value}."
            ),
            evidence={
                "kind": "size",
                "long_axis_mm": axis,
                "measurement_error_mm": error,
                "measured": source,
                "convention": "longest axis in a slice against the 3 mm border of LIDC",
            },
            features={
                "kind_size": 1.0,
                "long_axis_mm": axis,
                "beyond_border_mm": beyond,
                "measurement_error_mm": error,
                "says_small": small,
            },
            proposals=(Proposal(action=Action.RECATEGORISE, origin=f"longest axis {source}", category=right),),
        )
    ]


def _contradiction(marks: tuple[Mark, ...], builder: IssueBuilder) -> list[LabelIssue]:
    nodule = [mark for mark in marks if is_nodule(finding=mark.finding)]
    other = [mark for mark in marks if not is_nodule(finding=mark.finding)]
    if not nodule or not other:
        return []
    fewer = len(nodule) < len(other)
    suspects, right = (nodule, other) if fewer else (other, nodule)
    category = Counter(mark.finding.category for mark in right).most_common(1)[0][0]
    probability, worth = _model(marks, builder)
    supports = probability if probability is None or not fewer else 1 - probability
    score = majority_would_mark(marked=len(right), silent=len(suspects), model_probability=supports, model_weight=worth)
    heard = "" if probability is None else f" The model gives a nodule here {percent(probability=probability)}."
    return [
        _issue(
            mark,
            builder,
            score=score,
            reason=(
                f"This label says {mark.finding.category.value}; {counted(number=len(right), noun='other reader')} "
                f"who marked the place {'says' if len(right) == 1 else 'say'} {category.value}.{heard} "
                f"One of the two classes may be right for all; it may be {category.value}."
            ),
            evidence={
                "kind": "contradiction",
                "categories": {entry.set_id: entry.finding.category.value for entry in marks},
                "ambiguous": len(nodule) == len(other),
            },
            features={
                "kind_contradiction": 1.0,
                "says_nodule": is_nodule(finding=mark.finding),
                "readers_nodule": len(nodule),
                "readers_non_nodule": len(other),
                "model_probability": probability,
            },
            proposals=(Proposal(action=Action.RECATEGORISE, origin="class of the other readers", category=category),),
        )
        for mark in suspects
    ]


def _against_model(marks: tuple[Mark, ...], sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> list[LabelIssue]:
    if any(is_nodule(finding=mark.finding) for mark in marks):
        return []
    probability, worth = _model(marks, builder)
    if probability is None or probability < 0.5:
        return []
    case, parameters = builder.case, builder.parameters
    score = majority_would_mark(marked=0, silent=len(marks), model_probability=probability, model_weight=worth)
    found = []
    for mark in marks:
        axis = _long_axis(mark, marks, builder)
        small = axis is not None and axis[1] < parameters.nodule_limit_mm
        category = Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM
        name = "the model" if case.prediction is None else speaker(prediction=case.prediction)
        found.append(
            _issue(
                mark,
                builder,
                score=score,
                reason=(
                    f"This label says {mark.finding.category.value}; {name} gives a nodule here "
                    f"{percent(probability=probability)}. The right class may be {category.value}."
                ),
                evidence={"kind": "model", "model_probability": probability, "readers": len(sets)},
                features={
                    "kind_model": 1.0,
                    "says_nodule": 0.0,
                    "readers_nodule": 0.0,
                    "readers_non_nodule": len(marks),
                    "model_probability": probability,
                    "long_axis_mm": None if axis is None else axis[1],
                },
                proposals=(Proposal(action=Action.RECATEGORISE, origin=f"class by {name}", category=category),),
            )
        )
    return found


def _model(marks: tuple[Mark, ...], builder: IssueBuilder) -> tuple[float | None, float]:
    """Return the model's probability of a nodule at the marks, if it gives one, and how many readers it is worth.

    Asked about the places, it answers both ways; of its search of the scan only a report counts.
    """
    case, margin = builder.case, builder.parameters.match_margin_mm
    if case.prediction is None:
        return None, 0.0
    worth = model_weight(prediction=case.prediction, parameters=builder.parameters)
    asked = [nodule_probability_at(case=case, finding=mark.finding, margin_mm=margin) for mark in marks]
    places = [probability for probability in asked if probability is not None]
    if places:
        return sum(places) / len(places), worth
    reported = [
        candidate.probability
        for mark in marks
        for candidate in candidates_at(case=case, finding=mark.finding, margin_mm=margin)[:1]
        if candidate.probability >= case.prediction.threshold
    ]
    return max(reported, default=None), worth


def _issue(
    mark: Mark,
    builder: IssueBuilder,
    *,
    score: float,
    reason: str,
    evidence: dict[str, object],
    features: Features,
    proposals: tuple[Proposal, ...],
) -> LabelIssue:
    return builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=score,
        reason=f"{reason} The place is {builder.where(centre_of(mark.finding))}.",
        evidence=evidence,
        features=features,
        proposals=proposals,
    )


def _long_axis(mark: Mark, together: tuple[Mark, ...], builder: IssueBuilder) -> tuple[float, float, float, str] | None:
    """Return the least and greatest the longest in-plane axis may be, its error (all mm), and what was measured."""
    finding, case = mark.finding, builder.case
    voxel = max(case.volume.grid.spacing_mm[1:])
    if finding.mask is not None:
        axis = measure(finding.mask).long_axis_mm
        return axis, axis, voxel, "of its own outline"
    if finding.sphere is not None:
        return finding.sphere.diameter_mm, finding.sphere.diameter_mm, voxel, "of its own sphere"
    if finding.box is not None:
        _, rows, columns = box_extents_mm(box=finding.box, grid=case.volume.grid)
        return max(rows, columns), math.hypot(rows, columns), 2 * voxel, "that its own box allows"
    if finding.category is Category.NODULE_GE_3MM:
        # A point says nothing of size, and who says at least 3 mm has measured it.
        return None
    axes = [
        measure(other.finding.mask).long_axis_mm
        for other in together
        if other.set_id != mark.set_id and other.finding.mask is not None and is_nodule(finding=other.finding)
    ]
    if axes:
        axis = median(axes)
        return axis, axis, 2 * voxel, f"of the outline of {counted(number=len(axes), noun='other reader')} here"
    outlined = _model_mask(finding, builder)
    if outlined is None:
        return None
    axis = measure(outlined[0]).long_axis_mm
    return axis, axis, 2 * voxel, f"of {outlined[1]}'s outline here"


def _model_mask(finding: Finding, builder: IssueBuilder) -> tuple[Mask, str] | None:
    case, margin = builder.case, builder.parameters.match_margin_mm
    if case.prediction is None:
        return None
    name = speaker(prediction=case.prediction)
    for candidate in candidates_at(case=case, finding=finding, margin_mm=margin):
        if candidate.probability >= case.prediction.threshold and candidate.mask is not None:
            return candidate.mask, name
    opinion = opinion_at(case=case, finding=finding, margin_mm=margin)
    if opinion is not None and opinion.mask is not None and (opinion.nodule_probability or 0.0) >= 0.5:
        return opinion.mask, name
    return None
