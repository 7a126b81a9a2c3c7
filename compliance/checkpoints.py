"""Checkpoints: the tree's head, signed and written outside the database, where whoever rewrites it cannot reach.

One file a checkpoint, never rewritten, a C2SP signed note; ``checkpoint_files`` tells how they lie. Before a new one is
signed, the last one is compared with the tree: a ledger that lost its end or was rewritten gets no signature.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.db import connection, models, transaction

from compliance.checkpoint_files import (
    COSIGNED,
    WHERE,
    Place,
    configured,
    kept_note,
    kept_sizes,
    path_of,
    require_place,
    write_once,
)
from compliance.errors import CheckpointRefused
from compliance.kinds import KEY_INSTALLED, KEY_ROTATED
from compliance.ledger.merkle import IncompleteTree
from compliance.ledger.note import NOTE, Checkpoint, Note, NoteError, Signature, VerifierKey
from compliance.models import Event, LedgerEntry
from compliance.recording import SYSTEM, Actor, record_event
from compliance.sealing import head, root_at, seal_all, size
from compliance.signers import CommandSigner, FileSigner, Signer, ed25519_holds, signed

NEXT = ".next"
# Any fixed number but the sealer's: it lets one process at a time name the ledger's first key.
KEY_LOCK = 7_302_541_909


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
    if last and time.time() - path_of(place, last).stat().st_mtime < place.seconds:
        return False
    publish()
    return True


def add_cosignature(place: Place, *, text: str, signature: Signature) -> Path:
    """Keep a witness's signature beside its checkpoint. Raises NoteError if no such checkpoint was published."""
    at = Checkpoint.parse(text).size
    path = path_of(place, at)
    if not path.exists() or Note.parse(path.read_bytes()).text != text:
        raise NoteError("this is not a checkpoint that was published here")
    beside = path_of(place, at, f".{signature.identity.hex()}{COSIGNED}")
    write_once(beside, str(Note(text, (signature,))).encode())
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


def rotate_key(*, actor: Actor, reason: str, old: Signer | None = None) -> VerifierKey:
    """Replace the signing key: the old one signs the new one into the ledger, and a checkpoint by the new one follows.

    The new key is the one of the site's own program where the settings name a program that does not sign yet, and else
    a new file. It lies beside the old until the ledger names it, so that a crash at any point leaves the right one
    usable. ``old`` is the signer that goes, where the settings do not name it any more: a site's former program.
    """
    place = require_place()
    leaving = () if old is None else (old,)
    if leaving:
        seal_all()
        _publish(place, leaving)
    else:
        publish()
    old = _signer(place, leaving)
    command = _command(place)
    new: Signer
    if command is not None and command.key != old.key:
        new = command
    else:
        if command is not None:
            raise CheckpointRefused("the ledger names the key of LEDGER_SIGNER already: set the one that comes next")
        following = _next(place)
        following.unlink(missing_ok=True)
        new = FileSigner.create(following, name=old.key.name)
    # A program that does not sign under its key says so here, before the ledger names it.
    new.sign(rotation_text(new.key))
    signature = base64.b64encode(old.sign(rotation_text(new.key))).decode("ascii")
    payload = {"key": str(new.key), "previous": str(old.key), "signature": signature}
    record_event(KEY_ROTATED, actor=actor, reason=reason, subject=("ledger", new.key.name), payload=payload)
    publish()
    return new.key


def former_signer(command: Sequence[str]) -> Signer:
    """Return the program that signed until now, under the key that the ledger names. Raises CheckpointRefused."""
    keys = [key for _, key, fault in key_history() if not fault]
    if not keys:
        raise CheckpointRefused("the ledger names no key yet: there is nothing to rotate")
    return CommandSigner(command=command, key=keys[-1])


def create_key(*, name: str) -> VerifierKey:
    """Make the site's signing key. Raises FileExistsError, or CheckpointRefused where the ledger names one already."""
    if any(True for _ in key_history()):
        raise CheckpointRefused("the ledger names a key already: restore that one, or rotate it")
    return FileSigner.create(require_place().key_file, name=name).key


def _publish(place: Place, also: Sequence[Signer] = ()) -> Note:
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
    signer = _signer(place, also)
    note = signed(Checkpoint(signer.key.name, at, bytes.fromhex(root)).text, signer)
    write_once(path_of(place, at), str(note).encode())
    return kept_note(place, at)


def _install_key(place: Place) -> None:
    """Name the site's key in the ledger, once; make one where there is none yet, as no other is in use."""
    command = _command(place)
    if command is None and not place.key_file.exists():
        try:
            FileSigner.create(place.key_file, name=f"label-qa/{secrets.token_hex(8)}")
        except FileExistsError:
            pass
        except PermissionError as error:
            raise CheckpointRefused("the ledger's key cannot be made here: use manage.py ledger_key") from error
    if command is not None:
        command.sign(rotation_text(command.key))
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # On SQLite the transaction alone keeps a second process from naming a second key.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KEY_LOCK])
        if not models.QuerySet(Event).filter(kind=KEY_INSTALLED).exists():
            key = FileSigner.load(place.key_file).key if command is None else command.key
            subject, payload = ("ledger", key.name), {"key": str(key)}
            record_event(KEY_INSTALLED, actor=SYSTEM, reason="checkpoints need a key", subject=subject, payload=payload)
    seal_all()


def _signer(place: Place, also: Sequence[Signer] = ()) -> Signer:
    """Return the signer whose key the ledger names last; a key that waited for its event takes its place."""
    wanted = [key for _, key, fault in key_history() if not fault][-1]
    command = _command(place)
    programs: list[Signer] = [*also] if command is None else [*also, command]
    for signer in programs:
        if signer.key == wanted:
            return signer
    for path in (place.key_file, _next(place)):
        if path.exists() and (found := FileSigner.load(path)).key == wanted:
            if path != place.key_file:
                path.replace(place.key_file)
            return found
    raise CheckpointRefused(f"the key that the ledger names, {wanted}, is not at {place.key_file}")


def _command(place: Place) -> CommandSigner | None:
    if not place.command:
        return None
    try:
        return CommandSigner(command=place.command, key=VerifierKey.parse(place.command_key))
    except NoteError as error:
        raise CheckpointRefused(f"LEDGER_SIGNER_KEY is not the key of LEDGER_SIGNER: {error}") from error


def _next(place: Place) -> Path:
    return place.key_file.with_name(place.key_file.name + NEXT)
