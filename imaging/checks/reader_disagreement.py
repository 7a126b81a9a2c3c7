"""Reader disagreement: readers of one case do not say the same about one lesion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    addition_from_others,
    build_issue,
    candidates_of,
    consensus_outline,
    described,
    is_nodule,
    marks_of,
    merged,
    read_sets,
)
from imaging.checks.places import candidate_is_finding, equivalent_diameter_mm, finding_diameter_mm, share_a_place
from imaging.checks.probability import beyond_tolerance, fewer_than_a_quarter_would_mark, majority_would_mark
from imaging.checks.words import CLOSING, counted, millimetres, who_marked
from imaging.errors import NotApplicable
from imaging.masks.matching import match_lesions
from imaging.types import Action, AnnotationSet, Case, Category, LabelIssue, Lesion, Proposal, Rejection

# Spread of the logarithm of volume between careful readers of one nodule: about 35 %.
_LOG_VOLUME_SPREAD = 0.35
_RATING_SPREAD = 1.0
_RATED = "malignancy"


@dataclass(frozen=True, slots=True)
class ReaderDisagreement:
    """One issue for each reader who stands against the others, in three kinds (``evidence["kind"]``).

    *marking*: more than half marked the lesion: each reader who did not is the suspect, score
    ``majority_would_mark`` from the votes alone; fewer than half: each marker is the suspect, score
    ``fewer_than_a_quarter_would_mark`` (one mark of four is disagreement before it is error), less if the model
    reports the place too; exactly half: the silent readers stand in, with a score of
    about one half, and the evidence says ``ambiguous``. Marks under 3 mm are half votes, since readers are not asked
    to find them all. A reader who marked the place as a non-nodule has voted against and is no suspect here.
    *volume* and *rating*: a reader whose outline volume or malignancy rating lies far from the median of at least two
    others. What the readers call the lesion is for ``wrong_category``.
    """

    name: str = "reader_disagreement"
    version: str = "1"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable with fewer than two readers."""
        sets = read_sets(case=case)
        if len(sets) < 2:
            raise NotApplicable("one-reader", "only one reader has read this case; there is nobody to disagree with")
        issues: list[LabelIssue] = []
        for lesion in match_lesions(sets):
            marks = tuple(mark for mark in marks_of(lesion=lesion, sets=sets) if is_nodule(finding=mark.finding))
            if not marks:
                continue
            issues.extend(self._marking(lesion, marks, case, sets, parameters))
            issues.extend(self._volumes(lesion, marks, case, sets, parameters))
            issues.extend(self._ratings(lesion, marks, case, sets, parameters))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return nothing: every lesion is looked at."""
        return ()

    def _marking(
        self,
        lesion: Lesion,
        marks: tuple[Mark, ...],
        case: Case,
        sets: tuple[AnnotationSet, ...],
        parameters: CheckParameters,
    ) -> list[LabelIssue]:
        present = _present(marks, sets, parameters)
        markers = {set_id for set_id, nodule in present.items() if nodule}
        silent = [item.set_id for item in sets if item.set_id not in present]
        against = len(sets) - len(markers)
        if against == 0:
            return []
        small = all(mark.finding.category is Category.NODULE_LT_3MM for mark in marks)
        weight = parameters.small_mark_weight if small else 1.0
        evidence: dict[str, object] = {
            "kind": "marking",
            "marked_by": sorted(markers),
            "readers": len(sets),
            "ambiguous": len(markers) * 2 == len(sets),
            "votes_weighted": weight,
            "lesion": lesion.lesion_id,
        }
        if len(markers) * 2 < len(sets):
            heard = _model_probability(marks, case, parameters)
            evidence["model_probability"] = heard
            score = fewer_than_a_quarter_would_mark(
                marked=weight * len(markers),
                silent=weight * against,
                model_probability=heard,
                model_weight=parameters.model_weight_in_readers,
            )
            suspects: list[tuple[str, str | None]] = [(mark.set_id, mark.finding.finding_id) for mark in marks]
            proposals = (Proposal(action=Action.REMOVE, origin="most readers marked nothing here"),)
        else:
            score = majority_would_mark(
                marked=weight * len(markers), silent=weight * against, model_probability=None, model_weight=0.0
            )
            suspects = [(set_id, None) for set_id in silent]
            proposals = (addition_from_others(marks=marks, place_mm=lesion.centre_mm, parameters=parameters),)
        return [
            build_issue(
                check=self.name,
                version=self.version,
                case=case,
                parameters=parameters,
                set_id=set_id,
                finding_id=finding_id,
                place_mm=lesion.centre_mm,
                diameter_mm=_diameter(marks),
                score=score,
                reason=_marking_reason(lesion, marks, case, len(markers), len(sets), finding_id, parameters),
                implicated=tuple(item.set_id for item in sets),
                evidence=evidence,
                proposals=proposals,
            )
            for set_id, finding_id in suspects
        ]

    def _volumes(
        self,
        lesion: Lesion,
        marks: tuple[Mark, ...],
        case: Case,
        sets: tuple[AnnotationSet, ...],
        parameters: CheckParameters,
    ) -> list[LabelIssue]:
        sizes: dict[Mark, float] = {}
        for mark in marks:
            if mark.finding.mask is not None:
                sizes[mark] = equivalent_diameter_mm(mask=mark.finding.mask)
        issues = []
        for mark, own in sizes.items():
            others = [size for other, size in sizes.items() if other.set_id != mark.set_id]
            if len(others) < 2:
                continue
            usual = median(others)
            ratio = (own / usual) ** 3
            # A factor in volume is nothing at 4 mm if it stays within what two surfaces may differ by.
            if abs(own - usual) <= 2 * parameters.boundary_tolerance_mm:
                continue
            score = beyond_tolerance(
                deviation=abs(math.log(ratio)), tolerance=math.log(parameters.volume_ratio), spread=_LOG_VOLUME_SPREAD
            )
            if score < 0.5:
                continue
            larger = "larger" if ratio > 1 else "smaller"
            factor = max(ratio, 1 / ratio)
            where = described(case=case, place_mm=lesion.centre_mm, parameters=parameters)
            issues.append(
                build_issue(
                    check=self.name,
                    version=self.version,
                    case=case,
                    parameters=parameters,
                    set_id=mark.set_id,
                    finding_id=mark.finding.finding_id,
                    place_mm=lesion.centre_mm,
                    diameter_mm=max(own, usual),
                    score=score,
                    reason=(
                        f"This outline ({where}) has {factor:.1f} times {larger} volume than usual among "
                        f"{counted(number=len(others), noun='other reader')}: a ball of {millimetres(value=own)} here, "
                        f"of {millimetres(value=usual)} for them. It may hold too {'much' if ratio > 1 else 'little'}, "
                        f"or the others may; the right outline may be theirs. {CLOSING}"
                    ),
                    implicated=tuple(item.set_id for item in sets),
                    evidence={
                        "kind": "volume",
                        "volume_ratio": ratio,
                        "equivalent_diameter_mm": own,
                        "others_median_diameter_mm": usual,
                        "others": len(others),
                        "lesion": lesion.lesion_id,
                    },
                    proposals=_others_outline(marks, mark),
                )
            )
        return issues

    def _ratings(
        self,
        lesion: Lesion,
        marks: tuple[Mark, ...],
        case: Case,
        sets: tuple[AnnotationSet, ...],
        parameters: CheckParameters,
    ) -> list[LabelIssue]:
        rated = {mark: mark.finding.characteristics[_RATED] for mark in marks if _RATED in mark.finding.characteristics}
        issues = []
        for mark, own in rated.items():
            others = [value for other, value in rated.items() if other.set_id != mark.set_id]
            if len(others) < 2:
                continue
            usual = median(others)
            gap = abs(own - usual)
            if gap < parameters.rating_gap:
                continue
            where = described(case=case, place_mm=lesion.centre_mm, parameters=parameters)
            issues.append(
                build_issue(
                    check=self.name,
                    version=self.version,
                    case=case,
                    parameters=parameters,
                    set_id=mark.set_id,
                    finding_id=mark.finding.finding_id,
                    place_mm=lesion.centre_mm,
                    diameter_mm=_diameter(marks),
                    score=beyond_tolerance(
                        deviation=gap, tolerance=float(parameters.rating_gap), spread=_RATING_SPREAD
                    ),
                    reason=(
                        f"This label rates the {_RATED} of the nodule ({where}) {own}; the median of "
                        f"{counted(number=len(others), noun='other reader')} is {usual:g}. Readers differ, but seldom "
                        f"this far; the rating meant may be nearer to {usual:g}. {CLOSING}"
                    ),
                    implicated=tuple(item.set_id for item in sets),
                    evidence={
                        "kind": "rating",
                        "characteristic": _RATED,
                        "rating": own,
                        "others_median": usual,
                        "others": len(others),
                        "lesion": lesion.lesion_id,
                    },
                    proposals=(),
                )
            )
        return issues


def _present(marks: tuple[Mark, ...], sets: tuple[AnnotationSet, ...], parameters: CheckParameters) -> dict[str, bool]:
    """Return each set with any finding at the lesion's place, and whether it calls it a nodule.

    Asked more loosely than lesions are matched: an outline that matching set apart (a second mark of the same reader,
    a merged outline) still shows that its reader saw the place.
    """
    present = {}
    for item in sets:
        here = [
            finding
            for finding in item.findings
            if any(
                share_a_place(first=finding, second=mark.finding, margin_mm=parameters.match_margin_mm)
                for mark in marks
            )
        ]
        if here:
            present[item.set_id] = any(is_nodule(finding=finding) for finding in here)
    return present


def _model_probability(marks: tuple[Mark, ...], case: Case, parameters: CheckParameters) -> float | None:
    # Only a report counts: the model's silence about a mark is for the check on spurious labels.
    if case.prediction is None:
        return None
    here = [
        candidate.probability
        for candidate in candidates_of(case=case)
        if candidate.probability >= case.prediction.threshold
        and any(
            candidate_is_finding(candidate=candidate, finding=mark.finding, margin_mm=parameters.match_margin_mm)
            for mark in marks
        )
    ]
    return max(here, default=None)


def _diameter(marks: tuple[Mark, ...]) -> float | None:
    sizes = [finding_diameter_mm(finding=mark.finding) for mark in marks]
    return max((size for size in sizes if size is not None), default=None)


def _others_outline(marks: tuple[Mark, ...], suspect: Mark) -> tuple[Proposal, ...]:
    others = tuple(mark for mark in marks if mark.set_id != suspect.set_id)
    outline = consensus_outline(marks=others)
    if outline is None:
        return ()
    mask, voters = outline
    origin = f"majority outline of {voters} other readers"
    return (Proposal(action=Action.REPLACE_OUTLINE, origin=origin, mask=mask),)


def _marking_reason(
    lesion: Lesion,
    marks: tuple[Mark, ...],
    case: Case,
    marked: int,
    total: int,
    finding_id: str | None,
    parameters: CheckParameters,
) -> str:
    where = described(case=case, place_mm=lesion.centre_mm, parameters=parameters)
    diameter = _diameter(marks)
    thing = f"a {millimetres(value=diameter)} nodule" if diameter is not None else "a small nodule"
    who = who_marked(marked=marked, total=total).removesuffix(" it")
    opening = f"{who[0].upper()}{who[1:]} {thing} here ({where})"
    if finding_id is not None:
        return (
            f"{opening}, this label among them. A mark that most readers did not make may be right, and may be "
            f"something else than a nodule; the right label may be none. {CLOSING}"
        )
    if marked * 2 == total:
        return (
            f"{opening}, and as many did not; this label set has nothing there. Neither side can be called wrong from "
            f"the votes alone; the right label may be the nodule that the others outlined, or none. {CLOSING}"
        )
    return (
        f"{opening}; this label set has nothing there. A nodule may have been overlooked, and the right label may be "
        f"what the others marked. {CLOSING}"
    )
