"""Opening a delivery in the service's terms; the reading itself knows no service (``imaging.readers.delivery``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imaging.errors import UnreadableFile
from imaging.readers.delivery import DELIVERY_LIMITS, Entry, EntryUnreadable, SourceLimits, open_delivery
from qaservice.common.errors import InvalidInput

__all__ = ["DELIVERY_LIMITS", "Entry", "EntryUnreadable", "SourceLimits", "open_source"]


@contextmanager
def open_source(path: Path, limits: SourceLimits) -> Iterator[tuple[Entry, ...]]:
    """Give the files of a delivery as ``open_delivery`` does. Raises InvalidInput with the codes of that."""
    with ExitStack() as stack:
        try:
            entries = stack.enter_context(open_delivery(path, limits))
        except UnreadableFile as error:
            raise InvalidInput(error.message, code=error.code) from error
        yield entries
