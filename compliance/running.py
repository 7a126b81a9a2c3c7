"""The change that is running now: who, why, about what, and which rows it has written so far."""

from __future__ import annotations

import datetime
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from compliance.errors import AnonymousActor, UnrecordedChange
from compliance.ledger.canonical import Json


@dataclass(frozen=True)
class Actor:
    """Who acts: kept as text in every record, so that it still reads when the account is gone.

    ``simulated`` marks a machine that votes in demos and tests.
    """

    id: str
    name: str
    role: str
    simulated: bool = False

    def require_named(self) -> None:
        """Raise AnonymousActor if any part is blank."""
        for part in ("id", "name", "role"):
            if not getattr(self, part).strip():
                raise AnonymousActor(f"the actor's {part} is blank; every change names who made it, and as what")


SYSTEM = Actor("system", "Label QA service", "system")
OPERATOR = Actor(id="operator", name="operator of the server", role="operator")
"""Whoever runs management commands: known to the server's operating system, not to the service."""


@dataclass(eq=False)
class Change:
    """One running change. ``payload`` may be added to until the block ends; the rest is fixed."""

    event_id: uuid.UUID
    kind: str
    occurred_at: datetime.datetime
    actor: Actor
    reason: str
    subject: tuple[str, str]
    project_key: str
    payload: dict[str, Any]
    written: list[tuple[type[models.Model], Any]] = field(default_factory=list)
    bulk: dict[type[models.Model], str] = field(default_factory=dict)
    # What the database said it stored of rows just written, and how many savepoints there had been when this began:
    # with every savepoint, such a row may be gone again.
    held: dict[tuple[type[models.Model], Any], dict[str, Json]] = field(default_factory=dict)
    savepoints: int = 0

    def note(self, row: models.Model) -> None:
        """Remember a history row or write-once row just written; its digest is taken when the change ends."""
        self.written.append((type(row), row.pk))

    def note_bulk(self, model: type[models.Model], label: str) -> None:
        """Remember that rows of ``model`` were written under one Merkle root, named ``label``.

        Raises ValueError where the same change already carries a root of another name over this table: one change has
        one root a table.
        """
        if self.bulk.setdefault(model, label) != label:
            raise ValueError(f"this change already has a root {self.bulk[model]!r} over {model._meta.db_table}")


CURRENT: ContextVar[Change | None] = ContextVar("compliance_current_change", default=None)


def current_change() -> Change:
    """Return the innermost running change. Raises UnrecordedChange outside any."""
    running = CURRENT.get()
    if running is None:
        raise UnrecordedChange("no change is running: open one with compliance.recording.change(...) before writing")
    return running
