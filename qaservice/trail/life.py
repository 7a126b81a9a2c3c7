"""The life of one record: every state it ever had, with who, when, why, the event and its sealing (REQ-08, REQ-11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from compliance.models import Event
from qaservice.analysis.models import Flag
from qaservice.labels.models import FindingRevision
from qaservice.projects.models import Project
from qaservice.trail.differences import FieldChange, FieldNow, changes_between, standing_of
from qaservice.trail.outlines import OutlineChange, outline_change
from qaservice.trail.records import SUBJECTS, WITHHELD, RecordName, is_versioned, name_of, record_in_project
from qaservice.trail.related import Correcting, RelatedRows, corrections_of, related_rows, succeeding
from qaservice.trail.sealing import Seal, checkpoint_sizes, row_fits, seal_of, shapes_of_rows

MOST_EVENTS = 500
KINDS = {"+": "created", "~": "changed", "-": "deleted"}


@dataclass(frozen=True, slots=True)
class Told:
    """An event with its place in the ledger."""

    event: Event
    seal: Seal


@dataclass(frozen=True, slots=True)
class State:
    """One state. ``number`` counts from 1; ``row`` is the stored row; ``fits``: it is what its event says.

    ``changes`` is what differs from the state before: empty for the first.
    """

    number: int
    what: str
    row: models.Model
    told: Told
    fits: bool
    changes: tuple[FieldChange, ...]
    outline: OutlineChange | None


@dataclass(frozen=True, slots=True)
class Correction:
    """How a flag changed the reference standard, with what that did to the outline."""

    chain: Correcting
    changes: tuple[FieldChange, ...]
    outline: OutlineChange | None
    told: Told


@dataclass(frozen=True, slots=True)
class Life:
    """Everything that the record holds of one thing. ``withheld``: it is secret, and its values are not shown."""

    name: RecordName
    project: str
    versioned: bool
    withheld: bool
    states: tuple[State, ...]
    standing: tuple[FieldNow, ...]
    corrections: tuple[Correction, ...]
    related: tuple[RelatedRows, ...]
    events: tuple[Told, ...]
    more_events: bool

    @property
    def changed(self) -> tuple[FieldNow, ...]:
        """Return the fields that are no longer as they were entered first (REQ-30)."""
        return tuple(field for field in self.standing if field.changed)

    @property
    def sound(self) -> bool:
        """Return whether every row and every event shown is what was sealed."""
        return all(state.fits for state in self.states) and all(told.seal.fits for told in self.events)


def life_of(*, project: Project, table: str, key: str) -> Life:
    """Return the life of one record of a project. Raises NotFound where the project has no such record.

    A finding lives in its revisions: they are its states. What its pixels were is told by the outline's change.
    """
    model, rows = record_in_project(table=table, key=key, project=project)
    checkpoints = checkpoint_sizes()
    withheld = table in WITHHELD
    revisions: Sequence[Any] = succeeding(model, key)
    told = _told([row.event_id for row in (*rows, *revisions)], checkpoints)
    states = _states(revisions or rows, told, withheld)
    about = _about(model, key, checkpoints)
    events = {one.event.pk: one for one in (*told.values(), *about)}
    return Life(
        name=name_of(rows[-1]),
        project=project.key,
        versioned=is_versioned(model) or bool(revisions),
        withheld=withheld,
        states=states,
        standing=() if withheld else standing_of([state.row for state in states]),
        corrections=_corrections(key, checkpoints) if model is Flag else (),
        related=related_rows(model, key),
        events=tuple(sorted(events.values(), key=lambda one: (one.event.occurred_at, one.event.pk))),
        more_events=len(about) == MOST_EVENTS,
    )


def _states(rows: Sequence[Any], told: dict[object, Told], withheld: bool) -> tuple[State, ...]:
    found, shapes = [], shapes_of_rows()
    for place, row in enumerate(rows):
        event = told[row.event_id].event
        found.append(
            State(
                number=place + 1,
                what=KINDS[getattr(row, "history_type", "+")]
                if place == 0 or hasattr(row, "history_type")
                else "changed",
                row=row,
                told=told[row.event_id],
                fits=row_fits(event, row, shapes=shapes),
                changes=changes_between(rows[place - 1], row) if place and not withheld else (),
                outline=outline_change(row) if isinstance(row, FindingRevision) else None,
            )
        )
    return tuple(found)


def _told(ids: Sequence[object], checkpoints: Sequence[int]) -> dict[object, Told]:
    events = Event.objects.select_related("entry").in_bulk(list(dict.fromkeys(ids)))
    return {key: Told(event, seal_of(event, checkpoints=checkpoints)) for key, event in events.items()}


def _about(model: type[models.Model], key: str, checkpoints: Sequence[int]) -> list[Told]:
    """Return the events that name the record as what they are about, besides those that wrote its rows."""
    types = [name for name, one in SUBJECTS.items() if one is model]
    if not types:
        return []
    rows = Event.objects.filter(subject_id=key, subject_type__in=types).select_related("entry")
    return [
        Told(one, seal_of(one, checkpoints=checkpoints)) for one in rows.order_by("-occurred_at", "-id")[:MOST_EVENTS]
    ]


def _corrections(key: str, checkpoints: Sequence[int]) -> tuple[Correction, ...]:
    flag = Flag.objects.select_related("finding").get(pk=key)
    return tuple(
        Correction(
            chain=chain,
            changes=() if chain.original is None else changes_between(chain.original, chain.change),
            outline=outline_change(chain.change),
            told=Told(chain.event, seal_of(chain.event, checkpoints=checkpoints)),
        )
        for chain in corrections_of(flag)
    )
