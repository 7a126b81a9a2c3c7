"""The trail and the life of a record as they are printed: what was asked, by whom, at which head of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from compliance.models import Event
from compliance.recording import Actor
from compliance.rendering import wording
from compliance.rendering.record_pdf import (
    Block,
    Heading,
    Image,
    Paragraph,
    RecordDocument,
    Statement,
    Statements,
    Table,
)
from imaging.errors import ImagingError
from qaservice.common.errors import ServiceError
from qaservice.labels.models import FindingRevision
from qaservice.projects.models import Project
from qaservice.trail.differences import FieldChange
from qaservice.trail.life import Correction, Life, State, Told
from qaservice.trail.outlines import OutlineChange, outline_picture
from qaservice.trail.records import accounts_of
from qaservice.trail.sealing import checkpoint_sizes, seal_of
from qaservice.trail.words import NOTHING, label_of, value_words

REDACTED = "redacted"
CHANGED = "CHANGED since the original entry"


@dataclass(frozen=True, slots=True)
class Exported:
    """Who handed out what, when and why, at which head of the ledger; ``search`` in words, empty for one record."""

    by: Actor
    at: datetime
    reason: str
    size: int
    root: str
    search: str


def payload_words(event: Event) -> tuple[tuple[str, str], ...]:
    """Return the particulars of an event as labelled statements; what was redacted says so."""
    payload: Mapping[str, object] = event.payload
    told = [(label_of(name), value_words(value)) for name, value in payload.items()]
    return tuple(told + [(label_of(name), REDACTED) for name in event.redacted])


def trail_document(
    *, project: Project | None, events: Sequence[Event], said: Exported, marks: tuple[str, ...], looks: bool
) -> RecordDocument:
    """Return a search of the trail, or of the register of looks, as a document, oldest first."""
    title = f"{'Register of looks' if looks else 'Trail'}: {'the site' if project is None else project.title}"
    checkpoints, accounts = checkpoint_sizes(), accounts_of(events)
    rows = [
        (
            wording.moment(event.occurred_at),
            _by(event),
            event.kind,
            " ".join((event.subject_type, accounts.get(event.subject_id, ""), event.subject_id)).replace("  ", " "),
            "\n".join((event.reason, *(f"{label}: {text}" for label, text in payload_words(event)))),
            _place(Told(event, seal_of(event, checkpoints=checkpoints))),
        )
        for event in events
    ]
    return RecordDocument(
        title=title,
        running=_running(title, said),
        head=(*_head(project, said), Statement("Asked for", said.search), Statement("Events", str(len(rows)))),
        blocks=(
            Table(
                headings=("When", "Who", "What", "About", "Reason and particulars", "In the ledger"),
                shares=(12, 13, 13, 18, 32, 12),
                rows=tuple(rows),
                empty="No event fits.",
            ),
        ),
        marks=marks,
        timestamp=int(said.at.timestamp()),
        landscape=True,
    )


def life_document(*, project: Project, life: Life, said: Exported, marks: tuple[str, ...]) -> RecordDocument:
    """Return the life of one record as a document; what changed since the original entry is marked (REQ-30)."""
    title = " ".join(part for part in (life.name.kind[:1].upper() + life.name.kind[1:], life.name.title) if part)
    return RecordDocument(
        title=title,
        running=_running(title, said),
        head=(
            *_head(project, said),
            Statement("Table", life.name.table, exact=True),
            Statement("Key", life.name.key, exact=True),
            Statement(
                "Rows and events shown here",
                "all are what the ledger says" if life.sound else "NOT ALL are what the ledger says: verify the record",
            ),
        ),
        blocks=tuple(_life_blocks(life)),
        marks=marks,
        timestamp=int(said.at.timestamp()),
        landscape=False,
    )


def _running(title: str, said: Exported) -> str:
    return f"{wording.shortened(title, longest=60)} · {wording.moment(said.at)} · ledger of {said.size} events"


def _head(project: Project | None, said: Exported) -> tuple[Statement, ...]:
    of = "none: accounts and the site" if project is None else f"{project.title} ({project.key})"
    return (
        Statement("Project", of),
        Statement("Handed out", f"{wording.moment(said.at)} to {said.by.name}, {said.by.role.replace('_', ' ')}"),
        Statement("Reason", said.reason),
        Statement("Ledger", f"{said.size} sealed events"),
        Statement("Root", said.root, exact=True),
    )


def _life_blocks(life: Life) -> Iterator[Block]:
    yield Heading("As it stands", 1)
    if life.withheld:
        yield Paragraph("Its contents are secret and are not shown.")
    else:
        if life.changed:
            yield Paragraph(f"Changed since the original entry: {', '.join(field.label for field in life.changed)}.")
        yield Table(
            headings=("Field", "Value", "Original entry"),
            shares=(24, 42, 34),
            rows=tuple(
                (field.label, field.value, f"{CHANGED}; it was: {field.original}" if field.changed else "as entered")
                for field in life.standing
            ),
            empty="It has no fields.",
        )
    for correction in life.corrections:
        yield from _correction_blocks(correction)
    yield Heading("States", 1)
    for state in life.states:
        yield from _state_blocks(state)
    for kind in life.related:
        yield Heading(f"{kind.kind[:1].upper()}{kind.kind[1:]} ({len(kind.rows) + kind.left_out})", 1)
        yield Table(
            headings=("When", "Who", "Which", "What it says"),
            shares=(16, 18, 24, 42),
            rows=tuple(
                (
                    wording.moment(one.event.occurred_at),
                    _by(one.event),
                    f"{one.name.title} {one.name.key}".strip(),
                    "\n".join(f"{label}: {text}" for label, text in one.said) or one.event.reason,
                )
                for one in kind.rows
            ),
            empty="None.",
        )
        if kind.left_out:
            yield Paragraph(f"{kind.left_out} more are not printed; the JSON lines hold them.", quiet=True)
    yield Heading("Events", 1)
    yield Table(
        headings=("When", "Who", "What", "Reason", "In the ledger"),
        shares=(16, 18, 18, 32, 16),
        rows=tuple(
            (wording.moment(one.event.occurred_at), _by(one.event), one.event.kind, one.event.reason, _place(one))
            for one in life.events
        ),
        empty="None.",
    )
    if life.more_events:
        yield Paragraph("Older events about it are not printed; the trail holds them.", quiet=True)


def _correction_blocks(correction: Correction) -> Iterator[Block]:
    chain = correction.chain
    yield Heading("Correction: original, prompt and change", 1)
    if chain.judged is not None:
        yield Paragraph(f"The reader's own entry, unchanged: {revision_words(chain.judged)}.")
    before = "the reference standard held nothing there" if chain.original is None else revision_words(chain.original)
    yield Statements(
        (
            Statement("Original", before),
            *(Statement(f"Prompt, {label.lower()}", text) for label, text in chain.prompt),
            Statement("Change", f"{chain.action}: {revision_words(chain.change)}"),
            Statement("Event", f"{chain.event.kind}, {wording.moment(chain.event.occurred_at)}, {_by(chain.event)}"),
        )
    )
    yield from _change_blocks(correction.changes, correction.outline, chain.change)


def _state_blocks(state: State) -> Iterator[Block]:
    event = state.told.event
    yield Heading(f"State {state.number}: {state.what}, {wording.moment(event.occurred_at)}", 2)
    yield Statements(
        (
            Statement("By", _by(event)),
            Statement("Reason", event.reason),
            Statement("Event", f"{event.kind} {event.pk}"),
            Statement("In the ledger", _place(state.told)),
            *(() if state.fits else (Statement("Row", "NOT what its event says: verify the record"),)),
        )
    )
    revision = state.row if isinstance(state.row, FindingRevision) else None
    yield from _change_blocks(state.changes, state.outline, revision)


def _change_blocks(
    changes: Sequence[FieldChange], outline: OutlineChange | None, revision: FindingRevision | None
) -> Iterator[Block]:
    if changes:
        yield Table(
            headings=("Field", "Before", "After"),
            shares=(26, 37, 37),
            rows=tuple((one.label, one.before, one.after) for one in changes),
            empty="",
        )
    if outline is None:
        return
    if outline.words:
        yield Statements(
            tuple(Statement(f"Outline, {label[:1].lower()}{label[1:]}", text) for label, text in outline.words)
        )
    if outline.why_not:
        yield Paragraph(outline.why_not, quiet=True)
    if revision is None or not outline.words:
        return
    try:
        picture = outline_picture(revision)
    except (ImagingError, ServiceError) as error:
        yield Paragraph(f"No picture: {error}", quiet=True)
        return
    yield Image(
        png=picture.crop.png,
        alternative="The outline before and after, on the slice on which most voxels differ",
        caption=picture.caption,
        left_letter=picture.crop.letters.left,
        right_letter=picture.crop.letters.right,
    )


def revision_words(revision: FindingRevision) -> str:
    """Return a revision of a finding in one line."""
    if not revision.present:
        return f"taken out (revision {revision.number})"
    size = NOTHING if revision.diameter_mm is None else f"{revision.diameter_mm:.1f} mm"
    place = ", ".join(f"{part:.1f}" for part in (revision.x_mm, revision.y_mm, revision.z_mm))
    what = f"{revision.category}, {revision.shape}, {size} at LPS {place} mm"
    return f"{what} (revision {revision.number}); {revision.origin}"


def _by(event: Event) -> str:
    simulated = " (simulated)" if event.simulated else ""
    return f"{event.actor_name}{simulated}, {event.actor_role.replace('_', ' ')}"


def _place(told: Told) -> str:
    seal = told.seal
    if seal.index is None:
        text = "not yet sealed"
    else:
        under = f"checkpoint {seal.checkpoint}" if seal.checkpoint else "no checkpoint yet"
        text = f"leaf {seal.index}, {under}"
    return text if seal.fits else f"{text}; ALTERED since"
