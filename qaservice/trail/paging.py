"""Pages of a long trail by key: each begins where the last one ended, whatever was written in between.

Nothing is counted and nothing skipped over (no OFFSET), so a page deep in a million events costs what the first does.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from compliance.models import Event
from qaservice.common.clock import iso
from qaservice.common.errors import InvalidInput

# Each ends in the time and the id, so that no two events share a place. No name or text is sorted by: its value
# would stand in the address of the next page.
ORDERINGS: dict[str, tuple[str, ...]] = {
    "time": ("occurred_at", "id"),
    "person": ("actor_id", "occurred_at", "id"),
    "role": ("actor_role", "occurred_at", "id"),
    "action": ("kind", "occurred_at", "id"),
    "record": ("subject_type", "subject_id", "occurred_at", "id"),
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
    back, place = _read(cursor, columns)
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
        following=_cursor(found[-1], columns, back=False) if after else "",
        preceding=_cursor(found[0], columns, back=True) if before else "",
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


def _cursor(event: Event, columns: Sequence[str], *, back: bool) -> str:
    values = [getattr(event, name) for name in columns]
    plain = [iso(one) if isinstance(one, datetime) else str(one) for one in values]
    text = json.dumps([back, *plain], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")


def _read(cursor: str, columns: Sequence[str]) -> tuple[bool, list[object] | None]:
    if not cursor:
        return False, None
    try:
        told = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        back, values = told[0], [str(one) for one in told[1:]]
        if not isinstance(back, bool) or len(values) != len(columns) or any("\x00" in one for one in values):
            raise ValueError(cursor)
        place: list[object] = []
        for name, value in zip(columns, values, strict=True):
            if name == "occurred_at":
                moment = datetime.fromisoformat(value)
                if moment.tzinfo is None:
                    raise ValueError(value)
                place.append(moment)
            else:
                place.append(uuid.UUID(value) if name == "id" else value)
    except (ValueError, TypeError, KeyError, IndexError, binascii.Error, UnicodeError) as error:
        raise InvalidInput(
            "this cursor is not one of this list; begin at its first page", code="no-such-cursor"
        ) from error
    return back, place
