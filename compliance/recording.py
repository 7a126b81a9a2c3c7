"""The only way into the record: events, the changes they stand for, and the one conditional update."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, models, transaction

from compliance.base import VersionedModel
from compliance.errors import AnonymousActor, BlankReason, LostRace, UnrecordedChange, UnregisteredEvent
from compliance.events import CHUNK, write_events
from compliance.recorded_history import write_history
from compliance.running import CURRENT, OPERATOR, SYSTEM, Actor, Change, current_change

__all__ = [
    "OPERATOR",
    "SYSTEM",
    "Actor",
    "AnonymousActor",
    "BlankReason",
    "Change",
    "Happening",
    "LostRace",
    "RegisteredEvent",
    "UnrecordedChange",
    "UnregisteredEvent",
    "change",
    "compare_and_swap",
    "current_change",
    "record_event",
    "record_events",
    "register_event",
    "registered_events",
]

Versioned = TypeVar("Versioned", bound=VersionedModel)


@dataclass(frozen=True)
class RegisteredEvent:
    """A kind of event, what it means, and the requirement it serves ("" for plain bookkeeping)."""

    kind: str
    description: str
    requirement: str


_REGISTERED: dict[str, RegisteredEvent] = {}


def register_event(kind: str, description: str, requirement: str = "") -> None:
    """Announce a kind of event; each app does so in its ``events`` module.

    Raises ValueError if the kind is blank or was announced with another meaning.
    """
    if not kind.strip() or not description.strip():
        raise ValueError("an event has a kind and a description")
    event = RegisteredEvent(kind, description, requirement)
    if _REGISTERED.setdefault(kind, event) != event:
        raise ValueError(f"the event {kind!r} is registered already, with another meaning")


def registered_events() -> tuple[RegisteredEvent, ...]:
    """Return every announced kind of event, by name."""
    return tuple(_REGISTERED[kind] for kind in sorted(_REGISTERED))


@contextmanager
def change(
    kind: str,
    *,
    actor: Actor,
    reason: str,
    subject: tuple[str, str],
    project_key: str = "",
    payload: Mapping[str, Any] | None = None,
) -> Iterator[Change]:
    """Run a block as one recorded change: one transaction, one event, and the rows written inside linked to it.

    ``subject`` is (type, id) of what the change is about. ``payload`` holds strings, booleans, null, integers up to
    2**53 - 1, lists and objects; decimals and times go in as strings. Blocks may be nested: each writes its own event
    and collects its own rows.

    Raises UnregisteredEvent, BlankReason, AnonymousActor or ValueError (blank subject) before anything is written,
    and NotCanonical at the end for a payload with no canonical form; then nothing is kept.
    """
    _require(kind=kind, actor=actor, reason=reason, subject=subject)
    with transaction.atomic():
        running = _begun(kind, actor, reason, subject, project_key, payload)
        running.savepoints = transaction.get_connection(DEFAULT_DB_ALIAS).savepoint_state
        token = CURRENT.set(running)
        try:
            yield running
        finally:
            CURRENT.reset(token)
        write_events([running])


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something that happened without changing a row, to be recorded; the fields are those of ``record_event``."""

    kind: str
    actor: Actor
    reason: str
    subject: tuple[str, str]
    project_key: str = ""
    payload: Mapping[str, Any] | None = None


def record_event(
    kind: str,
    *,
    actor: Actor,
    reason: str,
    subject: tuple[str, str],
    project_key: str = "",
    payload: Mapping[str, Any] | None = None,
) -> uuid.UUID:
    """Record something that happened without changing a row (a login, an export, a view); return the event's id."""
    happening = Happening(
        kind=kind, actor=actor, reason=reason, subject=subject, project_key=project_key, payload=payload
    )
    return record_events([happening])[0]


def record_events(happenings: Sequence[Happening]) -> list[uuid.UUID]:
    """Record several of these, all or none; return the events' ids. Ten at once cost little more than one.

    Raises what ``change`` does, before anything is written.
    """
    for one in happenings:
        _require(kind=one.kind, actor=one.actor, reason=one.reason, subject=one.subject)
    changes = [_begun(one.kind, one.actor, one.reason, one.subject, one.project_key, one.payload) for one in happenings]
    if len(changes) > CHUNK:
        with transaction.atomic():
            write_events(changes)
    else:
        # One statement, so a transaction of its own where none is open; in an open one it fails with all the others.
        with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS):
            write_events(changes)
    return [one.event_id for one in changes]


def compare_and_swap(
    model: type[Versioned],
    *,
    pk: object,
    expected_revision: int,
    where: Mapping[str, object],
    changes: Mapping[str, object],
) -> Versioned:
    """Change one row if it still has ``expected_revision`` and fulfils ``where``; return it as it now stands.

    The one conditional UPDATE of versioned rows: it raises the revision by one and writes the "~" history row from the
    row as stored. Raises LostRace if no row matched, UnrecordedChange outside a change, ValueError for changes to the
    key or the revision.
    """
    current_change()
    forbidden = {"pk", "revision", model._meta.pk.name, model._meta.pk.attname} & set(changes)
    if forbidden:
        raise ValueError(f"{', '.join(sorted(forbidden))} of {model.__name__} cannot be changed")
    # A plain queryset, past the model's guard, read and written in one statement.
    rows: models.QuerySet[Versioned] = models.QuerySet(model)
    matched = rows.filter(**{**where, "pk": pk, "revision": expected_revision}).update(
        **changes, revision=expected_revision + 1
    )
    if not matched:
        raise LostRace(f"{model.__name__} is gone, or is no longer at revision {expected_revision} in that state")
    stored = rows.get(pk=pk)
    write_history(stored, "~")
    return stored


def _require(*, kind: str, actor: Actor, reason: str, subject: tuple[str, str]) -> None:
    if kind not in _REGISTERED:
        raise UnregisteredEvent(f"the event {kind!r} is not registered; announce it in the app's events module")
    actor.require_named()
    if not reason.strip():
        raise BlankReason(f"{kind} needs a reason: say why this is done")
    if not all(part.strip() for part in subject):
        raise ValueError(f"{kind} needs a subject: the type and id of what it is about")


def _begun(
    kind: str,
    actor: Actor,
    reason: str,
    subject: tuple[str, str],
    project_key: str,
    payload: Mapping[str, Any] | None,
) -> Change:
    return Change(
        event_id=uuid.uuid4(),
        kind=kind,
        occurred_at=datetime.datetime.now(tz=datetime.UTC),
        actor=actor,
        reason=reason.strip(),
        subject=subject,
        project_key=project_key,
        payload=dict(payload or {}),
    )
