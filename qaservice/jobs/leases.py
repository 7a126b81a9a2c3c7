"""Every change of a job's row: conditional UPDATEs that tell, by the number of rows matched, who won.

A job is operational data without history, so it is changed in place; this module is the only one that does so. Who
holds a job is said by (state running, fencing token): each claim raises the token, so a worker that was given up for
dead matches no row when it comes back late.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest

from qaservice.common import clock
from qaservice.jobs.models import Attempt, Job, JobState


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a job's result, as long as the row still carries this token."""

    job_id: uuid.UUID
    token: int
    owner: str


def lease_length() -> timedelta:
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def claim(*, job_id: uuid.UUID, owner: str) -> Lease | None:
    """Take a queued job, or return None if it is not queued or another worker was quicker."""
    job = Job.objects.filter(pk=job_id, state=JobState.QUEUED).first()
    if job is None:
        return None
    moment = clock.now()
    taken = Job.objects.filter(pk=job_id, state=JobState.QUEUED, fencing_token=job.fencing_token).update(
        state=JobState.RUNNING,
        attempt=F("attempt") + 1,
        fencing_token=job.fencing_token + 1,
        lease_owner=owner,
        lease_expires_at=moment + lease_length(),
        started_at=job.started_at or moment,
        finished_at=None,
        error_code="",
        error="",
    )
    if not taken:
        return None
    lease = Lease(job_id=job_id, token=job.fencing_token + 1, owner=owner)
    # The token only grows, so it numbers the tries even where a try was handed back and does not count.
    Attempt.objects.create(job_id=job_id, number=lease.token, worker=owner, started_at=moment)
    return lease


def renew(lease: Lease, *, progress: tuple[int, int, str] | None) -> bool:
    """Extend the lease, with (done, total, note) where given; False if the job is no longer this worker's."""
    changes: dict[str, object] = {"lease_expires_at": clock.now() + lease_length()}
    if progress is not None:
        done, total, note = progress
        changes |= {"progress_done": done, "progress_total": total, "progress_note": note[:200]}
    return _held(lease, changes)


def finish(lease: Lease) -> bool:
    """Mark the job done; False if it is no longer this worker's."""
    return _held(
        lease,
        {
            "state": JobState.DONE,
            "finished_at": clock.now(),
            "lease_expires_at": None,
            "progress_done": F("progress_total"),
        },
    )


def fail(lease: Lease, *, code: str, message: str) -> bool:
    """End the job as failed; False if it is no longer this worker's."""
    return _held(
        lease,
        {
            "state": JobState.FAILED,
            "finished_at": clock.now(),
            "lease_expires_at": None,
            "error_code": code[:60],
            "error": message,
        },
    )


def cancel_running(lease: Lease) -> bool:
    """End the job as cancelled; False if it is no longer this worker's."""
    return _held(lease, {"state": JobState.CANCELLED, "finished_at": clock.now(), "lease_expires_at": None})


def hand_back(lease: Lease, *, counts: bool, code: str, message: str) -> bool:
    """Put the job back into the queue. ``counts``: whether the try uses up one of the permitted attempts."""
    changes: dict[str, object] = {
        "state": JobState.QUEUED,
        "lease_expires_at": None,
        "lease_owner": "",
        "woken_at": None,
        "error_code": code[:60],
        "error": message,
    }
    if not counts:
        changes["attempt"] = Greatest(F("attempt") - 1, 0)
    return _held(lease, changes)


def close_attempt(lease: Lease, *, outcome: str, detail: str) -> None:
    """Write down how this worker's try ended, for the operator."""
    Attempt.objects.filter(job_id=lease.job_id, number=lease.token).update(
        ended_at=clock.now(), outcome=outcome[:40], detail=detail
    )


def take_away_expired(job: Job) -> Lease | None:
    """Take an expired lease from a dead worker, and return the right to decide what becomes of the job.

    The token is raised here, not at the next claim: from now on the late worker's writes match nothing.
    """
    taken = Job.objects.filter(
        pk=job.pk, state=JobState.RUNNING, fencing_token=job.fencing_token, lease_expires_at__lt=clock.now()
    ).update(fencing_token=job.fencing_token + 1, lease_owner="reaper", lease_expires_at=clock.now() + lease_length())
    if not taken:
        return None
    Attempt.objects.filter(job=job, number=job.fencing_token, ended_at=None).update(
        ended_at=clock.now(), outcome="lease expired", detail="the worker stopped renewing its lease"
    )
    return Lease(job_id=job.pk, token=job.fencing_token + 1, owner="reaper")


def cancel_queued(*, job_id: uuid.UUID) -> bool:
    """Cancel a job that nobody has begun; False if it is not queued."""
    return bool(
        Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(
            state=JobState.CANCELLED, cancel_requested=True, finished_at=clock.now()
        )
    )


def ask_to_cancel(*, job_id: uuid.UUID) -> bool:
    """Ask the worker that runs the job to stop; False if it is not running."""
    return bool(Job.objects.filter(pk=job_id, state=JobState.RUNNING).update(cancel_requested=True))


def queue_again(*, job_id: uuid.UUID) -> bool:
    """Put a failed or cancelled job back into the queue with all its attempts; False if it is neither."""
    return bool(
        Job.objects.filter(pk=job_id, state__in=[JobState.FAILED, JobState.CANCELLED]).update(
            state=JobState.QUEUED,
            attempt=0,
            cancel_requested=False,
            woken_at=None,
            finished_at=None,
            error_code="",
            error="",
        )
    )


def note_wake_up(*, job_id: uuid.UUID) -> None:
    """Remember that a message was sent."""
    Job.objects.filter(pk=job_id).update(woken_at=clock.now())


def _held(lease: Lease, changes: Mapping[str, object]) -> bool:
    held = Job.objects.filter(pk=lease.job_id, state=JobState.RUNNING, fencing_token=lease.token)
    return bool(held.update(**changes))
