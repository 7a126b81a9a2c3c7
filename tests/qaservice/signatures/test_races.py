"""One intent, used by several requests at the same moment, signs once, where they really run side by side."""

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
@pytest.mark.requirement("REQ-27")
def test_an_intent_used_at_the_same_moment_signs_exactly_once(postgres_url: str, tmp_path: Path):
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
        told = json.loads(run("-m", "tests.qaservice.signatures.racing_signatures").splitlines()[-1])
    assert told["with_code"].count("signed") == 1 and told["used_codes"] == 7
    # Who comes second finds the code used, or the intent.
    assert set(told["with_code"]) <= {"signed", "not-proven", "intent-used"}
    assert told["by_password"].count("signed") == 4 and told["by_password"].count("intent-used") == 8
    assert told["signatures"] == told["intents"] == 5
    assert told["standings"] == ["valid"]
