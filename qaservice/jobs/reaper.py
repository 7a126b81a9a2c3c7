"""Looking after jobs that nobody looks after: expired leases, lost wake-ups, and the end of a job without a result."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from compliance.checkpoints import publish_due
from compliance.errors import RecordError
from compliance.sealing import seal
from qaservice.accounts.alerts import mail_waiting
from qaservice.common import clock
from qaservice.jobs import dispatch, leases, registry
from qaservice.jobs.leases import Lease
from qaservice.jobs.models import Job, JobState

logger = logging.getLogger(__name__)

WAKE_UP_PATIENCE = timedelta(seconds=20)
"""A queued job whose message is older than this may have lost it; one message more does no harm."""

MOST_WAKE_UPS_A_TICK = 50
EVENTS_SEALED_A_TICK = 5000


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """What one tick did."""

    requeued: int
    failed: int
    woken: int
    sealed: int


def tick() -> TickOutcome:
    """Do the housekeeping once: reap, look after what apps registered, wake up, mail alerts, seal.

    Safe to run in several processes at the same time.
    """
    requeued, failed = reap()
    look_after()
    woken, sealed = wake_forgotten(), 0
    mail_waiting()
    try:
        sealed = seal(limit=EVENTS_SEALED_A_TICK)
        publish_due()
    except (RecordError, OSError) as error:
        # Jobs go on; verify_ledger and the next export say the same aloud.
        logger.error("the ledger could not be sealed and published: %s", error)
    return TickOutcome(requeued=requeued, failed=failed, woken=woken, sealed=sealed)


def reap() -> tuple[int, int]:
    """Give jobs with an expired lease back to the queue, or fail them; return (requeued, failed)."""
    requeued = failed = 0
    for job in Job.objects.filter(state=JobState.RUNNING, lease_expires_at__lt=clock.now()):
        lease = leases.take_away_expired(job)
        if lease is None:
            continue
        message = f"the worker stopped renewing its lease during attempt {job.attempt}"
        if job.cancel_requested:
            end_without_result(lease, kind=job.kind, cancelled=True, code="cancelled", message="cancelled on request")
        elif job.attempt < job.max_attempts:
            leases.hand_back(lease, counts=True, code="lease-expired", message=message)
            dispatch.wake(job_id=job.pk)
            requeued += 1
        else:
            end_without_result(lease, kind=job.kind, cancelled=False, code="lease-expired", message=message)
            failed += 1
    return requeued, failed


def look_after() -> None:
    """Run every app's housekeeping; one that fails keeps nothing else from being done."""
    for function in registry.all_housekeeping():
        try:
            function()
        except Exception as error:
            logger.error("housekeeping %s: %s", function.__qualname__, type(error).__name__)


def wake_forgotten() -> int:
    """Send wake-ups for queued jobs that have none, or an old one; return how many."""
    forgotten = Q(woken_at=None) | Q(woken_at__lt=clock.now() - WAKE_UP_PATIENCE)
    waiting = Job.objects.filter(forgotten, state=JobState.QUEUED).order_by("created_at", "id")
    return sum(dispatch.wake(job_id=job.pk) for job in waiting[:MOST_WAKE_UPS_A_TICK])


def end_without_result(lease: Lease, *, kind: str, cancelled: bool, code: str, message: str) -> bool:
    """End a job as cancelled or failed and let its subject know, both or neither; False if the lease was lost."""
    try:
        return _end(lease, kind=kind, cancelled=cancelled, code=code, message=message, tell_subject=True)
    except Exception as error:
        # A job that cannot end would be tried for ever; its row must tell the truth even if its subject's cannot.
        logger.error("job %s: its subject could not be told of the end: %s", lease.job_id, type(error).__name__)
        return _end(lease, kind=kind, cancelled=cancelled, code=code, message=message, tell_subject=False)


def _end(lease: Lease, *, kind: str, cancelled: bool, code: str, message: str, tell_subject: bool) -> bool:
    with transaction.atomic():
        ended = leases.cancel_running(lease) if cancelled else leases.fail(lease, code=code, message=message)
        if not ended:
            return False
        if tell_subject:
            try:
                on_stopped = registry.executor_for(kind).on_stopped
            except LookupError:
                return True
            if on_stopped is not None:
                on_stopped(Job.objects.get(pk=lease.job_id))
        return True
