"""A site of its own for one test: a data folder, the management commands, and a server on the loopback."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-battery"
STARTING_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """Status and parsed body of one call."""

    status: int
    body: Any


@dataclass(frozen=True)
class Person:
    """Someone who calls the API with a token of their own."""

    address: str
    token: str

    def get(self, path: str) -> Answer:
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, object]) -> Answer:
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, data: bytes | None) -> Answer:
        request = urllib.request.Request(f"{self.address}/api/v1/{path}", data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, json.loads(response.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read()))


class Service:
    """Management commands and a server over one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QASERVICE_", "DJANGO_"))},
            "QASERVICE_DATA_DIR": str(data_dir),
            "QASERVICE_NEW_PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "qaservice.settings",
        }

    def run(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one management command; a failure shows what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"manage.py {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}")
        return done

    def open_account(self, name: str, role: str, *, project: str, address: str, kind: str = "person") -> Person:
        """Open an account with a token and a role, and return its caller."""
        told = self.run("create_user", name, "--display-name", name.title(), "--kind", kind, "--token").stdout
        token = re.search(r"token (\S+)", told)
        assert token is not None
        self.run("grant_role", name, role, "--project", project, "--create", project.title())
        return Person(address=address, token=token[1])

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port of the loopback and give the address; stop at the end."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "qaservice.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "4"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"the server ended with {server.returncode} before it answered")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not answer in time")
