"""The walk through the ledger in its order: every place, its event, its link to the one before, and its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import models

from compliance.altered_events import Restorer, other_id
from compliance.events import event_leaf
from compliance.intact import Reader
from compliance.ledger.canonical import NotCanonical
from compliance.ledger_order import Links, Times, of_place
from compliance.loose_rows import LooseRows
from compliance.models import Event, LedgerEntry
from compliance.problems import DAMAGED, Damaged, Problem, read_all
from compliance.read_ahead import ReadAhead
from compliance.recording import registered_events
from compliance.registry import recorded_models
from compliance.row_checks import check_rows, sealed_rows, unnamed_rows
from compliance.tree_checks import Disclosure, TreeWatch

CHUNK = 100
# Places that are read at once where nothing was altered.
STRETCH = 500
# Altered events whose altered field is looked for: it takes some hundred queries each.
MOST = 100

Sealed = list[tuple[int | None, Event]]


@dataclass
class Walk:
    """One walk over the first ``size`` places, then over the events that have none yet.

    ``watch`` grows the tree, ``disclosure`` takes note of payloads, ``loose`` of rows that do not fit, and ``reader``
    reads. Once it is through, ``sealed``, ``unsealed`` and ``rows`` say how much was read.
    """

    size: int
    watch: TreeWatch
    disclosure: Disclosure
    loose: LooseRows
    reader: Reader | ReadAhead = field(default_factory=Reader)
    sealed: int = 0
    unsealed: int = 0
    rows: int = 0
    # Places that were read as intact, and how many rows of each model their events name.
    _intact: list[range] = field(default_factory=list)
    _named: Counter[str] = field(default_factory=Counter)
    _links: Links = field(default_factory=Links)
    _times: Times = field(default_factory=Times)
    _missing_from: int | None = None
    # Ids under which sealed events stand now.
    _renamed: list[object] = field(default_factory=list)
    # Places whose event is missing, or is another than the one that was sealed there.
    _unfit: list[tuple[LedgerEntry, Event | None, str]] = field(default_factory=list)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong, in the order in which it is read."""
        yield from self._before_the_first()
        start = 0
        while start < self.size:
            stop = min(start + STRETCH, self.size)
            if self._take(start, stop):
                start = stop
                continue
            stop = min(start + CHUNK, self.size)
            entries = dict(_entries(start, stop))
            if entries:
                yield from self._part(range(start, stop), entries)
            else:
                self._miss(start)
                stop = self._next_place(stop)
            start = stop
        yield from self._gap(self.size)
        yield from self._unnamed()
        yield from self._times.problems()
        waiting, damaged = self._waiting()
        found: Sealed = []
        for problem, index, event in self._explained(list(waiting.values())):
            yield problem
            if event is not None:
                found.append((index, event))
                yield from self.disclosure.note(index, event)
        for key in [*(event.pk for _, event in found), *self._renamed]:
            waiting.pop(key, None)
        yield from self._judge(found, sealed=True)
        yield from self._judge_waiting(waiting, damaged)

    def _take(self, start: int, stop: int) -> bool:
        """Take a stretch that is intact and follows what was read; return False, having taken nothing, otherwise."""
        stretch = self.reader.stretch(start, stop)
        if stretch is None or not (self._links.follows(stretch.links) and self._times.in_order(stretch.times)):
            return False
        self._links.take(stretch.links)
        self._times.take(stretch.times)
        for leaf, _ in stretch.links:
            self.watch.append(leaf)
        for index, event in stretch.speaking:
            # Without a problem: what is there of its payload fits.
            list(self.disclosure.note(index, event))
        self.sealed += stop - start
        self.rows += stretch.rows.total()
        self._named += stretch.rows
        if self._intact and self._intact[-1].stop == start:
            start = self._intact.pop().start
        self._intact.append(range(start, stop))
        return True

    def _unnamed(self) -> Iterator[Problem]:
        """Look for rows whose event is intact and does not name their table, where there are more than are named."""
        for model in recorded_models():
            more = sum(sealed_rows(model, places).count() for places in self._intact) - self._named[model._meta.label]
            self.rows += more
            for places in self._intact if more else ():
                yield from unnamed_rows(model, places, self.loose)

    def _before_the_first(self) -> Iterator[Problem]:
        rows: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
        for index in rows.filter(index__lt=0).values_list("index", flat=True).order_by("index"):
            yield of_place(index, "it stands before the first place of the ledger", "index")

    def _miss(self, index: int) -> None:
        self._missing_from = index if self._missing_from is None else self._missing_from
        self.watch.tear()
        self._links.lose()

    def _gap(self, stop: int) -> Iterator[Problem]:
        """Yield one problem for the places that are missing before ``stop``."""
        start, self._missing_from = self._missing_from, None
        if start is None:
            return
        several = stop - start > 1
        name = f"events {start} to {stop - 1}: their places" if several else f"event {start}: its place"
        what = f"{name} in the ledger {'are' if several else 'is'} missing or unreadable"
        yield Problem(what, event_index=start, table=LedgerEntry._meta.db_table, record_id=str(start))

    def _next_place(self, start: int) -> int:
        rows: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
        following = rows.filter(index__range=(start, self.size - 1)).order_by("index")
        found: int | None = following.values_list("index", flat=True).first()
        return self.size if found is None else found

    def _part(self, places: range, entries: dict[int, LedgerEntry]) -> Iterator[Problem]:
        events, damaged = read_events(Event._base_manager.filter(pk__in=[entry.event_id for entry in entries.values()]))
        whole: Sealed = []
        for index in places:
            entry = entries.get(index)
            if entry is None:
                self._miss(index)
                continue
            yield from self._gap(index)
            event = events.get(entry.event_id)
            leaf = "" if event is None else leaf_of(event)
            for fault, column in self._links.faults(entry, leaf):
                yield of_place(index, fault, column, event_id=str(entry.event_id))
            if event is not None and leaf and leaf in (entry.leaf_hash, self._links.vouched):
                whole.append((index, event))
                self._times.note(entry, event)
                yield from self.disclosure.note(index, event)
            else:
                self._unfit.append((entry, event, "cannot be read" if entry.event_id in damaged else "is missing"))
            self.watch.append(self._links.leaf)
        yield from self._judge(whole, sealed=True)

    def _explained(self, waiting: list[Event]) -> Iterator[tuple[Problem, int, Event | None]]:
        """Yield what became of the events that do not fit their places, and each as it was, where that can be told."""
        others = {leaf_of(event): event for event in [*waiting, *(event for _, event, _ in self._unfit if event)]}
        restorer = Restorer(kinds=[one.kind for one in registered_events()])
        for number, (entry, event, absent) in enumerate(self._unfit):
            index = entry.index
            own = others.get(entry.leaf_hash)
            if own is not None:
                what = f"it names the event {entry.event_id}, and {own.pk} was sealed here"
                yield of_place(index, what, "event_id", event_id=str(own.pk)), index, own
            elif event is not None and index in self._links.confirmed:
                what = "its leaf_hash and link_hash were altered: event and next link fit each other"
                yield of_place(index, what, "leaf_hash", event_id=str(event.pk)), index, event
            elif event is not None:
                fields, true = restorer.restored(event, entry.leaf_hash) if number < MOST else ([], None)
                what = f"its {' and '.join(fields)} {_were(fields)} altered" if fields else "its content was altered"
                yield _of_event(index, event.pk, f"({event.kind}, {event.pk}): {what}", *fields[:1]), index, true
            else:
                problem, true = self._missing(entry, absent, waiting)
                yield problem, index, true

    def _missing(self, entry: LedgerEntry, absent: str, waiting: list[Event]) -> tuple[Problem, Event | None]:
        for event in waiting:
            true = other_id(event, entry.event_id, entry.leaf_hash)
            if true is not None:
                self.loose.explained.add(true.pk)
                self._renamed.append(event.pk)
                what = f"({event.kind}, {true.pk}): its id was altered to {event.pk}"
                return _of_event(entry.index, true.pk, what, "id"), true
        return _of_event(entry.index, entry.event_id, f"the event {entry.event_id} {absent}"), None

    def _waiting(self) -> tuple[dict[object, Event], set[object]]:
        unsealed = models.Q(entry__isnull=True) | models.Q(entry__index__gte=self.size)
        waiting, damaged = read_events(Event._base_manager.filter(unsealed).order_by("occurred_at", "id"))
        # Nothing vouches for an event before it is sealed; but what the sealer could not hash, it never wrote.
        return waiting, damaged | {event.pk for event in waiting.values() if not leaf_of(event)}

    def _judge_waiting(self, waiting: dict[object, Event], damaged: set[object]) -> Iterator[Problem]:
        table = Event._meta.db_table
        for key in sorted(damaged, key=str):
            message = f"unsealed event {key}: it cannot be read"
            yield Problem(message, event_id=str(key), table=table, record_id=str(key))
        for event in waiting.values():
            yield from self.disclosure.note(None, event)
        yield from self._judge([(None, event) for event in waiting.values()], sealed=False)

    def _judge(self, events: Sealed, *, sealed: bool) -> Iterator[Problem]:
        for start in range(0, len(events), CHUNK):
            part = events[start : start + CHUNK]
            if sealed:
                self.sealed += len(part)
            else:
                self.unsealed += len(part)
            for outcome in check_rows(part, self.loose):
                if isinstance(outcome, Problem):
                    yield outcome
                else:
                    self.rows += outcome


