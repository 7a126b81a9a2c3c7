"""A ledger verified live, and a kit: ``python -m tests.benchmarks.ledger.verified LIVE KIT ROUNDS``.

LIVE and KIT are numbers of events. The database is the one that the environment names, migrated and empty. Prints one
JSON object with the seconds of each step; the kit is verified by the program that kits hold, as an outsider runs it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import django

Result = TypeVar("Result")

PROOFS = 200
SEED = 6


def main(live: int, kit: int, rounds: int) -> dict[str, object]:
    """Return how long everything took; raises SystemExit where the ledger is not found whole."""
    django.setup()
    from compliance.ledger import verify
    from compliance.verification import verify_live
    from tests.benchmarks.ledger import made, made_kit

    written, sealed = made.make(live)
    before = _spent()
    live_seconds, found = _timed(lambda: verify_live(processes=os.cpu_count() or 1))
    live_processor = round(_spent() - before, 3)
    if not found.ok:
        raise SystemExit(f"the record was not found whole: {found.first}")
    proofs = _proofs()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kit.zip"
        made_seconds, _ = _timed(lambda: made_kit.make(path, kit))
        size = path.stat().st_size
        before = _spent()
        kit_seconds = [_kit_seconds(Path(verify.__file__), path) for _ in range(rounds)]
        kit_processor = round((_spent() - before) / rounds, 3)
    return {
        "live_events": found.sealed,
        "live_rows": found.rows,
        "kit_events": kit,
        "kit_bytes": size,
        "seconds": {
            "written": written,
            "sealed": sealed,
            "live": live_seconds,
            "kit_made": made_seconds,
            "kit": kit_seconds,
        },
        # Of this program's own processes; PostgreSQL's are not among them.
        "processor_seconds": {"live": live_processor, "kit": kit_processor},
        "proof_ms": proofs,
    }


def _kit_seconds(script: Path, kit: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-I", "-S", script, kit], capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return round(took, 3)


def _spent() -> float:
    """Return the processor seconds that this process has taken, and those below it that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _proofs() -> list[float]:
    """Return the milliseconds of proof cards of rows from all over the ledger."""
    from compliance.checkpoints import key_history, publish
    from compliance.proofs import proof_card
    from tests.compliance.testapp.models import Case

    checkpoint = publish()
    key = [key for _, key, _ in key_history()][-1]
    rows = Case.history.model._base_manager.order_by("history_id")
    count = rows.count()
    source = random.Random(SEED)
    found = []
    for _ in range(PROOFS):
        row = rows[source.randrange(count)]
        took, _card = _timed(lambda row=row: proof_card(row, checkpoint=checkpoint, key=key))
        found.append(round(1000 * took, 3))
    return found


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    began = time.perf_counter()
    found = work()
    return round(time.perf_counter() - began, 3), found


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
