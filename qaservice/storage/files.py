"""The blob directory: one file for each SHA-256, written whole or not at all, never changed after."""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from django.conf import settings

from qaservice.common.errors import Unavailable

_libc = ctypes.CDLL(None, use_errno=True)

READ_ONLY = 0o444
INCOMING = "incoming"
STALE_SECONDS = 24 * 3600


def path_of(sha256: str) -> Path:
    """Return where the bytes of this digest lie, whether or not they are there."""
    return Path(settings.BLOB_DIR) / sha256[:2] / sha256


def write_once(data: bytes) -> str:
    """Put bytes on disk under their SHA-256 (hex), unless they are there, and return it.

    The file appears complete or not at all: temporary name, fsync, rename, fsync of the directory. Do this before the
    transaction that records the blob; bytes that no row names are harmless and found again by the next attempt.
    Raises Unavailable ``blob-altered`` if a file of that name has another size.
    """
    digest = hashlib.sha256(data).hexdigest()
    place = path_of(digest)
    if not _lies_there(place, digest, len(data)):
        _write(place, data)
    return digest


@contextmanager
def incoming_folder() -> Iterator[Path]:
    """Give a new folder beside the blobs for files that ``adopt_synced`` takes; what is left at the end is removed.

    What a crash left in such folders a day ago or longer is removed too.
    """
    around = Path(settings.BLOB_DIR) / INCOMING
    around.mkdir(parents=True, exist_ok=True)
    oldest = time.time() - STALE_SECONDS
    for place in around.iterdir():
        if _modified(place) < oldest:
            rmtree(place, ignore_errors=True)
    folder = around / uuid.uuid4().hex
    folder.mkdir()
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def adopt_synced(incoming: Path, *, sha256: str, size: int) -> None:
    """Move a whole file of an incoming folder, whose bytes are synced, to where its digest belongs.

    ``sha256`` is trusted here: every reading of a blob checks it again. The move lasts once ``sync_all`` has been
    called after it. Raises Unavailable ``blob-altered`` as ``write_once`` does.
    """
    place = path_of(sha256)
    if _lies_there(place, sha256, size):
        # Perhaps put there a moment ago by somebody who has yet to sync its name: that has to last either way.
        incoming.unlink(missing_ok=True)
        return
    incoming.chmod(READ_ONLY)
    try:
        incoming.replace(place)
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        incoming.replace(place)


def sync_all(folder: Path) -> None:
    """Make everything last that was written to the file system of ``folder``, names included, by one call for many.

    Syncing files one by one costs the disk a flush each. Errors of any file's writing are reported (Linux 5.8).
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def remove(sha256: str) -> bool:
    """Remove the bytes of this digest for good, and return whether they were there.

    Only for bytes that the record says are destroyed, or that no row names. What a backup or a snapshot of the file
    system holds is not reached.
    """
    place = path_of(sha256)
    try:
        place.unlink()
    except FileNotFoundError:
        return False
    sync_folder(place.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _modified(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _lies_there(place: Path, sha256: str, size: int) -> bool:
    try:
        found = place.stat().st_size
    except FileNotFoundError:
        return False
    if found != size:
        raise Unavailable(
            f"the stored bytes {sha256} have {found} bytes instead of {size}: the blob directory was altered",
            code="blob-altered",
            details={"sha256": sha256},
        )
    return True


def _make_folder(folder: Path) -> None:
    new = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        sync_folder(folder.parent)


def _write(place: Path, data: bytes) -> None:
    _make_folder(place.parent)
    temporary = place.parent / f".{uuid.uuid4().hex}.part"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(READ_ONLY)
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(place.parent)
