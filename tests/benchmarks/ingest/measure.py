"""Instances made durable a second: this service and Orthanc, in turn, on the same machine and the same files."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.ingest import connections, instances, orthanc, site
from tests.benchmarks.lines import Line, alone, more_is_better
from tests.services import durable_postgres, find_postgres

NAMES = ("ingest.sqlite", "ingest.postgresql", "ingest.http", "ingest.floor")
COUNT = 2000
SEED = 1
ROUNDS = 3
CONNECTIONS = (1, 2, 4, 8)
TOGETHER = 50
"""Instances that our sender puts into one request; Orthanc's interface takes one."""

WARMING = 24
UNIT = "instances/s"
ROOT = Path(__file__).resolve().parents[3]


def measure(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and every single run.

    Medians of ``ROUNDS`` rounds, in each of which every program has its turn, so that what else the machine does falls
    on all of them. Everything lies below ``work``, on one file system.
    """
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=work) as place:
        around = Path(place)
        real_data = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))
        origin = instances.make(around / "in", count=COUNT, seed=SEED, real_data=real_data)
        files = sorted((around / "in").rglob("*.dcm"))
        peer = orthanc.version()
        trials = {} if peer is None else _trials(around, files)
        best = min(trials, key=lambda number: trials[number], default=max(CONNECTIONS))
        turns: dict[str, Callable[[], float]] = {
            "ingest.sqlite": lambda: _ours(around, "directory", ""),
            "ingest.postgresql": lambda: _ours_on_postgresql(around),
            "ingest.http": lambda: _over_http(around, files, best),
            "ingest.floor": lambda: _ours(around, "floor", ""),
        }
        turns = {name: turn for name, turn in turns.items() if name in wanted}
        if find_postgres() is None:
            turns.pop("ingest.postgresql", None)
        if peer is not None:
            turns["orthanc"] = lambda: _orthanc(around, files, best)
        runs: dict[str, list[float]] = {name: [] for name in turns}
        for number in range(ROUNDS):
            for name, turn in turns.items():
                runs[name].append(turn())
                print(f"  round {number + 1}, {name}: {COUNT / runs[name][-1]:.0f} {UNIT}", file=sys.stderr, flush=True)
    rates = {name: COUNT / statistics.median(seconds) for name, seconds in runs.items()}
    lines = [_line(name, rates, peer, best, origin) for name in NAMES if name in rates]
    return lines, {
        "instances": COUNT,
        "made_from": origin,
        "orthanc": peer,
        "orthanc_seconds_by_connections": trials,
        "connections": best,
        "seconds": runs,
    }


def _trials(around: Path, files: list[Path]) -> dict[int, float]:
    """Return Orthanc's better time of two by number of connections; all numbers have a turn before any has another."""
    rounds = [{number: _orthanc(around, files, number) for number in CONNECTIONS} for _ in range(2)]
    return {number: min(one[number] for one in rounds) for number in CONNECTIONS}


def _line(name: str, rates: Mapping[str, float], peer: str | None, best: int, origin: str) -> Line:
    if name == "ingest.floor":
        note = "`ingest.floor`: the same files read, hashed, parsed and synced by this service, and nothing recorded."
        return alone(name, rates[name], UNIT, note=note)
    if peer is None:
        return alone(name, rates[name], UNIT, note="Orthanc is not installed on the machine.")
    note = (
        f"`ingest.*`: {COUNT} CT instances of 512 x 512 x 16 bit in 16 series ({origin}), warm in the page cache, "
        f"medians of {ROUNDS} interleaved rounds, process start excluded. Both sides are durable: this service syncs "
        "every file and its folder before the rows that name it commit (SQLite WAL with synchronous=FULL; PostgreSQL "
        f"with its default settings); Orthanc {peer} from Debian runs with its defaults, which sync every file "
        "(SyncStorageArea) and leave its SQLite index on synchronous=NORMAL, which may lose its last rows in a power "
        "cut. Orthanc takes files over its REST interface alone, here on the best of "
        f"{', '.join(str(number) for number in CONNECTIONS)} connections, one instance a request; `ingest.http` is "
        f"this service on as many connections, {TOGETHER} instances a request, from the first byte sent until the "
        "delivery is closed, judged and all rows are committed."
    )
    return more_is_better(
        name, rates[name], UNIT, peer=f"Orthanc {peer}, {best} connections", peer_value=rates["orthanc"], note=note
    )


def _ours(around: Path, mode: str, database: str) -> float:
    with _folder(around) as data:
        command = [sys.executable, "-m", "tests.benchmarks.ingest.ours", mode, str(around / "in")]
        done = subprocess.run(
            command, env=site.environment(data, database), cwd=ROOT, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return _seconds(json.loads(done.stdout.splitlines()[-1]))


def _seconds(result: Mapping[str, float]) -> float:
    if result["instances"] != COUNT:
        raise RuntimeError(f"{result['instances']} of {COUNT} instances were stored")
    return float(result["seconds"])


def _ours_on_postgresql(around: Path) -> float:
    # Open to the account that PostgreSQL runs as.
    around.chmod(0o755)
    with durable_postgres(around) as url:
        return _ours(around, "directory", url)


def _over_http(around: Path, files: list[Path], number: int) -> float:
    with _folder(around) as data, site.running(data) as running:
        delivery = running.post("projects/bench/deliveries/", {"name": "benchmark", "reason": "benchmark"})["id"]

        def send(some: list[Path], into: object, together: int) -> None:
            connections.send_all(
                files=some,
                port=running.port,
                path=f"/api/v1/projects/bench/instances/?delivery={into}",
                headers=running.authorization,
                connections=number,
                together=together,
            )

        # The web server's own parsers start with its first requests; these are never closed, so never judged.
        warming = running.post("projects/bench/deliveries/", {"name": "warming up", "reason": "benchmark"})["id"]
        send(files[:1] * WARMING, warming, 1)
        began = time.perf_counter()
        send(files, delivery, TOGETHER)
        running.post(f"ingests/{delivery}/close/", {"reason": "benchmark"})
        while (state := running.get(f"ingests/{delivery}/"))["state"] not in ("completed", "failed"):
            time.sleep(0.2)
        seconds = time.perf_counter() - began
    summary = state["summary"]
    stored = summary["stored"] if isinstance(summary, dict) else 0
    return _seconds({"seconds": seconds, "instances": stored})


def _orthanc(around: Path, files: list[Path], number: int) -> float:
    os.sync()
    with orthanc.running(around) as port:
        seconds = connections.send_all(
            files=files, port=port, path="/instances", headers={}, connections=number, together=1
        )
        return _seconds({"seconds": seconds, "instances": orthanc.instances_held(port)})


@contextmanager
def _folder(around: Path) -> Iterator[Path]:
    """Give an empty data folder, with nothing of earlier runs still on its way to the disk."""
    data = Path(tempfile.mkdtemp(prefix="data-", dir=around))
    os.sync()
    try:
        yield data
    finally:
        shutil.rmtree(data)
