"""Checkpoints: the tree's head, signed and written outside the database, where whoever rewrites it cannot reach.

One file a checkpoint, never rewritten: ``000000000042.checkpoint``, a C2SP signed note. A witness's signature lies
beside it in a file of its own. Before a new one is signed, the last one is compared with the tree: a ledger that lost
its end or was rewritten gets no signature.
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection, models, transaction

from compliance.errors import CheckpointRefused
from compliance.kinds import KEY_INSTALLED, KEY_ROTATED
from compliance.ledger.merkle import IncompleteTree
from compliance.ledger.note import NOTE, Checkpoint, Note, NoteError, Signature, VerifierKey
from compliance.models import Event, LedgerEntry
from compliance.recording import SYSTEM, Actor, record_event
from compliance.sealing import head, root_at, seal_all, size
from compliance.signers import FileSigner, Signer, ed25519_holds, signed

ENDING = ".checkpoint"
COSIGNED = ".cosigned"
NEXT = ".next"
# Any fixed number but the sealer's: it lets one process at a time name the ledger's first key.
KEY_LOCK = 7_302_541_909
WHERE = "the ledger and its checkpoints no longer fit: run verify_ledger, and sign nothing until it is explained"


@dataclass(frozen=True)
class Place:
    """Where checkpoints lie, the file of the key that signs them, and how old the last may be before the next."""

    directory: Path
    key_file: Path
    seconds: int


def configured() -> Place | None:
    """Return what the site's settings say; None where they name no place for checkpoints."""
    directory, key_file = getattr(settings, "CHECKPOINT_DIR", None), getattr(settings, "LEDGER_KEY_FILE", None)
    if not directory or not key_file:
        return None
    return Place(
        directory=Path(directory),
        key_file=Path(key_file),
        seconds=int(getattr(settings, "CHECKPOINT_SECONDS", 60)),
    )


def require_place() -> Place:
    """Return what the settings say. Raises CheckpointRefused where they name no place for checkpoints."""
    place = configured()
    if place is None:
        raise CheckpointRefused("CHECKPOINT_DIR and LEDGER_KEY_FILE are not set: there is nowhere to put a checkpoint")
    return place


def publish() -> Note:
    """Seal what waits and return a signed checkpoint over it, written to disk: at once, for exports and signatures.

    Raises CheckpointRefused where no key is there, or where the ledger does not continue the last checkpoint.
    """
    place = require_place()
    seal_all()
    if not any(True for _ in key_history()):
        _install_key(place)
    return _publish(place)


def publish_due() -> bool:
    """Write a checkpoint if events were sealed since the last and it is old enough; return whether one was written.

    The sealer's round calls this every few seconds. So an alteration can go unseen only until the next checkpoint:
    ``CHECKPOINT_SECONDS`` and one round.
    """
    place = configured()
    if place is None:
        return False
    last = max(kept_sizes(place), default=0)
    if size() == last:
        return False
    if last and time.time() - _path(place, last).stat().st_mtime < place.seconds:
        return False
    publish()
    return True


def kept_sizes(place: Place) -> list[int]:
    """Return the sizes of the checkpoints on disk, ascending."""
    return sorted(int(path.name.removesuffix(ENDING)) for path in place.directory.glob(f"[0-9]*{ENDING}"))


def kept_note(place: Place, at: int) -> Note:
    """Return a checkpoint with the signatures of its witnesses. Raises OSError or NoteError."""
    path = _path(place, at)
    note = Note.parse(path.read_bytes())
    for beside in sorted(place.directory.glob(f"{path.name.removesuffix(ENDING)}.*{COSIGNED}")):
        witness = Note.parse(beside.read_bytes())
        if witness.text != note.text:
            raise NoteError(f"{beside.name} is a signature under another checkpoint")
        note = note.with_signatures(witness.signatures)
    return note


def add_cosignature(place: Place, *, text: str, signature: Signature) -> Path:
    """Keep a witness's signature beside its checkpoint. Raises NoteError if no such checkpoint was published."""
    path = _path(place, Checkpoint.parse(text).size)
    if not path.exists() or Note.parse(path.read_bytes()).text != text:
        raise NoteError("this is not a checkpoint that was published here")
    beside = path.with_name(f"{path.name.removesuffix(ENDING)}.{signature.identity.hex()}{COSIGNED}")
    _write_once(beside, str(Note(text, (signature,))).encode())
    return beside


