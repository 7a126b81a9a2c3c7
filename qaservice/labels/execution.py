"""The job that imports the annotation files of a delivery and brings the delivery to its end."""

from __future__ import annotations

from django.db import transaction

from compliance.recording import SYSTEM
from qaservice.jobs.models import Job
from qaservice.jobs.registry import JobContext, executor
from qaservice.labels.importing import import_files
from qaservice.labels.models import AnnotationSet
from qaservice.labels.services import fix_dataset_version
from qaservice.studies.models import AnnotationFile, Ingest, IngestState
from qaservice.studies.services import ANNOTATIONS_JOB, complete_ingest, fail_ingest


def note_failure(job: Job) -> None:
    """Let a delivery know that its annotations could not be brought in."""
    fail_ingest(ingest_id=job.subject_id, failure=job.error or "cancelled")


@executor(ANNOTATIONS_JOB, on_stopped=note_failure)
def import_delivery(context: JobContext) -> None:
    """Import what waits, file by file; then fix the dataset version and complete the delivery."""
    ingest = Ingest.objects.select_related("project").get(pk=context.subject_id)
    if ingest.state == IngestState.COMPLETED:
        with transaction.atomic():
            context.complete()
        return
    files = list(AnnotationFile.objects.filter(ingest=ingest))
    context.progress(0, len(files), "reading annotations")
    for done in import_files(ingest=ingest, files=files, simulated=ingest.simulated, fence=context.fence):
        context.progress(done, len(files), "reading annotations")
    if AnnotationSet.objects.filter(project=ingest.project).exists():
        fix_dataset_version(
            project=ingest.project,
            note=f"after the delivery {ingest.source_name}",
            actor=SYSTEM,
            reason="a delivery was read to its end",
        )
    complete_ingest(ingest=ingest, complete=context.complete)
