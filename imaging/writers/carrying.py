"""What of a set a format can carry, and a named loss for everything that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from imaging.types import AnnotationSet, Category, Finding
from imaging.writers.contract import Carried, CategoryFidelity, Loss, LossKind, Shape
from imaging.writers.identity import tracking_uid_of

_SHAPE_WORDS: dict[Shape, str] = {"mask": "outlines", "sphere": "spheres", "box": "boxes", "point": "points"}


@dataclass(frozen=True, slots=True, eq=False)
class CarriedSet:
    """The findings of one set that a format can carry, each with a tracking UID, and what is lost on the way."""

    source: AnnotationSet
    findings: tuple[Finding, ...]
    losses: tuple[Loss, ...]


def shape_of(finding: Finding) -> Shape | None:
    """Return what says where a finding is; None for one without a place, or with an outline that holds no voxel."""
    if finding.mask is not None:
        return "mask" if finding.mask.count else None
    if finding.sphere is not None:
        return "sphere"
    if finding.box is not None:
        return "box"
    return "point" if finding.point_mm is not None else None


def carried_sets(
    annotation_sets: tuple[AnnotationSet, ...], carries: Carried, *, series_instance_uid: str
) -> tuple[tuple[CarriedSet, ...], tuple[Loss, ...]]:
    """Return the sets that a format can carry, in their order, and every loss, those within the sets included.

    A set that was not read is never written: a file without findings would say that there are none.
    """
    kept: list[CarriedSet] = []
    losses: list[Loss] = []
    for one in annotation_sets:
        if not one.read:
            losses.append(Loss(LossKind.UNREAD_SET, "The series was not read in this set.", one.set_id))
            continue
        carried = _carried(one, carries, series_instance_uid)
        losses.extend(carried.losses)
        if carried.findings or carries.empty_sets:
            kept.append(carried)
        elif not one.findings:
            message = "The set was read and nothing was found, which this format cannot say."
            losses.append(Loss(LossKind.EMPTY_SET, message, one.set_id))
    return tuple(kept), tuple(losses)


def _carried(one: AnnotationSet, carries: Carried, series_instance_uid: str) -> CarriedSet:
    findings: list[Finding] = []
    losses: list[Loss] = []
    for finding in one.findings:
        shape = shape_of(finding)
        if shape is None or shape not in carries.shapes:
            words = "findings without a place" if shape is None else _SHAPE_WORDS[shape]
            message = f"The format does not carry {words}; the finding is left out."
            losses.append(Loss(LossKind.FINDING, message, one.set_id, finding.finding_id))
            continue
        tracking = tracking_uid_of(finding, set_id=one.set_id, series_instance_uid=series_instance_uid)
        findings.append(replace(finding, tracking_uid=tracking))
        losses.extend(_finding_losses(finding, carries, one.set_id))
    if not carries.author:
        message = "The format does not say who made the labels."
        losses.append(Loss(LossKind.AUTHOR, message, one.set_id))
    if one.case_probabilities and not carries.case_probabilities:
        message = "The format does not carry probabilities for the scan as a whole."
        losses.append(Loss(LossKind.CASE_PROBABILITIES, message, one.set_id))
    return CarriedSet(one, tuple(findings), tuple(losses))


def _finding_losses(finding: Finding, carries: Carried, set_id: str) -> Iterator[Loss]:
    def loss(kind: LossKind, message: str) -> Loss:
        return Loss(kind, message, set_id, finding.finding_id)

    if not carries.tracking:
        yield loss(LossKind.TRACKING, "The format does not carry the tracking UID.")
    if carries.category is CategoryFidelity.NONE and finding.category is not Category.NODULE_GE_3MM:
        yield loss(LossKind.CATEGORY, f'The format does not tell that this is "{finding.category.value}".')
    if carries.category is CategoryFidelity.KIND and finding.category.is_nodule:
        message = "The format names a nodule; on which side of 3 mm it was put must be measured again."
        yield loss(LossKind.SIZE_CLASS, message)
    if finding.source_label and not carries.names:
        yield loss(LossKind.NAME, "The format does not carry the finding's name.")
    if finding.characteristics and not carries.characteristics:
        names = ", ".join(sorted(finding.characteristics))
        yield loss(LossKind.CHARACTERISTICS, f"The format does not carry ratings ({names}).")
    if finding.attributes and not carries.attributes:
        names = ", ".join(sorted(finding.attributes))
        yield loss(LossKind.ATTRIBUTES, f"The format does not carry what is said in words ({names}).")
    if finding.measurements and not carries.measurements:
        names = ", ".join(sorted({one.name for one in finding.measurements}))
        yield loss(LossKind.MEASUREMENTS, f"The format does not carry the source's measurements ({names}).")
    if finding.confidence is not None and not carries.confidence:
        yield loss(LossKind.CONFIDENCE, "The format does not carry a prediction's confidence.")
