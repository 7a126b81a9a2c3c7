"""Storing bytes. Files come first, outside the transaction; the rows that name them come inside a change."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from compliance.recording import current_change
from qaservice.storage import files
from qaservice.storage.models import Blob, DestroyedBlob


@dataclass(frozen=True, slots=True)
class BlobItem:
    """Bytes that lie in the blob directory and may or may not have their row yet."""

    sha256: str
    size: int
    media_type: str


def write_bytes(*, data: bytes, media_type: str) -> BlobItem:
    """Put bytes into the blob directory, before the transaction that records them."""
    return BlobItem(sha256=files.write_once(data), size=len(data), media_type=media_type)


WRITERS = 8
"""Threads that wait for the disk: several fsyncs at a time cost the disk little more than one."""

MOST_WAITING = 32
"""Files held in memory until they are on disk."""


SYNCED_TOGETHER = 128
"""Whole files that are synced by one call: few flushes of the disk, and little to wait for at the end."""

MOST_BATCHES = 2
"""Batches on their way to the disk at a time; what comes faster than the disk waits."""


class BlobWriter:
    """Puts many files into the blob directory at once; at the end of the block all are on disk, or it raises.

    Nothing may name them in a row before the block has ended, or ``settle`` has been called after the last of them.
    One thread may hand files over while another settles.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=WRITERS, thread_name_prefix="blob-writer")
        self._waiting: deque[Future[None]] = deque()
        self._adopted: list[_Incoming] = []
        self._moved = False
        self._incoming = ExitStack()
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.settle()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._incoming.close()

    @property
    def folder(self) -> Path:
        """Where other processes may write files for ``adopt``; on the blobs' own file system."""
        with self._lock:
            if self._folder is None:
                self._folder = self._incoming.enter_context(files.incoming_folder())
            return self._folder

    def write(self, *, data: bytes, media_type: str) -> BlobItem:
        """Begin to write bytes and return what they will be known by."""
        self._wait(MOST_WAITING)
        with self._lock:
            self._waiting.append(self._pool.submit(_written, data))
        return BlobItem(sha256=hashlib.sha256(data).hexdigest(), size=len(data), media_type=media_type)

    def adopt(self, *, incoming: Path, sha256: str, size: int, media_type: str) -> BlobItem:
        """Begin to take over a whole file from ``folder`` and return what it will be known by."""
        with self._lock:
            self._adopted.append(_Incoming(incoming, sha256, size))
            full = len(self._adopted) >= SYNCED_TOGETHER
        if full:
            self._wait(MOST_BATCHES - 1)
            self._take_adopted()
        return BlobItem(sha256=sha256, size=size, media_type=media_type)

    def settle(self) -> None:
        """Wait until all that was begun is on disk, names included. Raises what went wrong with any of it."""
        self._take_adopted()
        self._wait(0)
        with self._lock:
            moved, self._moved = self._moved, False
        if moved:
            files.sync_all(self.folder.parent)

    def _take_adopted(self) -> None:
        folder = self.folder
        with self._lock:
            batch, self._adopted = self._adopted, []
            if batch:
                self._waiting.append(self._pool.submit(_taken, folder, batch))
                self._moved = True

    def _wait(self, allowed: int) -> None:
        """Wait for the oldest until no more than ``allowed`` of those begun by now are left."""
        with self._lock:
            begun = list(self._waiting)
        for future in begun[: max(0, len(begun) - allowed)]:
            future.result()
            with self._lock, suppress(ValueError):
                self._waiting.remove(future)


@dataclass(frozen=True, slots=True)
class _Incoming:
    place: Path
    sha256: str
    size: int


def _written(data: bytes) -> None:
    files.write_once(data)


def _taken(folder: Path, batch: Sequence[_Incoming]) -> None:
    files.sync_all(folder)
    for one in batch:
        files.adopt_synced(one.place, sha256=one.sha256, size=one.size)


def record_destroyed(*, digests: Iterable[str], cause: str) -> list[DestroyedBlob]:
    """Say of blobs that their bytes are to be destroyed, inside the running change; those said before are left out."""
    wanted = sorted(set(digests))
    known = set(DestroyedBlob.objects.filter(blob_id__in=wanted).values_list("blob_id", flat=True))
    rows = [DestroyedBlob(blob_id=digest, cause=cause) for digest in wanted if digest not in known]
    return DestroyedBlob.objects.record_many(rows, current_change(), root_label="destroyed blobs")


def discard_unrecorded(digests: Iterable[str]) -> int:
    """Remove bytes that were written down but may not be kept, and return how many; what a row still needs stays.

    Another delivery that stores the same bytes at this very moment finds them missing, and has to be sent again.
    """
    wanted = set(digests)
    needed = set(Blob.objects.filter(pk__in=wanted, destroyed=None).values_list("pk", flat=True))
    return sum(files.remove(digest) for digest in sorted(wanted - needed))


def store_blob(*, data: bytes, media_type: str) -> Blob:
    """Return the blob of these bytes, stored now unless it was before; inside a running change.

    For bytes of some size call ``write_bytes`` before the transaction: then this only finds the file there.
    """
    item = write_bytes(data=data, media_type=media_type)
    known = Blob.objects.filter(pk=item.sha256).first()
    if known is not None:
        return known
    blob = Blob(sha256=item.sha256, size=item.size, media_type=item.media_type)
    blob.save()
    return blob


def store_blobs(*, items: Sequence[BlobItem]) -> list[Blob]:
    """Return the blobs of written bytes in the order given, new rows recorded as one; inside a running change."""
    wanted = {item.sha256: item for item in items}
    blobs = Blob.objects.in_bulk(list(wanted))
    new = [
        Blob(sha256=item.sha256, size=item.size, media_type=item.media_type)
        for digest, item in sorted(wanted.items())
        if digest not in blobs
    ]
    if new:
        Blob.objects.record_many(new, current_change(), root_label="blobs")
    blobs |= {blob.sha256: blob for blob in new}
    return [blobs[item.sha256] for item in items]
