"""What several checks need to know about a case: who read it, who marked what, and how an issue is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from imaging.agreement.fusion import majority
from imaging.checks.base import CheckParameters
from imaging.checks.places import finding_diameter_mm, lies_inside, mask_fits
from imaging.checks.probability import SCORE_BASIS
from imaging.checks.words import CLOSING, blind_reason, place_in_words
from imaging.errors import NotApplicable
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    LabelIssue,
    Lesion,
    Mask,
    PointMm,
    Prediction,
    Proposal,
    SetKind,
    Sphere,
    Volume,
)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One finding of one set, as a member of a lesion."""

    set_id: str
    finding: Finding


def read_sets(*, case: Case) -> tuple[AnnotationSet, ...]:
    """Return the sets under audit: those of readers and algorithms that read the case, in order of their id.

    Findings that do not lie on the image (another grid, outside it, nowhere) are left out: no check but the geometry
    check can compare them, and that one looks at the case itself.

    Reference sets are derived from readers' sets and have no vote beside them; only where a case has nothing else are
    they audited themselves. Raises NotApplicable where nobody read the case.
    """
    read = sorted((item for item in case.annotation_sets if item.read), key=lambda item: item.set_id)
    if not read:
        raise NotApplicable("nobody-read", "no reader has read this case, so there is no label to check")
    sources = [item for item in read if item.kind is not SetKind.REFERENCE]
    return tuple(
        replace(item, findings=tuple(finding for finding in item.findings if _lies_on_image(finding, case.volume)))
        for item in sources or read
    )


def prediction_of(*, case: Case) -> Prediction:
    """Return the model's opinion. Raises NotApplicable where no model has looked at the case."""
    if case.prediction is None:
        raise NotApplicable("no-prediction", "no model has looked at this case")
    return case.prediction


def candidates_of(*, case: Case) -> tuple[Candidate, ...]:
    """Return the model's candidates; one whose outline does not fit the image keeps its place and loses the outline.

    Raises NotApplicable where no model has looked at the case.
    """
    return tuple(
        candidate
        if candidate.mask is None or mask_fits(mask=candidate.mask, volume=case.volume)
        else replace(candidate, mask=None)
        for candidate in prediction_of(case=case).candidates
    )


def marks_of(*, lesion: Lesion, sets: tuple[AnnotationSet, ...]) -> tuple[Mark, ...]:
    """Return the lesion's members that belong to ``sets``, in the lesion's order."""
    known = {(item.set_id, finding.finding_id): finding for item in sets for finding in item.findings}
    return tuple(Mark(set_id, known[(set_id, name)]) for set_id, name in lesion.members if (set_id, name) in known)


def is_nodule(*, finding: Finding) -> bool:
    """Say whether a finding claims a nodule of either size."""
    return finding.category.is_nodule


def consensus_outline(*, marks: tuple[Mark, ...]) -> tuple[Mask, int] | None:
    """Return the majority outline of the marks that have one, with how many took part; None without a common part.

    A set with several outlines of one lesion has one vote: its largest.
    """
    by_set: dict[str, Mask] = {}
    for mark in marks:
        mask = mark.finding.mask
        if mask is not None and (mark.set_id not in by_set or by_set[mark.set_id].count < mask.count):
            by_set[mark.set_id] = mask
    if not by_set:
        return None
    fused = majority(masks=tuple(by_set[set_id] for set_id in sorted(by_set)))
    return (fused, len(by_set)) if fused.count else None


