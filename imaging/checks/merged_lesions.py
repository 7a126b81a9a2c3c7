"""Merged lesions: two lesions drawn as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imaging.agreement.overlap import containment
from imaging.checks.base import CheckParameters
from imaging.checks.bodies import Bodies, cut_between, density_dip_hu, lobe_middle, two_bodies
from imaging.checks.context import (
    Mark,
    candidates_near,
    is_nodule,
    nearby,
    nodule_probability_at,
    read_sets,
    structures_passed_over,
)
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder
from imaging.checks.once import once
from imaging.checks.outline_evidence import evidence_on
from imaging.checks.outline_references import MODEL, Reference, nodule_marks, references_of
from imaging.checks.places import centre_of, equivalent_diameter_mm, finding_reach_mm
from imaging.checks.probability import from_log_odds
from imaging.checks.words import counted, millimetres
from imaging.errors import NotApplicable
from imaging.masks.measure import centroid
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import mask_holds
from imaging.types import Action, AnnotationSet, Case, Finding, LabelIssue, Mask, Proposal, Rejection

FEATURES = COMMON_FEATURES | {
    "neck_ratio": "inner radius of the neck over that of the smaller body; absent where the outline is one body",
    "smaller_share": "share of the outline in the smaller of the two pieces",
    "bodies_distance_mm": "between the middles of the two pieces",
    "density_dip_hu": "how far the image falls between the two middles below the thinner of them",
    "readers_with_two": "other readers with two nodule marks in the outline",
    "readers_with_one": "other readers with one mark that covers most of it",
    "readers_with_part": "other readers with one mark that covers a part of it",
    "candidates_inside": "the model's candidates in the outline",
    "second_probability": "probability of the second best of them",
    "model_cover": "share of the outline that the model outlines when asked about it",
    "model_least_cover": "share of that of the two pieces of which it outlines less",
    "second_place_probability": "the lower of the model's two probabilities when asked where another reader marked two",
    "lobe_mm": "inner radius of the thickest part of the outline that lies outside the model's, or else the others'",
    "lobe_dense_share": "share of what lies outside it that is as dense as a nodule",
    "lobe_thickness": "the lobe's inner radius over that of the whole outline, 0 where it is lung",
}

_ONE_COVERS = 0.6
_PART_OF = 0.5
_NO_NECK = 1.0
_DIP_FROM_HU = 100.0
_DIP_FULL_HU = 400.0
# Log-odds of each witness, reasoned: two readers who see two lesions, or one and a deep neck, outweigh the prior.
_READER_TWO = 2.2
_READER_ONE = -1.5
_READER_PART = 0.8
_MODEL_TWO = 3.0
_MODEL_WHOLE = -1.5
_MODEL_PART = 0.8
_LOBE = 2.5
_LOBE_FROM_MM = 1.5
_LOBE_FULL_MM = 3.5
_NECK = 3.0
_ONE_BODY = -1.0
_DIP = 2.0


@dataclass(frozen=True, slots=True)
class MergedLesions:
    """One issue for each nodule outline that probably holds two lesions.

    Witnesses: other readers with two marks in the outline (against: with one mark that covers most of it), two of the
    model's candidates in it (against: the model outlines both pieces as one thing), a neck between two bodies in the
    outline's shape, lung between their middles in the image, and a lobe as thick and dense as a nodule that the surest
    of the other outlines leaves out. Score: the log-odds of ``prior_merged`` and of the witnesses added
    (``probability.from_log_odds``). Nothing is asked of an outline in which no reader and no candidate sees two things,
    and which has neither a neck nor a lobe. Masses are passed over.

    The proposal replaces the outline by one of its two pieces: the one that the model's outline covers more of, else
    the larger. Its origin says that the other piece is to be added as a finding of its own, which one correction of
    one label cannot do; nothing is lost, for the other piece stands in the evidence by its place and size.
    Features: ``FEATURES``.
    """

    name: str = "merged_lesions"
    version: str = "3"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where no nodule has an outline."""
        sets = read_sets(case=case)
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        outlined = [
            (item, finding, finding.mask)
            for item in sets
            for finding in item.findings
            if is_nodule(finding=finding) and finding.mask is not None
        ]
        if not outlined:
            raise NotApplicable("no-outline", "no nodule label on this case has an outline on its image")
        issues = (
            _issue(_look(item, finding, mask, sets, builder), builder)
            for item, finding, mask in outlined
            if equivalent_diameter_mm(mask=mask) <= parameters.mass_limit_mm
        )
        return tuple(issue for issue in issues if issue is not None)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the masses, and what is no nodule."""
        found = []
        for item in read_sets(case=case):
            for finding in item.findings:
                mask = finding.mask if is_nodule(finding=finding) else None
                if mask is not None and equivalent_diameter_mm(mask=mask) > parameters.mass_limit_mm:
                    message = f"larger than {parameters.mass_limit_mm:g} mm is a mass; it was not looked at for parts"
                    found.append(Rejection("mass", message, (finding.finding_id,)))
        return (*found, *structures_passed_over(case=case))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What bears on one outline. ``pairs``: places of two things that a reader or the model sees in it."""

    item: AnnotationSet
    finding: Finding
    mask: Mask
    neck: Bodies | None
    bodies: Bodies | None
    dip_hu: float
    two: tuple[str, ...]
    one: int
    part: int
    inside: tuple[float, ...]
    cover: float | None
    model_outline: Mask | None
    lobe_mm: float
    lobe_dense_share: float | None
    places: float | None

    @property
    def dense_lobe_mm(self) -> float:
        """The inner radius of what the surest reference leaves out, held back by how much of it is lung."""
        return self.lobe_mm * (self.lobe_dense_share or 0.0)


