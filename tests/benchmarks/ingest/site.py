"""A site of this service for one measurement: web server and worker as they are deployed, and a token to push with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import free_port

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 120.0

_PREPARE = """
import django; django.setup()
from django.core.management import call_command
from compliance.recording import SYSTEM
from qaservice.accounts.services import create_user, issue_token
from qaservice.projects.models import Role
from qaservice.projects.services import create_project, grant
call_command("migrate", verbosity=0)
project = create_project(key="bench", title="Benchmark", actor=SYSTEM, reason="benchmark")
user = create_user(
    username="sender", display_name="Sender", password=None, kind="service", actor=SYSTEM, reason="benchmark"
)
grant(project=project, user=user, role=Role.INTEGRATOR, actor=SYSTEM, reason="benchmark")
print(issue_token(user=user, label="benchmark", actor=SYSTEM, reason="benchmark"))
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a site answers, and the header that lets a sender in."""

    port: int
    authorization: Mapping[str, str]

    def post(self, path: str, fields: Mapping[str, str]) -> dict[str, object]:
        """POST a JSON object and return the answer's."""
        return self._call(path, json.dumps(fields).encode())

    def get(self, path: str) -> dict[str, object]:
        """Return what lies at an address of the API."""
        return self._call(path, None)

    def _call(self, path: str, body: bytes | None) -> dict[str, object]:
        headers = {"Content-Type": "application/json", **self.authorization}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            found: dict[str, object] = json.load(answer)
        return found


def environment(data: Path, database: str) -> dict[str, str]:
    """Return the environment of a site whose data lie in ``data``; ``database`` is a URL, empty for SQLite."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QASERVICE_")}
    named = {"QASERVICE_DATABASE_URL": database} if database else {}
    return {**kept, "DJANGO_SETTINGS_MODULE": "qaservice.settings", "QASERVICE_DATA_DIR": str(data), **named}


@contextmanager
def running(data: Path) -> Iterator[Site]:
    """Run a site on SQLite with the web server's deployed settings and one worker; give it once both answer."""
    surroundings = environment(data, "")
    token = subprocess.run(
        [sys.executable, "-c", _PREPARE], env=surroundings, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    port = free_port()
    served = ["gunicorn", "qaservice.wsgi:application", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    commands = (
        [sys.executable, "-m", *served, "--threads", "4", "--timeout", "120", "--no-control-socket"],
        [sys.executable, "manage.py", "worker"],
    )
    processes: list[subprocess.Popen[bytes]] = []
    with (data / "log").open("wb") as log:
        try:
            processes = [
                subprocess.Popen(command, env=surroundings, cwd=ROOT, stdout=log, stderr=log) for command in commands
            ]
            site = Site(port, {"Authorization": f"Bearer {token}"})
            try:
                _wait(site)
                yield site
            except Exception as error:
                raise RuntimeError((data / "log").read_text(errors="replace")[-2000:]) from error
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def _wait(site: Site) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            site.get("me/")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            time.sleep(3)  # the worker, which does not say when it is ready
            return
    raise TimeoutError("the site did not answer")
