"""Measure, with fixed seeds: ``python -m tests.benchmarks.run [names]``; a name may be a group's, such as ``ingest``.

Each benchmark prints one JSON object a line, which is merged into docs/benchmarks.json and shown in docs/benchmarks.md;
what it measured in detail goes to var/bench. Nothing here is a test: a benchmark has no threshold, a regression shows
in the figures.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.benchmarks import lines, record
from tests.benchmarks.ingest import measure as ingest
from tests.benchmarks.labels import measure as labels
from tests.benchmarks.ledger import measure as ledger
from tests.benchmarks.lines import Line
from tests.benchmarks.model import measure as model
from tests.benchmarks.scan import measure as scan

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "var" / "bench"
ARRAY = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"

Measured = tuple[Sequence[Line], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Group:
    """Benchmarks that are measured together. ``measure`` takes the names wanted and a folder to work in."""

    detail: str
    names: tuple[str, ...]
    measure: Callable[[Collection[str], Path], Measured]


GROUPS = (
    Group("labels", labels.NAMES, labels.measured),
    Group("record", record.NAMES, record.measured),
    Group("ledger", ledger.NAMES, ledger.measure),
    Group("ingest", ingest.NAMES, ingest.measure),
    Group("model", model.NAMES, model.measure),
    Group("scan", scan.NAMES, scan.measure),
)


def main(asked: list[str]) -> int:
    """Run the benchmarks asked for, by name or group, or all of them."""
    known = {name for group in GROUPS for name in group.names}
    wanted = {name for one in asked or known for name in known if name == one or name.startswith(f"{one}.")}
    unknown = [one for one in asked if not any(name == one or name.startswith(f"{one}.") for name in known)]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for group in GROUPS:
        chosen = wanted & set(group.names)
        if not chosen:
            continue
        print(f"{group.detail} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        measured, figures = group.measure(chosen, OUTPUT)
        result = {**figures, "wall_seconds": round(time.monotonic() - began, 1), "environment": environment()}
        path = OUTPUT / f"{group.detail}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        for line in measured:
            print(line.as_json(), flush=True)
        array = lines.merge(ARRAY, measured, environment(), datetime.datetime.now(datetime.UTC).date().isoformat())
        lines.show(PAGE, array)
    return 0


def environment() -> dict[str, object]:
    """Return what the figures depend on: commit, processor, versions."""
    packages = ("numpy", "scipy", "torch", "monai", "openvino", "django")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "processor": _processor(),
        **{package: metadata.version(package) for package in packages},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if names:
            return f"{names[0]}, {len(names)} processors"
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
