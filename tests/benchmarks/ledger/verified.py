"""A long ledger verified live and as a kit: ``python -m tests.benchmarks.ledger.verified EVENTS ROUNDS``.

The database is the one that the environment names, migrated and empty. Prints one JSON object with the seconds of
each step; the kit is verified by the program that lies in it, as an outsider would run it.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import django

Result = TypeVar("Result")

PROOFS = 200
SEED = 6


def main(events: int, rounds: int) -> dict[str, object]:
    """Return how long everything took; raises SystemExit where the ledger is not found whole."""
    django.setup()
    from compliance.checkpoints import publish
    from compliance.evidence import build_kit
    from compliance.verification import verify_live
    from tests.benchmarks.ledger import made

    seconds: dict[str, float | list[float]] = {}
    seconds["made"], seconds["sealed"] = made.make(events)
    checkpoint = publish()
    seconds["live"], result = _timed(verify_live)
    if not result.ok:
        raise SystemExit(f"the record was not found whole: {result.first}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kit.zip"
        seconds["kit_built"], kit = _timed(lambda: build_kit(path, files={}, facts={}, checkpoint=checkpoint))
        size = path.stat().st_size
        seconds["kit"] = [_kit_seconds(path) for _ in range(rounds)]
    return {
        "events": result.sealed,
        "rows": result.rows,
        "kit_bytes": size,
        "kit_events": kit.events,
        "seconds": seconds,
        "proof_ms": _proofs(),
    }


def _kit_seconds(kit: Path) -> float:
    script = kit.with_name("verify.py")
    with zipfile.ZipFile(kit) as archive:
        script.write_bytes(archive.read("verify.py"))
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-I", "-S", script, kit], capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return took


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
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
