"""Ratings that lie outside their scale, contradict the voxels, or were read off the scale backwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import mean, median

from imaging.checks.context import Mark, is_nodule, lesions_of, marks_of
from imaging.checks.image_evidence import image_evidence
from imaging.checks.issues import Features, IssueBuilder
from imaging.checks.places import centre_of
from imaging.checks.probability import beyond_tolerance, from_log_odds
from imaging.checks.rating_habits import INVERTED
from imaging.checks.words import counted
from imaging.types import LIDC_SCALES, AnnotationSet, LabelIssue

_HU_SPREAD = 75.0
"""Standard deviation of an upper quartile in HU between scanners and reconstruction kernels."""

_NO_SUCH_RATING = 0.999
"""Nobody means a number that the scale does not have."""

_LEAST_GAIN = 2.0
_PRIOR_INVERTED = 0.1
_A_LESION = 1.6
_AGAINST = -1.6


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rating that the voxels contradict beyond ``limit_hu``. ``denser``: on which side of it they may not lie."""

    name: str
    ratings: frozenset[int]
    limit_hu: float
    denser: bool
    said: str


def judge_ratings(*, sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield the issues about characteristics.

    *rating*: outside its scale, a broken rule. *rating-against-image*: calcification called absent in what is as dense
    as calcium, or dense calcification in what is not; texture called solid in what is as thin as aerated lung, or
    ground glass in what is solid; fat, fluid or air inside where the voxels are not. Score: the probability that the
    upper quartile inside the outline truly lies beyond the limit. *inverted-scale*: spiculation and lobulation fit the
    median of at least two other readers far better with this reader's scale turned round; every other lesion of the
    reader on which it is so speaks for it, every one on which it is not against.
    """
    for item in sets:
        for finding in item.findings:
            mark = Mark(item.set_id, finding)
            yield from _out_of_scale(mark, builder)
            yield from _against_image(mark, builder)
    yield from _inverted(sets, builder)


def _out_of_scale(mark: Mark, builder: IssueBuilder) -> Iterator[LabelIssue]:
    wrong = {
        name: value
        for name, value in sorted(mark.finding.characteristics.items())
        if name in LIDC_SCALES and not LIDC_SCALES[name][0] <= value <= LIDC_SCALES[name][1]
    }
    if not wrong:
        return
    listed = "; ".join(
        f"{name} is {value} on a scale of {LIDC_SCALES[name][0]} to {LIDC_SCALES[name][1]}"
        for name, value in wrong.items()
    )
    yield _issue(
        mark,
        builder,
        score=_NO_SUCH_RATING,
        reason=f"This label has a rating outside its scale: {listed}. A rating within the scale may have been meant.",
        evidence={"kind": "rating", "out_of_scale": wrong},
        features={"kind_rating": 1.0, "ratings_astray": len(wrong)},
    )


def _rules(builder: IssueBuilder) -> tuple[_Rule, ...]:
    calcified, aerated = builder.parameters.calcified_hu, builder.parameters.aerated_hu
    return (
        _Rule("calcification", frozenset({6}), calcified, True, "calcification is called absent"),
        # Popcorn, laminated, solid: they fill the nodule. Non-central and central may be smaller than a quarter.
        _Rule("calcification", frozenset({1, 2, 3}), 100.0, False, "calcification is said to fill it"),
        _Rule("texture", frozenset({5}), aerated, False, "texture is called solid"),
        _Rule("texture", frozenset({1}), 0.0, True, "texture is called ground glass"),
        _Rule("internalStructure", frozenset({3}), 50.0, True, "its inside is called fat"),
        _Rule("internalStructure", frozenset({4}), -200.0, True, "its inside is called air"),
        _Rule("internalStructure", frozenset({2}), 150.0, True, "its inside is called fluid"),
    )


def _against_image(mark: Mark, builder: IssueBuilder) -> Iterator[LabelIssue]:
    ratings = mark.finding.characteristics
    if mark.finding.mask is None or not is_nodule(finding=mark.finding) or not ratings:
        return
    image = image_evidence(case=builder.case, finding=mark.finding)
    if image is None:
        return
    found: list[tuple[_Rule, float]] = []
    for rule in _rules(builder):
        if ratings.get(rule.name) not in rule.ratings:
            continue
        beyond = image.core_hu - rule.limit_hu if rule.denser else rule.limit_hu - image.core_hu
        if beyond > 0:
            found.append((rule, beyond))
    if not found:
        return
    most = max(beyond for _, beyond in found)
    yield _issue(
        mark,
        builder,
        score=beyond_tolerance(deviation=most, tolerance=0.0, spread=_HU_SPREAD),
        reason=(
            f"In this label {' and '.join(rule.said for rule, _ in found)}; the denser quarter of its voxels begins at "
            f"{image.core_hu:.0f} HU. The rating may have been meant otherwise."
        ),
        evidence={
            "kind": "rating-against-image",
            "ratings": {rule.name: ratings[rule.name] for rule, _ in found},
            "core_hu": image.core_hu,
        },
        features={
            "kind_rating_against_image": 1.0,
            "ratings_astray": len(found),
            "rating_beyond_hu": most,
            "core_hu": image.core_hu,
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rated:
    """How one reader's two ratings of one lesion lie from the others' median, as read and turned round."""

    mark: Mark
    as_read: float
    inverted: float


def _inverted(sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    by_set: dict[str, list[_Rated]] = {}
    for lesion in lesions_of(case=builder.case):
        marks = [mark for mark in marks_of(case=builder.case, lesion=lesion) if is_nodule(finding=mark.finding)]
        for mark in marks:
            others = [other.finding.characteristics for other in marks if other.set_id != mark.set_id]
            rated = _compared(mark, others)
            if rated is not None:
                by_set.setdefault(mark.set_id, []).append(rated)
    for rated_lesions in by_set.values():
        turned = [one for one in rated_lesions if one.as_read - one.inverted >= _LEAST_GAIN]
        upright = [one for one in rated_lesions if one.inverted - one.as_read >= _LEAST_GAIN]
        score = from_log_odds(prior=_PRIOR_INVERTED, weights=(_A_LESION * len(turned), _AGAINST * len(upright)))
        if score < builder.parameters.report_from:
            continue
        for one in turned:
            yield _inverted_issue(one, len(turned), len(rated_lesions), score, builder)


def _compared(mark: Mark, others: list[Mapping[str, int]]) -> _Rated | None:
    as_read, inverted = [], []
    for name in INVERTED:
        low, high = LIDC_SCALES[name]
        own = mark.finding.characteristics.get(name)
        theirs = [ratings[name] for ratings in others if name in ratings]
        if own is None or not low <= own <= high or len(theirs) < 2:
            continue
        usual = median(theirs)
        as_read.append(math.fabs(own - usual))
        inverted.append(math.fabs(low + high - own - usual))
    return _Rated(mark, mean(as_read), mean(inverted)) if as_read else None


def _inverted_issue(one: _Rated, turned: int, rated: int, score: float, builder: IssueBuilder) -> LabelIssue:
    return _issue(
        one.mark,
        builder,
        score=score,
        reason=(
            "Spiculation and lobulation of this label fit the other readers' only if the scale was read backwards: "
            f"{one.as_read:.1f} steps apart as they stand, {one.inverted:.1f} turned round; so it is for "
            f"{turned} of {counted(number=rated, noun='lesion')} that others rated too. The scale may have been "
            "inverted."
        ),
        evidence={"kind": "inverted-scale", "characteristics": list(INVERTED), "lesions": turned, "rated": rated},
        features={
            "kind_inverted_scale": 1.0,
            "gap_as_read": one.as_read,
            "gap_inverted": one.inverted,
            "inverted_lesions": turned,
            "rated_lesions": rated,
        },
    )


def _issue(
    mark: Mark,
    builder: IssueBuilder,
    *,
    score: float,
    reason: str,
    evidence: dict[str, object],
    features: Features,
) -> LabelIssue:
    return builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=score,
        reason=f"{reason} The place is {builder.where(centre_of(mark.finding))}.",
        evidence=evidence,
        features=features,
    )
