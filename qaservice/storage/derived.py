"""Arrays that can be computed again: kept beside the blobs, dropped whenever space is wanted, never evidence.

The key names the input by its digest, the operation and its version, so a changed operation never finds old results.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from compliance.recording import Actor, record_event
from qaservice.common.errors import Unavailable

_TRIES = 5
_SAFE = re.compile(r"[A-Za-z0-9._-]+")


def array(*, input_digest: str, operation: str, version: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Return a cached array, read-only and mapped from disk, or compute it with ``make`` and keep it.

    ``input_digest`` is a SHA-256 over all that ``make`` depends on besides the operation and its version. Two
    processes may compute the same array at the same time; both get a whole one.
    """

    def write(target: Path) -> None:
        with target.open("xb") as stream:
            np.save(stream, make(), allow_pickle=False)

    return written_array(input_digest=input_digest, operation=operation, version=version, write=write)


def written_array(*, input_digest: str, operation: str, version: str, write: Callable[[Path], None]) -> NDArray[Any]:
    """Return a cached array as ``array`` does, or let ``write`` make it as a .npy file at the path that it is given.

    The path does not exist yet; ``write`` may hand it to another process.
    """
    place = _place(input_digest=input_digest, operation=operation, version=version)
    for _ in range(_TRIES):
        kept = _load(place)
        if kept is not None:
            return kept
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.parent / f".{uuid.uuid4().hex}.part"
        try:
            write(temporary)
            made: NDArray[Any] = np.load(temporary, mmap_mode="r", allow_pickle=False)
            temporary.replace(place)
        except FileNotFoundError:
            # Cleared by another process in this very moment, folder and all.
            continue
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return made
    raise Unavailable("the cache is being cleared all the time", code="cache-cleared")


def drop(*, input_digest: str) -> int:
    """Drop every derived array of one input, of all operations and versions, and return how many there were."""
    found = list(Path(settings.DERIVED_DIR).glob(f"*/*/{input_digest[:2]}/{input_digest}.npy"))
    for place in found:
        place.unlink(missing_ok=True)
    return len(found)


def held(*, input_digest: str) -> bool:
    """Return whether any derived array of this input is there."""
    return any(Path(settings.DERIVED_DIR).glob(f"*/*/{input_digest[:2]}/{input_digest}.npy"))


def clear(*, actor: Actor, reason: str) -> int:
    """Drop every derived array and return the bytes set free; everything is computed again when it is needed."""
    folder = Path(settings.DERIVED_DIR)
    freed = 0
    if folder.is_dir():
        freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder)
    record_event(
        "storage.derived-cleared",
        actor=actor,
        reason=reason,
        subject=("storage", "derived"),
        project_key="",
        payload={"bytes": freed},
    )
    return freed


def _place(*, input_digest: str, operation: str, version: str) -> Path:
    for part in (input_digest, operation, version):
        if not _SAFE.fullmatch(part) or part.startswith("."):
            raise ValueError(f"{part!r} cannot name a derived array")
    return Path(settings.DERIVED_DIR) / operation / version / input_digest[:2] / f"{input_digest}.npy"


def _load(place: Path) -> NDArray[Any] | None:
    try:
        kept: NDArray[Any] = np.load(place, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError):
        # A disk that ran full leaves a torn file; it is only a cache.
        place.unlink(missing_ok=True)
        return None
    return kept
