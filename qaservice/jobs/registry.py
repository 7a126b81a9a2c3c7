"""Which function does which kind of work, and what it is given to do it with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.utils.module_loading import autodiscover_modules

from qaservice.jobs import leases
from qaservice.jobs.errors import Cancelled, LostLease, WorkerStopping
from qaservice.jobs.leases import Lease
from qaservice.jobs.models import Job

SECONDS_BETWEEN_REPORTS = 0.5
"""Progress is written twice a second at most: more would only fight for SQLite's one write lock."""

stopping = threading.Event()
"""Set when this process was told to stop; a running job is handed back at its next report of progress."""


class JobContext:
    """What an executor is given: the job, a place to report to, and the right to write the result."""

    def __init__(self, *, job: Job, lease: Lease, on_progress: Callable[[], None] | None) -> None:
        self._job = job
        self._lease = lease
        self._on_progress = on_progress
        self._reported = float("-inf")
        self.lease_lost = threading.Event()

    @property
    def job(self) -> Job:
        """The job as it was when this worker took it."""
        return self._job

    @property
    def subject_id(self) -> str:
        """Key of the row that the job works on."""
        return self._job.subject_id

    @property
    def worker(self) -> str:
        """Name of the worker that runs this."""
        return self._lease.owner

    def progress(self, done: int, total: int, note: str) -> None:
        """Report how far the work is; call it often, outside transactions: it writes at most twice a second.

        Raises LostLease, Cancelled or WorkerStopping when the executor must end; let them pass.
        """
        if self.lease_lost.is_set():
            raise LostLease
        if stopping.is_set():
            raise WorkerStopping
        moment = time.monotonic()
        if moment - self._reported < SECONDS_BETWEEN_REPORTS:
            return
        self._reported = moment
        if not leases.renew(self._lease, progress=(done, total, note)):
            raise LostLease
        if Job.objects.filter(pk=self._job.pk, cancel_requested=True).exists():
            raise Cancelled
        if self._on_progress is not None:
            self._on_progress()

    def fence(self) -> None:
        """Hold this worker's right for the running transaction, which stores a part of the result.

        Raises LostLease, so that the part rolls back, if another worker has taken the job over.
        """
        self._require_transaction("fence")
        if not leases.renew(self._lease, progress=None):
            raise LostLease

    def complete(self) -> None:
        """Mark the job done, inside the transaction that stores its result.

        Raises LostLease, so that the whole transaction rolls back, if another worker has taken the job over.
        """
        self._require_transaction("complete")
        if not leases.finish(self._lease):
            raise LostLease

    @staticmethod
    def _require_transaction(name: str) -> None:
        if not connection.in_atomic_block:
            raise RuntimeError(f"{name}() belongs inside the transaction that stores the result")


Run = Callable[[JobContext], None]
OnStopped = Callable[[Job], None]


@dataclass(frozen=True, slots=True)
class Executor:
    """How one kind of job is done, and what its subject needs when the job ends without a result.

    ``on_stopped`` is called inside the transaction that ends the job as failed or cancelled, with the job as it now
    stands (state, error_code, error).
    """

    kind: str
    run: Run
    on_stopped: OnStopped | None


_executors: dict[str, Executor] = {}
_discovered = False


def executor(kind: str, *, on_stopped: OnStopped | None = None) -> Callable[[Run], Run]:
    """Register the decorated function as the one that does jobs of ``kind``; it lives in an app's ``execution.py``.

    It must be safe to run again after being stopped anywhere, and must call ``context.complete()`` inside the
    transaction that stores its result.
    """

    def register(run: Run) -> Run:
        known = _executors.get(kind)
        if known is not None and known.run is not run:
            raise ValueError(f"two executors claim jobs of kind {kind!r}")
        _executors[kind] = Executor(kind=kind, run=run, on_stopped=on_stopped)
        return run

    return register


Housekeeping = Callable[[], object]

_housekeeping: dict[str, Housekeeping] = {}


def housekeeping(function: Housekeeping) -> Housekeeping:
    """Register what an app looks after at every tick; it lives in the app's ``execution.py``.

    It must be quick, and safe to run in several processes at the same time.
    """
    _housekeeping[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def all_housekeeping() -> tuple[Housekeeping, ...]:
    """Return everything that is looked after at a tick."""
    _discover()
    return tuple(_housekeeping.values())


def executor_for(kind: str) -> Executor:
    """Return the executor of ``kind``. Raises LookupError if no installed app has one."""
    if kind not in _executors:
        _discover()
    try:
        return _executors[kind]
    except KeyError as error:
        raise LookupError(f"no executor does jobs of kind {kind!r}") from error


def _discover() -> None:
    global _discovered
    if not _discovered:
        # Late, and only where work is done: executors may import heavy libraries.
        autodiscover_modules("execution")
        _discovered = True