def _look(
    item: AnnotationSet, finding: Finding, mask: Mask, sets: tuple[AnnotationSet, ...], builder: IssueBuilder
) -> _Seen:
    case, parameters = builder.case, builder.parameters
    two, one, part = [], 0, 0
    centre, reach = centre_of(finding), finding_reach_mm(finding=finding)
    pairs = []
    asked: list[float] = []
    for other in sets:
        if other.set_id == item.set_id:
            continue
        here = _marks_inside(case, finding, mask, other, parameters)
        if len(here) >= 2:
            two.append(other.set_id)
            pairs.append((centre_of(here[0]), centre_of(here[1])))
            margin = parameters.match_margin_mm
            told = [nodule_probability_at(case=case, finding=mark, margin_mm=margin) for mark in here[:2]]
            asked += [min(told[0], told[1])] if told[0] is not None and told[1] is not None else []
        elif here and here[0].mask is not None:
            covers = shared_voxels(here[0].mask, mask) >= _ONE_COVERS * mask.count
            one, part = one + covers, part + (not covers)
    inside = sorted(
        (
            candidate
            for candidate in candidates_near(case=case, place_mm=centre, reach_mm=reach)
            if candidate.probability >= parameters.candidate_floor and mask_holds(mask, candidate.centre_mm)
        ),
        key=lambda candidate: (-candidate.probability, candidate.centre_mm),
    )
    if len(inside) >= 2:
        pairs.append((inside[0].centre_mm, inside[1].centre_mm))
    neck = once(case=case, key=("two_bodies", finding), compute=lambda: two_bodies(mask=mask))
    if neck is not None and neck.neck_ratio >= parameters.neck_share:
        neck = None
    references = _references(case, finding, parameters)
    outline = next((reference.mask for reference in references if reference.source == MODEL), None)
    evidence = evidence_on(case=case, finding=finding, mask=mask, references=references, parameters=parameters)
    depth = evidence.features["lobe_mm"] or 0.0
    lobe = depth * (evidence.features["lobe_dense_share"] or 0.0)
    if neck is None and not pairs and lobe >= _LOBE_FROM_MM and references:
        # What the surest reference leaves out of the outline is as thick and dense as a lesion of its own.
        surest = max(references, key=lambda reference: reference.weight)
        apart = lobe_middle(mask=mask, other=surest.mask)
        if apart is not None:
            pairs.append((centroid(surest.mask), apart))
    cuts = (cut_between(mask=mask, first_mm=first, second_mm=second) for first, second in pairs)
    bodies = neck if neck is not None else next((cut for cut in cuts if cut is not None), None)
    return _Seen(
        item=item,
        finding=finding,
        mask=mask,
        neck=neck,
        bodies=bodies,
        dip_hu=0.0 if bodies is None else density_dip_hu(volume=case.volume, bodies=bodies),
        two=tuple(two),
        one=one,
        part=part,
        inside=tuple(candidate.probability for candidate in inside),
        cover=None if outline is None else shared_voxels(outline, mask) / mask.count,
        model_outline=outline,
        lobe_mm=depth,
        lobe_dense_share=evidence.features["lobe_dense_share"],
        places=max(asked, default=None),
    )


def _marks_inside(
    case: Case, finding: Finding, mask: Mask, other: AnnotationSet, parameters: CheckParameters
) -> list[Finding]:
    """Return another set's nodule marks of which the outline holds the middle or at least half, largest first."""
    found = [
        mark
        for mark in nearby(case=case, finding=finding, item=other, margin_mm=parameters.match_margin_mm)
        if is_nodule(finding=mark)
        and (
            mask_holds(mask, centre_of(mark))
            or (
                mark.mask is not None
                and mark.mask.count <= mask.count
                and containment(first=mark.mask, second=mask) >= _PART_OF
            )
        )
    ]
    return sorted(found, key=lambda mark: (-(mark.mask.count if mark.mask is not None else 0), mark.finding_id))


def _references(case: Case, finding: Finding, parameters: CheckParameters) -> tuple[Reference, ...]:
    found = once(case=case, key="others_of", compute=lambda: dict(_marks_by_finding(case)))
    mark, others = found[finding]
    return references_of(case=case, mark=mark, others=others, parameters=parameters)


def _marks_by_finding(case: Case) -> Iterator[tuple[Finding, tuple[Mark, tuple[Mark, ...]]]]:
    for mark, others in nodule_marks(case=case):
        yield mark.finding, (mark, others)


