"""Opening what an ingest is to read: a place on disk, or the kept files of an earlier delivery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from qaservice.common.errors import ServiceError
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, write_bytes
from qaservice.studies.identity import revealed_path, terms_of
from qaservice.studies.models import Ingest, IngestItem
from qaservice.studies.sources import DELIVERY_LIMITS, Entry, EntryUnreadable, open_source

_KEPT = "kept:"
LIST_TYPE = "application/vnd.label-qa.kept-files+json"


def write_list(items: Sequence[IngestItem]) -> BlobItem:
    """Put on disk which kept files are to be tried again, by name and digest."""
    entries = [{"name": item.name, "sha256": item.kept_id} for item in items]
    return write_bytes(data=json.dumps(entries, sort_keys=True).encode(), media_type=LIST_TYPE)


def place_of(listed: BlobItem) -> str:
    """Return what stands as ``Ingest.source_path`` for a list of kept files."""
    return f"{_KEPT}{listed.sha256}"


@contextmanager
def open_delivery(ingest: Ingest) -> Iterator[tuple[Entry, ...]]:
    """Give the files that an ingest is to read, by the names that the project's identity policy lets stand.

    Raises as ``sources.open_source`` does.
    """
    if not ingest.source_path.startswith(_KEPT):
        names = terms_of(ingest.project)
        with open_source(Path(revealed_path(ingest)), DELIVERY_LIMITS) as entries:
            yield tuple(replace(entry, name=names.name(entry.name)) for entry in entries)
        return
    listed = json.loads(read_blob(ingest.source_path.removeprefix(_KEPT)))
    yield tuple(_entry(str(one["name"]), str(one["sha256"])) for one in listed)


def _entry(name: str, sha256: str) -> Entry:
    def read(count: int | None) -> bytes:
        try:
            return read_blob(sha256)[:count]
        except ServiceError as error:
            raise EntryUnreadable(error.code, error.message) from error

    return Entry(name=name, size=0, read=read)
