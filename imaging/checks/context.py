"""What several checks need to know about a case: who read it, who marked what, and what the model sees.

What takes more than a look is computed once a case (``imaging.checks.once``), however many checks ask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from imaging.agreement.fusion import majority
from imaging.checks.base import CheckParameters
from imaging.checks.near import Places
from imaging.checks.once import once
from imaging.checks.places import (
    candidate_is_finding,
    centre_of,
    finding_diameter_mm,
    finding_reach_mm,
    mask_fits,
    on_image,
    radius_of,
)
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.matching import match_lesions
from imaging.masks.place import mask_holds
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    Lesion,
    Mask,
    OutlineOpinion,
    PointMm,
    Prediction,
    Proposal,
    Rejection,
    SetKind,
    Sphere,
)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One finding of one set, as a member of a lesion."""

    set_id: str
    finding: Finding


def read_sets(*, case: Case) -> tuple[AnnotationSet, ...]:
    """Return the sets under audit: those of readers and algorithms that read the case, in order of their id.

    Findings that do not lie on the image (another grid, outside it, nowhere) are left out: no check but the geometry
    check can compare them, and that one looks at the case itself. So are other structures, which are no nodules; and
    a set that holds nothing else is left out as a whole: who outlined organs was not looking for nodules, and finding
    none there says nothing (``structures_passed_over`` tells of both).

    Reference sets are derived from readers' sets and have no vote beside them; only where a case has nothing else are
    they audited themselves. Raises NotApplicable where nobody read the case, or nobody for nodules.
    """
    return once(case=case, key="read_sets", compute=lambda: _read_sets(case))


def _read_sets(case: Case) -> tuple[AnnotationSet, ...]:
    read = sorted((item for item in case.annotation_sets if item.read), key=lambda item: item.set_id)
    if not read:
        raise NotApplicable("nobody-read", "no reader has read this case, so there is no label to check")
    asked = [item for item in read if not item.structures_only]
    if not asked:
        raise NotApplicable("structures-only", "every label on this case is of another structure than a nodule")
    sources = [item for item in asked if item.kind is not SetKind.REFERENCE]
    return tuple(
        replace(
            item,
            findings=tuple(
                finding
                for finding in item.findings
                if finding.category is not Category.STRUCTURE and on_image(finding=finding, volume=case.volume)
            ),
        )
        for item in sources or asked
    )


def structures_passed_over(*, case: Case) -> tuple[Rejection, ...]:
    """Return what a nodule check leaves out: other structures, and sets that hold nothing else."""
    read = [item for item in case.annotation_sets if item.read]
    structures = [finding for item in read for finding in item.findings if finding.category is Category.STRUCTURE]
    if not structures:
        return ()
    message = (
        "one label of another structure was not judged as a nodule"
        if len(structures) == 1
        else f"{counted(number=len(structures), noun='label')} of other structures were not judged as nodules"
    )
    found = [Rejection("other-structure", message, tuple(finding.finding_id for finding in structures))]
    silent = [item.set_id for item in read if item.structures_only]
    if silent:
        sets = counted(number=len(silent), noun="label set")
        found.append(
            Rejection(
                "structures-only",
                f"{sets} with nothing but other structures {'was' if len(silent) == 1 else 'were'} not taken as having "
                "looked for nodules",
                tuple(silent),
            )
        )
    return tuple(found)


def prediction_of(*, case: Case) -> Prediction:
    """Return the model's opinion. Raises NotApplicable where no model has looked at the case."""
    if case.prediction is None:
        raise NotApplicable("no-prediction", "no model has looked at this case")
    return case.prediction


def model_weight(*, prediction: Prediction, parameters: CheckParameters) -> float:
    """Return how many readers' opinion a model's report is worth: one where nobody states what it was validated for."""
    return 1.0 if prediction.validated_diameters_mm is None else parameters.model_weight_in_readers


def speaker(*, prediction: Prediction) -> str:
    """Return how a reason calls whoever made the prediction."""
    return "the imported algorithm" if prediction.validated_diameters_mm is None else "the model"


def candidates_of(*, case: Case) -> tuple[Candidate, ...]:
    """Return the model's candidates; one whose outline does not fit the image keeps its place and loses the outline.

    Raises NotApplicable where no model has looked at the case.
    """
    candidates = prediction_of(case=case).candidates
    return once(
        case=case,
        key="candidates_of",
        compute=lambda: tuple(
            candidate
            if candidate.mask is None or mask_fits(mask=candidate.mask, volume=case.volume)
            else replace(candidate, mask=None)
            for candidate in candidates
        ),
    )


def candidates_at(*, case: Case, finding: Finding, margin_mm: float) -> tuple[Candidate, ...]:
    """Return the model's candidates that are one thing with a finding, most probable first; none without a model."""
    if case.prediction is None:
        return ()
    return _owned(case, margin_mm).get(finding, ())


def candidates_near(*, case: Case, place_mm: PointMm, reach_mm: float) -> tuple[Candidate, ...]:
    """Return the model's candidates whose centres are no farther than ``reach_mm`` from a place; none without a model.

    The order is that of ``candidates_of``.
    """
    if case.prediction is None:
        return ()
    candidates = candidates_of(case=case)
    places = once(
        case=case, key="candidate_places", compute=lambda: Places(candidate.centre_mm for candidate in candidates)
    )
    return tuple(candidates[number] for number in places.within(place_mm=place_mm, mm=reach_mm))


def findings_at(*, case: Case, candidate: Candidate, margin_mm: float) -> frozenset[Finding]:
    """Return the read findings that are one thing with a candidate of ``candidates_of``."""
    owners = once(case=case, key=("findings_at", margin_mm), compute=lambda: _owners(_owned(case, margin_mm)))
    return owners.get(candidate, frozenset())


