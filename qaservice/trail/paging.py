"""Pages of a long trail by key: each begins where the last one ended, whatever was written in between.

Nothing is counted and nothing skipped over (no OFFSET), so a page deep in a million events costs what the first does.
A cursor names the event at its end and no value of it, for it stands in addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from compliance.models import Event
from qaservice.common.errors import InvalidInput
from qaservice.trail.records import is_uuid

# Each ends in the time and the id, so that no two events share a place.
ORDERINGS: dict[str, tuple[str, ...]] = {
    "time": ("occurred_at", "id"),
    "person": ("actor_name", "actor_id", "occurred_at", "id"),
    "role": ("actor_role", "occurred_at", "id"),
    "action": ("kind", "occurred_at", "id"),
    "record": ("subject_type", "subject_id", "occurred_at", "id"),
    "reason": ("reason", "occurred_at", "id"),
}
NEWEST_FIRST = "-time"
MOST = 500
CHUNK = 500


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page. ``following`` and ``preceding`` are the cursors of the pages beside it, empty at an end."""

    events: tuple[Event, ...]
    following: str
    preceding: str


def page_of(rows: QuerySet[Event], *, ordering: str, cursor: str, size: int) -> EventPage:
    """Return a page of events in an ordering such as ``-time``; an empty cursor begins.

    Raises InvalidInput for an ordering or a cursor that is none.
    """
    columns, down = _ordering(ordering)
    size = max(1, min(size, MOST))
    back, place = _read(rows, cursor, columns)
    # Going back means reading the other way and turning round what was found.
    backwards = down != back
    if place is not None:
        rows = rows.filter(_beyond(columns, place, backwards))
    found = list(rows.order_by(*(f"-{name}" if backwards else name for name in columns))[: size + 1])
    more, found = len(found) > size, found[:size]
    if back:
        found.reverse()
    if not found:
        return EventPage((), "", "")
    before, after = (more, True) if back else (place is not None, more)
    return EventPage(
        events=tuple(found),
        following=_cursor(found[-1], back=False) if after else "",
        preceding=_cursor(found[0], back=True) if before else "",
    )


def every_event(rows: QuerySet[Event]) -> Iterator[Event]:
    """Yield all events, oldest first, read a bounded number at a time and without a long transaction."""
    place: Sequence[object] | None = None
    columns = ORDERINGS["time"]
    while True:
        asked = rows if place is None else rows.filter(_beyond(columns, place, False))
        found = list(asked.order_by(*columns)[:CHUNK])
        yield from found
        if len(found) < CHUNK:
            return
        place = (found[-1].occurred_at, found[-1].pk)


def _ordering(text: str) -> tuple[tuple[str, ...], bool]:
    name = text.removeprefix("-")
    if name not in ORDERINGS:
        known = ", ".join(ORDERINGS)
        raise InvalidInput(f"the trail is ordered by {known}, or one of these with '-' before it", code="no-such-order")
    return ORDERINGS[name], text.startswith("-")


def _beyond(columns: Sequence[str], place: Sequence[object], backwards: bool) -> Q:
    """Return the condition for what lies beyond a place in a lexical order of columns.

    The first part says again of the first column what follows from the rest: by it the database enters the index.
    """
    beyond = "lt" if backwards else "gt"
    condition = Q()
    for depth, column in enumerate(columns):
        same = {columns[one]: place[one] for one in range(depth)}
        condition |= Q(**same, **{f"{column}__{beyond}": place[depth]})
    return Q(**{f"{columns[0]}__{beyond}e": place[0]}) & condition


def _cursor(event: Event, *, back: bool) -> str:
    return f"{'before' if back else 'after'}-{event.pk}"


def _read(rows: QuerySet[Event], cursor: str, columns: Sequence[str]) -> tuple[bool, Sequence[object] | None]:
    """Return which way to go and from which place; the event at that place is one of this list, and never changes."""
    if not cursor:
        return False, None
    way, _, key = cursor.partition("-")
    place = rows.filter(pk=key).values_list(*columns).first() if is_uuid(key) else None
    if way not in ("before", "after") or place is None:
        raise InvalidInput("this cursor is not one of this list; begin at its first page", code="no-such-cursor")
    return way == "before", place
