"""Run a worker: a Celery process of its own that does jobs, with the housekeeping tick beside it."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import worker_shutting_down
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from qaservice.celery import app
from qaservice.jobs import reaper, registry
from qaservice.jobs.tasks import worker_name

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run a worker process: it does queued jobs until it is stopped (SIGTERM hands a running job back)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tick-seconds", type=float, default=2.0, help="how often the housekeeping runs")
        parser.add_argument("--log-level", default="WARNING")

    def handle(self, *args: Any, **options: Any) -> None:
        ended = threading.Event()
        worker_shutting_down.connect(_stop_running_job, weak=False)
        ticking = threading.Thread(
            target=_tick_until, kwargs={"ended": ended, "seconds": options["tick_seconds"]}, name="tick", daemon=True
        )
        ticking.start()
        app.conf.worker_enable_remote_control = False
        # Solo: one job at a time in this process, so that killing the process is the whole story of a crash.
        worker = app.Worker(
            pool="solo",
            concurrency=1,
            hostname=f"worker@{worker_name()}",
            loglevel=options["log_level"],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        try:
            worker.start()
        finally:
            ended.set()
            ticking.join(timeout=10)
        if worker.exitcode:
            raise SystemExit(worker.exitcode)


def _stop_running_job(**_signal: object) -> None:
    registry.stopping.set()


def _tick_until(*, ended: threading.Event, seconds: float) -> None:
    try:
        while not ended.wait(seconds):
            try:
                reaper.tick()
            except Exception as error:  # housekeeping must outlive a database that is away for a while
                logger.warning("housekeeping failed this time: %s", type(error).__name__)
                connection.close()
    finally:
        connection.close()
