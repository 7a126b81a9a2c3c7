"""The wake-up: a message that names a job. It may be lost or doubled; the job's row is the truth."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, cast

from django.db import transaction

from qaservice.celery import app
from qaservice.jobs import leases

logger = logging.getLogger(__name__)

WORK = "qaservice.jobs.work"
TICK = "qaservice.jobs.tick"


def house_task(*, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a Celery task the one way this house does: late acknowledgement, no result, no retries of Celery's own.

    Retries belong to the job's row; a task that raised would only be redelivered to raise again.
    """
    made = app.task(
        name=name,
        acks_late=True,
        reject_on_worker_lost=True,
        ignore_result=True,
        max_retries=0,
    )
    return cast("Callable[[Callable[..., Any]], Callable[..., Any]]", made)


def wake_on_commit(*, job_id: uuid.UUID) -> None:
    """Send the wake-up once the running transaction has committed; at once where none is running."""
    transaction.on_commit(lambda: wake(job_id=job_id))


def wake(*, job_id: uuid.UUID) -> bool:
    """Send the wake-up. A broker that does not answer is no error: the next tick sends it again."""
    try:
        app.send_task(WORK, args=[str(job_id)], retry=False)
    except Exception as error:  # a broker raises its transport's own errors, which have no common base
        logger.warning("no wake-up for job %s: %s; the next tick tries again", job_id, type(error).__name__)
        return False
    leases.note_wake_up(job_id=job_id)
    return True
