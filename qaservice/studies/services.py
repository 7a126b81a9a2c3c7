"""Deliveries: announced, received, and brought to an end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from django.db import transaction
from django.db.models import Count

from compliance.recording import SYSTEM, Actor, change
from imaging.readers.sniff import HEAD_BYTES, kind_of
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.common.transitions import step
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.studies import identity, uploads
from qaservice.studies.models import AnnotationFile, Ingest, IngestItem, Outcome
from qaservice.studies.reading import Judged
from qaservice.studies.sources import DELIVERY_LIMITS, EntryUnreadable, open_source
from qaservice.studies.states import INGEST
from qaservice.studies.storing import WORKER_REASON, record_items
from qaservice.studies.uploads import Readable

INGEST_JOB = "studies.ingest"
ANNOTATIONS_JOB = "labels.import"


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
        source_name=identity.name_in_records(project, source_name)[-200:],
        source_path=_place_in_records(project, source_path.resolve()),
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


def _place_in_records(project: Project, place: Path) -> str:
    # An upload's place says nothing, and is looked for by name when it is to be removed.
    return str(place) if uploads.is_upload(place) else identity.concealed_path(project, str(place))


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
        identity.record_removal(ingest=ingest, files=[file for file in files if file.is_annotation])
        for file in files:
            if file.is_annotation and file.blob is not None:
                AnnotationFile.objects.create(
                    ingest=ingest,
                    name=file.name,
                    kind=file.kind,
                    sha256=file.blob.sha256,
                    size=file.blob.size,
                    media_type=file.blob.media_type,
                    uid=file.uid,
                    original_sha256=file.original_sha256,
                )
        enqueue(
            kind=ANNOTATIONS_JOB,
            subject_id=str(ingest.pk),
            project_key=ingest.project.key,
            dedupe_key=f"{ANNOTATIONS_JOB}:{ingest.pk}",
        )


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
