"""Deciding votes given at the same moment settle a flag once, on a database where they really run side by side."""

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
def test_votes_given_at_the_same_moment_settle_a_flag_exactly_once(postgres_url: str, tmp_path: Path):
    with temporary_database(postgres_url) as url:
        environment = {
            **os.environ,
            "QASERVICE_DATABASE_URL": url,
            "QASERVICE_DATA_DIR": str(tmp_path / "site"),
            "QASERVICE_TEST_DATA_DIR": str(tmp_path / "site"),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }

        def run(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("manage.py", "migrate")
        told = json.loads(run("-m", "tests.qaservice.review.racing_votes").splitlines()[-1])
    assert told["settled"] == told["consensuses"] == 6
    # The first of six identical corrections changes the reference standard; each flag has a place of its own.
    assert told["corrections"] >= 1
    answers = told["answers"]
    assert len(answers) == 24 and set(answers) <= {"stored", "flag-settled", "already-voted"}
    # Two verdicts carry each agreement; whoever came later was told so, and nobody voted twice.
    assert answers.count("stored") == told["final_verdicts"] == 12
