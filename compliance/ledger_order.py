"""What each place of the ledger says of the one before it: its link, and its time.

Both tell more than that something is wrong. A hash that was altered fits neither side, while the places around it still
fit each other; so an altered event, an altered leaf and an altered link can be told apart.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from compliance.ledger import chain
from compliance.models import Event, LedgerEntry
from compliance.problems import Problem

CLOCK_SECONDS = 5
"""How far clocks may stand apart, where the site does not say (``CLOCK_SECONDS``)."""
LONGEST_CHANGE = datetime.timedelta(hours=1)
"""An event's time is that of the beginning of its change, and no change is open for so long."""


def _beginning() -> dict[bytes, int | None] | None:
    return {chain.GENESIS: None}


@dataclass
class Links:
    """Follows the chain of links. After ``faults``, ``leaf`` is the place's leaf as far as it can be told.

    ``vouched`` is then the leaf, in hexadecimal, for which the link speaks against the stored leaf; ``confirmed`` holds
    the places whose two hashes were both altered, as the next link shows.
    """

    leaf: bytes = bytes(32)
    vouched: str = ""
    confirmed: set[int] = field(default_factory=set)
    # Links that the next place may follow, and the place that each would confirm; None where any may come.
    _before: dict[bytes, int | None] | None = field(default_factory=_beginning)

    def lose(self) -> None:
        """A place is missing: whatever follows it cannot be judged by its link."""
        self._before = None

    def follows(self, places: Sequence[tuple[bytes, str]]) -> bool:
        """Tell whether the (leaf, link) of a stretch follow what was read before, each link the one before it."""
        if self._before is None or list(self._before.values()) != [None]:
            return False
        (previous,) = self._before
        for leaf, link in places:
            previous = chain.link_hash(previous=previous, leaf=leaf)
            if previous.hex() != link:
                return False
        return True

    def take(self, places: Sequence[tuple[bytes, str]]) -> None:
        """Take a stretch that follows."""
        self.leaf, link = places[-1]
        self.vouched, self._before = "", {bytes.fromhex(link): None}

    def faults(self, entry: LedgerEntry, leaf: str) -> Iterator[tuple[str, str]]:
        """Yield (what is wrong with a place, the column); ``leaf`` is that of its event, "" where there is none."""
        stored, link, before = bytes_of(entry.leaf_hash), entry.link_hash, self._before
        self.leaf, self.vouched = stored, ""
        if before is None:
            self._before = {bytes_of(link): None}
            return
        followed = [one for one in before if chain.link_hash(previous=one, leaf=stored).hex() == link]
        if leaf and leaf != entry.leaf_hash:
            of_event = {chain.link_hash(previous=one, leaf=bytes_of(leaf)): one for one in before}
            if link in {one.hex() for one in of_event}:
                self.leaf, self.vouched = bytes_of(leaf), leaf
                followed = [of_event[bytes.fromhex(link)]]
                yield "its leaf_hash was altered: link and event fit each other", "leaf_hash"
        else:
            of_event = {}
        if followed:
            place = before[followed[0]]
            if place is not None:
                self.confirmed.add(place)
            self._before = {bytes_of(link): None}
            return
        yield "its link does not follow from the event before it", "link_hash"
        self._before = {
            **dict.fromkeys(of_event, entry.index),
            **{chain.link_hash(previous=one, leaf=stored): None for one in before},
            bytes_of(link): None,
        }


