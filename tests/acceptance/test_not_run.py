"""A test that could not run is named with its reason; in continuous integration a missing server fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import pytest

@pytest.mark.browser
def test_that_needs_a_browser():
    pytest.skip("no Chromium here")

def test_that_is_not_for_this_system():
    pytest.skip("only on another system")

def test_that_runs():
    pass
"""


def run(folder: Path, *, ci: bool, absent: str = "", suite: str = SUITE) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = browser: needs Chromium\n")
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PYTHONPATH": str(ROOT), "QASERVICE_TEST_ABSENT": absent} | ({"CI": "true"} if ci else {})
    plugins = ["-p", "tests.plugins.not_run", "-p", "no:django", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "-c", "pytest.ini", "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_did_not_run_is_named_with_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, ci=False, absent="RabbitMQ is not here")
    assert done.returncode == 0, done.stdout
    told = done.stdout.split("Not run")[1]
    for words in ("RabbitMQ is not here", "1 not run: no Chromium here", "test_that_needs_a_browser"):
        assert words in told


@pytest.mark.parametrize(("ci", "code"), [(True, 1), (False, 0)])
def test_a_missing_server_fails_the_run_only_in_continuous_integration(tmp_path: Path, ci: bool, code: int) -> None:
    assert run(tmp_path, ci=ci).returncode == code


def test_another_reason_to_skip_does_not_fail_the_run(tmp_path: Path) -> None:
    assert run(tmp_path, ci=True, suite=SUITE.replace("@pytest.mark.browser\n", "")).returncode == 0
