"""What ``make test`` runs: servers first, then the suite on SQLite, then what touches the database on PostgreSQL.
What fails is run once more by itself: one that passes then is named as unsteady, one that fails again fails the run.

``python -m tests.run [arguments of pytest]``: with arguments, one run on SQLite with the servers that are at hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.services import Servers, servers

ROOT = Path(__file__).resolve().parents[1]
# pytest's exit code for tests that ran and failed; anything else is not run again.
FAILURES = 1
FRONTEND = ROOT / "qaservice" / "portal" / "frontend"
# What reads or writes rows through the default database runs again on PostgreSQL. The record's own suite brings both
# databases itself, and the acceptance tests choose theirs.
ON_POSTGRES = ["tests/qaservice"]
RECORD = ["-c", "tests/compliance/pytest.ini", "tests/compliance"]
# The bridge by which a bare pytest runs the record's suite; here it is a run of its own.
EVERYTHING_ELSE = ["--ignore=tests/compliance/test_own_suite.py"]


def main(arguments: list[str]) -> int:
    """Run what was asked for, else everything; return 0 only if all of it passed."""
    with servers(install=not arguments) as found:
        for line in found.absent:
            print(line, flush=True)
        if arguments:
            return _pytest("the tests named", arguments, found=found, database="")
        failed = [name for name, code in _everything(found) if code]
    for name in failed:
        print(f"FAILED: {name}", flush=True)
    for line in found.absent:
        print(f"Not run: {line}", flush=True)
    if os.environ.get("CI") and found.absent:
        print("FAILED: in continuous integration nothing may stay untested for want of a server", flush=True)
        return 1
    return 1 if failed else 0


def _everything(found: Servers) -> list[tuple[str, int]]:
    runs = [("portal scripts", _command("portal scripts", ["npm", "test", "--silent"], FRONTEND))]

    def suite(title: str, arguments: list[str], database: str) -> None:
        runs.append((title, _pytest(title, [*arguments, "--durations=10"], found=found, database=database)))

    suite("the record's own suite, on both databases", RECORD, "")
    if postgres := found.environment.get("QASERVICE_TEST_POSTGRES_URL"):
        suite("the service on PostgreSQL", ON_POSTGRES, postgres)
    suite("everything on SQLite", EVERYTHING_ELSE, "")
    return runs


def _pytest(title: str, arguments: list[str], *, found: Servers, database: str) -> int:
    environment = {**os.environ, **found.environment, "QASERVICE_TEST_ABSENT": "\n".join(found.absent)}
    # What a site has set must not leak into its tests.
    for name in ("DJANGO_SETTINGS_MODULE", "QASERVICE_DATA_DIR", "QASERVICE_DATABASE_URL", "QASERVICE_MODE"):
        environment.pop(name, None)
    if database:
        environment["QASERVICE_DATABASE_URL"] = database
    command = [sys.executable, "-m", "pytest", *arguments]
    cache = ["-o", f"cache_dir={ROOT / '.pytest_cache' / title.replace(' ', '-')}"]
    code = _command(title, [*command, *cache], ROOT, environment)
    if code != FAILURES:
        return code
    # Once more, each failure by itself and in one order: what fails again is broken, the rest is unsteady and is named.
    again = _command(
        f"{title}: what failed, once more", [*command, *cache, "--last-failed", "-p", "no:randomly"], ROOT, environment
    )
    if again == 0:
        print(f"UNSTEADY: {title}: what failed above passed when it was run again; mend it", flush=True)
    return again


def _command(title: str, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> int:
    print(f"\n=== {title}", flush=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    print(f"=== {title}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
