"""Asking for work, cancelling it and asking again."""

from __future__ import annotations

import uuid

from django.db import IntegrityError, transaction

from qaservice.common import clock
from qaservice.common.errors import Conflict, NotFound
from qaservice.jobs import dispatch, leases
from qaservice.jobs.models import Job


def enqueue(*, kind: str, subject_id: str, project_key: str, dedupe_key: str) -> Job:
    """Return the job for this step, made now unless it was asked for before.

    Call it inside the transaction that makes the work necessary: both commit or neither. Workers are told on commit.
    ``kind`` names an executor; ``subject_id`` is the key of the row it works on; ``dedupe_key`` is the step's identity.
    """
    known = Job.objects.filter(dedupe_key=dedupe_key).first()
    if known is not None:
        return known
    try:
        with transaction.atomic():
            job = Job.objects.create(
                kind=kind,
                subject_id=subject_id,
                project_key=project_key,
                dedupe_key=dedupe_key,
                created_at=clock.now(),
            )
    except IntegrityError:
        # Another transaction asked for the same step between the look and the insert.
        return Job.objects.get(dedupe_key=dedupe_key)
    dispatch.wake_on_commit(job_id=job.pk)
    return job


def request_cancel(*, job_id: uuid.UUID) -> Job:
    """Cancel a queued job at once, or ask the worker of a running one to stop; a job that has ended stays as it is.

    A running job ends as cancelled at its executor's next report of progress.
    """
    if not leases.cancel_queued(job_id=job_id):
        leases.ask_to_cancel(job_id=job_id)
    return _job(job_id)


def retry(*, job_id: uuid.UUID) -> Job:
    """Queue a failed or cancelled job again, with all its attempts. Raises Conflict if it is in another state."""
    job = _job(job_id)
    with transaction.atomic():
        if not leases.queue_again(job_id=job_id):
            raise Conflict(
                f"this job is {job.state}; only a failed or cancelled job can be asked for again", code="wrong-state"
            )
        dispatch.wake_on_commit(job_id=job_id)
    return _job(job_id)


def _job(job_id: uuid.UUID) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound("there is no such job")
    return job