def addition_from_others(*, marks: tuple[Mark, ...], place_mm: PointMm, parameters: CheckParameters) -> Proposal:
    """Return the proposal to add what other readers marked: their majority outline, else a sketch at their place."""
    large = [mark for mark in marks if mark.finding.category is Category.NODULE_GE_3MM]
    small = len(large) * 2 < len(marks)
    category = Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM
    outline = consensus_outline(marks=marks)
    if outline is not None:
        mask, voters = outline
        origin = "outline of the one other reader" if voters == 1 else f"majority outline of {voters} other readers"
        return Proposal(action=Action.ADD, origin=origin, mask=mask, category=category)
    sizes = [finding_diameter_mm(finding=mark.finding) for mark in marks]
    known = sorted(size for size in sizes if size is not None)
    # A point mark has no size; LIDC uses it for what is smaller than the border between the classes.
    diameter = known[len(known) // 2] if known else parameters.nodule_limit_mm
    sketch = Sphere(centre_mm=place_mm, diameter_mm=diameter)
    return Proposal(action=Action.ADD, origin="sketch at the other readers' marks", sphere=sketch, category=category)


def described(*, case: Case, place_mm: PointMm, parameters: CheckParameters) -> str:
    """Return a place in words for a reason; "outside the image" where it lies there."""
    words = place_in_words(
        volume=case.volume,
        place_mm=place_mm,
        body_threshold_hu=parameters.body_threshold_hu,
        midline_margin_mm=parameters.midline_margin_mm,
    )
    return words or "outside the image"


def build_issue(
    *,
    check: str,
    version: str,
    case: Case,
    parameters: CheckParameters,
    set_id: str,
    finding_id: str | None,
    place_mm: PointMm,
    diameter_mm: float | None,
    score: float,
    reason: str,
    implicated: tuple[str, ...],
    evidence: Mapping[str, object],
    proposals: tuple[Proposal, ...],
) -> LabelIssue:
    """Return the issue with its blind reason and the note on what its score rests on."""
    radius = max((diameter_mm or 0.0) / 2, parameters.match_margin_mm)
    return LabelIssue(
        check=check,
        check_version=version,
        annotation_set_id=set_id,
        finding_id=finding_id,
        place_mm=place_mm,
        radius_mm=radius,
        score=score,
        blind_reason=blind_reason(
            case=case,
            place_mm=place_mm,
            body_threshold_hu=parameters.body_threshold_hu,
            midline_margin_mm=parameters.midline_margin_mm,
        ),
        reason=reason,
        implicated_set_ids=implicated,
        evidence={**evidence, "score_basis": SCORE_BASIS},
        proposals=proposals,
    )


def merged(*, issues: Sequence[LabelIssue]) -> tuple[LabelIssue, ...]:
    """Return one check's issues with at most one for each finding, or for each place of a set where none is marked.

    The surest leads and gives score, place and radius: the label is wrong at least as probably as its surest reason
    says. The others' reasons, proposals and evidence (under ``further``) are kept with it.
    """
    groups: dict[tuple[object, ...], list[LabelIssue]] = {}
    for issue in issues:
        place = issue.place_mm if issue.finding_id is None else None
        groups.setdefault((issue.annotation_set_id, issue.finding_id, place), []).append(issue)
    return tuple(_joined(sorted(group, key=lambda issue: -issue.score)) for group in groups.values())


def _joined(group: list[LabelIssue]) -> LabelIssue:
    lead, *rest = group
    if not rest:
        return lead
    reasons = [issue.reason.removesuffix(CLOSING).strip() for issue in group]
    return replace(
        lead,
        reason=" ".join([*dict.fromkeys(reasons), CLOSING]),
        implicated_set_ids=tuple(dict.fromkeys(name for issue in group for name in issue.implicated_set_ids)),
        evidence={**lead.evidence, "further": [dict(issue.evidence) for issue in rest]},
        proposals=tuple(proposal for issue in group for proposal in issue.proposals),
    )


def _lies_on_image(finding: Finding, volume: Volume) -> bool:
    if finding.mask is not None:
        return mask_fits(mask=finding.mask, volume=volume)
    place = finding.sphere.centre_mm if finding.sphere is not None else finding.point_mm
    return place is not None and lies_inside(grid=volume.grid, place_mm=place)
