"""Parts of live verification that see the ledger as a whole: its tree, its checkpoints on disk, and its redactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import models

from compliance.checkpoint_files import ENDING, Place, configured, cosigned_sizes, kept_note, kept_sizes
from compliance.checkpoints import key_history
from compliance.errors import PlaceUnreachable
from compliance.events import payload_faults
from compliance.kinds import REDACTED
from compliance.ledger.merkle import EMPTY_ROOT, Frontier
from compliance.ledger.note import Checkpoint, Note, NoteError, VerifierKey
from compliance.models import Event, Subtree
from compliance.object_lock import Copy, configured_bucket, copies
from compliance.problems import Problem
from compliance.sealing import size as ledger_size
from compliance.signers import ed25519_holds
from compliance.timestamps import StampRefused, configured_authority, read_stamp, stamp_file, stamped_sizes
from compliance.witnesses import witness_keys, witnessed


class TreeWatch:
    """Grows the tree over the leaves as they are read, and remembers its root at the sizes that are asked about."""

    def __init__(self, *, sizes: Iterable[int]) -> None:
        self._frontier = Frontier()
        self._kept: dict[tuple[int, int], str] = {}
        self._wanted = set(sizes)
        self._torn = False
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}

    @property
    def size(self) -> int:
        """How many leaves were read."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """The root over the leaves read so far."""
        return self._frontier.root()

    def tear(self) -> None:
        """A leaf is missing: there is no tree over what follows."""
        self._torn = True

    def append(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        if self._torn:
            return
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
        # Read last: what was sealed while verification went on is not beyond the end.
        end = ledger_size()
        for level, index in sorted({*stored, *self._kept}):
            expected, found = self._kept.get((level, index)), stored.get((level, index))
            if expected == found:
                continue
            first, name = 0, f"{level}/{index}"
            if not _is_subtree(level, index, end):
                what = f"the hash kept as {name} is over events that there are not"
            elif expected is None and (index + 1) << level > self.size:
                # Sealed since, or after a place that is missing.
                continue
            else:
                first = index << level
                state = "is missing" if found is None else "is not that of its leaves"
                what = f"events {first} to {first + (1 << level) - 1}: the kept hash over them {state}"
            yield Problem(what, event_index=first, table=table, record_id=name, field="" if found is None else "hash")


def _is_subtree(level: int, index: int, size: int) -> bool:
    """Tell whether there is a complete subtree of this name in a tree of so many leaves."""
    return 0 < level < 64 and index >= 0 and (index + 1) << level <= size


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
    """The checkpoints on disk and in the bucket; none where the site keeps none.

    ``unreachable`` says which place could not be read. ``upto`` leaves aside what covers more events: a backup ends
    earlier than the checkpoints outside go.
    """

    place: Place | None
    on_disk: tuple[int, ...]
    copies: tuple[Copy, ...] = ()
    unreachable: str = ""
    upto: int | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the checkpoints on disk that are compared."""
        return tuple(size for size in self.on_disk if self.upto is None or size <= self.upto)

    @property
    def compared_copies(self) -> tuple[Copy, ...]:
        """The copies in the bucket that are compared."""
        return tuple(copy for copy in self.copies if self.upto is None or copy.size <= self.upto)

    @property
    def wanted(self) -> set[int]:
        """The sizes at which the tree's root is asked for."""
        return {*self.sizes, *(copy.size for copy in self.compared_copies)}

    def problems(self, watch: TreeWatch) -> Iterator[Problem]:
        """Yield the checkpoints that are not of this ledger, and those whose signature or time-stamp does not hold."""
        if self.place is None:
            return
        keys = []
        for index, key, fault in key_history():
            if fault:
                yield Problem(f"event {index}: {fault}", event_index=index)
            else:
                keys.append((index, key))
        witnesses = witness_keys()
        for size in self.sizes:
            try:
                head = _signed_head(kept_note(self.place, size), size, keys, witnesses)
            except (NoteError, OSError) as error:
                yield Problem(f"checkpoint {size}: {error}", event_index=max(size - 1, 0), table="checkpoint")
                continue
            yield from _compared("checkpoint", size, head.root.hex(), watch)
        yield from self._cosignatures(witnesses)
        yield from self._stamps()
        for copy in self.compared_copies:
            yield from _of_copy(copy, keys, watch)

    def _cosignatures(self, witnesses: list[VerifierKey]) -> Iterator[Problem]:
        """Yield the signatures of witnesses that the ledger says were given, and that do not lie there."""
        there = {str(key): cosigned_sizes(self.place, key.identity) for key in witnesses} if self.place else {}
        for size, key in witnessed():
            if size in self.sizes and key in there and size not in there[key]:
                message = f"checkpoint {size}: the signature that {VerifierKey.parse(key).name} gave is gone"
                yield Problem(message, event_index=max(size - 1, 0), table="checkpoint", record_id=str(size))

    def _stamps(self) -> Iterator[Problem]:
        if self.place is None:
            return
        authority = configured_authority()
        for size in stamped_sizes(self.place):
            if size not in self.sizes:
                continue
            try:
                text = kept_note(self.place, size).text
                read_stamp(stamp_file(self.place, size).read_bytes(), text=text, authority=authority)
            except (NoteError, OSError, StampRefused) as error:
                message = f"the time-stamp of checkpoint {size}: {error}"
                yield Problem(message, event_index=max(size - 1, 0), table="checkpoint", record_id=str(size))


def kept_checkpoints(*, upto: int | None = None) -> KeptCheckpoints:
    """Return what is on disk and in the bucket now; list it before reading the ledger, which only grows."""
    place = configured()
    if place is None:
        return KeptCheckpoints(None, ())
    found: tuple[Copy, ...] = ()
    unreachable = ""
    try:
        bucket = configured_bucket()
        if bucket is not None:
            found = tuple(copies(place, bucket))
    except (PlaceUnreachable, ValueError) as error:
        unreachable = str(error)
    return KeptCheckpoints(place, tuple(kept_sizes(place)), found, unreachable, upto)


def _signed_head(note: Note, size: int, keys: list[tuple[int, VerifierKey]], also: list[VerifierKey]) -> Checkpoint:
    """Return a checkpoint's head. Raises NoteError unless it is signed as it should be."""
    head = Checkpoint.parse(note.text)
    # A key signs what was sealed after its own event, until the next one's.
    known = [key for index, key in keys if index < size][-1:]
    if head.size != size or not note.signed_by(known, ed25519_holds):
        raise NoteError("it is not signed by the ledger's key")
    note.signed_by(also, ed25519_holds)
    return head


def _of_copy(copy: Copy, keys: list[tuple[int, VerifierKey]], watch: TreeWatch) -> Iterator[Problem]:
    """Yield what is wrong with one version of an object in the bucket."""
    name, last = f"the copy of {copy.name} in the bucket", max(copy.size - 1, 0)
    if copy.data is None:
        yield Problem(f"{name} was hidden by a delete marker", event_index=last, table="checkpoint")
        return
    if copy.locked is False:
        yield Problem(f"{name} is not locked in COMPLIANCE mode", event_index=last, table="checkpoint")
    if copy.ending != ENDING:
        return
    try:
        head = _signed_head(Note.parse(copy.data), copy.size, keys, [])
    except NoteError as error:
        yield Problem(f"{name}: {error}", event_index=last, table="checkpoint", record_id=str(copy.size))
        return
    yield from _compared("the copy in the bucket of checkpoint", copy.size, head.root.hex(), watch)


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
