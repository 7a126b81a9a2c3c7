"""A rating against the other readers', against what is habitual for its size, and against its reader's other sheets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from imaging.checks.context import Mark, is_nodule, lesions_of, marks_of
from imaging.checks.image_evidence import image_evidence
from imaging.checks.issues import IssueBuilder
from imaging.checks.near import Others
from imaging.checks.places import centre_of, finding_diameter_mm
from imaging.checks.probability import from_log_odds
from imaging.checks.rating_habits import COUNTS, INVERTED, expected_rating, share_apart, tail_share
from imaging.checks.words import counted
from imaging.types import LIDC_SCALES, AnnotationSet, Finding, LabelIssue

FEATURES = {
    "kind_rating_unlike": "1 where a rating is unlike others of the nodule, of its size or of its reader",
    "others_gap": "points between a rating and the other readers' median, the most surprising rating's",
    "alone_gap": "points by which a rating lies beyond every other reader's, the loneliest rating's; 0 among them",
    "others_surprise": "natural logarithm of how rarely readers lie so far apart, negative",
    "habit_surprise": "the same of how rarely nodules of this size are rated so",
    "own_gap": "points by which a rating differs from what its reader gives nodules of other sizes, sizes allowed for",
    "texture_gap": "points between the rated texture and what the density inside suggests",
    "other_sheets": "other readers who rated the nodule",
    "own_sheets": "other nodules that this reader rated",
}

_PRIOR = 0.015
_LEAST_SHEETS = 4
_SPREAD = 1.0
_FROM_GAP = 1.5
# Log-odds for each unit of surprise: what others of the same nodule say counts most.
_OTHERS, _HABIT, _OWN, _TEXTURE = 0.9, 0.3, 0.5, 0.6
# For each point beyond the first by which a rating lies outside all of the others'.
_ALONE = 0.8
_AIRY_HU, _SOLID_HU = -600.0, -100.0


@dataclass(frozen=True, slots=True)
class _Surprise:
    """One rating. Surprises: -log of a share.

    ``gap``: points from the others' median, None without two others; ``alone``: points beyond all of the others.
    """

    scale: str
    rating: int
    gap: float | None
    alone: float | None
    others: float
    habit: float
    own: float | None
    texture: float | None
    usual: float
    sheets: int

    @property
    def weights(self) -> tuple[float, ...]:
        """The log-odds that each witness adds."""
        own = max(0.0, (self.own or 0.0) - _FROM_GAP)
        texture = max(0.0, (self.texture or 0.0) - _FROM_GAP)
        # Others who agree with an unusual rating explain it.
        against = -1.0 if self.gap is not None and self.gap < 1 else 0.0
        alone = max(0.0, (self.alone or 0.0) - 1.0)
        return (_OTHERS * self.others, _HABIT * self.habit, _OWN * own, _TEXTURE * texture, _ALONE * alone, against)


def judge_unlike(*, sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue (*rating-unlike*) for each label one of whose seven ordered ratings is surprising.

    Witnesses, for each scale: the median of at least two other readers of the nodule, and whether any of them comes
    near the rating; what readers habitually give for
    its size (``rating_habits``); what the same reader gives other nodules, sizes allowed for; for texture, the density
    inside. Score: the log-odds of a prior and of each witness's surprise added, for the most surprising scale.
    """
    theirs = dict(_others(builder, sets))
    for item in sets:
        rated = [finding for finding in item.findings if is_nodule(finding=finding) and finding.characteristics]
        residuals = {finding: _residuals(finding) for finding in rated}
        habits = {scale: Others(own[scale] for own in residuals.values() if scale in own) for scale in COUNTS}
        for finding in rated:
            found = list(_surprises(finding, residuals[finding], habits, theirs.get(finding, ()), builder))
            if found:
                most = max(found, key=lambda one: sum(one.weights))
                alone = max((one.alone for one in found if one.alone is not None), default=None)
                issue = _issue(Mark(item.set_id, finding), most, alone, len(rated) - 1, builder)
                if issue is not None:
                    yield issue


