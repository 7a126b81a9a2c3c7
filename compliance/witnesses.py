"""The witnesses that a site knows: named in the ledger, and whose signatures it takes.

``witness`` is what a witness does on its own machine. Here a signature is taken only under a key that the ledger names,
only for a checkpoint that was published here, and only if that continues what the same witness signed last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models

from compliance.checkpoint_files import cosigned_sizes, kept_note, require_place
from compliance.checkpoints import add_cosignature
from compliance.errors import RecordError
from compliance.kinds import WITNESS_DISMISSED, WITNESS_NAMED, WITNESSED
from compliance.ledger.merkle import BadProof, IncompleteTree, verify_consistency
from compliance.ledger.note import COSIGNATURE, Checkpoint, Note, NoteError, Signature, VerifierKey
from compliance.models import Event
from compliance.problems import read_all
from compliance.recording import Actor, record_event
from compliance.sealing import stored_tree
from compliance.signers import ed25519_holds


class WitnessRefused(RecordError):
    """A witness or its signature that the ledger does not take; the message says why."""


@dataclass(frozen=True)
class Witness:
    """A witness that the ledger names. ``last`` is the size of the last checkpoint it signed, None before the first."""

    key: VerifierKey
    last: int | None


def witness_keys() -> list[VerifierKey]:
    """Return the keys of the witnesses that the ledger names now, in the order in which they were named."""
    found: dict[str, VerifierKey] = {}
    for event in _events(WITNESS_NAMED, WITNESS_DISMISSED):
        try:
            key = VerifierKey.parse(str(event.payload["key"]))
        except (KeyError, TypeError, ValueError):
            # An altered event names nobody; verification names the event.
            continue
        if event.kind == WITNESS_NAMED:
            found[str(key)] = key
        else:
            found.pop(str(key), None)
    return list(found.values())


def witnessed() -> Iterator[tuple[int, str]]:
    """Yield (size of the checkpoint, witness's key) of every signature that the ledger says was given."""
    for event in _events(WITNESSED):
        try:
            yield int(event.payload["size"]), str(event.payload["key"])
        except (KeyError, TypeError, ValueError):
            continue


def _events(*kinds: str) -> Iterator[Event]:
    rows: models.QuerySet[Event] = models.QuerySet(Event)
    for row in read_all(rows.filter(kind__in=kinds).order_by("occurred_at", "id")):
        if isinstance(row, Event):
            yield row


def witnesses() -> list[Witness]:
    """Return the witnesses that the ledger names now, with the last checkpoint that each signed."""
    place = require_place()
    return [Witness(key, max(cosigned_sizes(place, key.identity), default=None)) for key in witness_keys()]


def name_witness(text: str, *, actor: Actor, reason: str) -> VerifierKey:
    """Name a witness in the ledger by its verifier key. Raises WitnessRefused for any other key."""
    try:
        key = VerifierKey.parse(text.strip())
    except NoteError as error:
        raise WitnessRefused(str(error)) from error
    if key.kind != COSIGNATURE:
        raise WitnessRefused("this is no witness's key: make one with witness_checkpoint --create")
    if key in witness_keys():
        raise WitnessRefused(f"{key.name} is named already")
    payload = {"key": str(key)}
    record_event(WITNESS_NAMED, actor=actor, reason=reason, subject=("witness", key.name), payload=payload)
    return key


def dismiss_witness(text: str, *, actor: Actor, reason: str) -> None:
    """Take no more signatures of a witness; what it signed stays. Raises WitnessRefused where it is not named."""
    if text.strip() not in map(str, witness_keys()):
        raise WitnessRefused("the ledger names no such witness")
    payload = {"key": text.strip()}
    name = VerifierKey.parse(text.strip()).name
    record_event(WITNESS_DISMISSED, actor=actor, reason=reason, subject=("witness", name), payload=payload)


def take_cosigned(data: bytes, *, actor: Actor, reason: str) -> list[VerifierKey]:
    """Keep the witnesses' signatures under a checkpoint that came back, and return whose they are.

    Raises WitnessRefused for anything but a checkpoint that was published here, signed by a witness that the ledger
    names, whose last one it continues.
    """
    try:
        note = Note.parse(data)
        head = Checkpoint.parse(note.text)
        keys = note.signed_by(witness_keys(), ed25519_holds)
        if not keys:
            raise WitnessRefused("no witness that the ledger names signed this checkpoint")
        for key in keys:
            _require_continued(head, key)
        place = require_place()
        for key in keys:
            add_cosignature(place, text=note.text, signature=_signature_of(note, key))
            record_event(
                WITNESSED,
                actor=actor,
                reason=reason,
                subject=("witness", key.name),
                payload={"key": str(key), "size": head.size, "root": head.root.hex()},
            )
    except (NoteError, OSError) as error:
        raise WitnessRefused(f"the checkpoint was not taken: {error}") from error
    return keys


def _require_continued(head: Checkpoint, key: VerifierKey) -> None:
    place = require_place()
    last = max(cosigned_sizes(place, key.identity), default=0)
    if not last:
        return
    before = Checkpoint.parse(kept_note(place, last).text)
    try:
        verify_consistency(
            first=before.size,
            first_root=before.root,
            second=head.size,
            second_root=head.root,
            proof=stored_tree(head.size).consistency_proof(before.size) if head.size > before.size else [],
        )
    except (BadProof, IncompleteTree, ValueError) as error:
        message = f"{key.name} signed {last} events last, and this checkpoint over {head.size} does not continue it"
        raise WitnessRefused(f"{message}: {error}") from error


def _signature_of(note: Note, key: VerifierKey) -> Signature:
    return next(one for one in note.signatures if (one.name, one.identity) == (key.name, key.identity))
