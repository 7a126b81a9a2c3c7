"""What was found when pushed instances were looked at, kept beside them so that it need not be found again.

Only a shortcut: it is not synced, and whatever cannot be read back, or was found on other terms, is found anew. What
is read back passes the same gate as the answer of a parser: plain data and our own classes.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

from imaging.deidentification.receiving import KEEP_IDENTITIES
from imaging.sandbox import wire
from qaservice.studies.examining import Examined, Terms

_PACKAGES = frozenset({"imaging", "qaservice", "pydicom"})


def keep(folder: Path, found: Mapping[str, Examined], terms: Terms) -> None:
    """Keep what the files of ``folder`` are, by name, where they are taken as they came."""
    if terms.identity != KEEP_IDENTITIES or not found:
        return
    place = _beside(folder)
    place.mkdir(exist_ok=True)
    (place / uuid.uuid4().hex).write_bytes(pickle.dumps((_key(terms), dict(found)), protocol=5))


def recall(folder: Path, terms: Terms) -> dict[str, Examined]:
    """Return what is known of the files of ``folder`` on the same terms, by name."""
    known: dict[str, Examined] = {}
    place = _beside(folder)
    if terms.identity != KEEP_IDENTITIES or not place.is_dir():
        return known
    for file in place.iterdir():
        known |= _read_back(file, _key(terms))
    return known


def _read_back(file: Path, key: Terms) -> dict[str, Examined]:
    try:
        found_on, found = wire.unpack_answer([bytearray(file.read_bytes())], _PACKAGES)
        return dict(found) if found_on == key else {}
    # Torn by a crash, or written by another version: pickles fail in any way, and then nothing is known.
    except Exception:
        return {}


def forget(folder: Path) -> None:
    """Remove what is kept of a folder's files."""
    rmtree(_beside(folder), ignore_errors=True)


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.looked-at")


def _key(terms: Terms) -> Terms:
    return replace(terms, folder=None, keep_refused=False, own=False)
