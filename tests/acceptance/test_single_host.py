"""The deployment guide, done: two PostgreSQL roles, RabbitMQ, production settings, a worker killed in mid-delivery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import series_files, written_to

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "deploy" / "single-host" / "roles.sql"
SERIES_COUNT = 8
SLICES = 30
PATIENCE = 240

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]


class Host:
    """One host set up as docs/guides/deployment.md says, with names of its own on the tests' server."""

    def __init__(self, *, server_url: str, broker_url: str, folder: Path) -> None:
        self.folder = folder
        self.database = f"qaservice_{uuid.uuid4().hex[:12]}"
        self._server_url = server_url
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QASERVICE_", "DJANGO_"))},
            "DJANGO_SETTINGS_MODULE": "qaservice.settings",
            "QASERVICE_MODE": "production",
            "QASERVICE_SECRET_KEY": uuid.uuid4().hex * 3,
            "QASERVICE_ALLOWED_HOSTS": "127.0.0.1",
            "QASERVICE_RUNTIME_DB_ROLE": self.role("run"),
            # A virtual host of its own would need the broker's administrator; a queue name is not configurable.
            "QASERVICE_BROKER_URL": broker_url,
            "QASERVICE_DATA_DIR": str(folder),
            "QASERVICE_IDENTITY_KEY_FILE": str(folder.parent / "identity-key"),
            "QASERVICE_LEDGER_KEY_FILE": str(folder.parent / "ledger-key"),
            "QASERVICE_CHECKPOINT_DIR": str(folder.parent / "checkpoints"),
            "QASERVICE_JOB_LEASE_SECONDS": "12",
        }

    def role(self, name: str) -> str:
        return f"{self.database}_{name}"

    def set_up(self) -> None:
        """Run roles.sql as the superuser, then migrate as the owner."""
        script = ROLES.read_text(encoding="utf-8").replace("qaservice_owner", self.role("owner"))
        script = script.replace("qaservice_run", self.role("run"))
        script = script.replace("DATABASE qaservice", f"DATABASE {self.database}")
        script = script.replace("\\connect qaservice", f"\\connect {self.database}")
        psql = ["psql", self._server_url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        variables = ["--set=owner_password='owner-secret'", "--set=run_password='run-secret'"]
        subprocess.run([*psql, *variables, "-f", "-"], input=script, text=True, check=True, capture_output=True)
        self.manage("migrate", "-v0", role="owner")

    def tear_down(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        with psycopg.connect(self._server_url, autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.database)))
            for name in ("owner", "run"):
                server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(self.role(name))))

    def url(self, role: str) -> str:
        parts = urlsplit(self._server_url)
        place = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        user = f"{self.role(role)}:{role}-secret@{place}"
        return urlunsplit(parts._replace(netloc=user, path=f"/{self.database}"))

    def start(self, *arguments: str, role: str = "run") -> subprocess.Popen[bytes]:
        environment = {**self._environment, "QASERVICE_DATABASE_URL": self.url(role)}
        log = (self.folder / f"{arguments[0]}-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "manage.py", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def manage(self, *arguments: str, role: str = "run") -> None:
        process = self.start(*arguments, role=role)
        assert process.wait(PATIENCE) == 0, self.logs()

    def number(self, query: str) -> int:
        with psycopg.connect(self.url("run")) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def logs(self) -> str:
        return "\n".join(f"{log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture
def host(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "host"
    folder.mkdir()
    made = Host(server_url=postgres_url, broker_url=broker_url, folder=folder)
    try:
        made.set_up()
        yield made
    finally:
        made.tear_down()


@pytest.mark.requirement("REQ-09")
def test_a_single_host_is_set_up_by_the_guide_and_its_service_cannot_touch_the_trail(host: Host) -> None:
    host.manage("check", "--deploy", "--database", "default", "--fail-level", "WARNING")
    host.manage("seal_ledger")
    with psycopg.connect(host.url("run"), autocommit=True) as service:
        for statement in (
            "UPDATE compliance_event SET reason = 'x'",
            "DELETE FROM compliance_event",
            "TRUNCATE compliance_event CASCADE",
            "ALTER TABLE compliance_event DISABLE TRIGGER ALL",
            "DROP TABLE compliance_ledgerentry",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute(statement.encode())


@pytest.mark.requirement("REQ-17")
def test_a_worker_killed_under_rabbitmq_and_postgresql_loses_nothing(host: Host, tmp_path: Path) -> None:
    delivery = tmp_path / "delivery"
    for number in range(SERIES_COUNT):
        written_to(delivery, series_files(series=f"{SERIES}.{number + 100}", count=SLICES))
    worker = host.start("worker")
    client = host.start("ingest", str(delivery), "--project", "p", "--workers-only")
    give_up = time.monotonic() + PATIENCE
    while not 0 < host.number("SELECT count(*) FROM studies_series") < SERIES_COUNT - 1:
        assert time.monotonic() < give_up, host.logs()
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    assert host.number("SELECT count(*) FROM studies_series") < SERIES_COUNT, "the worker died in mid-delivery"

    host.start("worker")
    assert client.wait(PATIENCE) == 0, host.logs()
    assert host.number("SELECT count(*) FROM studies_instance") == SERIES_COUNT * SLICES
    assert host.number("SELECT count(*) FROM jobs_job WHERE state <> 'done'") == 0
    host.manage("verify_ledger")
