"""Dataset versions: an immutable snapshot of which finding revisions stand, under which guideline."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from uuid import UUID

from django.db import transaction

from compliance.recording import SYSTEM, Actor, change
from qaservice.common import clock
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision, Guideline
from qaservice.labels.selectors import current_guideline, latest_version, newest_revisions
from qaservice.labels.shapes import round_trip_of
from qaservice.projects.models import Project
from qaservice.storage.services import store_blob
from qaservice.studies.selectors import accepted_series

MANIFEST_TYPE = "application/json"
MANIFEST_FORMAT = "label-qa dataset manifest, version 2"

FIRST_GUIDELINE_TITLE = "Labelling as received"
FIRST_GUIDELINE_TEXT = (
    "Labels were made elsewhere and are taken as received, in the categories of the LIDC-IDRI reading process: "
    "nodule >= 3 mm (longest axis) with an outline, nodule < 3 mm as a point, non-nodule >= 3 mm as a mark. "
    "Publish the project's own guideline to replace this one."
)


def publish_guideline(*, project: Project, title: str, text: str, actor: Actor, reason: str) -> Guideline:
    """Publish the next version of a project's labelling guideline."""
    latest = current_guideline(project)
    guideline = Guideline(
        project=project, number=1 if latest is None else latest.number + 1, title=title.strip(), text=text
    )
    with change(
        "guideline.published",
        actor=actor,
        reason=reason,
        subject=("guideline", str(guideline.pk)),
        project_key=project.key,
        payload={"number": guideline.number, "title": guideline.title},
    ):
        guideline.save()
    return guideline


def fix_dataset_version(*, project: Project, note: str, actor: Actor, reason: str) -> DatasetVersion:
    """Fix what the project's labels are now and return the version; the latest one where nothing has changed.

    It holds every accepted series with annotation sets, each set with the current revision of every finding, under
    the current guideline (the first is published where there is none).
    """
    with transaction.atomic():
        # One version after another: the number and the parent depend on the latest. (SQLite has one writer anyway.)
        Project.objects.select_for_update().get(pk=project.pk)
        guideline = current_guideline(project) or publish_guideline(
            project=project,
            title=FIRST_GUIDELINE_TITLE,
            text=FIRST_GUIDELINE_TEXT,
            actor=SYSTEM,
            reason="a dataset version names its guideline, and none was published",
        )
        manifest, series_count, finding_count = _manifest(project, guideline)
        data = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        latest = latest_version(project)
        if latest is not None and latest.manifest_id == hashlib.sha256(data).hexdigest():
            return latest
        version = DatasetVersion(
            project=project,
            number=1 if latest is None else latest.number + 1,
            parent=latest,
            guideline=guideline,
            series_count=series_count,
            finding_count=finding_count,
            note=note[:300],
            created_at=clock.now(),
        )
        with change(
            "dataset.versioned",
            actor=actor,
            reason=reason,
            subject=("dataset-version", str(version.pk)),
            project_key=project.key,
            payload={
                "number": version.number,
                "series": series_count,
                "findings": finding_count,
                "guideline": guideline.number,
            },
        ) as running:
            version.manifest = store_blob(data=data, media_type=MANIFEST_TYPE)
            running.payload["manifest_sha256"] = version.manifest.sha256
            version.save()
        return version


def _manifest(project: Project, guideline: Guideline) -> tuple[dict[str, object], int, int]:
    sets: dict[UUID, list[AnnotationSet]] = defaultdict(list)
    rows = AnnotationSet.objects.filter(project=project).order_by("kind", "reader_label", "id")
    for row in rows:
        sets[row.series_id].append(row)
    revisions: dict[UUID, list[FindingRevision]] = defaultdict(list)
    count = 0
    for revision in newest_revisions(set_ids=[row.pk for row in rows]):
        revisions[revision.finding.annotation_set_id].append(revision)
    series_entries: list[dict[str, object]] = []
    for series in accepted_series(project):
        if series.pk not in sets:
            continue
        count += sum(one.present for row in sets[series.pk] for one in revisions[row.pk])
        series_entries.append(
            {
                "study_instance_uid": series.study.study_instance_uid,
                "series_instance_uid": series.series_instance_uid,
                "input_digest": series.input_digest,
                "sets": [_set_entry(row, revisions[row.pk]) for row in sets[series.pk]],
            }
        )
    manifest: dict[str, object] = {
        "format": MANIFEST_FORMAT,
        "project": project.key,
        "guideline": {
            "number": guideline.number,
            "title": guideline.title,
            "text_sha256": hashlib.sha256(guideline.text.encode()).hexdigest(),
        },
        "series": series_entries,
    }
    return manifest, len(series_entries), count


def _set_entry(row: AnnotationSet, revisions: list[FindingRevision]) -> dict[str, object]:
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "reader": row.reader_label,
        "read": row.read,
        "simulated": row.simulated,
        "source_format": row.source_format,
        "source_sha256": row.source_id,
        "algorithm": row.algorithm,
        "case_probabilities": {name: repr(float(value)) for name, value in row.case_probabilities.items()},
        "findings": [_finding_entry(one) for one in revisions],
    }


def _finding_entry(revision: FindingRevision) -> dict[str, object]:
    round_trip = round_trip_of(revision.measurement)
    return {
        "tracking_uid": revision.finding.tracking_uid,
        "source_tracking_uid": revision.finding.source_tracking_uid,
        "revision": revision.number,
        "revision_id": str(revision.pk),
        "present": revision.present,
        "category": revision.category,
        "shape": revision.shape,
        "mask_sha256": revision.mask_id,
        # Strings in their shortest exact form: a manifest is hashed, and numbers are written differently by others.
        "place_mm": [repr(revision.x_mm), repr(revision.y_mm), repr(revision.z_mm)],
        "diameter_mm": None if revision.diameter_mm is None else repr(revision.diameter_mm),
        "box_mm": None if revision.box is None else [[repr(float(part)) for part in one] for one in revision.box],
        "confidence": None if revision.confidence is None else repr(revision.confidence),
        "round_trip_mm": None if round_trip is None else repr(round_trip.mm),
        "characteristics": revision.characteristics,
        "attributes": revision.attributes,
        "reported": [{**one, "value": repr(float(one["value"]))} for one in revision.reported],
    }