def _entries(start: int, stop: int) -> Iterator[tuple[int, LedgerEntry]]:
    rows: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
    for entry in read_all(rows.filter(index__range=(start, stop - 1)).order_by("index")):
        if isinstance(entry, Damaged):
            # The time of sealing is no part of the proof: if it alone is unreadable, the rest is judged.
            proof = rows.filter(index=entry.key).only("index", "event_id", "leaf_hash", "link_hash")
            entry = next(read_all(proof), entry)
        if isinstance(entry, LedgerEntry):
            yield entry.index, entry


def _of_event(index: int, key: object, what: str, column: str = "") -> Problem:
    return Problem(
        f"event {index}{' ' if what.startswith('(') else ': '}{what}",
        event_index=index,
        event_id=str(key),
        table=Event._meta.db_table,
        record_id=str(key),
        field=column,
    )


def _were(fields: list[str]) -> str:
    return "was" if len(fields) == 1 else "were"


def leaf_of(event: Event) -> str:
    """Return an event's leaf hash, or an empty string for content that could never have been recorded."""
    try:
        return event_leaf(event).hex()
    except (NotCanonical, *DAMAGED):
        return ""


def read_events(rows: models.QuerySet[Event]) -> tuple[dict[object, Event], set[object]]:
    """Return the events that can be read, and the keys of those that cannot."""
    events: dict[object, Event] = {}
    damaged: set[object] = set()
    for row in read_all(rows):
        if isinstance(row, Damaged):
            damaged.add(row.key)
        else:
            events[row.pk] = row
    return events, damaged
