"""The folder of checkpoints: who keeps it, what lies in it, and how a file gets there whole, once.

``000000000042.checkpoint`` is the signed note over 42 events. Beside it lie what came later: a witness's signature
(``.cosigned``) and a time-stamp (``.tsr``). Where copies go to a bucket too, a file that waits to be sent has a second
name in ``outbox``, so that nothing is forgotten while the bucket is away.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from django.conf import settings

from compliance.errors import CheckpointRefused
from compliance.ledger.note import Note, NoteError

ENDING = ".checkpoint"
COSIGNED = ".cosigned"
STAMPED = ".tsr"
OUTBOX = "outbox"
WHERE = "the ledger and its checkpoints no longer fit: run verify_ledger, and sign nothing until it is explained"


@dataclass(frozen=True)
class Place:
    """Where checkpoints lie, what signs them, and how old the last may be before the next.

    ``command`` is a program of the site's that signs in place of the key file, and ``command_key`` its public key.
    """

    directory: Path
    key_file: Path
    seconds: int
    command: tuple[str, ...] = ()
    command_key: str = ""


def configured() -> Place | None:
    """Return what the site's settings say; None where they name no place for checkpoints."""
    directory, key_file = getattr(settings, "CHECKPOINT_DIR", None), getattr(settings, "LEDGER_KEY_FILE", None)
    if not directory or not key_file:
        return None
    return Place(
        directory=Path(directory),
        key_file=Path(key_file),
        seconds=int(getattr(settings, "CHECKPOINT_SECONDS", 60)),
        command=tuple(getattr(settings, "LEDGER_SIGNER", ())),
        command_key=str(getattr(settings, "LEDGER_SIGNER_KEY", "")),
    )


def require_place() -> Place:
    """Return what the settings say. Raises CheckpointRefused where they name no place for checkpoints."""
    place = configured()
    if place is None:
        raise CheckpointRefused("CHECKPOINT_DIR and LEDGER_KEY_FILE are not set: there is nowhere to put a checkpoint")
    return place


def kept_sizes(place: Place, ending: str = ENDING) -> list[int]:
    """Return the sizes of the checkpoints on disk, ascending; with another ending, of those that have such a file."""
    return sorted(int(path.name.removesuffix(ending)) for path in place.directory.glob(f"[0-9]*{ending}"))


def kept_note(place: Place, at: int) -> Note:
    """Return a checkpoint with the signatures of its witnesses. Raises OSError or NoteError."""
    note = Note.parse(path_of(place, at).read_bytes())
    for beside in sorted(place.directory.glob(f"{_stem(at)}.*{COSIGNED}")):
        witness = Note.parse(beside.read_bytes())
        if witness.text != note.text:
            raise NoteError(f"{beside.name} is a signature under another checkpoint")
        note = note.with_signatures(witness.signatures)
    return note


def cosigned_sizes(place: Place, identity: bytes) -> list[int]:
    """Return the sizes of the checkpoints beside which a witness's signature lies, by its key's id, ascending."""
    ending = f".{identity.hex()}{COSIGNED}"
    return sorted(int(path.name.removesuffix(ending)) for path in place.directory.glob(f"[0-9]*{ending}"))


def path_of(place: Place, at: int, ending: str = ENDING) -> Path:
    """Return where the checkpoint over ``at`` events lies, or the file beside it with another ending."""
    return place.directory / f"{_stem(at)}{ending}"


def write_once(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, and never in the place of another.

    Raises CheckpointRefused for a checkpoint that is there with other bytes. A witness's signature or a time-stamp
    that is there already stays: both may be given again at a later time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.chmod(0o444)
        if sends_copies() and not path.exists():
            # Before its own name: a crash in between sends a file too many, never one too few.
            _put_out(partial, name=path.name)
        try:
            os.link(partial, path)
        except FileExistsError as error:
            # Two processes sign the same head with the same bytes.
            if path.suffix == ENDING and path.read_bytes() != data:
                raise CheckpointRefused(f"{path.name} is there already, with other bytes; {WHERE}") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def sends_copies() -> bool:
    """Return whether the site's settings name a bucket that takes copies."""
    return bool(getattr(settings, "CHECKPOINT_BUCKET", ""))


def waiting(place: Place) -> list[Path]:
    """Return the files that wait to be sent to the bucket, oldest checkpoint first.

    The first time, that is all there are: the bucket may have been named later than the folder.
    """
    return sorted(_outbox(place.directory).glob("[0-9]*"))


def _put_out(path: Path, *, name: str) -> None:
    outbox = _outbox(path.parent)
    with suppress(FileExistsError):
        os.link(path, outbox / name)
    _sync(outbox)


def _outbox(directory: Path) -> Path:
    outbox = directory / OUTBOX
    if outbox.is_dir():
        return outbox
    directory.mkdir(parents=True, exist_ok=True)
    new = directory / f".{OUTBOX}.{secrets.token_hex(4)}"
    new.mkdir()
    for ending in (ENDING, COSIGNED, STAMPED):
        for path in directory.glob(f"[0-9]*{ending}"):
            os.link(path, new / path.name)
    try:
        new.rename(outbox)
    except OSError:
        # Another process was first: it found the same files.
        rmtree(new)
    _sync(directory)
    return outbox


def _stem(at: int) -> str:
    return f"{at:012d}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