@dataclass
class Times:
    """Follows the times at which events were sealed and at which they say that they happened.

    The sealer takes every event that has been committed, in the order of their times. So an event that is sealed after
    one of a later time was committed after it; and the times of sealing themselves never go back.
    """

    _found: list[Problem] = field(default_factory=list)
    _now: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(tz=datetime.UTC))
    _sealed: list[tuple[int, datetime.datetime]] = field(default_factory=list)
    _latest: datetime.datetime | None = None

    def in_order(self, places: Sequence[tuple[int, datetime.datetime, datetime.datetime]]) -> bool:
        """Tell whether ``note`` would find nothing in a stretch of (index, time of sealing, time of the event)."""
        slack = _slack()
        latest = self._latest or places[0][2]
        before = self._sealed[-1][1] if self._sealed else places[0][1]
        for _, sealed, occurred in places:
            if occurred < latest - LONGEST_CHANGE or not max(occurred, before) - slack <= sealed <= self._now + slack:
                return False
            latest, before = max(latest, occurred), sealed
        return True

    def take(self, places: Sequence[tuple[int, datetime.datetime, datetime.datetime]]) -> None:
        """Take a stretch that is in order."""
        self._latest = max([occurred for _, _, occurred in places] + ([self._latest] if self._latest else []))
        self._sealed = [*self._sealed, *((index, sealed) for index, sealed, _ in places[-2:])][-2:]

    def note(self, entry: LedgerEntry, event: Event) -> None:
        """Take the next place, whose event is as it was sealed."""
        if self._latest is not None and event.occurred_at < self._latest - LONGEST_CHANGE:
            later = self._latest.isoformat()
            what = f"it says {event.occurred_at.isoformat()} and was written after an event of {later}"
            self._found.append(_of_event(entry, event, f"{what}: the clock was set back"))
            self._latest = event.occurred_at
        self._latest = event.occurred_at if self._latest is None else max(self._latest, event.occurred_at)
        # On SQLite, text that is no time is read as none at all.
        if "sealed_at" in entry.get_deferred_fields() or entry.sealed_at is None:
            self._found.append(of_place(entry.index, "its time of sealing cannot be read", "sealed_at"))
            return
        slack = _slack()
        if entry.sealed_at < event.occurred_at - slack:
            what = "it was sealed before its event happened: the clock was set back, or its time of sealing was altered"
            self._found.append(of_place(entry.index, what, "sealed_at"))
        elif entry.sealed_at > self._now + slack:
            self._found.append(of_place(entry.index, "its time of sealing is yet to come", "sealed_at"))
        elif self._sealed and entry.sealed_at < self._sealed[-1][1] - slack:
            self._found.append(self._back(entry, slack))
        self._sealed = [*self._sealed[-1:], (entry.index, entry.sealed_at)]

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the times, in the order of the ledger."""
        yield from self._found

    def _back(self, entry: LedgerEntry, slack: datetime.timedelta) -> Problem:
        index, _ = self._sealed[-1]
        if len(self._sealed) == 2 and self._sealed[0][1] <= entry.sealed_at + slack:
            # Without the one in the middle, the order is right.
            return of_place(index, "its time of sealing is later than that of the event after it", "sealed_at")
        what = "the clock was set back before it was sealed, or its time of sealing was altered"
        return of_place(entry.index, what, "sealed_at")


def _slack() -> datetime.timedelta:
    return datetime.timedelta(seconds=int(getattr(settings, "CLOCK_SECONDS", CLOCK_SECONDS)))


def of_place(index: int, what: str, column: str, *, event_id: str = "") -> Problem:
    """Return a problem with a place of the ledger."""
    return Problem(
        f"event {index}: {what}",
        event_index=index,
        event_id=event_id,
        table=LedgerEntry._meta.db_table,
        record_id=str(index),
        field=column,
    )


def bytes_of(text: str) -> bytes:
    """Return the 32 bytes of a stored hash; zeros for text that is none, which then fits nothing."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    return found if len(found) == 32 else bytes(32)


def _of_event(entry: LedgerEntry, event: Event, what: str) -> Problem:
    return Problem(
        f"event {entry.index} ({event.kind}, {event.pk}): {what}",
        event_index=entry.index,
        event_id=str(event.pk),
        table=Event._meta.db_table,
        record_id=str(event.pk),
        field="occurred_at",
    )
