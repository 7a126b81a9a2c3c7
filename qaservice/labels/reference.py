"""The reference standard of a series: opened as the readers' consensus, changed by what reviews settle.

A reader's own set never changes, and no outline is attributed to someone who did not draw it: the reference standard
is a set of its own whose every revision says where its shape comes from (REQ-11, REQ-32).
"""

from __future__ import annotations

from compliance.recording import SYSTEM, change
from imaging.masks.matching import match_lesions
from imaging.types import Action, Category, Mask, PointMm, Sphere
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import Finding as ImagingFinding
from imaging.types import SetKind as ImagingKind
from qaservice.common.errors import InvalidInput
from qaservice.labels.consensus import RULE, ConsensusFinding, consensus_of
from qaservice.labels.models import AnnotationSet, Finding, FindingRevision, SetKind
from qaservice.labels.recording import NewFinding, add_findings, revision_row, said_in
from qaservice.labels.selectors import annotation_sets_of, current_revision, reference_set
from qaservice.labels.shapes import (
    Shape,
    StoredShape,
    finding_of_revision,
    shape_of_finding,
    store_shape,
    stored_shape_of,
)
from qaservice.storage.services import store_blobs
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of, sop_instance_uids_of

REFERENCE_LABEL = "reference standard"
REFERENCE_FORMAT = "consensus"

_PLACE = "place"


def open_reference(series: Series) -> AnnotationSet:
    """Return the reference standard of a series, made from the readers' consensus where there is none yet."""
    known = reference_set(series)
    if known is not None:
        return known
    grid = grid_of(series)
    agreed = consensus_of(annotation_sets_of(series=series))
    findings = [
        NewFinding(category=one.category.value, shape=store_shape(one.shape, grid), origin=_origin(one))
        for one in agreed
    ]
    row = AnnotationSet(
        project=series.project,
        series=series,
        kind=SetKind.REFERENCE,
        reader_label=REFERENCE_LABEL,
        read=True,
        source_format=REFERENCE_FORMAT,
    )
    with change(
        "reference.opened",
        actor=SYSTEM,
        reason=f"a reference standard begins as the readers' consensus: {RULE}",
        subject=("series", str(series.pk)),
        project_key=series.project.key,
        payload={
            "findings": len(findings),
            "lesions": [[list(member) for member in one.members] for one in agreed],
        },
    ):
        row.save()
        add_findings(annotation_set=row, findings=findings)
    return row


def correct_reference(
    *,
    series: Series,
    action: Action,
    before_finding: Finding | None,
    place_mm: PointMm,
    shape: Mask | Sphere | None,
    category: str | None,
    origin: str,
) -> tuple[FindingRevision | None, FindingRevision | None]:
    """Carry a settled correction into the reference standard and return the revision before and the one after.

    Called inside the review's running change. ``before_finding`` is the reader's finding that was judged, None where
    a label was missing; ``place_mm`` (LPS) is where. The reference standard's own finding there is looked up by the
    rule that matches lesions across readers. After is None where the reference standard says so already. Where it
    holds nothing to outline or categorise anew, the finding is added: the readers just agreed that it is there.
    It is a standard of nodules: of a judged organ or planning volume nothing enters it, and nothing is changed.
    Raises InvalidInput where the action lacks its shape or its category.
    """
    reference = open_reference(series)
    judged = _latest(before_finding)
    if judged is not None and judged.category == Category.STRUCTURE.value:
        return None, None
    before = _at(reference, before_finding, place_mm)
    if action is Action.REMOVE:
        if before is None:
            return None, None
        return before, _revise(before, present=False, category=before.category, shape=None, origin=origin)
    wanted = _wanted_category(action, before or _latest(before_finding), category)
    new_shape = _wanted_shape(action, before_finding, shape, series)
    if before is None:
        if new_shape is None:
            raise InvalidInput("there is no shape to add to the reference standard", code="correction-without-shape")
        added = NewFinding(category=wanted, shape=store_shape(new_shape, grid_of(series)), origin=origin)
        return None, add_findings(annotation_set=reference, findings=[added])[0]
    if action is Action.ADD and before.category == wanted:
        return before, None
    if action is Action.RECATEGORISE:
        new_shape = None
    stored = None if new_shape is None else store_shape(new_shape, grid_of(series))
    if before.category == wanted and (stored is None or _same(before, stored)):
        return before, None
    return before, _revise(before, present=True, category=wanted, shape=stored, origin=origin)


