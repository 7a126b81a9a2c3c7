"""Handing out the trail, the register of looks, or the life of one record; each is an event, sealed at once (REQ-03).

An export is of the events under one head of the ledger: it lacks none of them and holds none that came later, however
long it takes to be sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from compliance.checkpoints import publish
from compliance.errors import CheckpointRefused
from compliance.events import record_identity
from compliance.ledger.note import Checkpoint, Note
from compliance.models import Event
from compliance.recording import Actor, record_event
from compliance.rendering.record_pdf import RecordDocument, render_record
from compliance.rendering.typesetting import RenderingError
from compliance.rendering.typst_pdf import EMBEDDED_DATABASE
from compliance.sealing import seal_all
from qaservice.common.clock import iso, now
from qaservice.common.errors import InvalidInput, Unavailable
from qaservice.projects.models import Project
from qaservice.trail.access import SITE
from qaservice.trail.events import EXPORTED, RECORD_EXPORTED
from qaservice.trail.life import Life, life_of
from qaservice.trail.lines import VERSION, closed, event_line, row_line
from qaservice.trail.looks import looks_found
from qaservice.trail.paging import every_event
from qaservice.trail.printing import Exported, life_document, trail_document
from qaservice.trail.records import WITHHELD, record_in_project, rows_of, subject_of, tables
from qaservice.trail.related import related_rows, succeeding
from qaservice.trail.sealing import shapes_of_rows
from qaservice.trail.search import Search, events_found

FORMATS = {"jsonl": "application/jsonl", "pdf": "application/pdf"}
FORMAT_NAMES = tuple(sorted(FORMATS))
MOST_PRINTED = 3000
"""Events in one PDF; a larger find goes out as JSON lines, or narrowed."""
MOST_RELATED = 10_000


@dataclass(frozen=True, slots=True)
class Export:
    """What is handed out: pieces of bytes to be sent in order, their type, and a name for the file."""

    pieces: Iterator[bytes]
    media_type: str
    filename: str

    @property
    def headers(self) -> dict[str, str]:
        """Return what a response says of it besides its type; nobody keeps it but who asked."""
        return {
            "Content-Disposition": f'attachment; filename="{self.filename}"',
            "Cache-Control": "private, no-store",
        }


def export_trail(
    *, project: Project | None, search: Search, looks: str | None, series: str, form: str, actor: Actor, reason: str
) -> Export:
    """Record that a search of one project's trail, or of the site's, is handed out, and return it, oldest first.

    ``looks`` narrows to the register of looks (blank: all of it, or viewed or taken-out), None is the whole trail. Not
    for use inside a transaction: it seals. Raises InvalidInput for a form that is none or too much for paper.
    """
    _known(form)
    found = events_found(search) if looks is None else looks_found(search, series=series, what=looks)
    asked = search.as_asked()
    if looks is not None:
        asked |= {"register": looks or "looks"} | ({"series": series} if series else {})
    head, note = _head()
    rows = found.filter(entry__index__lt=head.size)
    if form == "pdf" and len(rows.order_by()[: MOST_PRINTED + 1].values_list("pk")) > MOST_PRINTED:
        raise InvalidInput(
            f"more than {MOST_PRINTED} events are too many for paper: narrow the search, or take JSON lines",
            code="too-much-to-print",
        )
    said = Exported(by=actor, at=now(), reason=reason, size=head.size, root=head.root.hex(), search=search.in_words())
    payload = {"form": form, "asked": asked, "size": head.size, "root": said.root}
    record_event(
        EXPORTED,
        actor=actor,
        reason=reason,
        subject=("site", "trail") if project is None else ("project", str(project.pk)),
        project_key=SITE if project is None else project.key,
        payload=payload,
    )
    seal_all()
    name = "trail" if looks is None else "looks"
    filename = f"{'site' if project is None else project.key}-{name}"
    if form == "pdf":
        document = trail_document(
            project=project, events=list(every_event(rows)), said=said, marks=_marks(), looks=looks is not None
        )
        return _printed(document, f"{filename}.pdf")
    header = _header(f"label-qa-{name}", project, said, note) | {"search": asked}
    return _streamed(header, _event_lines(rows, head.size), f"{filename}.jsonl")


def export_record(*, project: Project, table: str, key: str, form: str, actor: Actor, reason: str) -> Export:
    """Record that the life of one record is handed out, and return it in a form.

    Not for use inside a transaction: it seals. Raises InvalidInput for a form that is none, NotFound where the project
    has no such record.
    """
    _known(form)
    record_in_project(table=table, key=key, project=project)
    head, note = _head()
    life = life_of(project=project, table=table, key=key)
    said = Exported(by=actor, at=now(), reason=reason, size=head.size, root=head.root.hex(), search="")
    record_event(
        RECORD_EXPORTED,
        actor=actor,
        reason=reason,
        subject=(subject_of(table), key),
        project_key=project.key,
        payload={"form": form, "table": table, "size": head.size, "root": said.root},
    )
    seal_all()
    name = f"{project.key}-{table.replace('_', '-')}-{key[:8]}"
    if form == "pdf":
        return _printed(life_document(project=project, life=life, said=said, marks=_marks()), f"{name}.pdf")
    header = _header("label-qa-record", project, said, note) | {"record": {"table": table, "id": key}}
    return _streamed(header, _life_lines(life, head.size), f"{name}.jsonl")


def _known(form: str) -> None:
    if form not in FORMATS:
        raise InvalidInput(f"the trail is handed out as {' or '.join(FORMATS)}", code="no-such-form")


def _head() -> tuple[Checkpoint, Note]:
    try:
        note = publish()
    except CheckpointRefused as error:
        raise Unavailable(f"nothing can be handed out now: {error}", code="no-checkpoint") from error
    return Checkpoint.parse(note.text), note


def _marks() -> tuple[str, ...]:
    return (EMBEDDED_DATABASE,) if connection.vendor == "sqlite" else ()


def _header(form: str, project: Project | None, said: Exported, note: Note) -> dict[str, Any]:
    return {
        "type": "header",
        "format": form,
        "version": VERSION,
        "project": SITE if project is None else project.key,
        "exported_by": {"id": said.by.id, "name": said.by.name, "role": said.by.role},
        "exported_at": iso(said.at),
        "reason": said.reason,
        "ledger": {"size": said.size, "root": said.root, "checkpoint": str(note)},
    }


def _streamed(header: dict[str, Any], lines: Iterator[dict[str, Any]], filename: str) -> Export:
    return Export(closed(itertools.chain((header,), lines)), FORMATS["jsonl"], filename)


def _printed(document: RecordDocument, filename: str) -> Export:
    try:
        pdf = render_record(document)
    except RenderingError as error:
        raise Unavailable(str(error), code="not-typeset") from error
    return Export(iter((pdf,)), FORMATS["pdf"], filename)


def _event_lines(rows: QuerySet[Event], size: int) -> Iterator[dict[str, Any]]:
    for event in every_event(rows):
        yield event_line(event, size=size, proof=False)


def _life_lines(life: Life, size: int) -> Iterator[dict[str, Any]]:
    """Yield a record's rows, what belongs to it, and every event of both with its inclusion proof."""
    model, key, shapes = tables()[life.name.table], life.name.key, shapes_of_rows()
    events = {told.event.pk: told.event for told in life.events}
    rows: list[tuple[Any, str]] = [(state.row, "state") for state in life.states]
    if life.states[0].row._meta.model is not model and succeeding(model, key):
        rows = [(row, "record") for row in rows_of(model, key)] + rows
    for kind in related_rows(model, key, most=MOST_RELATED):
        if kind.left_out:
            yield {"type": "left-out", "table": kind.table, "rows": kind.left_out}
        for one in kind.rows:
            rows += [(row, "related") for row in rows_of(tables()[one.name.table], one.name.key)]
    missing = {row.event_id for row, _ in rows} - set(events)
    events |= Event.objects.select_related("entry").in_bulk(list(missing))
    for row, part in rows:
        if record_identity(row)["table"] not in WITHHELD:
            yield row_line(events[row.event_id], row, part=part, shapes=shapes)
    for event in sorted(events.values(), key=lambda one: (one.occurred_at, one.pk)):
        yield event_line(event, size=size, proof=True)
