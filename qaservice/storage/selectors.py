"""Reading stored bytes back, and proving that they are what was stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from compliance.problems import Problem
from qaservice.common.errors import Gone, NotFound, Unavailable
from qaservice.storage import files
from qaservice.storage.models import Blob, DestroyedBlob

READ_SIZE = 1024 * 1024


def blob_path(sha256: str) -> Path:
    """Return where the bytes lie. Raises NotFound if no blob of that digest was recorded."""
    if not Blob.objects.filter(pk=sha256).exists():
        raise NotFound("no such bytes are stored", details={"sha256": sha256})
    return files.path_of(sha256)


def read_blob(sha256: str) -> bytes:
    """Return stored bytes, checked against their digest.

    Raises Unavailable ``blob-missing`` or ``blob-altered`` if the blob directory no longer holds what was stored, Gone
    ``destroyed`` if that is as the record says.
    """
    try:
        data = files.path_of(sha256).read_bytes()
    except FileNotFoundError as error:
        if DestroyedBlob.objects.filter(blob_id=sha256).exists():
            raise Gone("these bytes were destroyed, as the record tells", code="destroyed") from error
        raise Unavailable(
            f"the bytes {sha256} are missing from the blob directory", code="blob-missing", details={"sha256": sha256}
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Unavailable(
            f"the bytes stored as {sha256} are no longer those: the blob directory was altered",
            code="blob-altered",
            details={"sha256": sha256},
        )
    return data


def altered_blobs() -> Iterator[Problem]:
    """Yield every blob whose bytes are missing or are not those of its digest, and every destroyed one that is there.

    Reads all that is stored.
    """
    table = Blob._meta.db_table
    kept = Blob.objects.order_by("sha256").values_list("sha256", "size", "destroyed__pk")
    for sha256, size, destroyed in kept.iterator():
        if destroyed is not None:
            if files.path_of(sha256).exists():
                told = f"{table} {sha256}: its bytes are there, and the record says that they were destroyed"
                yield Problem(told, table=table, record_id=sha256, field="bytes")
            continue
        found, length = hashlib.sha256(), 0
        try:
            with files.path_of(sha256).open("rb") as stream:
                while piece := stream.read(READ_SIZE):
                    found.update(piece)
                    length += len(piece)
        except OSError:
            yield Problem(f"{table} {sha256}: its bytes are missing or cannot be read", table=table, record_id=sha256)
            continue
        if (found.hexdigest(), length) != (sha256, size):
            yield Problem(f"{table} {sha256}: its bytes were altered", table=table, record_id=sha256, field="bytes")
