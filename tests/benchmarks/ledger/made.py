"""A long ledger made quickly: valid events and rows written by COPY past the triggers, then sealed by the sealer.

The same events as a kit are written by ``made_kit``: to export them row by row would take longer than to verify them.

Of ten events about a case, one opens it and one renames it, each with its history row, and eight look at it.
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import random
import time
import uuid
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from django.db import connection, connections

from compliance import history, sealing
from compliance.ledger.commitments import commitment
from compliance.rows import field_marks, row_digest, utc_text
from compliance.shapes import current_shape
from tests.compliance.testapp.models import Case

SEED = 6
EVENTS_A_CASE = 10
CHANGES_A_CASE = 2
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ACTOR = {"actor_id": "reader-1", "actor_name": "Ann Reader", "actor_role": "reader", "reason": "seen in the benchmark"}
BATCH = 50_000
"""Events that one call of the sealer takes; it holds their entries in memory."""

EVENT, CASE, HISTORY = "compliance_event", "testapp_case", "testapp_historicalcase"
Row = dict[str, Any]


def make(events: int) -> tuple[float, float]:
    """Fill the default database, which holds no case yet, with ``events`` events, whole cases, and seal them.

    Returns the seconds that writing and sealing took.
    """
    began = time.perf_counter()
    with connection.cursor() as cursor:
        for table in (EVENT, CASE, HISTORY):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    connections.close_all()
    cases = events // EVENTS_A_CASE
    shares = min(os.cpu_count() or 1, cases)
    bounds = [cases * share // shares for share in range(shares + 1)]
    writers = [multiprocessing.get_context("fork").Process(target=_copy, args=span) for span in pairwise(bounds)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    if any(writer.exitcode for writer in writers):
        raise SystemExit("the ledger could not be made")
    history.install()
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'history_id'), %s)", [HISTORY, cases * CHANGES_A_CASE])
        cursor.execute("ANALYZE")
    written = time.perf_counter()
    while sealing.seal(limit=BATCH):
        pass
    return written - began, time.perf_counter() - written


def _copy(first: int, last: int) -> None:
    """Write the cases from ``first`` up to ``last``, each table over a connection of its own."""
    with ExitStack() as stack:
        streams = {}
        for table, rows in case_of(first).items():
            writer = connections.create_connection("default")
            stack.callback(writer.close)
            cursor = stack.enter_context(writer.cursor()).cursor
            # Foreign keys are checked by triggers, too.
            cursor.execute("SET session_replication_role = replica")
            columns = ", ".join(f'"{name}"' for name in rows[0])
            streams[table] = stack.enter_context(cursor.copy(f"COPY {table} ({columns}) FROM STDIN"))
        for number in range(first, last):
            for table, rows in case_of(number).items():
                for row in rows:
                    streams[table].write_row([_copied(value) for value in row.values()])


def _copied(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value


def case_of(number: int) -> dict[str, list[Row]]:
    """Return the rows of one case by table; of equal numbers they are the same."""
    source = random.Random(SEED * 1_000_000_007 + number)
    case: Row = {
        "id": uuid_of(source),
        "revision": 0,
        "title": "",
        "state": "open",
        "size_mm": "4.25",
        "score": 0.5,
        "tags": ["solid", 1],
        "parent_id": None,
    }
    events: list[Row] = []
    changes: list[Row] = []
    for place in range(EVENTS_A_CASE):
        index = number * EVENTS_A_CASE + place
        at = START + datetime.timedelta(milliseconds=10 * index)
        event = {"id": uuid_of(source), "txid": index + 1000}
        if place >= CHANGES_A_CASE:
            events.append(event_of(source, event, "case.viewed", at, case, {"page": "viewer", "blinded": True}, []))
            continue
        case = {**case, "revision": place + 1, "title": f"Case {number}, {place}"}
        change = {
            **case,
            **ACTOR,
            "txid": event["txid"],
            "event_id": event["id"],
            "history_id": number * CHANGES_A_CASE + place + 1,
            "history_type": "~" if place else "+",
            "history_date": at,
        }
        changes.append(change)
        kind, payload = ("case.changed", {"revision": place + 1}) if place else ("case.opened", {})
        events.append(event_of(source, event, kind, at, case, payload, [_entry(change)]))
    return {
        EVENT: events,
        CASE: [{**case, "last_seen": None}],
        HISTORY: changes,
    }


def event_of(
    source: random.Random, event: Row, kind: str, at: datetime.datetime, case: Row, payload: Row, rows: list[Row]
) -> Row:
    salts = {name: source.randbytes(16).hex() for name in payload}
    commitments = {name: commitment(name=name, value=payload[name], salt=salts[name]) for name in payload}
    return {
        **event,
        **ACTOR,
        "kind": kind,
        "occurred_at": at,
        "simulated": False,
        "subject_type": "case",
        "subject_id": str(case["id"]),
        "project_key": "bench",
        "payload": payload,
        "salts": salts,
        "commitments": commitments,
        "rows": rows,
    }


def values_of(change: Row) -> Row:
    """Return the canonical values of a history row as the database gives it back."""
    return {
        **change,
        "id": str(change["id"]),
        "event_id": str(change["event_id"]),
        "history_date": utc_text(change["history_date"]),
        "score": repr(change["score"]),
    }


def _entry(change: Row) -> Row:
    """Return what an event says of a history row."""
    values = values_of(change)
    return {
        "table": CASE,
        "id": values["id"],
        "history_id": str(change["history_id"]),
        "op": change["history_type"],
        "shape": current_shape(Case.history.model),
        "digest": row_digest(values),
        "marks": field_marks(values),
    }


def uuid_of(source: random.Random) -> uuid.UUID:
    return uuid.UUID(int=source.getrandbits(128), version=4)
