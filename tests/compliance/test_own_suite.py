"""The bridge from a run of the whole tree to the record's own suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_records_own_suite_passes_without_the_service() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "pytest", "-q", "-c", "tests/compliance/pytest.ini", "tests/compliance"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout[-8000:])
    assert done.returncode == 0, f"the record's own suite failed:\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