def _owners(owned: Mapping[Finding, tuple[Candidate, ...]]) -> dict[Candidate, frozenset[Finding]]:
    found: dict[Candidate, set[Finding]] = {}
    for finding, candidates in owned.items():
        for candidate in candidates:
            found.setdefault(candidate, set()).add(finding)
    return {candidate: frozenset(findings) for candidate, findings in found.items()}


def _owned(case: Case, margin_mm: float) -> dict[Finding, tuple[Candidate, ...]]:
    def compute() -> dict[Finding, tuple[Candidate, ...]]:
        candidates = sorted(candidates_of(case=case), key=lambda item: (-item.probability, item.centre_mm))
        if not candidates:
            return {}
        places = Places(
            (item.centre_mm for item in candidates), [candidate_reach_mm(candidate=item) for item in candidates]
        )
        found = {}
        for item in read_sets(case=case):
            for finding in item.findings:
                # Far candidates are told by one distance; few are left to be compared voxel by voxel.
                near = places.within(place_mm=centre_of(finding), mm=finding_reach_mm(finding=finding) + margin_mm)
                here = tuple(
                    candidates[number]
                    for number in near
                    if candidate_is_finding(
                        candidate=candidates[number], finding=finding, grid=case.volume.grid, margin_mm=margin_mm
                    )
                )
                if here:
                    found[finding] = here
        return found

    return once(case=case, key=("candidates_at", margin_mm), compute=compute)


def candidate_reach_mm(*, candidate: Candidate) -> float:
    """Return a distance from a candidate's centre beyond which none of it lies, in mm; not the smallest such."""
    radius = (candidate.diameter_mm or 0.0) / 2
    if candidate.mask is None:
        return radius
    spacing = candidate.mask.grid.spacing_mm
    # The centre may lie anywhere in the box of its outline, or a little beside.
    return radius + math.hypot(*(size * step for size, step in zip(candidate.mask.voxels.shape, spacing, strict=True)))


def opinion_at(*, case: Case, finding: Finding, margin_mm: float) -> OutlineOpinion | None:
    """Return what the model answered when asked about a finding's place: the nearest answer, None without one.

    An answer counts whose place lies in the finding's outline, or nearer to its centre than half its diameter or
    ``margin_mm``. An outline that does not fit the image is left out of the answer, the rest of it kept.
    """
    if case.prediction is None or not case.prediction.outlines:
        return None
    return once(
        case=case, key=("opinion_at", finding, margin_mm), compute=lambda: _opinion_at(case, finding, margin_mm)
    )


def opinion_places(*, case: Case) -> Places:
    """Return the places that the model was asked about, in the order of its answers; none without a model."""
    outlines = () if case.prediction is None else case.prediction.outlines
    return once(case=case, key="opinion_places", compute=lambda: Places(opinion.place_mm for opinion in outlines))


def _opinion_at(case: Case, finding: Finding, margin_mm: float) -> OutlineOpinion | None:
    # Beyond the reach an answer may still lie in the outline, as in a crescent; the nearest is enough to look at.
    nearest, apart = opinion_places(case=case).nearest(place_mm=centre_of(finding))
    reach = max(margin_mm, radius_of(finding))
    opinion = prediction_of(case=case).outlines[nearest]
    if apart >= reach and not (finding.mask is not None and mask_holds(finding.mask, opinion.place_mm)):
        return None
    if opinion.mask is None or mask_fits(mask=opinion.mask, volume=case.volume):
        return opinion
    return replace(opinion, mask=None)


def nodule_probability_at(*, case: Case, finding: Finding, margin_mm: float) -> float | None:
    """Return the probability that the model gives for a nodule at the very place of a finding; None if not asked."""
    opinion = opinion_at(case=case, finding=finding, margin_mm=margin_mm)
    return None if opinion is None else opinion.nodule_probability


def lesions_of(*, case: Case) -> tuple[Lesion, ...]:
    """Return the lesions of the sets under audit (``imaging.masks.matching``). Raises as ``read_sets`` does."""
    sets = read_sets(case=case)
    return once(case=case, key="lesions_of", compute=lambda: match_lesions(sets))


def nearby(*, case: Case, finding: Finding, item: AnnotationSet, margin_mm: float) -> tuple[Finding, ...]:
    """Return the findings of a read set that may lie nearer to a finding than ``margin_mm``: a sieve by distance.

    The order is the set's. The finding itself is among them where it is the set's own.
    """
    reach = finding_reach_mm(finding=finding) + margin_mm
    return nearby_place(case=case, place_mm=centre_of(finding), reach_mm=reach, item=item)


def nearby_place(*, case: Case, place_mm: PointMm, reach_mm: float, item: AnnotationSet) -> tuple[Finding, ...]:
    """Return the findings of a read set of which something may lie within ``reach_mm`` of a place, in its order."""
    places = once(
        case=case,
        key=("places", item),
        compute=lambda: Places(
            (centre_of(other) for other in item.findings), [finding_reach_mm(finding=other) for other in item.findings]
        ),
    )
    return tuple(item.findings[number] for number in places.within(place_mm=place_mm, mm=reach_mm))


def marks_of(*, case: Case, lesion: Lesion) -> tuple[Mark, ...]:
    """Return the members of a lesion of ``lesions_of``, in the lesion's order. Raises as ``read_sets`` does."""
    sets = read_sets(case=case)
    known = once(
        case=case,
        key="findings_by_name",
        compute=lambda: {(item.set_id, finding.finding_id): finding for item in sets for finding in item.findings},
    )
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
