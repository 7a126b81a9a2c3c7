"""Reader disagreement: readers of one case do not say the same about one lesion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    addition_from_others,
    candidates_at,
    consensus_outline,
    is_nodule,
    lesions_of,
    marks_of,
    model_weight,
    nearby,
    nodule_probability_at,
    read_sets,
    structures_passed_over,
)
from imaging.checks.issues import COMMON_FEATURES, Features, IssueBuilder, merged
from imaging.checks.places import equivalent_diameter_mm, finding_diameter_mm, share_a_place
from imaging.checks.probability import beyond_tolerance, fewer_than_a_quarter_would_mark, majority_would_mark
from imaging.checks.words import counted, millimetres, who_marked
from imaging.errors import NotApplicable
from imaging.types import Action, AnnotationSet, Case, Category, LabelIssue, Lesion, Proposal, Rejection

# Spread of the logarithm of volume between careful readers of one nodule: about 35 %.
_LOG_VOLUME_SPREAD = 0.35
_RATING_SPREAD = 1.0
_RATED = "malignancy"

FEATURES = COMMON_FEATURES | {
    "kind_marking": "1 where readers differ on whether there is a nodule",
    "kind_volume": "1 where the outline's volume lies far from the others'",
    "kind_rating": "1 where the rating lies far from the others'",
    "marking_readers": "readers who marked a nodule here",
    "silent_readers": "readers who marked nothing here",
    "readers_against": "readers who marked the place, but as no nodule",
    "suspect_marked": "1 where the suspect marked the nodule, 0 where it is missing from the suspect's set",
    "small": "1 where every mark here says it is below the border between the size classes",
    "model_probability": "of the best of the model's candidates here; absent without one",
    "place_probability": "the model's probability of a nodule at the marks' place; absent from models that do not say",
    "log_volume_ratio": "natural logarithm of the outline's volume over the others' median",
    "rating_gap": "difference to the median rating of the others",
}


@dataclass(frozen=True, slots=True)
class ReaderDisagreement:
    """One issue for each reader who stands against the others, in three kinds (``evidence["kind"]``).

    *marking*: more than half marked the lesion: each reader who did not is the suspect, score
    ``majority_would_mark`` from the votes alone; fewer than half: each marker is the suspect, score
    ``fewer_than_a_quarter_would_mark`` (one mark of four is disagreement before it is error), less if the model
    reports the place too, and either way if it was asked about that very place; exactly half: the silent readers stand
    in, with a score of about one half, and the evidence says ``ambiguous``. Marks under 3 mm are half votes, since
    readers are not asked to find them all. A reader who marked the place as a non-nodule has voted against and is no
    suspect here.
    *volume* and *rating*: a reader whose outline volume (no box's) or malignancy rating lies far from the median of at
    least two others. What the readers call the lesion is for ``wrong_category``. Features: ``FEATURES``.
    """

    name: str = "reader_disagreement"
    version: str = "3"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable with fewer than two readers."""
        sets = read_sets(case=case)
        if len(sets) < 2:
            raise NotApplicable("one-reader", "only one reader has read this case; there is nobody to disagree with")
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        issues: list[LabelIssue] = []
        for lesion in lesions_of(case=case):
            marks = tuple(mark for mark in marks_of(case=case, lesion=lesion) if is_nodule(finding=mark.finding))
            if marks:
                seen = _Seen(lesion, marks, sets, builder, _present(marks, sets, builder))
                issues.extend((*_marking(seen), *_volumes(seen), *_ratings(seen)))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the boxes, whose volume is no outline's, and what is no nodule."""
        boxes = tuple(
            finding.finding_id
            for item in read_sets(case=case)
            for finding in item.findings
            if finding.box is not None and is_nodule(finding=finding)
        )
        message = "a box is no outline; its volume was not compared with the other readers'"
        found = (Rejection("box-without-outline", message, boxes),) if boxes else ()
        return (*found, *structures_passed_over(case=case))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One lesion, who marked it as a nodule, and everybody who was asked."""

    lesion: Lesion
    marks: tuple[Mark, ...]
    sets: tuple[AnnotationSet, ...]
    builder: IssueBuilder
    present: Mapping[str, bool]

    @property
    def parameters(self) -> CheckParameters:
        return self.builder.parameters

    @property
    def where(self) -> str:
        return self.builder.where(self.lesion.centre_mm)

    @property
    def diameter_mm(self) -> float | None:
        sizes = [finding_diameter_mm(finding=mark.finding) for mark in self.marks]
        return max((size for size in sizes if size is not None), default=None)

    @property
    def small(self) -> bool:
        return all(mark.finding.category is Category.NODULE_LT_3MM for mark in self.marks)

    def votes(self) -> dict[str, float | None]:
        """Return who found what, as features."""
        present = self.present
        candidate, place = _model_says(self)
        return {
            "marking_readers": sum(present.values()),
            "readers_against": len(present) - sum(present.values()),
            "silent_readers": len(self.sets) - len(present),
            "small": self.small,
            "model_probability": candidate,
            "place_probability": place,
        }

    def issue(
        self,
        *,
        set_id: str,
        finding_id: str | None,
        diameter_mm: float | None,
        score: float,
        reason: str,
        evidence: dict[str, object],
        features: Features,
        proposals: tuple[Proposal, ...],
    ) -> LabelIssue:
        return self.builder.issue(
            set_id=set_id,
            finding_id=finding_id,
            place_mm=self.lesion.centre_mm,
            diameter_mm=diameter_mm,
            score=score,
            reason=reason,
            implicated=tuple(item.set_id for item in self.sets),
            evidence={**evidence, "lesion": self.lesion.lesion_id},
            features={**self.votes(), **features, "suspect_marked": finding_id is not None},
            proposals=proposals,
        )


def _marking(seen: _Seen) -> list[LabelIssue]:
    present = seen.present
    markers = {set_id for set_id, nodule in present.items() if nodule}
    silent = [item.set_id for item in seen.sets if item.set_id not in present]
    against = len(seen.sets) - len(markers)
    if against == 0:
        return []
    weight = seen.parameters.small_mark_weight if seen.small else 1.0
    evidence: dict[str, object] = {
        "kind": "marking",
        "marked_by": sorted(markers),
        "readers": len(seen.sets),
        "ambiguous": len(markers) * 2 == len(seen.sets),
        "votes_weighted": weight,
    }
    if len(markers) * 2 < len(seen.sets):
        heard, worth = _model_report(seen)
        evidence["model_probability"] = heard
        score = fewer_than_a_quarter_would_mark(
            marked=weight * len(markers), silent=weight * against, model_probability=heard, model_weight=worth
        )
        suspects: list[tuple[str, str | None]] = [(mark.set_id, mark.finding.finding_id) for mark in seen.marks]
        proposals = (Proposal(action=Action.REMOVE, origin="most readers marked nothing here"),)
    else:
        score = majority_would_mark(
            marked=weight * len(markers), silent=weight * against, model_probability=None, model_weight=0.0
        )
        suspects = [(set_id, None) for set_id in silent]
        proposals = (
            addition_from_others(marks=seen.marks, place_mm=seen.lesion.centre_mm, parameters=seen.parameters),
        )
    return [
        seen.issue(
            set_id=set_id,
            finding_id=finding_id,
            diameter_mm=seen.diameter_mm,
            score=score,
            reason=_marking_reason(seen, len(markers), finding_id),
            evidence=evidence,
            features={"kind_marking": 1.0},
            proposals=proposals,
        )
        for set_id, finding_id in suspects
    ]


def _volumes(seen: _Seen) -> list[LabelIssue]:
    # Outlines alone: a box is filled to its corners by no nodule.
    sizes = {
        mark: equivalent_diameter_mm(mask=mark.finding.mask) for mark in seen.marks if mark.finding.mask is not None
    }
    issues = []
    for mark, own, usual, others in _against_others(sizes):
        ratio = (own / usual) ** 3
        # A factor in volume is nothing at 4 mm if it stays within what two surfaces may differ by.
        if abs(own - usual) <= 2 * seen.parameters.boundary_tolerance_mm:
            continue
        score = beyond_tolerance(
            deviation=abs(math.log(ratio)), tolerance=math.log(seen.parameters.volume_ratio), spread=_LOG_VOLUME_SPREAD
        )
        if score < 0.5:
            continue
        issues.append(
            seen.issue(
                set_id=mark.set_id,
                finding_id=mark.finding.finding_id,
                diameter_mm=max(own, usual),
                score=score,
                reason=(
                    f"This outline ({seen.where}) has {max(ratio, 1 / ratio):.1f} times "
                    f"{'larger' if ratio > 1 else 'smaller'} volume than usual among "
                    f"{counted(number=others, noun='other reader')}: a ball of {millimetres(value=own)} here, of "
                    f"{millimetres(value=usual)} for them. It may hold too {'much' if ratio > 1 else 'little'}, or the "
                    "others may; the right outline may be theirs."
                ),
                evidence={
                    "kind": "volume",
                    "volume_ratio": ratio,
                    "equivalent_diameter_mm": own,
                    "others_median_diameter_mm": usual,
                    "others": others,
                },
                features={"kind_volume": 1.0, "log_volume_ratio": math.log(ratio)},
                proposals=_others_outline(seen.marks, mark),
            )
        )
    return issues


def _ratings(seen: _Seen) -> list[LabelIssue]:
    rated = {
        mark: float(mark.finding.characteristics[_RATED])
        for mark in seen.marks
        if _RATED in mark.finding.characteristics
    }
    issues = []
    for mark, own, usual, others in _against_others(rated):
        gap = abs(own - usual)
        if gap < seen.parameters.rating_gap:
            continue
        issues.append(
            seen.issue(
                set_id=mark.set_id,
                finding_id=mark.finding.finding_id,
                diameter_mm=seen.diameter_mm,
                score=beyond_tolerance(
                    deviation=gap, tolerance=float(seen.parameters.rating_gap), spread=_RATING_SPREAD
                ),
                reason=(
                    f"This label rates the {_RATED} of the nodule ({seen.where}) {own:g}; the median of "
                    f"{counted(number=others, noun='other reader')} is {usual:g}. Readers differ, but seldom this far; "
                    f"the rating meant may be nearer to {usual:g}."
                ),
                evidence={
                    "kind": "rating",
                    "characteristic": _RATED,
                    "rating": mark.finding.characteristics[_RATED],
                    "others_median": usual,
                    "others": others,
                },
                features={"kind_rating": 1.0, "rating_gap": own - usual},
                proposals=(),
            )
        )
    return issues


def _against_others(values: Mapping[Mark, float]) -> Iterator[tuple[Mark, float, float, int]]:
    """Yield each mark with its value, the median of the other sets' marks and their number, where those are two."""
    for mark, own in values.items():
        others = [value for other, value in values.items() if other.set_id != mark.set_id]
        if len(others) >= 2:
            yield mark, own, median(others), len(others)


def _present(marks: tuple[Mark, ...], sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> dict[str, bool]:
    """Return each set with any finding at the lesion's place, and whether it calls it a nodule.

    Asked more loosely than lesions are matched: an outline that matching set apart (a second mark of the same reader,
    a merged outline) still shows that its reader saw the place.
    """
    case, margin = builder.case, builder.parameters.match_margin_mm
    present: dict[str, bool] = {}
    for item in sets:
        for mark in marks:
            for finding in nearby(case=case, finding=mark.finding, item=item, margin_mm=margin):
                if share_a_place(first=finding, second=mark.finding, grid=case.volume.grid, margin_mm=margin):
                    present[item.set_id] = present.get(item.set_id, False) or is_nodule(finding=finding)
    return present


def _model_report(seen: _Seen) -> tuple[float | None, float]:
    """Return the probability that the model gives for the place, if it did, and how many readers that is worth."""
    # Of a search of the scan only a report counts: its silence about a mark is for the check on spurious labels.
    case = seen.builder.case
    if case.prediction is None:
        return None, seen.parameters.model_weight_in_readers
    candidate, place = _model_says(seen)
    reported = candidate if candidate is not None and candidate >= case.prediction.threshold else None
    worth = model_weight(prediction=case.prediction, parameters=seen.parameters)
    return (reported if place is None else place), worth


def _model_says(seen: _Seen) -> tuple[float | None, float | None]:
    """Return the best candidate's probability at the marks, and the highest given when asked about their places."""
    case, margin = seen.builder.case, seen.parameters.match_margin_mm
    candidates = [
        candidate.probability
        for mark in seen.marks
        for candidate in candidates_at(case=case, finding=mark.finding, margin_mm=margin)[:1]
    ]
    asked = [nodule_probability_at(case=case, finding=mark.finding, margin_mm=margin) for mark in seen.marks]
    places = [probability for probability in asked if probability is not None]
    return max(candidates, default=None), max(places, default=None)


def _others_outline(marks: tuple[Mark, ...], suspect: Mark) -> tuple[Proposal, ...]:
    others = tuple(mark for mark in marks if mark.set_id != suspect.set_id)
    outline = consensus_outline(marks=others)
    if outline is None:
        return ()
    mask, voters = outline
    origin = f"majority outline of {voters} other readers"
    return (Proposal(action=Action.REPLACE_OUTLINE, origin=origin, mask=mask),)


def _marking_reason(seen: _Seen, marked: int, finding_id: str | None) -> str:
    total = len(seen.sets)
    diameter = seen.diameter_mm
    thing = f"a {millimetres(value=diameter)} nodule" if diameter is not None else "a small nodule"
    who = who_marked(marked=marked, total=total).removesuffix(" it")
    opening = f"{who[0].upper()}{who[1:]} {thing} here ({seen.where})"
    if finding_id is not None:
        return (
            f"{opening}, this label among them. A mark that most readers did not make may be right, and may be "
            "something else than a nodule; the right label may be none."
        )
    if marked * 2 == total:
        return (
            f"{opening}, and as many did not; this label set has nothing there. Neither side can be called wrong from "
            "the votes alone; the right label may be the nodule that the others outlined, or none."
        )
    return (
        f"{opening}; this label set has nothing there. A nodule may have been overlooked, and the right label may be "
        "what the others marked."
    )
