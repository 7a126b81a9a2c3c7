"""The record on PostgreSQL as a site runs it: every commit synced, triggers and guard on, the sealer running.

Sizes come from the environment: BENCH_LEDGER_EVENTS (of the kit), BENCH_LEDGER_LIVE_EVENTS (of the ledger that is
verified live), BENCH_LEDGER_SECONDS (of one turn of the writers), BENCH_LEDGER_CREATIONS (of one turn of the overhead)
and BENCH_LEDGER_ROUNDS.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from tests.benchmarks.lines import Line, alone
from tests.services import durable_postgres, find_postgres

APPEND, TENS, ROWS = "ledger.append_16_writers", "ledger.append_16_writers_tens", "ledger.append_16_writers_rows"
OVERHEAD, TOGETHER = "ledger.orm_overhead", "ledger.orm_overhead_together"
KIT, LIVE, PROOF = "ledger.verify_1e6_seconds", "ledger.verify_1e6_live_seconds", "ledger.proof_ms"
NAMES = (APPEND, TENS, ROWS, OVERHEAD, TOGETHER, KIT, LIVE, PROOF)

MILLION = 1_000_000
WRITERS = 16
SYNCS = 200
ROOT = Path(__file__).resolve().parents[3]


def measure(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and every single run. Everything lies below ``work``."""
    if find_postgres() is None:
        print("  PostgreSQL is not installed", file=sys.stderr)
        return [], {}
    events, live, rounds = _number("EVENTS", MILLION), _number("LIVE_EVENTS", 50_000), _number("ROUNDS", 3)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=work) as place:
        around = Path(place)
        # Open to the account that PostgreSQL runs as.
        around.chmod(0o755)
        figures: dict[str, object] = {"load_before": os.getloadavg()[0], "sync_ms": _sync_ms(around)}
        with durable_postgres(around) as server:
            environment = _environment(around, f"{server.removesuffix('/postgres')}/template_of_all")
            with psycopg.connect(server, autocommit=True) as admin:
                admin.execute("CREATE DATABASE template_of_all")
                _run(environment, "manage.py", "migrate", "--verbosity=0", "--skip-checks")
                if {APPEND, TENS, ROWS} & set(wanted):
                    with _database(admin, environment, "appended") as there:
                        found = _ours(there, "writers", _number("SECONDS", 4), rounds, WRITERS)
                    figures["append"] = found
                    lines += _append_lines(found)
                if {OVERHEAD, TOGETHER} & set(wanted):
                    with _database(admin, environment, "overhead") as there:
                        found = _ours(there, "overhead", _number("CREATIONS", 300), rounds)
                    figures["overhead"] = found
                    lines += _overhead_lines(found)
                if {KIT, LIVE, PROOF} & set(wanted):
                    with _database(admin, environment, "verified") as there:
                        found = _ours(there, "verified", live, events, rounds)
                    figures["verified"] = found
                    lines += _verified_lines(found)
    figures["load_after"] = os.getloadavg()[0]
    beside = _load(figures)
    return [replace(line, note=f"{line.note} {beside}") for line in lines if line.bench in wanted], figures


def _append_lines(found: Mapping[str, Any]) -> list[Line]:
    rates = found["a_second"]
    note = (
        "`ledger.*`: PostgreSQL with its default settings, every commit synced to disk, all triggers and guards on. "
        "`ledger.append_16_writers`: 16 processes and the sealer; one event a commit, ten by one call and commit "
        "(`_tens`), and a versioned row with its history, guard and event (`_rows`). Medians of rounds, in turn: "
        f"{'; '.join(_listed(rounds) for rounds in rates.values())}."
    )
    return [
        alone(APPEND, statistics.median(rates["single"]), "events/s", note=note),
        alone(TENS, statistics.median(rates["tens"]), "events/s", note=note),
        alone(ROWS, statistics.median(rates["rows"]), "changes/s", note=note),
    ]


