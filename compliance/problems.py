"""What verification can find wrong, and how a stored row is read when its bytes may be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import OperationalError, models

DAMAGED = (ValueError, TypeError, AttributeError, ArithmeticError, OperationalError)

Stored = TypeVar("Stored", bound=models.Model)


@dataclass(frozen=True)
class Problem:
    """One altered, missing or unexplained record. ``event_index`` is None where no sealed event is concerned."""

    message: str
    event_index: int | None = None
    event_id: str = ""
    table: str = ""
    record_id: str = ""
    field: str = ""

    @property
    def place(self) -> float:
        """Where the problem stands in ledger order; what has no place comes last."""
        return float("inf") if self.event_index is None else self.event_index


@dataclass(frozen=True)
class Damaged:
    """A stored row whose bytes cannot be read as its columns' types; ``key`` is None where even the key cannot."""

    key: Any


def read_all(rows: models.QuerySet[Stored]) -> Iterator[Stored | Damaged]:
    """Yield every row of a queryset, with ``Damaged`` in place of those that cannot be read."""
    try:
        found = list(rows)
    except DAMAGED:
        yield from _one_by_one(rows)
    else:
        yield from found


def _one_by_one(rows: models.QuerySet[Stored]) -> Iterator[Stored | Damaged]:
    for place in range(rows.count()):
        try:
            yield rows[place : place + 1].get()
        except DAMAGED:
            try:
                yield Damaged(rows.values_list("pk", flat=True)[place : place + 1].get())
            except DAMAGED:
                yield Damaged(None)
