"""Real worker processes over the embedded broker: killed with -9 in mid-delivery, told to stop, started again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import series_files, written_to

ROOT = Path(__file__).resolve().parents[3]
SERIES_COUNT = 12
SLICES = 40
PATIENCE = 240

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Site:
    """A site of its own: data folder, database and a broker made of files; processes are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QASERVICE_", "DJANGO_"))},
            "QASERVICE_DATA_DIR": str(folder),
            # A short lease, but none that a living worker loses on a busy machine.
            "QASERVICE_JOB_LEASE_SECONDS": "12",
            "DJANGO_SETTINGS_MODULE": "qaservice.settings",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{arguments[0]}-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "manage.py", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> None:
        process = self.start(*arguments)
        assert process.wait(PATIENCE) == 0, self.logs()

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.folder / "qaservice.sqlite3", timeout=30) as connection:
            return connection.execute(query).fetchall()

    def number(self, query: str) -> int:
        [(value,)] = self.ask(query)
        return int(str(value))

    def until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.01)

    def logs(self) -> str:
        return "\n".join(f"{log.name}\n{log.read_text()}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(folder)
    made.run("migrate", "-v0")
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    folder = tmp_path / "delivery"
    for number in range(SERIES_COUNT):
        written_to(folder, series_files(series=f"{SERIES}.{number + 100}", count=SLICES))
    return folder


def in_mid_ingest(site: Site) -> bool:
    """Whether some series are stored and others are not, while a worker is at it."""
    stored = site.number("SELECT count(*) FROM studies_series")
    running = site.number("SELECT count(*) FROM jobs_job WHERE state = 'running' AND kind = 'studies.ingest'")
    return 0 < stored < SERIES_COUNT - 2 and running == 1


def check_that_nothing_is_lost_or_doubled(site: Site) -> None:
    total = SERIES_COUNT * SLICES
    assert site.ask("SELECT state FROM studies_ingest") == [("completed",)]
    assert site.ask("SELECT outcome, count(*) FROM studies_ingestitem GROUP BY outcome") == [("stored", total)]
    assert site.number("SELECT count(*) FROM studies_instance") == total
    assert site.ask("SELECT state, instance_count FROM studies_series") == [("accepted", SLICES)] * SERIES_COUNT
    assert set(site.ask("SELECT state FROM jobs_job")) == {("done",)}
    site.run("verify_ledger")


@pytest.mark.requirement("REQ-17")
def test_a_delivery_survives_the_killing_of_its_worker(site: Site, delivery: Path) -> None:
    worker = site.start("worker")
    client = site.start("ingest", str(delivery), "--project", "p", "--workers-only")
    site.until(lambda: in_mid_ingest(site))
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    killed_at = time.monotonic()
    assert site.number("SELECT count(*) FROM studies_series") < SERIES_COUNT, "the worker died in mid-delivery"

    site.start("worker")
    assert client.wait(PATIENCE) == 0, site.logs()
    print(f"recovered and finished {time.monotonic() - killed_at:.1f} s after the kill")
    attempts = site.ask(
        "SELECT a.outcome FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id "
        "WHERE j.kind = 'studies.ingest' ORDER BY a.number"
    )
    assert attempts == [("lease expired",), ("done",)]
    check_that_nothing_is_lost_or_doubled(site)


def test_a_worker_told_to_stop_hands_its_job_back_and_ends_cleanly(site: Site, delivery: Path) -> None:
    worker = site.start("worker")
    client = site.start("ingest", str(delivery), "--project", "p", "--workers-only")
    site.until(lambda: in_mid_ingest(site))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0, site.logs()
    assert site.number("SELECT count(*) FROM jobs_job WHERE state = 'queued' AND attempt = 0") == 1, site.logs()

    site.start("worker")
    assert client.wait(PATIENCE) == 0, site.logs()
    check_that_nothing_is_lost_or_doubled(site)
