"""Why a job stops before its end. Executors let these pass; only the runner catches them."""

from __future__ import annotations


class JobStopped(Exception):
    """Base: the executor must end now and store nothing more."""


class LostLease(JobStopped):
    """Another worker holds this job now: whatever this one still writes must roll back."""


class Cancelled(JobStopped):
    """Somebody asked for the job to be cancelled."""


class WorkerStopping(JobStopped):
    """This worker was told to stop; the job goes back to the queue and costs no attempt."""
