"""The blob directory: one file for each SHA-256, written whole or not at all, never changed after."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from django.conf import settings

from qaservice.common.errors import Unavailable

READ_ONLY = 0o444


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
    try:
        size = place.stat().st_size
    except FileNotFoundError:
        _write(place, data)
        return digest
    if size != len(data):
        raise Unavailable(
            f"the stored bytes {digest} have {size} bytes instead of {len(data)}: the blob directory was altered",
            code="blob-altered",
            details={"sha256": digest},
        )
    return digest


def _write(place: Path, data: bytes) -> None:
    new_folder = not place.parent.is_dir()
    place.parent.mkdir(parents=True, exist_ok=True)
    if new_folder:
        _sync_directory(place.parent.parent)
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
    _sync_directory(place.parent)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
