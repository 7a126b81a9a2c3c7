"""On PostgreSQL the trail's pages and searches are read off its indexes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.postgres import temporary_database

ROOT = Path(__file__).resolve().parents[3]
EVENTS = 20_000


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.requirement("REQ-04")
def test_pages_and_searches_of_many_events_use_the_indexes_and_find_what_they_should(postgres_url: str, tmp_path: Path):
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
        told = json.loads(run("-m", "tests.qaservice.trail.searching_postgres", str(EVENTS)).splitlines()[-1])
    assert (told["first page"]["found"], told["deep page"]["found"]) == (100, 100)
    # One in five thousand says it; "consens" is the beginning of a word, "F-0042" is taken apart as it was there.
    assert told["rare words"]["found"] == EVENTS // 5000
    for name in ("first page", "deep page"):
        # An index gives the order: at most events of one and the same moment are sorted.
        plan = told[name]["plan"]
        assert "Index Scan Backward" in plan and not re.search(r"(?<!Incremental )Sort  \(", plan), plan
    assert "event_by_reason" in told["rare words"]["plan"]
    assert "Seq Scan on compliance_event" not in told["record"]["plan"]
