"""The consensus of readers with which a reference standard begins: which lesions, where, as what. No database."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from imaging.agreement.fusion import majority
from imaging.errors import NotApplicable
from imaging.masks.boxes import box_centre, box_diameter_mm
from imaging.masks.matching import match_lesions
from imaging.types import AnnotationSet, Box, Category, Finding, Lesion, Mask, PointMm, Sphere

RULE = (
    "a lesion (findings matched across readers) enters when more than half of the readers who read the series marked "
    "it as a nodule, or more than half as a non-nodule; its category is the one most of them chose, the larger size "
    "where they split; its outline holds the voxels that more than half of those who outlined it hold; where nobody "
    "outlined it and boxes were drawn, its box is the one drawn nearest to the others in place and size; other "
    "structures do not enter, and who marked nothing else is not counted as a reader"
)

_LARGEST_FIRST = (Category.NODULE_GE_3MM, Category.NODULE_LT_3MM, Category.NON_NODULE)


@dataclass(frozen=True, slots=True)
class ConsensusFinding:
    """One lesion on which a majority agrees. ``members`` are (set_id, finding_id)."""

    category: Category
    shape: Mask | Sphere | Box | PointMm
    members: tuple[tuple[str, str], ...]
    readers: int
    marked_by: int


def consensus_of(annotation_sets: Sequence[AnnotationSet]) -> tuple[ConsensusFinding, ...]:
    """Return what a majority of the readers who read the series marked, by ``RULE``, in order of lesion."""
    read = [one for one in annotation_sets if one.read and not one.structures_only]
    findings = {(one.set_id, finding.finding_id): finding for one in read for finding in one.findings}
    agreed: list[ConsensusFinding] = []
    for lesion in match_lesions(read):
        one = _agreed(lesion, [findings[member] for member in lesion.members], len(read))
        if one is not None:
            agreed.append(one)
    return tuple(agreed)


def _agreed(lesion: Lesion, findings: Sequence[Finding], readers: int) -> ConsensusFinding | None:
    nodules = [finding for finding in findings if finding.category.is_nodule]
    others = [finding for finding in findings if finding.category is Category.NON_NODULE]
    chosen = next((group for group in (nodules, others) if len(group) * 2 > readers), None)
    if chosen is None:
        return None
    votes = Counter(finding.category for finding in chosen)
    category = max(_LARGEST_FIRST, key=lambda one: (votes[one], -_LARGEST_FIRST.index(one)))
    return ConsensusFinding(
        category=category,
        shape=_outline(chosen, category, lesion.centre_mm),
        members=lesion.members,
        readers=readers,
        marked_by=len(chosen),
    )


def _outline(findings: Sequence[Finding], category: Category, centre_mm: PointMm) -> Mask | Sphere | Box | PointMm:
    masks = [finding.mask for finding in findings if finding.mask is not None and finding.mask.count]
    if masks and category is Category.NODULE_GE_3MM:
        try:
            common = majority(masks=masks)
        except NotApplicable:
            return centre_mm
        if common.count:
            return common
    spheres = [finding.sphere for finding in findings if finding.sphere is not None]
    if spheres and not masks:
        middle = sorted(spheres, key=lambda sphere: sphere.diameter_mm)[len(spheres) // 2]
        return Sphere(centre_mm=centre_mm, diameter_mm=middle.diameter_mm)
    boxes = [finding.box for finding in findings if finding.box is not None]
    if boxes and not masks:
        return _most_central(boxes)
    # Readers who agree that something is there and share no voxel of it leave a place, not an outline.
    return centre_mm


def _most_central(boxes: Sequence[Box]) -> Box:
    """Return the box whose centre and size differ least from the others', the first of equals.

    One that somebody drew, not a mean of faces: it stays what detection sets are trained and scored on, and it claims
    no roundness, as a ball made from it would, nor an outline that nobody drew.
    """
    return min(
        boxes,
        key=lambda box: sum(
            math.dist(box_centre(box), box_centre(other)) + abs(box_diameter_mm(box) - box_diameter_mm(other))
            for other in boxes
        ),
    )
