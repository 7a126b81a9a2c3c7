"""Storing bytes. Files come first, outside the transaction; the rows that name them come inside a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compliance.recording import current_change
from qaservice.storage import files
from qaservice.storage.models import Blob


@dataclass(frozen=True, slots=True)
class BlobItem:
    """Bytes that lie in the blob directory and may or may not have their row yet."""

    sha256: str
    size: int
    media_type: str


def write_bytes(*, data: bytes, media_type: str) -> BlobItem:
    """Put bytes into the blob directory, before the transaction that records them."""
    return BlobItem(sha256=files.write_once(data), size=len(data), media_type=media_type)


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
