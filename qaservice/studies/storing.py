"""Storing what a delivery brings: a series with its study, instances and verdict at once, and every file's outcome."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

from django.db import transaction

from compliance.recording import SYSTEM, change, current_change
from qaservice.common.transitions import step
from qaservice.projects.models import IdentityPolicy, Project
from qaservice.storage.services import BlobItem, store_blobs
from qaservice.studies.arrivals import Arrival
from qaservice.studies.assessment import SeriesAssessment, printable_text
from qaservice.studies.identity import record_removal
from qaservice.studies.models import Ingest, IngestItem, Instance, Series, Study
from qaservice.studies.reading import TROUBLE, Judged
from qaservice.studies.states import SERIES

WORKER_REASON = "reads an announced delivery"

_STEP_OF_STATE = {
    "accepted": "accept",
    "accepted-with-warning": "accept-with-warning",
    "refused": "refuse",
}


def store_series(
    *,
    ingest: Ingest,
    series_instance_uid: str,
    arrival: Arrival,
    assessment: SeriesAssessment | None,
    fence: Callable[[], None],
) -> Series | None:
    """Store what arrived of one series, all or nothing: study, blobs, instances, verdict, and every file's outcome.

    ``assessment`` is the gate's verdict over held and new instances together, None where there is nothing to judge
    anew: nothing new arrived, and the series stands accepted.
    ``fence`` is called first inside the transaction and raises if another worker has taken over.
    """
    project = ingest.project
    series = Series.objects.filter(project=project, series_instance_uid=series_instance_uid).first()
    series_id = series.pk if series is not None else uuid.uuid4()
    with transaction.atomic():
        fence()
        with change(
            "series.ingested",
            actor=SYSTEM,
            reason=WORKER_REASON,
            subject=("series", str(series_id)),
            project_key=project.key,
            payload={
                "ingest": str(ingest.pk),
                "series_instance_uid": series_instance_uid,
                "new": len(arrival.new),
                "duplicate": len(arrival.duplicates),
                "quarantined": len(arrival.quarantined),
            },
        ):
            kept = [file.blob for file in (*arrival.new, *arrival.quarantined) if file.blob is not None]
            store_blobs(items=kept)
            if assessment is not None and (arrival.new or series is not None):
                study = _study_of(project, arrival.new[0]) if series is None else series.study
                if arrival.new:
                    _store_instances(project, study, arrival.new)
                series = _judge_series(project, study, series, series_id, series_instance_uid, arrival, assessment)
            tried_again = ingest.retry_of_id is not None
            record_items(ingest=ingest, files=with_verdict(arrival, assessment, tried_again))
            record_removal(ingest=ingest, files=arrival.new)
    return series


def keeps_bytes(project: Project) -> bool:
    """Return whether files that were refused are kept: never where the project wants to hold no identities (REQ-17)."""
    return project.identity_policy == IdentityPolicy.KEEP


def record_items(*, ingest: Ingest, files: Sequence[Judged]) -> None:
    """Write down what became of files, inside the running change, and keep the bytes of those that were not taken."""
    keeps = keeps_bytes(ingest.project)
    kept = {file.name: blob for file in files if keeps and (blob := file.kept_apart) is not None}
    store_blobs(items=list(kept.values()))
    earlier = _tried_before(ingest, files)
    IngestItem.objects.record_many(
        [
            IngestItem(
                ingest=ingest,
                name=file.name,
                sha256=file.sha256,
                kind=file.kind,
                outcome=file.outcome,
                code=file.code[:60],
                message=_told(file, keeps),
                uid=file.uid[:64],
                original_sha256=file.original_sha256,
                kept_id=kept[file.name].sha256 if file.name in kept else None,
                retry_of_id=earlier.get(file.name),
            )
            for file in files
        ],
        current_change(),
        root_label="ingest items",
    )


def _told(file: Judged, keeps: bool) -> str:
    if file.outcome not in TROUBLE or keeps:
        return file.message[:1000]
    # A file that was never judged by its identities must not lie here until somebody tries it again.
    again = "; its bytes were not kept, as the project's identity policy asks: send it again to try it again"
    return file.message[: 1000 - len(again)] + again


def _tried_before(ingest: Ingest, files: Sequence[Judged]) -> dict[str, uuid.UUID]:
    """Return what became of the same files at the try before, by name; nothing for a delivery of its own."""
    if ingest.retry_of_id is None:
        return {}
    names = [file.name for file in files]
    earlier: dict[str, uuid.UUID] = {}
    for start in range(0, len(names), 500):
        rows = IngestItem.objects.filter(ingest_id=ingest.retry_of_id, name__in=names[start : start + 500])
        earlier.update(rows.values_list("name", "pk"))
    return earlier


def store_annotation_instance(
    *,
    project: Project,
    blob: BlobItem,
    study: Study,
    series_uid: str,
    uids: tuple[str, str],
    modality: str,
    original_sha256: str,
) -> Instance:
    """Keep a DICOM annotation object as the instance it is, inside the running change.

    ``uids`` are its SOP Instance UID and its SOP Class UID. ``original_sha256`` is of the file as it came, empty where
    its bytes are the ones stored.
    """
    store_blobs(items=[blob])
    instance = Instance(
        project=project,
        study=study,
        series_instance_uid=series_uid,
        sop_instance_uid=uids[0],
        sop_class_uid=uids[1],
        modality=modality,
        blob_id=blob.sha256,
        original_sha256=original_sha256,
    )
    instance.save()
    return instance


def _study_of(project: Project, first: Judged) -> Study:
    if first.header is None:
        raise ValueError("a file without a header belongs to no study")
    uid = first.header.study_instance_uid
    known = Study.objects.filter(project=project, study_instance_uid=uid).first()
    if known is not None:
        return known
    study = Study(project=project, study_instance_uid=uid, patient_key=printable_text(first.header.patient_id)[:64])
    with change(
        "study.registered",
        actor=SYSTEM,
        reason=WORKER_REASON,
        subject=("study", str(study.pk)),
        project_key=project.key,
        payload={"study_instance_uid": uid},
    ):
        study.save()
    return study


def _store_instances(project: Project, study: Study, files: Sequence[Judged]) -> None:
    rows = [
        Instance(
            project=project,
            study=study,
            series_instance_uid=file.header.series_instance_uid,
            sop_instance_uid=file.header.sop_instance_uid,
            sop_class_uid=file.header.sop_class_uid,
            modality=printable_text(file.header.modality)[:16],
            blob_id=file.sha256,
            original_sha256=file.original_sha256,
        )
        for file in files
        if file.header is not None
    ]
    Instance.objects.record_many(rows, current_change(), root_label="instances")


def _judge_series(
    project: Project,
    study: Study,
    series: Series | None,
    series_id: uuid.UUID,
    series_instance_uid: str,
    arrival: Arrival,
    assessment: SeriesAssessment,
) -> Series:
    count = Instance.objects.filter(project=project, series_instance_uid=series_instance_uid).count()
    values: Mapping[str, object] = {
        "verdict": assessment.verdict,
        "grid": assessment.grid,
        "input_digest": assessment.input_digest,
        "acquisition": assessment.acquisition,
        "instance_count": count,
    }
    with change(
        "series.assessed",
        actor=SYSTEM,
        reason="the geometry gate judged the series",
        subject=("series", str(series_id)),
        project_key=project.key,
        payload={
            "state": assessment.state,
            "codes": [str(finding["code"]) for finding in assessment.verdict],
            "instances": count,
            "input_digest": assessment.input_digest,
        },
    ):
        if series is not None:
            name = _STEP_OF_STATE[assessment.state]
            return step(series, machine=SERIES, name=name, expected_revision=series.revision, changes=values)
        first = arrival.new[0].header
        if first is None:
            raise ValueError("a file without a header belongs to no series")
        made = Series(
            id=series_id,
            study=study,
            project=project,
            series_instance_uid=series_instance_uid,
            modality=first.modality[:16],
            frame_of_reference_uid=first.frame_of_reference_uid,
            state=assessment.state,
            verdict=assessment.verdict,
            grid=assessment.grid,
            input_digest=assessment.input_digest,
            acquisition=assessment.acquisition,
            instance_count=count,
        )
        made.save()
        return made


def with_verdict(arrival: Arrival, assessment: SeriesAssessment | None, tried_again: bool) -> list[Judged]:
    """Give every file of a refused series the gate's reason: its bytes are kept, but apart.

    A file that is tried again is held already; if its series is refused once more, it waits on.
    """
    files = [*arrival.new, *arrival.duplicates, *arrival.quarantined]
    refusal = assessment.refusal if assessment is not None else None
    if refusal is None:
        return files
    code, message = refusal
    waiting = [*arrival.new, *arrival.duplicates] if tried_again else arrival.new
    refused = [file.quarantined(code, f"the geometry gate refused its series: {message}") for file in waiting]
    return [*refused, *([] if tried_again else arrival.duplicates), *arrival.quarantined]
