"""Wrong category: the class of a label contradicts its own size, its readers, or the scale of its ratings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import Mark, candidates_of, is_nodule, marks_of, read_sets, speaker, structures_passed_over
from imaging.checks.issues import IssueBuilder, merged
from imaging.checks.places import candidate_is_finding
from imaging.checks.probability import BROKEN_RULE, beyond_tolerance, majority_would_mark
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.boxes import box_extents_mm
from imaging.masks.matching import match_lesions
from imaging.masks.measure import measure
from imaging.masks.place import centre_of
from imaging.types import Action, Case, Category, Finding, LabelIssue, Proposal, Rejection

LIDC_SCALES = {
    "subtlety": (1, 5),
    "internalStructure": (1, 4),
    "calcification": (1, 6),
    "sphericity": (1, 5),
    "margin": (1, 5),
    "lobulation": (1, 5),
    "spiculation": (1, 5),
    "texture": (1, 5),
    "malignancy": (1, 5),
}
"""Lowest and highest rating of each LIDC characteristic (Armato 2011)."""


@dataclass(frozen=True, slots=True)
class WrongCategory:
    """Issues of three kinds (``evidence["kind"]``).

    *size*: the longest axis in a slice, LIDC's 3 mm convention, lies on the other side of the border by more than the
    measurement error, one in-plane voxel. The model's candidate measures a point mark, which has no size of its own,
    with one voxel more. A box, drawn with a voxel to spare on either side, bounds the axis: it is at least its longer
    edge and at most its diagonal. Score: the probability that the true axis lies beyond the border, the error taken as
    two standard deviations. Nothing is said within the error.
    *rating*: a characteristic outside its scale: a broken rule.
    *contradiction*: in one lesion some readers say nodule and others non-nodule; the smaller side is the suspect, with
    the probability that most readers would side with the larger one. An even split accuses the non-nodule side, since
    overlooking a nodule costs more, with a score of about one half.
    """

    name: str = "wrong_category"
    version: str = "2"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where no reader has marked anything."""
        sets = read_sets(case=case)
        marks = [Mark(item.set_id, finding) for item in sets for finding in item.findings]
        if not marks:
            raise NotApplicable("no-findings", "no reader has marked anything on this case")
        issues: list[LabelIssue] = []
        for mark in marks:
            issues.extend(self._size(mark, case, parameters))
            issues.extend(self._ratings(mark, case, parameters))
        for lesion in match_lesions(sets):
            issues.extend(self._contradiction(marks_of(lesion=lesion, sets=sets), case, parameters))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return other structures: their names are no nodule categories, and no nodule category is theirs."""
        return structures_passed_over(case=case)

    def _size(self, mark: Mark, case: Case, parameters: CheckParameters) -> list[LabelIssue]:
        if not is_nodule(finding=mark.finding):
            return []
        measured = _long_axis(mark.finding, case, parameters)
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
        return [
            self._issue(
                mark,
                case,
                parameters,
                score=beyond_tolerance(deviation=beyond, tolerance=0.0, spread=error / 2),
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
                proposals=(Proposal(action=Action.RECATEGORISE, origin=f"longest axis {source}", category=right),),
            )
        ]

    def _ratings(self, mark: Mark, case: Case, parameters: CheckParameters) -> list[LabelIssue]:
        wrong = {
            name: value
            for name, value in sorted(mark.finding.characteristics.items())
            if name in LIDC_SCALES and not LIDC_SCALES[name][0] <= value <= LIDC_SCALES[name][1]
        }
        if not wrong:
            return []
        listed = "; ".join(
            f"{name} is {value} on a scale of {LIDC_SCALES[name][0]} to {LIDC_SCALES[name][1]}"
            for name, value in wrong.items()
        )
        return [
            self._issue(
                mark,
                case,
                parameters,
                score=BROKEN_RULE,
                reason=(
                    f"This label has a rating outside its scale: {listed}. A rating within the scale may have been "
                    "meant."
                ),
                evidence={"kind": "rating", "out_of_scale": wrong},
                proposals=(),
            )
        ]

    def _contradiction(self, marks: tuple[Mark, ...], case: Case, parameters: CheckParameters) -> list[LabelIssue]:
        nodule = [mark for mark in marks if is_nodule(finding=mark.finding)]
        other = [mark for mark in marks if not is_nodule(finding=mark.finding)]
        if not nodule or not other:
            return []
        suspects, right = (nodule, other) if len(nodule) < len(other) else (other, nodule)
        category = Counter(mark.finding.category for mark in right).most_common(1)[0][0]
        score = majority_would_mark(marked=len(right), silent=len(suspects), model_probability=None, model_weight=0.0)
        return [
            self._issue(
                mark,
                case,
                parameters,
                score=score,
                reason=(
                    f"This label says {mark.finding.category.value}; {counted(number=len(right), noun='other reader')} "
                    f"who marked the place {'says' if len(right) == 1 else 'say'} {category.value}. "
                    f"One of the two classes may be right for all; it may be {category.value}."
                ),
                evidence={
                    "kind": "contradiction",
                    "categories": {entry.set_id: entry.finding.category.value for entry in marks},
                    "ambiguous": len(nodule) == len(other),
                },
                proposals=(
                    Proposal(action=Action.RECATEGORISE, origin="class of the other readers", category=category),
                ),
            )
            for mark in suspects
        ]

    def _issue(
        self,
        mark: Mark,
        case: Case,
        parameters: CheckParameters,
        *,
        score: float,
        reason: str,
        evidence: dict[str, object],
        proposals: tuple[Proposal, ...],
    ) -> LabelIssue:
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        return builder.about(
            set_id=mark.set_id,
            finding=mark.finding,
            score=score,
            reason=f"{reason} The place is {builder.where(centre_of(mark.finding))}.",
            evidence=evidence,
            proposals=proposals,
        )


def _long_axis(finding: Finding, case: Case, parameters: CheckParameters) -> tuple[float, float, float, str] | None:
    """Return the least and greatest the longest in-plane axis may be, its error (all mm), and what was measured."""
    voxel = max(case.volume.grid.spacing_mm[1:])
    if finding.mask is not None:
        axis = measure(finding.mask).long_axis_mm
        return axis, axis, voxel, "of its own outline"
    if finding.sphere is not None:
        return finding.sphere.diameter_mm, finding.sphere.diameter_mm, voxel, "of its own sphere"
    if finding.box is not None:
        _, rows, columns = box_extents_mm(box=finding.box, grid=case.volume.grid)
        return max(rows, columns), math.hypot(rows, columns), 2 * voxel, "that its own box allows"
    if case.prediction is None or finding.category is not Category.NODULE_LT_3MM:
        return None
    here = [
        (candidate.probability, candidate.mask)
        for candidate in candidates_of(case=case)
        if candidate.probability >= case.prediction.threshold
        and candidate.mask is not None
        and candidate_is_finding(
            candidate=candidate, finding=finding, grid=case.volume.grid, margin_mm=parameters.match_margin_mm
        )
    ]
    if not here:
        return None
    _, mask = max(here, key=lambda entry: entry[0])
    axis = measure(mask).long_axis_mm
    return axis, axis, 2 * voxel, f"of {speaker(prediction=case.prediction)}'s outline here"
