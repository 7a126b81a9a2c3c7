"""Deliveries and what they bring: announced, received, stored series by series, and brought to an end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from django.db import transaction
from django.db.models import Count

from compliance.recording import SYSTEM, Actor, change, current_change
from imaging.readers.sniff import HEAD_BYTES, kind_of
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.common.transitions import step
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.storage.services import BlobItem, store_blobs
from qaservice.studies import uploads
from qaservice.studies.arrivals import Arrival
from qaservice.studies.assessment import SeriesAssessment
from qaservice.studies.models import AnnotationFile, Ingest, IngestItem, Instance, Outcome, Series, Study
from qaservice.studies.reading import Judged
from qaservice.studies.sources import DELIVERY_LIMITS, EntryUnreadable, open_source
from qaservice.studies.states import INGEST, SERIES
from qaservice.studies.uploads import Readable

INGEST_JOB = "studies.ingest"
ANNOTATIONS_JOB = "labels.import"

WORKER_REASON = "reads an announced delivery"

_STEP_OF_STATE = {
    "accepted": "accept",
    "accepted-with-warning": "accept-with-warning",
    "refused": "refuse",
}


def announce_ingest(
    *,
    project: Project,
    source_path: Path,
    source_name: str,
    actor: Actor,
    reason: str,
    simulated: bool = False,
) -> Ingest:
    """Take note of a delivery that lies at ``source_path`` and queue the reading of it; return its row.

    ``simulated``: the labels in it were made by simulated readers, and are marked so wherever they appear.

    Raises InvalidInput, and records nothing, if there is nothing there that could be read: see ``sources.open_source``
    for the codes, and ``nothing-recognised`` where no file is DICOM or a known kind of annotation file. Raises
    NotPermitted for simulated readers' labels in a regulated project.
    """
    if simulated and project.regulated:
        raise NotPermitted("labels of simulated readers are refused in a regulated project", code="simulated-refused")
    require_something_readable(source_path)
    ingest = Ingest(
        project=project,
        source_name=source_name[-200:],
        source_path=str(source_path.resolve()),
        simulated=simulated,
    )
    if len(ingest.source_path) > 1000:
        raise InvalidInput("the path is longer than 1000 characters", code="path-too-long")
    with change(
        "ingest.received",
        actor=actor,
        reason=reason,
        subject=("ingest", str(ingest.pk)),
        project_key=project.key,
    ):
        ingest.save()
        enqueue(
            kind=INGEST_JOB,
            subject_id=str(ingest.pk),
            project_key=project.key,
            dedupe_key=f"{INGEST_JOB}:{ingest.pk}",
        )
    return ingest


def receive_upload(*, project: Project, filename: str, stream: Readable, actor: Actor, reason: str) -> Ingest:
    """Stream an upload to disk within the site's limit, look whether it can be read, and announce it.

    Raises InvalidInput (``upload-too-large``, ``empty-upload``, or what ``announce_ingest`` raises) and leaves nothing
    behind.
    """
    kept = uploads.keep(stream)
    try:
        return announce_ingest(
            project=project, source_path=kept, source_name=Path(filename).name or "upload", actor=actor, reason=reason
        )
    except BaseException:
        kept.unlink(missing_ok=True)
        raise


def require_something_readable(path: Path) -> None:
    """Raise InvalidInput unless the delivery opens and at least one of its files is of a kind that is read here."""
    with open_source(path, DELIVERY_LIMITS) as entries:
        for entry in entries:
            try:
                if kind_of(entry.read(HEAD_BYTES)) != "other":
                    return
            except EntryUnreadable:
                continue
        raise InvalidInput(
            f"none of the {len(entries)} files is DICOM or an annotation file of a known kind; nothing was taken",
            code="nothing-recognised",
        )


def start_ingest(*, ingest: Ingest) -> Ingest:
    """Note that a worker begins, or begins again, to read a delivery."""
    with change(
        "ingest.started",
        actor=SYSTEM,
        reason=WORKER_REASON,
        subject=("ingest", str(ingest.pk)),
        project_key=ingest.project.key,
    ):
        return step(ingest, machine=INGEST, name="start", expected_revision=ingest.revision)


def store_series(
    *,
    ingest: Ingest,
    series_instance_uid: str,
    arrival: Arrival,
    assessment: SeriesAssessment | None,
    fence: Callable[[], None],
) -> Series | None:
    """Store what arrived of one series, all or nothing: study, blobs, instances, verdict, and every file's outcome.

    ``assessment`` is the gate's verdict over held and new instances together, None where nothing new arrived.
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
            if assessment is not None and arrival.new:
                study = _study_of(project, arrival.new[0])
                _store_instances(project, study, arrival.new)
                series = _judge_series(project, study, series, series_id, series_instance_uid, arrival, assessment)
            record_items(ingest=ingest, files=_with_verdict(arrival, assessment))
    return series