def _overhead_lines(found: Mapping[str, Any]) -> list[Line]:
    seconds = {way: statistics.median(turns) for way, turns in found["seconds"].items()}
    each = {way: [1000 * one / found["creations"] for one in turns] for way, turns in found["seconds"].items()}
    note = (
        "`ledger.orm_overhead`: the time of creating a row with history, guard and event, divided by that of creating "
        "the same row bare; one commit each, and all in one transaction (`_together`). Less is better. Milliseconds a "
        f"creation, bare and recorded, in turn: {_listed(each['bare'])} and {_listed(each['recorded'])}; together: "
        f"{_listed(each['bare_together'])} and {_listed(each['recorded_together'])}."
    )
    return [
        alone(OVERHEAD, seconds["recorded"] / seconds["bare"], "times", note=note),
        alone(TOGETHER, seconds["recorded_together"] / seconds["bare_together"], "times", note=note),
    ]


def _verified_lines(found: Mapping[str, Any]) -> list[Line]:
    seconds, events, live = found["seconds"], found["kit_events"], found["live_events"]
    spent = found["processor_seconds"]
    note = (
        f"`ledger.verify_1e6_seconds`: a kit of {events:,} events, two of ten with a history row, by its `verify.py`; "
        f"`_live`: {live:,} such events in PostgreSQL by `verify_ledger`; both per million events, of which they took "
        f"{spent['kit'] * MILLION / events:.0f} s and {spent['live'] * MILLION / live:.0f} s of a processor's time, "
        "PostgreSQL's own left out. `ledger.proof_ms`: a proof card from that database, median of 200."
    )
    return [
        alone(KIT, statistics.median(seconds["kit"]) * MILLION / events, "s", note=note),
        alone(LIVE, seconds["live"] * MILLION / live, "s", note=note),
        alone(PROOF, statistics.median(found["proof_ms"]), "ms", note=note),
    ]


def _load(figures: Mapping[str, Any]) -> str:
    before, after = figures["load_before"], figures["load_after"]
    return f"The machine's load was {before:.1f} before and {after:.1f} after, on {os.cpu_count()} processors."


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" if value < 100 else f"{value:,.0f}" for value in values)


@contextmanager
def _database(admin: psycopg.Connection[Any], environment: Mapping[str, str], name: str) -> Iterator[dict[str, str]]:
    """Give the environment of a fresh database, and drop it afterwards."""
    admin.execute(f"CREATE DATABASE {name} TEMPLATE template_of_all")
    url = environment["QASERVICE_DATABASE_URL"].replace("template_of_all", name)
    with tempfile.TemporaryDirectory(dir=Path(environment["QASERVICE_DATA_DIR"]).parent) as data:
        yield {**environment, "QASERVICE_DATABASE_URL": url, "QASERVICE_DATA_DIR": data}
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.execute("CHECKPOINT")


def _environment(around: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QASERVICE_")}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.ledger.settings",
        "QASERVICE_DATA_DIR": str(around / "data"),
        "QASERVICE_DATABASE_URL": url,
    }


def _ours(environment: Mapping[str, str], module: str, *sizes: int) -> dict[str, Any]:
    began = time.perf_counter()
    output = _run(environment, "-m", f"tests.benchmarks.ledger.{module}", *map(str, sizes))
    print(f"  {module}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def _run(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout)[-2000:])
    return done.stdout


def _sync_ms(folder: Path) -> float:
    """Return the median milliseconds that the disk takes to sync a page: no commit is quicker."""
    found = []
    with (folder / "synced").open("wb", buffering=0) as stream:
        for _ in range(SYNCS):
            stream.write(bytes(8192))
            began = time.perf_counter()
            os.fdatasync(stream.fileno())
            found.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(found), 3)


def _number(name: str, otherwise: int) -> int:
    return int(os.environ.get(f"BENCH_LEDGER_{name}", otherwise))