def _issue(seen: _Seen, builder: IssueBuilder) -> LabelIssue | None:
    bodies, parameters = seen.bodies, builder.parameters
    if bodies is None:
        return None
    second = seen.inside[1] if len(seen.inside) >= 2 else 0.0
    neck = (parameters.neck_share - (seen.neck.neck_ratio if seen.neck else _NO_NECK)) / parameters.neck_share
    weights = [
        _READER_TWO * len(seen.two) + _READER_ONE * seen.one + _READER_PART * seen.part,
        _MODEL_TWO * second,
        # Two lesions side by side need no neck where others see the two.
        _NECK * neck if seen.neck is not None else (0.0 if seen.two else _ONE_BODY),
        _DIP * min(max((seen.dip_hu - _DIP_FROM_HU) / (_DIP_FULL_HU - _DIP_FROM_HU), 0.0), 1.0),
    ]
    weights.append(_LOBE * min(max((seen.dense_lobe_mm - _LOBE_FROM_MM) / (_LOBE_FULL_MM - _LOBE_FROM_MM), 0.0), 1.0))
    least_cover = _least_cover(seen, bodies)
    if least_cover is not None:
        # Who outlines one of the two pieces alone has not said that both are one thing.
        whole = least_cover >= _ONE_COVERS
        weights.append((_MODEL_WHOLE if len(seen.inside) < 2 else 0.0) if whole else _MODEL_PART)
    score = from_log_odds(prior=parameters.prior_merged, weights=tuple(weights))
    if score < parameters.report_from:
        return None
    piece, other = _nearest_piece(seen, bodies)
    centre = centre_of(seen.finding)
    other_size = equivalent_diameter_mm(mask=other)
    return builder.issue(
        set_id=seen.item.set_id,
        finding_id=seen.finding.finding_id,
        place_mm=centre,
        diameter_mm=equivalent_diameter_mm(mask=seen.mask),
        score=score,
        reason=_reason(seen, bodies, builder.where(centre)),
        implicated=(seen.item.set_id, *seen.two),
        evidence={
            "pieces_mm": [list(place) for place in bodies.centres_mm],
            "piece_diameters_mm": [equivalent_diameter_mm(mask=part) for part in bodies.pieces],
            "marked_as_two_by": list(seen.two),
        },
        features={
            "neck_ratio": None if seen.neck is None else seen.neck.neck_ratio,
            "smaller_share": bodies.share,
            "bodies_distance_mm": bodies.distance_mm,
            "density_dip_hu": seen.dip_hu,
            "readers_with_two": len(seen.two),
            "readers_with_one": seen.one,
            "readers_with_part": seen.part,
            "candidates_inside": len(seen.inside),
            "second_probability": second if len(seen.inside) >= 2 else None,
            "model_cover": seen.cover,
            "model_least_cover": least_cover,
            "second_place_probability": seen.places,
            "lobe_mm": seen.lobe_mm,
            "lobe_dense_share": seen.lobe_dense_share,
            "lobe_thickness": 2 * seen.dense_lobe_mm / equivalent_diameter_mm(mask=seen.mask),
        },
        proposals=(
            Proposal(
                action=Action.REPLACE_OUTLINE,
                origin=(
                    f"one of its own two pieces; the other, of about {millimetres(value=other_size)}, is to be added "
                    "as a finding of its own"
                ),
                mask=piece,
            ),
        ),
    )


def _least_cover(seen: _Seen, bodies: Bodies) -> float | None:
    outline = seen.model_outline
    return None if outline is None else min(shared_voxels(outline, piece) / piece.count for piece in bodies.pieces)


def _nearest_piece(seen: _Seen, bodies: Bodies) -> tuple[Mask, Mask]:
    """Return the piece that the model's outline covers more of, else the larger, and the other one."""
    large, small = bodies.pieces
    outline = seen.model_outline
    if outline is None:
        return large, small
    covered = [shared_voxels(outline, piece) / piece.count for piece in (large, small)]
    return (small, large) if covered[1] > covered[0] else (large, small)


def _reason(seen: _Seen, bodies: Bodies, where: str) -> str:
    said = []
    if seen.two:
        readers = counted(number=len(seen.two), noun="other reader")
        said.append(f"{readers} marked two nodules within it")
    if len(seen.inside) >= 2:
        said.append(f"the model sees {counted(number=len(seen.inside), noun='nodule')} within it")
    if seen.neck is not None:
        said.append("it narrows between two bodies")
    if seen.dip_hu >= _DIP_FROM_HU:
        said.append("the image is thinner between them")
    if seen.dense_lobe_mm >= _LOBE_FROM_MM:
        said.append("a part as thick and dense as a nodule lies outside the surest of the other outlines")
    first, second = (millimetres(value=equivalent_diameter_mm(mask=piece)) for piece in bodies.pieces)
    opening = f"This outline ({where}) may hold two lesions, of about {first} and {second}"
    return f"{opening}: {', and '.join(said)}. Two outlines may be right." if said else f"{opening}."
