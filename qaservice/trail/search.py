"""What may be asked of the trail: time, person, role, action, record, words of the reason, project (REQ-04)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from compliance.models import Event
from qaservice.common.clock import iso
from qaservice.common.errors import InvalidInput
from qaservice.trail.records import events_of_record, model_named

LONGEST = 200
ROLE_KINDS = ("membership.granted", "membership.withdrawn", "membership.reviewed")
# As the index of compliance.0003 has it: no language's stems, so that what is found is what was written.
CONFIGURATION = "simple"


@dataclass(frozen=True, slots=True)
class Search:
    """One search. Blank parts do not narrow; ``projects`` always does. ``until`` is exclusive; times are aware.

    ``roles_in`` adds what gave and took roles in further projects: it happened to accounts as well.
    """

    projects: tuple[str, ...]
    roles_in: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    role: str = ""
    kinds: tuple[str, ...] = ()
    record_type: str = ""
    record_id: str = ""
    text: str = ""

    def as_asked(self) -> dict[str, object]:
        """Return the search as plain data, blank parts left out: what exports and their events say was asked."""
        asked: dict[str, object] = {
            "projects": list(self.projects),
            "roles_in": list(self.roles_in),
            "since": None if self.since is None else iso(self.since),
            "until": None if self.until is None else iso(self.until),
            "actor": self.actor,
            "role": self.role,
            "kinds": list(self.kinds),
            "record_type": self.record_type,
            "record_id": self.record_id,
            "text": self.text,
        }
        return {name: value for name, value in asked.items() if value}

    def in_words(self) -> str:
        """Return the search as people read it."""
        parts = [
            f"from {_moment(self.since)}" if self.since else "",
            f"before {_moment(self.until)}" if self.until else "",
            f"by {self.actor}" if self.actor else "",
            f"in the role {self.role.replace('_', ' ')}" if self.role else "",
            f"actions {', '.join(self.kinds)}" if self.kinds else "",
            f"of {' '.join(part for part in (self.record_type, self.record_id) if part)}"
            if self.record_type or self.record_id
            else "",
            f"reason holds “{self.text}”" if self.text else "",
        ]
        return "; ".join(part for part in parts if part) or "everything"


def read_search(
    asked: Mapping[str, str], *, kinds: Sequence[str], projects: Sequence[str], roles_in: Sequence[str] = ()
) -> Search:
    """Return the search of a form or a query string.

    Days and times are UTC; a day as ``until`` is included. Raises InvalidInput for what cannot be understood: a
    filter that is left out in silence shows more than was asked for.
    """
    text = {name: asked.get(name, "").strip() for name in ("actor", "role", "type", "subject", "text")}
    for name, value in text.items():
        if len(value) > LONGEST:
            raise InvalidInput(f"{name} is longer than {LONGEST} characters", code="search-too-long")
        if "\x00" in value:
            raise InvalidInput(f"{name} holds a character that no record can hold", code="search-not-text")
    return Search(
        projects=tuple(projects),
        roles_in=tuple(roles_in),
        since=_time(asked.get("since", "").strip(), end=False),
        until=_time(asked.get("until", "").strip(), end=True),
        actor=text["actor"],
        role=text["role"],
        kinds=tuple(kind for kind in kinds if kind),
        record_type=text["type"],
        record_id=text["subject"],
        text=text["text"],
    )


def narrowed_to(search: Search, projects: Sequence[str]) -> Search:
    """Return the search over fewer projects. Raises InvalidInput for one that was not among them."""
    unknown = sorted(set(projects) - set(search.projects))
    if unknown:
        raise InvalidInput(f"there is no project {unknown[0]!r} whose trail you may read", code="no-such-project")
    return replace(search, projects=tuple(projects) or search.projects)


def events_found(search: Search) -> QuerySet[Event]:
    """Return the events that a search finds, in no order, with their places in the ledger."""
    rows: QuerySet[Event] = Event.objects.filter(project_key__in=search.projects).select_related("entry")
    if len(search.projects) == 1:
        # An equality, so that the index over project and time gives the order too.
        rows = Event.objects.filter(project_key=search.projects[0]).select_related("entry")
    if search.roles_in:
        given = Q(kind__in=ROLE_KINDS, project_key__in=search.roles_in)
        rows = Event.objects.filter(Q(project_key__in=search.projects) | given).select_related("entry")
    if search.since is not None:
        rows = rows.filter(occurred_at__gte=search.since)
    if search.until is not None:
        rows = rows.filter(occurred_at__lt=search.until)
    if search.actor:
        rows = rows.filter(actor_id=search.actor)
    if search.role:
        rows = rows.filter(actor_role=search.role)
    if search.kinds:
        rows = rows.filter(kind__in=search.kinds)
    if search.record_type or search.record_id:
        rows = rows.filter(_about(search.record_type, search.record_id))
    return with_words(rows, search.text)


def with_words(rows: QuerySet[Event], text: str) -> QuerySet[Event]:
    """Return the events whose reason holds every word of ``text``.

    On PostgreSQL by its full-text index, where a word finds what begins with it; on SQLite anywhere in the reason.
    """
    wanted = [word for word in text.split() if re.search(r"\w", word)]
    if text and not wanted:
        return rows.none()
    if not wanted:
        return rows
    if connection.vendor == "postgresql":
        # Quoted, so that the server takes a word apart as it did those of the reasons ("F-0001").
        quoted = ("'" + word.replace("\\", "\\\\").replace("'", "''") + "':*" for word in wanted)
        query = SearchQuery(" & ".join(quoted), config=CONFIGURATION, search_type="raw")
        return rows.alias(words=SearchVector("reason", config=CONFIGURATION)).filter(words=query)
    for word in wanted:
        rows = rows.filter(reason__icontains=word)
    return rows


def _about(record_type: str, record_id: str) -> Q:
    """Return the condition for a record: events about it, and events that wrote a row of it."""
    condition = Q(subject_id=record_id) if record_id else Q()
    if record_type:
        condition &= Q(subject_type=record_type)
    model = model_named(record_type)
    if model is not None and record_id:
        condition |= Q(pk__in=events_of_record(model, record_id))
    return condition


def _time(text: str, *, end: bool) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text) if len(text) > len("YYYY-MM-DD") else None
        day = parse_date(text) if moment is None else None
    except ValueError:
        moment, day = None, None
    if moment is not None:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if day is None:
        raise InvalidInput(
            f"{text[:40]!r} is no day or time: write 2026-11-22, or 2026-11-22T14:30 (UTC)", code="no-such-time"
        )
    try:
        start = datetime.combine(day, time.min, tzinfo=UTC)
        return start + timedelta(days=1) if end else start
    except OverflowError as error:
        raise InvalidInput(f"{text[:40]!r} lies beyond the calendar", code="no-such-time") from error


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
