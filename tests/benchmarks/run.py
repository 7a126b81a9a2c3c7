"""Measure, with fixed seeds, and write one JSON file a benchmark: ``python -m tests.benchmarks.run [names]``.

docs/benchmarks.md quotes these figures and says which of them mean what. Nothing here is a test: a benchmark has no
threshold, a regression shows in the figures.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from tests.benchmarks import label_errors, record

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "var" / "bench"
BENCHMARKS: dict[str, Callable[[], Mapping[str, object]]] = {
    "label-errors": label_errors.measure,
    "record": record.measure,
}


def main(names: list[str]) -> int:
    """Run the benchmarks named, or all of them."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        figures = BENCHMARKS[name]()
        path = OUTPUT / f"{name}.json"
        result = {**figures, "wall_seconds": round(time.monotonic() - began, 1), "environment": environment()}
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"  wrote {path.relative_to(ROOT)}")
    return 0


def environment() -> dict[str, object]:
    """Return what the figures depend on: commit, processor, versions."""
    packages = ("numpy", "scipy", "torch", "monai", "django")
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
