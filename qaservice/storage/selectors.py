"""Reading stored bytes back, and proving that they are what was stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

from qaservice.common.errors import NotFound, Unavailable
from qaservice.storage import files
from qaservice.storage.models import Blob


def blob_path(sha256: str) -> Path:
    """Return where the bytes lie. Raises NotFound if no blob of that digest was recorded."""
    if not Blob.objects.filter(pk=sha256).exists():
        raise NotFound("no such bytes are stored", details={"sha256": sha256})
    return files.path_of(sha256)


def read_blob(sha256: str) -> bytes:
    """Return stored bytes, checked against their digest.

    Raises Unavailable ``blob-missing`` or ``blob-altered`` if the blob directory no longer holds what was stored.
    """
    try:
        data = files.path_of(sha256).read_bytes()
    except FileNotFoundError as error:
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
