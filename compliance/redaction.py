"""Redaction: fields of an event's payload are destroyed for a stated reason, and the record still verifies (REQ-39).

Value and salt go, the commitment stays, and an event says who did it and why. On PostgreSQL the service's own role has
no right to do this: it is an act of whoever runs the server, under the role that owns the tables.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import ProgrammingError, models, transaction

from compliance.errors import RedactionRefused
from compliance.kinds import OWN, REDACTED
from compliance.models import Event
from compliance.recording import Actor, record_event


def redact(*, event_id: uuid.UUID, fields: Collection[str], actor: Actor, reason: str) -> uuid.UUID:
    """Destroy payload fields of an event, and return the id of the event that says so.

    Rows of tables, the reason of an event and backups are not touched. Raises RedactionRefused for an event or a field
    that is not there, for the record's own events, and for a database role without the right; BlankReason without one.
    """
    wanted = sorted(set(fields))
    rows: models.QuerySet[Event] = models.QuerySet(Event)
    with transaction.atomic():
        event = rows.filter(pk=event_id).first()
        if event is None:
            raise RedactionRefused(f"there is no event {event_id}")
        absent = [name for name in wanted if name not in event.payload]
        if absent or not wanted:
            held = ", ".join(sorted(event.payload)) or "nothing"
            raise RedactionRefused(f"event {event_id} does not hold {', '.join(absent) or 'nothing'}; it holds {held}")
        if event.kind in OWN:
            raise RedactionRefused("what the record says of itself is not redacted")
        said = record_event(
            REDACTED,
            actor=actor,
            reason=reason,
            subject=("event", str(event_id)),
            project_key=event.project_key,
            payload={"fields": wanted, "kind": event.kind},
        )
        try:
            rows.filter(pk=event_id).update(
                payload={name: value for name, value in event.payload.items() if name not in wanted},
                salts={name: salt for name, salt in event.salts.items() if name not in wanted},
            )
        except ProgrammingError as error:
            message = "this database role may not redact: run it as the role that owns the record's tables"
            raise RedactionRefused(message) from error
    return said
