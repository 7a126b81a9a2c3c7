"""A recorded row beside a bare one: ``python -m tests.benchmarks.ledger.overhead N ROUNDS``.

The recorded one is created with history, guard and event. Both have the same columns, key and foreign key, and both go
through Django. Prints one JSON object with the seconds of N creations, one commit each and all in one transaction, in
every round.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Any

import django

TAGS = ["a", 1, {"b": 0.5}]


def main(count: int, rounds: int) -> dict[str, object]:
    """Return the seconds of all ways; in each round every way has its turn."""
    django.setup()
    from django.db import connection, transaction

    model = bare_model()
    with connection.schema_editor() as editor:
        editor.create_model(model)

    def bare(number: int) -> None:
        model(title=f"Case {number}", size_mm=Decimal("4.25"), score=0.1, tags=TAGS).save(force_insert=True)

    ways: dict[str, tuple[Callable[[int], None], Callable[[], AbstractContextManager[Any]]]] = {
        "bare": (bare, nullcontext),
        "recorded": (recorded, nullcontext),
        "bare_together": (bare, transaction.atomic),
        "recorded_together": (recorded, transaction.atomic),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for create, _ in ways.values():
        create(0)
    for turn in range(rounds):
        for name, (create, around) in ways.items():
            began = time.perf_counter()
            with around():
                for number in range(count):
                    create(turn * count + number)
            seconds[name].append(time.perf_counter() - began)
    return {"creations": count, "seconds": seconds}


def recorded(number: int) -> None:
    """Create one versioned row in a change of its own."""
    from compliance.recording import SYSTEM, change
    from tests.compliance.testapp.models import Case

    case = Case(title=f"Case {number}", size_mm=Decimal("4.25"), score=0.1, tags=TAGS)
    with change("case.opened", actor=SYSTEM, reason="benchmark", subject=("case", str(case.pk)), project_key="bench"):
        case.save()


def bare_model() -> Any:
    """Return a model with the columns of ``Case`` and no record."""
    from django.db import models

    from tests.compliance.testapp.models import Case

    fields = {field.name: field.clone() for field in Case._meta.concrete_fields}
    meta = type("Meta", (), {"app_label": "testapp", "db_table": "bench_bare"})
    return type("BareCase", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
