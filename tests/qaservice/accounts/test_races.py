"""Failures at the same moment are all counted, and lock once, on a database where they really run side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.postgres import temporary_database

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.requirement("REQ-07")
def test_failures_at_the_same_moment_are_all_counted_and_lock_once(postgres_url: str, tmp_path: Path):
    with temporary_database(postgres_url) as url:
        environment = {
            **os.environ,
            "QASERVICE_DATABASE_URL": url,
            "QASERVICE_TEST_DATA_DIR": str(tmp_path / "site"),
            "QASERVICE_LOCKOUT_FAILURES": "5",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }

        def run(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("manage.py", "migrate")
        told = json.loads(run("-m", "tests.qaservice.accounts.racing_failures").splitlines()[-1])
    # What fails behind the lock is recorded and makes it no longer; the address goes on counting.
    assert told == {"faults": [], "recorded": 8, "locked": 1, "alerts": 1, "counted": 5, "from_the_address": 8}
