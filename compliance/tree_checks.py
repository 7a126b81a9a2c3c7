"""Parts of live verification that see the ledger as a whole: its tree, its checkpoints on disk, and its redactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import models

from compliance.checkpoints import Place, configured, kept_note, kept_sizes, key_history
from compliance.events import payload_faults
from compliance.kinds import REDACTED
from compliance.ledger.merkle import EMPTY_ROOT, Frontier
from compliance.ledger.note import Checkpoint, NoteError
from compliance.models import Event, Subtree
from compliance.problems import Problem
from compliance.signers import ed25519_holds


class TreeWatch:
    """Grows the tree over the leaves as they are read, and remembers its root at the sizes that are asked about."""

    def __init__(self, *, sizes: Iterable[int]) -> None:
        self._frontier = Frontier()
        self._kept: dict[tuple[int, int], str] = {}
        self._wanted = set(sizes)
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}

    @property
    def size(self) -> int:
        """How many leaves were read."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """The root over the leaves read so far."""
        return self._frontier.root()

    def append(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        for level, index, digest in self._frontier.append(leaf):
            self._kept[(level, index)] = digest.hex()
        if self.size in self._wanted:
            self.roots[self.size] = self.root

    def problems(self) -> Iterator[Problem]:
        """Yield the kept subtrees that are not those of the leaves, and those that are missing."""
        table = Subtree._meta.db_table
        stored = {
            (level, index): digest
            for level, index, digest in models.QuerySet(Subtree).values_list("level", "index", "hash")
        }
        for level, index in sorted({*stored, *self._kept}):
            expected, found = self._kept.get((level, index)), stored.get((level, index))
            if expected == found or (expected is None and self._is_newer(level, index)):
                continue
            first = index << level
            what = "is missing" if found is None else "is not that of its leaves"
            yield Problem(
                f"events {first} to {first + (1 << level) - 1}: the kept hash over them {what}",
                event_index=first,
                table=table,
                record_id=f"{level}/{index}",
            )

    def _is_newer(self, level: int, index: int) -> bool:
        """Tell whether a subtree reaches beyond what was read: sealed while verification went on."""
        return (index + 1) << level > self.size


@dataclass
class Disclosure:
    """Payloads against their commitments, and what is missing of them against the redactions that say so."""

    redacted: int = 0
    _missing: list[tuple[int | None, Event, str]] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def note(self, index: int | None, event: Event) -> Iterator[Problem]:
        """Take one event whose leaf holds; yield the payload fields that do not fit their commitments."""
        if event.kind == REDACTED and "fields" in event.payload:
            self._said |= {(event.subject_id, str(name)) for name in event.payload["fields"]}
        for name in payload_faults(event):
            yield _of_event(index, event, name, f"the payload field {name} was altered")
        self._missing += [(index, event, name) for name in event.redacted]

    def problems(self) -> Iterator[Problem]:
        """Yield the payload fields that are gone although no redaction names them."""
        for index, event, name in self._missing:
            if (str(event.pk), name) in self._said:
                self.redacted += 1
            else:
                yield _of_event(index, event, name, f"the payload field {name} is gone, and nobody redacted it")


@dataclass(frozen=True)
class KeptCheckpoints:
    """The checkpoints on disk; none where the site keeps none."""

    place: Place | None
    sizes: tuple[int, ...]

    def problems(self, watch: TreeWatch) -> Iterator[Problem]:
        """Yield the checkpoints that are not of this ledger, or whose signature does not hold."""
        if self.place is None:
            return
        keys = []
        for index, key, fault in key_history():
            if fault:
                yield Problem(f"event {index}: {fault}", event_index=index)
            else:
                keys.append((index, key))
        for size in self.sizes:
            try:
                note = kept_note(self.place, size)
                head = Checkpoint.parse(note.text)
                # A key signs what was sealed after its own event, until the next one's.
                known = [key for index, key in keys if index < size][-1:]
                if head.size != size or not note.signed_by(known, ed25519_holds):
                    raise NoteError("it is not signed by the ledger's key")
            except (NoteError, OSError) as error:
                yield Problem(f"checkpoint {size}: {error}", event_index=max(size - 1, 0), table="checkpoint")
                continue
            yield from _compared("checkpoint", size, head.root.hex(), watch)


def kept_checkpoints() -> KeptCheckpoints:
    """Return what is on disk now; list it before reading the ledger, which only grows."""
    place = configured()
    return KeptCheckpoints(place, () if place is None else tuple(kept_sizes(place)))


def given_head(checkpoint: tuple[int, str], watch: TreeWatch) -> Iterator[Problem]:
    """Yield a problem unless the ledger had this (size, root)."""
    yield from _compared("the head given", *checkpoint, watch)


def _compared(what: str, size: int, root: str, watch: TreeWatch) -> Iterator[Problem]:
    last = max(size - 1, 0)
    if size > watch.size:
        message = f"event {watch.size} is not there; {what} {size} says that {size} events were sealed"
        yield Problem(message, event_index=watch.size, table="checkpoint", record_id=str(size))
    elif watch.roots[size].hex() != root.lower():
        message = f"the root over {size} events is {watch.roots[size].hex()}; {what} {size} says {root}"
        yield Problem(message, event_index=last, table="checkpoint", record_id=str(size))


def _of_event(index: int | None, event: Event, name: str, what: str) -> Problem:
    where = "an unsealed event" if index is None else f"event {index}"
    return Problem(
        f"{where} ({event.kind}, {event.pk}): {what}",
        event_index=index,
        event_id=str(event.pk),
        table=Event._meta.db_table,
        record_id=str(event.pk),
        field=f"payload.{name}",
    )
