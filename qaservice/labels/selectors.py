"""Reading labels: sets as the analysis core takes them, current revisions, the reference standard, dataset versions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from imaging.types import Algorithm, Mask
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import Finding as ImagingFinding
from imaging.types import SetKind as ImagingKind
from qaservice.accounts.models import User
from qaservice.labels.models import (
    AnnotationSet,
    DatasetVersion,
    Finding,
    FindingRevision,
    Guideline,
    ReaderIdentity,
    SetKind,
)
from qaservice.labels.shapes import finding_of_revision, mask_of_revision
from qaservice.projects.models import Project
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of, sop_instance_uids_of

REFUSED_LABEL = "refused source"


def reader_sets(*, series: Series) -> QuerySet[AnnotationSet]:
    """Return the sets of readers who read a series, by reader."""
    return AnnotationSet.objects.filter(series=series, kind=SetKind.READER, read=True).order_by("reader_label", "id")


def source_sets(*, series: Series) -> list[AnnotationSet]:
    """Return the sets of readers and of algorithms that read a series, readers first, by name."""
    rows = AnnotationSet.objects.filter(series=series, kind__in=(SetKind.READER, SetKind.ALGORITHM), read=True)
    return sorted(rows, key=lambda row: (row.kind != SetKind.READER, row.reader_label, str(row.pk)))


def annotation_sets_of(*, series: Series, kinds: Sequence[str] = (SetKind.READER,)) -> tuple[ImagingSet, ...]:
    """Return the annotation sets of a series as they stand, by kind and reader: readers' only, unless asked for more.

    Ids are those of the rows, as strings. A set that was read without findings comes with none; one whose source was
    refused comes with ``read`` False. Raises Conflict ``series-refused`` where the series has no volume.
    """
    rows = list(AnnotationSet.objects.filter(series=series, kind__in=kinds).order_by("kind", "reader_label", "id"))
    grid = grid_of(series)
    uids = sop_instance_uids_of(series)
    findings: dict[UUID, list[ImagingFinding]] = {row.pk: [] for row in rows}
    for revision in _newest(row.pk for row in rows):
        if revision.present:
            finding = finding_of_revision(revision, grid, uids)
            findings[revision.finding.annotation_set_id].append(finding)
    return tuple(
        ImagingSet(
            set_id=str(row.pk),
            reader_label=row.reader_label,
            kind=ImagingKind(row.kind),
            read=row.read,
            findings=tuple(findings[row.pk]),
            algorithm=algorithm_of(row),
            case_probabilities={name: float(value) for name, value in row.case_probabilities.items()},
        )
        for row in rows
    )


def is_refused(row: AnnotationSet) -> bool:
    """Return whether a row stands for a source of which nothing was taken, not for anybody's labels."""
    return not row.read and row.reader_label.startswith(REFUSED_LABEL)


def standing_sets(*, series: Series) -> list[AnnotationSet]:
    """Return every annotation set of a series by kind and reader, without refusals of what was taken since."""
    rows = list(AnnotationSet.objects.filter(series=series).order_by("kind", "reader_label", "id"))
    taken = {row.source_id for row in rows if not is_refused(row)}
    return [row for row in rows if not is_refused(row) or row.source_id not in taken]


def algorithm_of(row: AnnotationSet) -> Algorithm | None:
    """Return which algorithm made a set, as its source says; None for what a person made."""
    if row.kind != SetKind.ALGORITHM or not row.algorithm:
        return None
    return Algorithm(name=str(row.algorithm.get("name", "")), version=str(row.algorithm.get("version", "")))


def current_revision(finding: Finding) -> FindingRevision:
    """Return the newest revision of a finding, whether or not it is still present."""
    return FindingRevision.objects.select_related("finding").filter(finding=finding).latest("number")


def current_revisions(*, set_id: str) -> list[FindingRevision]:
    """Return what a set holds now: the newest revision of each finding that is present, in a stable order."""
    return [revision for revision in _newest([UUID(set_id)]) if revision.present]


def mask_of(revision: FindingRevision) -> Mask:
    """Return the outline of a revision. Raises NotApplicable ``no-mask`` where it is a sphere or a point."""
    return mask_of_revision(revision, grid_of(revision.finding.annotation_set.series))


def reference_set(series: Series) -> AnnotationSet | None:
    """Return the reference standard of a series, None where no correction has opened it yet."""
    return AnnotationSet.objects.filter(series=series, kind=SetKind.REFERENCE).first()


def reference_findings(series: Series) -> list[FindingRevision]:
    """Return what the reference standard of a series holds now; nothing where it was not opened."""
    found = reference_set(series)
    return [] if found is None else current_revisions(set_id=str(found.pk))


def sets_of_user(*, project: Project, user: User) -> frozenset[str]:
    """Return the ids of the annotation sets that this person made, so that nobody judges their own label (REQ-16)."""
    labels = ReaderIdentity.objects.filter(project=project, user=user).values("reader_label")
    rows = AnnotationSet.objects.filter(project=project, reader_label__in=labels).values_list("pk", flat=True)
    return frozenset(str(pk) for pk in rows)


def current_guideline(project: Project) -> Guideline | None:
    """Return the newest guideline of a project, None where none was published."""
    return Guideline.objects.filter(project=project).order_by("-number").first()


def latest_version(project: Project) -> DatasetVersion | None:
    """Return the newest dataset version of a project."""
    return DatasetVersion.objects.filter(project=project).order_by("-number").first()


def manifest_of(version: DatasetVersion) -> dict[str, Any]:
    """Return the manifest of a dataset version: its series, sets and finding revisions."""
    manifest: dict[str, Any] = json.loads(read_blob(version.manifest_id))
    return manifest


def series_of_version(*, version: DatasetVersion) -> list[Series]:
    """Return the series of a dataset version, by UID."""
    uids = [str(one["series_instance_uid"]) for one in manifest_of(version)["series"]]
    rows = Series.objects.filter(project_id=version.project_id, series_instance_uid__in=uids)
    return list(rows.select_related("study", "project").order_by("series_instance_uid"))


def newest_revisions(*, set_ids: Iterable[UUID]) -> list[FindingRevision]:
    """Return the newest revision of every finding of these sets, present or not, in a stable order."""
    return _newest(set_ids)


def _newest(set_ids: Iterable[UUID]) -> list[FindingRevision]:
    rows = (
        FindingRevision.objects.filter(finding__annotation_set_id__in=list(set_ids))
        .select_related("finding__annotation_set__series")
        .order_by("finding__annotation_set_id", "finding__source_label", "finding_id", "number")
    )
    newest: dict[UUID, FindingRevision] = {}
    for row in rows:
        newest[row.finding_id] = row
    return list(newest.values())
