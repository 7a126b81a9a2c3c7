"""Uploads on their way in: streamed to disk, never held in memory, gone once their bytes are stored."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from shutil import rmtree
from typing import Protocol

from django.conf import settings
from django.db import transaction

from qaservice.common.errors import InvalidInput
from qaservice.studies import looked_at
from qaservice.studies.models import Ingest

CHUNK = 1 << 20
STALE_SECONDS = 24 * 3600
_PREFIX = "delivery-"


class Readable(Protocol):
    """What an upload is read from."""

    def read(self, count: int, /) -> bytes: ...


def folder() -> Path:
    """Return where uploads lie."""
    return Path(settings.DATA_DIR) / "uploads"


def keep(stream: Readable) -> Path:
    """Copy an upload to disk and return where. Raises InvalidInput, leaving nothing, if it is empty or too large."""
    folder().mkdir(parents=True, exist_ok=True)
    _sweep()
    place = folder() / f"{_PREFIX}{uuid.uuid4().hex}"
    limit = settings.MAX_UPLOAD_BYTES
    size = 0
    try:
        with place.open("xb") as kept:
            while block := stream.read(CHUNK):
                size += len(block)
                if size > limit:
                    raise InvalidInput(
                        f"the upload has more than {limit} bytes; nothing was kept", code="upload-too-large"
                    )
                kept.write(block)
            kept.flush()
            os.fsync(kept.fileno())
        if size == 0:
            raise InvalidInput("the upload is empty", code="empty-upload")
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return place


def is_upload(place: Path) -> bool:
    """Tell whether a file is an upload that ``keep`` wrote."""
    return place.parent == folder().resolve() and place.name.startswith(_PREFIX)


def pushed_folder() -> Path:
    """Return where deliveries lie into which instances are pushed, a folder each."""
    return Path(settings.DATA_DIR) / "pushed"


def is_pushed(source_path: str) -> bool:
    """Tell whether a delivery lies in a folder of our own, into which instances were pushed."""
    return bool(source_path) and Path(source_path).parent == pushed_folder()


def drop_on_commit(source_path: str) -> None:
    """Remove an upload's file, or a folder of pushed instances, once the running transaction has committed.

    A user's own file is left alone.
    """
    place = Path(source_path)
    if is_pushed(source_path):
        transaction.on_commit(lambda: _remove(place))
    if source_path and place.parent == folder() and place.name.startswith(_PREFIX):
        transaction.on_commit(lambda: place.unlink(missing_ok=True))


def _remove(folder: Path) -> None:
    rmtree(folder, ignore_errors=True)
    looked_at.forget(folder)


def _sweep() -> None:
    """Remove uploads that a crash left behind: old, and named by no delivery that is still to be read."""
    oldest = time.time() - STALE_SECONDS
    wanted = set(Ingest.objects.exclude(source_path="").values_list("source_path", flat=True))
    for place in folder().glob(f"{_PREFIX}*"):
        try:
            if str(place) not in wanted and place.stat().st_mtime < oldest:
                place.unlink()
        except FileNotFoundError:
            continue
