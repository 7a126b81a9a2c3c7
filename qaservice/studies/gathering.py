"""Gathering a delivery's files by series, so that a series can be stored while others are still being read.

A file's series is guessed from its first bytes, and only to put files in order: what a series is, its parser says. If a
guess was wrong, its series is stored with what came last, at worst as slices that come later to a series.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from qaservice.studies.reading import Judged
from qaservice.studies.sources import Entry

HEAD_BYTES = 16 << 10

# (0020,000E) in little endian, explicit or implicit, and its value: a UID of up to 64 characters.
_SERIES_INSTANCE_UID = re.compile(rb"\x20\x00\x0e\x00(?:UI(?:[\x01-\x40]\x00)|[\x01-\x40]\x00\x00\x00)([0-9.]{1,64})")


def likely_series(entry: Entry) -> str:
    """Return the one Series Instance UID that stands in a file's first bytes, empty where there is none or several."""
    if entry.path is None:
        return ""
    try:
        with entry.path.open("rb", buffering=0) as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return ""
    found = set(_SERIES_INSTANCE_UID.findall(head)) if head[128:132] == b"DICM" else set()
    return found.pop().decode("ascii") if len(found) == 1 else ""


def in_order(likely: Mapping[str, str], entries: Sequence[Entry]) -> list[Entry]:
    """Return files in the order in which they are read: those of unknown series first, then series by series.

    ``likely`` maps names to series. Within a series, and of series among themselves, the order is that of ``entries``.
    """
    groups: dict[str, list[Entry]] = {"": []}
    for entry in entries:
        groups.setdefault(likely[entry.name], []).append(entry)
    return [entry for group in groups.values() for entry in group]


class Gathering:
    """Files as they are judged, given back series by series once all of a series have come.

    ``rest`` are the files that belong to no series of images.
    """

    def __init__(self, likely: Mapping[str, str]) -> None:
        self._likely = likely
        self._awaited = Counter(likely.values())
        self._series: dict[str, list[Judged]] = {}
        self._really: dict[str, dict[str, None]] = {}
        self.rest: list[Judged] = []

    def add(self, file: Judged) -> Iterator[tuple[str, list[Judged]]]:
        """Take a file in and give the series that are complete now, each with its files."""
        likely = self._likely[file.name]
        self._awaited[likely] -= 1
        if file.header is None or file.is_annotation:
            self.rest.append(file)
        else:
            uid = file.header.series_instance_uid
            self._series.setdefault(uid, []).append(file)
            self._really.setdefault(likely, {})[uid] = None
        if self._awaited[likely] == 0 and self._awaited[""] <= 0:
            yield from self._complete()

    def remaining(self) -> Iterator[tuple[str, list[Judged]]]:
        """Give what is left once all files have come."""
        while self._series:
            uid = next(iter(self._series))
            yield uid, self._series.pop(uid)

    def _complete(self) -> Iterator[tuple[str, list[Judged]]]:
        # Of unknown files' series nobody knows what else is to come.
        ended = [likely for likely in self._really if likely and self._awaited[likely] == 0]
        for likely in ended:
            for uid in self._really.pop(likely):
                if uid in self._series:
                    yield uid, self._series.pop(uid)
