"""Many events on PostgreSQL, and how the trail's searches of them are carried out; prints what it saw as JSON.

``python -m tests.qaservice.trail.searching_postgres EVENTS`` with the service's environment, on a migrated database.
"""

from __future__ import annotations

import json
import sys
import time

import django

FILL = """
INSERT INTO compliance_event (id, kind, occurred_at, actor_id, actor_name, actor_role, simulated, reason, subject_type,
    subject_id, project_key, payload, salts, commitments, rows, txid)
SELECT gen_random_uuid(), 'project.changed', timestamptz '2031-01-01' + n * interval '1 second', 'u-' || n %% 7,
    'Somebody', 'qa_lead', false, CASE WHEN n %% 5000 = 7 THEN 'consensus on F-0042, at last' ELSE 'a step of many' END,
    'project', 'p-' || n %% 100, CASE WHEN n %% 10 = 0 THEN 'other' ELSE 'lung' END, '{}', '{}', '{}', '[]', 0
FROM generate_series(1, %s) AS n
"""


def main(events: int) -> int:
    django.setup()
    from django.db import connection

    from qaservice.trail.paging import page_of
    from qaservice.trail.search import Search, events_found

    with connection.cursor() as cursor:
        cursor.execute(FILL, [events])
        cursor.execute("ANALYZE compliance_event")
        if events < 50_000:
            # So few are read whole in any case; what is asked is whether the indexes serve.
            cursor.execute("SET enable_seqscan = off")
    told: dict[str, object] = {}
    everything = events_found(Search(projects=("lung",)))
    deep = everything.order_by("occurred_at")[events // 2]
    cases = {
        "first page": (Search(projects=("lung",)), ""),
        "deep page": (Search(projects=("lung",)), cursor_at(deep)),
        "rare words": (Search(projects=("lung",), text="F-0042 consens"), ""),
        "record": (Search(projects=("lung",), record_type="project", record_id="p-5"), ""),
    }
    for name, (search, cursor_text) in cases.items():
        began = time.perf_counter()
        page = page_of(events_found(search), ordering="-time", cursor=cursor_text, size=100)
        seconds = time.perf_counter() - began
        told[name] = {"found": len(page.events), "seconds": round(seconds, 4), "plan": plan_of(search, cursor_text)}
    print(json.dumps(told))
    return 0


def cursor_at(event):  # type: ignore[no-untyped-def]  # models can be imported only after setup
    return f"after-{event.pk}"


def plan_of(search, cursor_text: str) -> str:  # type: ignore[no-untyped-def]  # as above
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from qaservice.trail.paging import page_of
    from qaservice.trail.search import events_found

    with CaptureQueriesContext(connection) as captured:
        page_of(events_found(search), ordering="-time", cursor=cursor_text, size=100)
    query = captured.captured_queries[-1]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query["sql"])
        return "\n".join(row[0] for row in cursor.fetchall())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
