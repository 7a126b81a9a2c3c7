"""What goes to places outside the site: copies of checkpoints to the bucket, requests for time-stamps.

Nothing here holds a checkpoint up: a place that does not answer is told as a finding, and gets later what it missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from compliance.checkpoint_files import Place, configured, kept_note, kept_sizes
from compliance.errors import PlaceUnreachable
from compliance.ledger.note import Checkpoint, Note, NoteError
from compliance.object_lock import configured_bucket, send
from compliance.timestamps import (
    StampRefused,
    configured_authority,
    keep_stamp,
    read_stamp,
    request_stamp,
    stamp_file,
    stamped_sizes,
)


@dataclass(frozen=True)
class Finding:
    """What an administrator should look at. ``kind`` and ``about`` name the matter, and stay the same while it lasts;
    ``words`` hold nothing personal.
    """

    kind: str
    about: tuple[str, str]
    words: str


def carry_out() -> list[Finding]:
    """Send what waits to the bucket, have the newest checkpoint stamped where that is due, and tell what failed.

    It waits for the network, some seconds where a place is silent: not for use inside a transaction.
    """
    place = configured()
    return [] if place is None else [*_copied(place), *_stamped(place)]


def stamp_of(note: Note) -> bytes | None:
    """Return the time-stamp of a published checkpoint for a kit: the one that is kept, or one asked for now.

    None where no authority is configured, or none answers: a kit does not wait for it.
    """
    place = configured()
    if place is None:
        return None
    at = Checkpoint.parse(note.text).size
    try:
        return read_stamp(stamp_file(place, at).read_bytes(), text=note.text, authority=None).data
    except (OSError, StampRefused):
        pass
    authority = configured_authority()
    if authority is None:
        return None
    try:
        stamp = request_stamp(note.text, authority)
    except (PlaceUnreachable, StampRefused):
        return None
    keep_stamp(place, at, stamp)
    return stamp.data


def _copied(place: Place) -> Iterator[Finding]:
    about = ("checkpoints", "bucket")
    try:
        bucket = configured_bucket()
        if bucket is not None:
            send(place, bucket)
    except (PlaceUnreachable, ValueError) as error:
        yield Finding("checkpoint.not-copied", about, f"Checkpoints are not copied to the bucket: {error}")


def _stamped(place: Place) -> Iterator[Finding]:
    authority = configured_authority()
    at = max(kept_sizes(place), default=0)
    stamped = max(stamped_sizes(place), default=-1)
    if authority is None or at <= stamped:
        return
    if stamped >= 0 and time.time() - stamp_file(place, stamped).stat().st_mtime < authority.seconds:
        return
    try:
        keep_stamp(place, at, request_stamp(kept_note(place, at).text, authority))
    except (PlaceUnreachable, StampRefused, NoteError, OSError) as error:
        words = f"Checkpoint {at} is not time-stamped: {error}"
        yield Finding("checkpoint.not-stamped", ("checkpoints", "time-stamp"), words)
