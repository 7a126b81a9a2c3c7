"""What the record costs: changes recorded, sealed and verified a second, on the embedded database."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.benchmarks.lines import Line, alone

NAMES = ("record.events", "record.row_changes", "record.sealed", "record.verified")
CHANGES = 1000


def measured(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and all figures."""
    figures = measure()
    note = "`record.*`: SQLite in WAL mode with synchronous=FULL, one process; no peer seals what it records."
    rates = {
        "record.events": ("events_a_second", "events/s"),
        "record.row_changes": ("row_changes_a_second", "changes/s"),
        "record.sealed": ("sealed_a_second", "events/s"),
        "record.verified": ("verified_events_a_second", "events/s"),
    }
    found = [alone(name, float(str(figures[key])), unit, note=note) for name, (key, unit) in rates.items()]
    return [line for line in found if line.bench in wanted], figures


def measure() -> Mapping[str, object]:
    """Return changes, seals and verified events a second on a fresh SQLite database in WAL mode, synced to disk."""
    with tempfile.TemporaryDirectory(prefix="qaservice-bench-") as folder:
        os.environ["QASERVICE_DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "qaservice.settings"
        import django

        django.setup()
        from django.core.management import call_command

        from compliance.recording import SYSTEM, record_event
        from compliance.sealing import seal
        from compliance.verification import verify_live
        from qaservice.accounts.services import create_user
        from qaservice.projects.models import Role
        from qaservice.projects.services import create_project, grant

        call_command("migrate", verbosity=0)
        began = time.perf_counter()
        for number in range(CHANGES):
            record_event(
                "account.login",
                actor=SYSTEM,
                reason="benchmark",
                subject=("user", str(number)),
                project_key="",
                payload={},
            )
        events = time.perf_counter() - began
        began = time.perf_counter()
        users = [
            create_user(
                username=f"u{number}", display_name=f"U {number}", password=None, actor=SYSTEM, reason="benchmark"
            )
            for number in range(CHANGES // 4)
        ]
        project = create_project(key="bench", title="Benchmark", actor=SYSTEM, reason="benchmark")
        for user in users:
            grant(project=project, user=user, role=Role.READER, actor=SYSTEM, reason="benchmark")
        changes = time.perf_counter() - began
        began = time.perf_counter()
        sealed = seal(limit=100_000)
        sealing = time.perf_counter() - began
        began = time.perf_counter()
        verified = verify_live()
        verifying = time.perf_counter() - began
    return {
        "database": "SQLite, WAL, synchronous=FULL",
        "events_a_second": round(CHANGES / events),
        "row_changes_a_second": round((2 * len(users) + 1) / changes),
        "sealed_a_second": round(sealed / sealing),
        "verified_events_a_second": round(sealed / verifying),
        "verified": verified.ok,
    }
