"""Small true stories that several tests begin with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from compliance.recording import Actor, change, compare_and_swap, record_event
from tests.compliance.testapp.models import Case, Slice

ANN = Actor("ann", "Ann Reader", "reader")
BOT = Actor("bot", "Simulated reader", "reader", simulated=True)


def open_case(*, title: Any = "Nodule", slices: int = 0, project_key: str = "lung", **values: Any) -> Case:
    case = Case(title=title, size_mm=Decimal("4.25"), score=0.1, tags=["a", 1, {"b": 0.5}], **values)
    with change(
        "case.opened", actor=ANN, reason="a new case", subject=("case", str(case.pk)), project_key=project_key
    ) as running:
        case.save()
        rows = [Slice(case=case, number=number, position_mm=number * 1.25) for number in range(slices)]
        Slice.objects.record_many(rows, running, root_label="slices")
    return case


def rename_case(case: Case, title: str, *, project_key: str = "lung") -> Case:
    stored = Case.objects.get(pk=case.pk)
    with change(
        "case.changed", actor=ANN, reason="a better title", subject=("case", str(case.pk)), project_key=project_key
    ):
        return compare_and_swap(
            Case, pk=case.pk, expected_revision=stored.revision, where={"state": "open"}, changes={"title": title}
        )


def view_case(case: Case, *, project_key: str = "lung") -> None:
    record_event(
        "case.viewed", actor=BOT, reason="demonstration", subject=("case", str(case.pk)), project_key=project_key
    )
