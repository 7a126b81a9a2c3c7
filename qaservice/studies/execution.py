"""The job that reads a delivery."""

from __future__ import annotations

from django.db import transaction

from qaservice.jobs.models import Job
from qaservice.jobs.registry import JobContext, executor, housekeeping
from qaservice.studies import services
from qaservice.studies.ingest import take_delivery
from qaservice.studies.models import Ingest, IngestState
from qaservice.studies.pushing import close_quiet

housekeeping(close_quiet)


def note_failure(job: Job) -> None:
    """Let a delivery know that its job ended without a result."""
    services.fail_ingest(ingest_id=job.subject_id, failure=job.error or "cancelled")


@executor(services.INGEST_JOB, on_stopped=note_failure)
def read_delivery(context: JobContext) -> None:
    """Read every file of a delivery, store its series, and hand its annotation files on."""
    ingest = Ingest.objects.select_related("project").get(pk=context.subject_id)
    if ingest.state == IngestState.COMPLETED:
        with transaction.atomic():
            context.complete()
        return
    ingest = services.start_ingest(ingest=ingest)
    take_delivery(ingest=ingest, report=context.progress, fence=context.fence, complete=context.complete)
