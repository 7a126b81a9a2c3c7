"""Doing one job: take it, keep the lease alive, execute, and write down how it ended."""

from __future__ import annotations

import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import Error as DatabaseError
from django.db import connection

from imaging.errors import ImagingError
from qaservice.common.errors import ServiceError
from qaservice.jobs import dispatch, leases, reaper, registry, selectors
from qaservice.jobs.errors import Cancelled, LostLease, WorkerStopping
from qaservice.jobs.leases import Lease
from qaservice.jobs.models import Job, JobState
from qaservice.jobs.registry import JobContext
from qaservice.jobs.selectors import ProjectProgress

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_TICKS = 2.0


def run_job(job_id: uuid.UUID, worker: str, *, on_progress: Callable[[], None] | None = None) -> str:
    """Do one job if it is free, and return how that went.

    ``"done"``, ``"failed"``, ``"cancelled"``, ``"requeued"`` (will be tried again), ``"lost"`` (another worker has it
    now) or ``"not-claimed"`` (not queued, or another worker was quicker: running it twice changes nothing).
    """
    lease = leases.claim(job_id=job_id, owner=worker[:100])
    if lease is None:
        return "not-claimed"
    job = Job.objects.get(pk=job_id)
    context = JobContext(job=job, lease=lease, on_progress=on_progress)
    with _heartbeat(context, lease):
        outcome, detail = _execute(context, lease)
    leases.close_attempt(lease, outcome=outcome, detail=detail)
    if outcome in ("failed", "lost"):
        logger.warning("job %s (%s): %s: %s", job_id, job.kind, outcome, detail)
    return outcome


def drain(*, project_key: str, on_progress: Callable[[ProjectProgress], None]) -> None:
    """Take part in a project's work, in this process, until nothing is queued or running.

    Waits for jobs that other workers hold, and takes them over when their leases expire.
    """
    worker = f"in-process-{uuid.uuid4().hex[:8]}"
    ticked = time.monotonic()

    def report() -> None:
        on_progress(selectors.progress_of(project_key))

    while True:
        report()
        waiting = selectors.jobs_of(project_key).filter(state=JobState.QUEUED).values_list("pk", flat=True)
        worked = False
        for job_id in list(waiting):
            worked |= run_job(job_id, worker, on_progress=report) == "done"
            report()
            if registry.stopping.is_set():
                return
        if not selectors.jobs_of(project_key).filter(state__in=[JobState.QUEUED, JobState.RUNNING]).exists():
            break
        if time.monotonic() - ticked > SECONDS_BETWEEN_TICKS:
            reaper.reap()
            ticked = time.monotonic()
        if not worked:
            # What was done may have queued the next step, which need not wait.
            time.sleep(SECONDS_BETWEEN_LOOKS)
    report()


def wait_for_workers(*, project_key: str, on_progress: Callable[[ProjectProgress], None]) -> None:
    """Watch a project's work, doing none of it here, until nothing is queued or running."""
    while True:
        progress = selectors.progress_of(project_key)
        on_progress(progress)
        if progress.open == 0:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _execute(context: JobContext, lease: Lease) -> tuple[str, str]:
    job = context.job
    try:
        registry.executor_for(job.kind).run(context)
    except LostLease:
        return "lost", "another worker holds this job now; nothing of this try was kept"
    except Cancelled:
        return _end(lease, job, cancelled=True, code="cancelled", message="cancelled on request")
    except WorkerStopping:
        leases.hand_back(lease, counts=False, code="", message="")
        return "requeued", "the worker was stopped; the job went back to the queue"
    except (ServiceError, ImagingError) as error:
        # Said on purpose about this input: trying again would say the same.
        return _end(lease, job, cancelled=False, code=error.code, message=error.message)
    except Exception as error:
        return _after_accident(lease, job, error)
    if Job.objects.filter(pk=job.pk, state=JobState.DONE, fencing_token=lease.token).exists():
        return "done", ""
    if not leases.renew(lease, progress=None):
        return "lost", "another worker holds this job now; nothing of this try was kept"
    return _end(
        lease, job, cancelled=False, code="never-completed", message="the executor ended without storing a result"
    )


def _after_accident(lease: Lease, job: Job, error: Exception) -> tuple[str, str]:
    """Try again after an error that nobody foresaw, as often as the job permits."""
    # Neither the log nor the row gets the error's own text: it may quote a header, and with it a patient.
    message = f"unexpected {type(error).__name__} {_where(error)}"
    logger.error("job %s (%s): %s\n%s", job.pk, job.kind, message, "".join(traceback.format_tb(error.__traceback__)))
    if job.attempt < job.max_attempts:
        if leases.hand_back(lease, counts=True, code="unexpected", message=message):
            dispatch.wake(job_id=job.pk)
            return "requeued", message
        return "lost", message
    return _end(lease, job, cancelled=False, code="unexpected", message=message)


def _end(lease: Lease, job: Job, *, cancelled: bool, code: str, message: str) -> tuple[str, str]:
    if not reaper.end_without_result(lease, kind=job.kind, cancelled=cancelled, code=code, message=message):
        return "lost", message
    return ("cancelled" if cancelled else "failed"), message


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "at an unknown place"
    return f"in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"


@contextmanager
def _heartbeat(context: JobContext, lease: Lease) -> Iterator[None]:
    """Renew the lease from a thread of its own, so that a long step between two reports does not lose the job."""
    ended = threading.Event()
    interval = leases.lease_length().total_seconds() / 3

    def beat() -> None:
        try:
            while not ended.wait(interval):
                try:
                    if not leases.renew(lease, progress=None):
                        context.lease_lost.set()
                        return
                except DatabaseError as error:
                    # One missed beat is no loss: two more fit before the lease expires.
                    logger.warning("job %s: lease not renewed this time: %s", lease.job_id, type(error).__name__)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"heartbeat-{lease.job_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