def key_history() -> Iterator[tuple[int, VerifierKey, str]]:
    """Yield (event index, key, what is wrong) for every key that the ledger names, oldest first.

    The first key is installed; each later one carries a signature by the one before it.
    """
    current: VerifierKey | None = None
    entries: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
    entries = entries.filter(event__kind__in=[KEY_INSTALLED, KEY_ROTATED]).order_by("index")
    for index, kind, payload in entries.values_list("index", "event__kind", "event__payload"):
        fault = ""
        try:
            key = VerifierKey.parse(str(payload["key"]))
            if (kind == KEY_INSTALLED) != (current is None):
                fault = "a key was installed beside the one that the ledger has"
            elif current is not None:
                signature = base64.b64decode(str(payload["signature"]))
                if not ed25519_holds(current.public, rotation_text(key), signature):
                    fault = "the new key is not signed by the old one"
        except (KeyError, TypeError, ValueError):
            key, fault = VerifierKey("unknown", NOTE, bytes(32)), "the key cannot be read"
        yield index, key, fault
        current = current if fault else key


def rotation_text(new: VerifierKey) -> bytes:
    """Return what the old key signs about the new one."""
    return f"ledger key rotation\n{new}\n".encode()


def rotate_key(*, actor: Actor, reason: str) -> VerifierKey:
    """Replace the signing key: the old one signs the new one into the ledger, and a checkpoint by the new one follows.

    The new key lies beside the old until the ledger names it, so that a crash at any point leaves the right one usable.
    """
    place = require_place()
    publish()
    old = _signer(place)
    following = _next(place)
    following.unlink(missing_ok=True)
    new = FileSigner.create(following, name=old.key.name)
    signature = base64.b64encode(old.sign(rotation_text(new.key))).decode("ascii")
    payload = {"key": str(new.key), "previous": str(old.key), "signature": signature}
    record_event(KEY_ROTATED, actor=actor, reason=reason, subject=("ledger", new.key.name), payload=payload)
    publish()
    return new.key


def create_key(*, name: str) -> VerifierKey:
    """Make the site's signing key. Raises FileExistsError, or CheckpointRefused where the ledger names one already."""
    if any(True for _ in key_history()):
        raise CheckpointRefused("the ledger names a key already: restore that one, or rotate it")
    return FileSigner.create(require_place().key_file, name=name).key


def _publish(place: Place) -> Note:
    kept = kept_sizes(place)
    try:
        if kept:
            last = Checkpoint.parse(kept_note(place, kept[-1]).text)
            if last.size > size() or root_at(last.size) != last.root:
                raise CheckpointRefused(f"checkpoint {kept[-1]} is not of this ledger as it stands; {WHERE}")
        at, root = head()
    except (IncompleteTree, NoteError) as error:
        raise CheckpointRefused(f"{error}; {WHERE}") from error
    if at in kept:
        return kept_note(place, at)
    signer = _signer(place)
    note = signed(Checkpoint(signer.key.name, at, bytes.fromhex(root)).text, signer)
    _write_once(_path(place, at), str(note).encode())
    return kept_note(place, at)


def _install_key(place: Place) -> None:
    """Name the site's key in the ledger, once; make one where there is none yet, as no other is in use."""
    if not place.key_file.exists():
        try:
            FileSigner.create(place.key_file, name=f"label-qa/{secrets.token_hex(8)}")
        except FileExistsError:
            pass
        except PermissionError as error:
            raise CheckpointRefused("the ledger's key cannot be made here: use manage.py ledger_key") from error
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # On SQLite the transaction alone keeps a second process from naming a second key.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KEY_LOCK])
        if not models.QuerySet(Event).filter(kind=KEY_INSTALLED).exists():
            key = FileSigner.load(place.key_file).key
            subject, payload = ("ledger", key.name), {"key": str(key)}
            record_event(KEY_INSTALLED, actor=SYSTEM, reason="checkpoints need a key", subject=subject, payload=payload)
    seal_all()


def _signer(place: Place) -> Signer:
    """Return the signer whose key the ledger names last; a key that waited for its event takes its place."""
    wanted = [key for _, key, fault in key_history() if not fault][-1]
    for path in (place.key_file, _next(place)):
        if path.exists() and (signer := FileSigner.load(path)).key == wanted:
            if path != place.key_file:
                path.replace(place.key_file)
            return signer
    raise CheckpointRefused(f"the key that the ledger names, {wanted}, is not at {place.key_file}")


def _next(place: Place) -> Path:
    return place.key_file.with_name(place.key_file.name + NEXT)


def _path(place: Place, at: int) -> Path:
    return place.directory / f"{at:012d}{ENDING}"


def _write_once(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, and never in the place of another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.chmod(0o444)
        try:
            os.link(partial, path)
        except FileExistsError as error:
            # Two processes sign the same head with the same bytes; a witness may sign it again at a later time.
            if path.suffix == ENDING and path.read_bytes() != data:
                raise CheckpointRefused(f"{path.name} is there already, with other bytes; {WHERE}") from error
    finally:
        partial.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