def _others(
    builder: IssueBuilder, sets: tuple[AnnotationSet, ...]
) -> Iterator[tuple[Finding, tuple[Mapping[str, int], ...]]]:
    for lesion in lesions_of(case=builder.case):
        marks = [mark for mark in marks_of(case=builder.case, lesion=lesion) if is_nodule(finding=mark.finding)]
        for mark in marks:
            sheets = (
                other.finding.characteristics
                for other in marks
                if other.set_id != mark.set_id and other.finding.characteristics
            )
            yield mark.finding, tuple(sheets)


def _residuals(finding: Finding) -> dict[str, float]:
    diameter = finding_diameter_mm(finding=finding)
    if diameter is None:
        return {}
    return {
        scale: rating - expected_rating(scale=scale, diameter_mm=diameter)
        for scale, rating in finding.characteristics.items()
        if scale in COUNTS and _on_scale(scale, rating)
    }


def _surprises(
    finding: Finding,
    residuals: Mapping[str, float],
    habits: Mapping[str, Others],
    sheets: tuple[Mapping[str, int], ...],
    builder: IssueBuilder,
) -> Iterator[_Surprise]:
    diameter = finding_diameter_mm(finding=finding)
    for scale, residual in residuals.items():
        assert diameter is not None
        rating = finding.characteristics[scale]
        given = [sheet[scale] for sheet in sheets if scale in sheet and _on_scale(scale, sheet[scale])]
        gap = abs(rating - median(given)) if len(given) >= 2 else None
        if gap is not None and _read_backwards(scale, rating, median(given), gap):
            continue
        habit = habits[scale]
        own = abs(residual - habit.median_without(residual)) if len(habit) - 1 >= _LEAST_SHEETS else None
        yield _Surprise(
            scale=scale,
            rating=rating,
            gap=gap,
            alone=max(0.0, float(rating - max(given)), float(min(given) - rating)) if len(given) >= 2 else None,
            others=0.0 if gap is None else -math.log(share_apart(scale=scale, points=gap)),
            habit=-math.log(tail_share(scale=scale, rating=rating, diameter_mm=diameter)),
            own=own,
            texture=_texture_gap(finding, rating, builder) if scale == "texture" else None,
            usual=median(given) if given else rating - residual,
            sheets=len(given),
        )


def _texture_gap(finding: Finding, rating: int, builder: IssueBuilder) -> float | None:
    image = None if finding.mask is None else image_evidence(case=builder.case, finding=finding)
    if image is None:
        return None
    dense = min(max((image.core_hu - _AIRY_HU) / (_SOLID_HU - _AIRY_HU), 0.0), 1.0)
    return abs(rating - (1.0 + 4.0 * dense))


def _read_backwards(scale: str, rating: int, usual: float, gap: float) -> bool:
    """Say whether a rating fits the others' better turned round: for *inverted-scale*, over the whole reading."""
    return scale in INVERTED and abs(sum(LIDC_SCALES[scale]) - rating - usual) < gap


def _on_scale(scale: str, rating: int) -> bool:
    low, high = LIDC_SCALES[scale]
    return low <= rating <= high


def _issue(
    mark: Mark, most: _Surprise, alone: float | None, own_sheets: int, builder: IssueBuilder
) -> LabelIssue | None:
    score = from_log_odds(prior=_PRIOR, weights=most.weights)
    if score < builder.parameters.report_from:
        return None
    if most.gap is not None:
        said = f"the median of {counted(number=most.sheets, noun='other reader')} of the nodule is {most.usual:g}"
    else:
        said = f"readers give nodules of this size {most.usual:.1f} on average"
    return builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=score,
        reason=(
            f"This label rates {most.scale} {most.rating}; {said}. Readers differ, but seldom this far; the rating "
            f"meant may be nearer to {most.usual:.0f}. The place is {builder.where(centre_of(mark.finding))}."
        ),
        evidence={"kind": "rating-unlike", "characteristic": most.scale, "rating": most.rating, "usual": most.usual},
        features={
            "kind_rating_unlike": 1.0,
            "others_gap": most.gap,
            "alone_gap": alone,
            "others_surprise": most.others if most.gap is not None else None,
            "habit_surprise": most.habit,
            "own_gap": most.own,
            "texture_gap": most.texture,
            "other_sheets": float(most.sheets),
            "own_sheets": float(own_sheets),
        },
    )