def _at(reference: AnnotationSet, before_finding: Finding | None, place_mm: PointMm) -> FindingRevision | None:
    """Return the present reference finding that is one lesion with the judged one, or lies at the place."""
    series = reference.series
    judged = [one for one in annotation_sets_of(series=series, kinds=[SetKind.REFERENCE]) if one.findings]
    if not judged:
        return None
    grid, uids = grid_of(series), sop_instance_uids_of(series)
    probes: list[ImagingFinding] = []
    if before_finding is not None:
        latest = current_revision(before_finding)
        probes.append(finding_of_revision(latest, grid, uids))
    probes.append(ImagingFinding(finding_id=_PLACE, category=Category.NODULE_LT_3MM, point_mm=place_mm))
    for probe in probes:
        asking = ImagingSet(set_id=_PLACE, reader_label=_PLACE, kind=ImagingKind.READER, read=True, findings=(probe,))
        for lesion in match_lesions([*judged, asking]):
            members = dict(lesion.members)
            if _PLACE in members and str(reference.pk) in members:
                return current_revision(Finding.objects.get(pk=members[str(reference.pk)]))
    return None


def _latest(finding: Finding | None) -> FindingRevision | None:
    return None if finding is None else current_revision(finding)


def _wanted_category(action: Action, present: FindingRevision | None, category: str | None) -> str:
    if category is not None:
        try:
            return Category(category).value
        except ValueError as error:
            names = ", ".join(one.value for one in Category)
            raise InvalidInput(f"there is no such category; there are {names}", code="no-such-category") from error
    if present is None or action in {Action.ADD, Action.RECATEGORISE}:
        raise InvalidInput("this correction needs a category", code="correction-without-category")
    return present.category


def _wanted_shape(
    action: Action, before_finding: Finding | None, shape: Mask | Sphere | None, series: Series
) -> Shape | None:
    if shape is not None:
        return shape
    if action is not Action.RECATEGORISE:
        raise InvalidInput("this correction needs an outline or a sphere", code="correction-without-shape")
    if before_finding is None:
        return None
    # A judged finding that the reference standard lacks enters it as its reader drew it; the origin says so.
    revision = current_revision(before_finding)
    return shape_of_finding(finding_of_revision(revision, grid_of(series), sop_instance_uids_of(series)))


def _revise(
    before: FindingRevision, *, present: bool, category: str, shape: StoredShape | None, origin: str
) -> FindingRevision:
    kept = shape or stored_shape_of(before)
    if kept.mask is not None:
        store_blobs(items=[kept.mask])
    after = revision_row(
        finding=before.finding,
        number=before.number + 1,
        present=present,
        category=category,
        shape=kept,
        said=said_in(before),
        origin=origin,
    )
    after.save()
    return after


def _same(before: FindingRevision, shape: StoredShape) -> bool:
    if before.shape != shape.shape:
        return False
    if shape.mask is not None:
        return before.mask_id == shape.mask.sha256
    if shape.box is not None:
        return bool(before.box == shape.box)
    place = (before.x_mm, before.y_mm, before.z_mm)
    return place == shape.place_mm and before.diameter_mm == shape.diameter_mm


def _origin(one: ConsensusFinding) -> str:
    return f"consensus of readers: marked by {one.marked_by} of {one.readers} who read the series"
