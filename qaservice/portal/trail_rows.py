"""Events, looks and lives as the trail's pages show them: with words, places in the ledger, and links to records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compliance.models import Event
from compliance.recording import registered_events
from qaservice.trail.life import Life
from qaservice.trail.looks import Look, with_series
from qaservice.trail.printing import payload_words, revision_words
from qaservice.trail.records import SUBJECTS, accounts_of, kind_of, tables
from qaservice.trail.sealing import Seal, checkpoint_sizes, seal_of

MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class RowLink:
    """A row that an event wrote: what kind of thing, in which table, with which key; many at once have no key."""

    kind: str
    table: str
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class TrailRow:
    """One event. ``subject_table`` is empty where its subject has no page; ``rows`` are the first it wrote.

    ``account``: whose account it is about, empty where it is about something else.
    """

    event: Event
    seal: Seal
    meaning: str
    particulars: tuple[tuple[str, str], ...]
    subject_table: str
    account: str
    rows: tuple[RowLink, ...]
    more_rows: int


@dataclass(frozen=True, slots=True)
class LookRow:
    """One entry of the register of looks."""

    look: Look
    row: TrailRow


def rows_of_trail(events: Sequence[Event]) -> list[TrailRow]:
    """Return events as rows of the trail's table."""
    checkpoints = checkpoint_sizes()
    meanings = {one.kind: one.description for one in registered_events()}
    accounts = accounts_of(events)
    return [_row(event, checkpoints, meanings, accounts.get(event.subject_id, "")) for event in events]


def rows_of_looks(events: Sequence[Event]) -> list[LookRow]:
    """Return events as rows of the register of looks."""
    return [LookRow(look, row) for look, row in zip(with_series(events), rows_of_trail(events), strict=True)]


def shown_life(life: Life) -> dict[str, object]:
    """Return what the page of a record shows."""
    return {
        "life": life,
        "states": [(state, rows_of_trail([state.told.event])[0]) for state in reversed(life.states)],
        "corrections": [
            {
                "it": one,
                "judged": "" if one.chain.judged is None else revision_words(one.chain.judged),
                "original": "" if one.chain.original is None else revision_words(one.chain.original),
                "change": revision_words(one.chain.change),
            }
            for one in life.corrections
        ],
        "events": rows_of_trail([told.event for told in life.events]),
    }


def _row(event: Event, checkpoints: Sequence[int], meanings: dict[str, str], account: str) -> TrailRow:
    links = [_link(entry) for entry in event.rows[:MOST_ROWS]]
    subject = SUBJECTS.get(event.subject_type) or tables().get(event.subject_type)
    return TrailRow(
        event=event,
        seal=seal_of(event, checkpoints=checkpoints),
        meaning=meanings.get(event.kind, ""),
        particulars=payload_words(event),
        subject_table="" if subject is None else subject._meta.db_table,
        account=account,
        rows=tuple(links),
        more_rows=max(0, len(event.rows) - MOST_ROWS),
    )


def _link(entry: dict[str, object]) -> RowLink:
    table = str(entry.get("table", ""))
    model = tables().get(table)
    kind = table if model is None else kind_of(model)
    if "root" in entry:
        count = entry.get("count")
        return RowLink(kind, table, "", f"({count} row{'' if count == 1 else 's'} under one root)")
    what = {"+": "created", "~": "changed"}.get(str(entry.get("op")), "")
    return RowLink(kind, table if model is not None else "", str(entry.get("id", "")), what)
