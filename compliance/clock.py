"""The server's clock against others: the database's, a time-stamp's, and the record's own past (REQ-12)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from django.conf import settings
from django.db import connection, models

from compliance.checkpoint_files import configured, kept_note
from compliance.ledger.note import NoteError
from compliance.models import Event
from compliance.outside import Finding
from compliance.timestamps import StampRefused, read_stamp, stamp_file, stamped_sizes

KIND = "clock.drift"
SECONDS = 5
"""How far clocks may stand apart, where the site does not say."""


def clock_findings() -> list[Finding]:
    """Return where the server's clock stands apart from another by more than ``CLOCK_SECONDS``."""
    bound = datetime.timedelta(seconds=int(getattr(settings, "CLOCK_SECONDS", SECONDS)))
    return [*_against_database(bound), *_against_stamp(bound), *_against_the_record(bound)]


def server_time() -> datetime.datetime:
    """Return the time by the server's clock, in UTC."""
    return datetime.datetime.now(tz=datetime.UTC)


def database_time() -> datetime.datetime:
    """Return the time by the database's clock, in UTC. SQLite has none but the server's."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            (found,) = cursor.fetchone()
            told: datetime.datetime = found
        else:
            cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
            told = datetime.datetime.fromisoformat(cursor.fetchone()[0])
    return told.astimezone(datetime.UTC)


def _against_database(bound: datetime.timedelta) -> Iterator[Finding]:
    before = server_time()
    there = database_time()
    after = server_time()
    # What the question itself took is nobody's drift.
    if there < before - bound:
        yield _apart("database", "the database's clock", before - there)
    elif there > after + bound:
        yield _apart("database", "the database's clock", after - there)


def _against_stamp(bound: datetime.timedelta) -> Iterator[Finding]:
    """Compare the last time-stamp with when it came, as the folder of checkpoints dates it."""
    place = configured()
    at = None if place is None else max(stamped_sizes(place), default=None)
    if place is None or at is None:
        return
    path = stamp_file(place, at)
    try:
        stamp = read_stamp(path.read_bytes(), text=kept_note(place, at).text, authority=None)
        came = datetime.datetime.fromtimestamp(path.stat().st_mtime, tz=datetime.UTC)
    except (OSError, NoteError, StampRefused):
        # Verification names what is wrong with it.
        return
    if abs(came - stamp.at) > bound:
        yield _apart("time-stamp", "the time-stamp authority's clock", came - stamp.at)


def _against_the_record(bound: datetime.timedelta) -> Iterator[Finding]:
    newest = models.QuerySet(Event).order_by("-occurred_at").values_list("occurred_at", flat=True).first()
    if newest is not None and newest > server_time() + bound:
        yield _apart("record", "the newest event of the record", server_time() - newest)


def _apart(other: str, words: str, ahead: datetime.timedelta) -> Finding:
    seconds = abs(ahead).total_seconds()
    way = "ahead of" if ahead > datetime.timedelta() else "behind"
    return Finding(KIND, ("clock", other), f"The server's clock is {seconds:.1f} seconds {way} {words}.")
