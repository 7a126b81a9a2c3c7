"""What several checks need to know about a case: who read it, who marked what, and what the model sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imaging.agreement.fusion import majority
from imaging.checks.base import CheckParameters
from imaging.checks.places import finding_diameter_mm, mask_fits, on_image
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    Lesion,
    Mask,
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