def store_rest(*, ingest: Ingest, files: Sequence[Judged], complete: Callable[[], None]) -> None:
    """Store the outcomes of files that belong to no series, put annotation files aside, and queue their import.

    ``complete`` marks the reading job done in the same transaction.
    """
    outcomes = [file for file in files if not file.is_annotation]
    with transaction.atomic():
        complete()
        if outcomes:
            with change(
                "ingest.files-judged",
                actor=SYSTEM,
                reason=WORKER_REASON,
                subject=("ingest", str(ingest.pk)),
                project_key=ingest.project.key,
                payload={"files": len(outcomes)},
            ):
                record_items(ingest=ingest, files=outcomes)
        AnnotationFile.objects.bulk_create(
            [
                AnnotationFile(
                    ingest=ingest,
                    name=file.name,
                    kind=file.kind,
                    sha256=file.blob.sha256,
                    size=file.blob.size,
                    media_type=file.blob.media_type,
                    uid=file.uid,
                )
                for file in files
                if file.is_annotation and file.blob is not None
            ]
        )
        enqueue(
            kind=ANNOTATIONS_JOB,
            subject_id=str(ingest.pk),
            project_key=ingest.project.key,
            dedupe_key=f"{ANNOTATIONS_JOB}:{ingest.pk}",
        )


def record_items(*, ingest: Ingest, files: Sequence[Judged]) -> None:
    """Write down what became of files, inside the running change."""
    IngestItem.objects.record_many(
        [
            IngestItem(
                ingest=ingest,
                name=file.name,
                sha256=file.sha256,
                kind=file.kind,
                outcome=file.outcome,
                code=file.code[:60],
                message=file.message[:1000],
                uid=file.uid[:64],
            )
            for file in files
        ],
        current_change(),
        root_label="ingest items",
    )


def store_annotation_instance(
    *, project: Project, blob: BlobItem, study: Study, series_uid: str, uids: tuple[str, str], modality: str
) -> Instance:
    """Keep a DICOM annotation object as the instance it is, inside the running change.

    ``uids`` are its SOP Instance UID and its SOP Class UID.
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
    )
    instance.save()
    return instance


def complete_ingest(*, ingest: Ingest, complete: Callable[[], None]) -> Ingest:
    """Bring a delivery to its end: every file has its outcome. An upload's file is removed; its bytes are stored.

    ``complete`` marks the last job done in the same transaction.
    """
    with transaction.atomic():
        complete()
        with change(
            "ingest.completed",
            actor=SYSTEM,
            reason=WORKER_REASON,
            subject=("ingest", str(ingest.pk)),
            project_key=ingest.project.key,
        ) as running:
            summary = summary_of(ingest)
            running.payload.update(summary)
            done = step(
                ingest,
                machine=INGEST,
                name="complete",
                expected_revision=ingest.revision,
                changes={"summary": summary, "source_path": ""},
            )
        uploads.drop_on_commit(ingest.source_path)
    return done


def fail_ingest(*, ingest_id: str, failure: str) -> None:
    """Note that a delivery could not be read to its end. What was stored of it stays, with its outcomes."""
    ingest = Ingest.objects.select_related("project").filter(pk=ingest_id).first()
    if ingest is None or ingest.state not in INGEST.named("fail").sources:
        return
    with change(
        "ingest.failed",
        actor=SYSTEM,
        reason=WORKER_REASON,
        subject=("ingest", str(ingest.pk)),
        project_key=ingest.project.key,
        payload={"failure": failure[:500]},
    ):
        step(
            ingest,
            machine=INGEST,
            name="fail",
            expected_revision=ingest.revision,
            changes={"failure": failure[:500], "summary": summary_of(ingest), "source_path": ""},
        )
    uploads.drop_on_commit(ingest.source_path)


def summary_of(ingest: Ingest) -> dict[str, int]:
    """Return the number of files by outcome; outcomes that did not occur count zero."""
    counts = dict.fromkeys(Outcome.values, 0)
    for row in IngestItem.objects.filter(ingest=ingest).order_by().values("outcome").annotate(count=Count("pk")):
        counts[row["outcome"]] = row["count"]
    return counts


def _study_of(project: Project, first: Judged) -> Study:
    if first.header is None:
        raise ValueError("a file without a header belongs to no study")
    uid = first.header.study_instance_uid
    known = Study.objects.filter(project=project, study_instance_uid=uid).first()
    if known is not None:
        return known
    study = Study(project=project, study_instance_uid=uid, patient_key=first.header.patient_id[:64])
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
            modality=file.header.modality[:16],
            blob_id=file.sha256,
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
    first = arrival.new[0].header
    if first is None:
        raise ValueError("a file without a header belongs to no series")
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


def _with_verdict(arrival: Arrival, assessment: SeriesAssessment | None) -> list[Judged]:
    """Give every file of a refused series the gate's reason: its bytes are kept, but apart."""
    files = [*arrival.new, *arrival.duplicates, *arrival.quarantined]
    refusal = assessment.refusal if assessment is not None else None
    if refusal is None:
        return files
    code, message = refusal
    refused = [file.quarantined(code, f"the geometry gate refused its series: {message}") for file in arrival.new]
    return [*refused, *arrival.duplicates, *arrival.quarantined]
