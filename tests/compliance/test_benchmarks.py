"""The record's benchmark at its smallest: it writes what it says, and leaves a record that is found whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compliance.models import Event
from compliance.sealing import seal
from compliance.verification import verify_live
from tests.compliance.testapp.models import Case

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *sizes: float, url: str, folder: Path) -> dict[str, Any]:
    """Run one of the benchmark's programs on a database, as ``make bench`` does; return what it found."""
    own = {
        "DJANGO_SETTINGS_MODULE": "tests.compliance.benchmark_settings",
        "BENCH_DATABASE_URL": url,
        "BENCH_FOLDER": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.ledger.{module}", *map(str, sizes)],
        env={**os.environ, **own},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def require_whole(*, events: int, cases: int) -> None:
    assert (Event.objects.count(), Case.objects.count(), Case.history.count()) == (events, cases, cases)
    while seal():
        pass
    result = verify_live()
    assert (result.ok, result.sealed, result.rows) == (True, events, cases)


def test_a_ledger_and_a_kit_made_quickly_are_found_whole(postgres_database: str, tmp_path: Path) -> None:
    found = run("verified", 20, 21, 2, url=postgres_database, folder=tmp_path)
    assert (found["live_events"], found["live_rows"], found["kit_events"]) == (20, 4, 21)
    assert len(found["seconds"]["kit"]) == 2
    assert min(found["proof_ms"]) > 0
    result = verify_live()
    # One more event names the key that signed the proofs' checkpoint.
    assert (result.ok, result.sealed, result.rows, result.checkpoints) == (True, 21, 4, 1)


def test_every_row_that_is_created_beside_a_bare_one_is_recorded(postgres_database: str, tmp_path: Path) -> None:
    found = run("overhead", 3, 2, url=postgres_database, folder=tmp_path)
    assert found["creations"] == 3
    assert {way: len(turns) for way, turns in found["seconds"].items()} == {
        "bare": 2,
        "recorded": 2,
        "bare_together": 2,
        "recorded_together": 2,
    }
    # Two ways, each once to warm up and three times in two rounds.
    require_whole(events=14, cases=14)


def test_writers_beside_a_sealer_leave_a_whole_record(postgres_database: str, tmp_path: Path) -> None:
    found = run("writers", 0, 1, 3, url=postgres_database, folder=tmp_path)
    # Nothing but warming up: five turns of one event, of ten events and of one row, by three writers.
    assert found["a_second"] == {"single": [0.0], "tens": [0.0], "rows": [0.0]}
    assert Event.objects.count() == 5 * 3 * 12
    assert Case.history.count() == Case.objects.count() == 5 * 3
    while seal():
        pass
    assert verify_live().ok
