"""Celery's side: two messages. Everything else is in rows."""

from __future__ import annotations

import os
import socket
import uuid

from qaservice.jobs import dispatch, reaper, runner


def worker_name() -> str:
    """Return a name that an operator can find: host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dispatch.house_task(name=dispatch.WORK)
def work(job_id: str) -> str:
    """Do the named job if it is free."""
    return runner.run_job(uuid.UUID(job_id), worker_name())


@dispatch.house_task(name=dispatch.TICK)
def tick() -> None:
    """Do the housekeeping once."""
    reaper.tick()
