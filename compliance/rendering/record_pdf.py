"""Turns parts of the record, a searched trail or the life of one thing, into a tagged PDF: headings, facts, tables.

Whoever knows the record fills these classes; what they hold is printed as it is, in their order.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from compliance.rendering import wording
from compliance.rendering.typesetting import printable, typeset

TEMPLATES = ("record.typ", "house.typ")


@dataclass(frozen=True, slots=True)
class Statement:
    """One labelled statement; ``exact`` for identifiers and digests, set in a face of fixed width."""

    label: str
    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a section; ``level`` is 1 or 2."""

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; ``quiet`` for remarks."""

    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Statements:
    """Labelled statements, one below the other."""

    entries: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows beneath headings. ``shares`` are the columns' shares of the width; ``empty`` is said where no row is.

    ``exact`` names the columns, from 0, of identifiers and digests.
    """

    headings: tuple[str, ...]
    shares: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str
    exact: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A picture with the letters of its edges; ``alternative`` says in words what it shows."""

    png: bytes
    alternative: str
    caption: str
    left_letter: str
    right_letter: str


Block = Heading | Paragraph | Statements | Table | Image


@dataclass(frozen=True, slots=True)
class RecordDocument:
    """A whole document. ``head`` stands beneath its title; ``timestamp`` is its date in POSIX seconds."""

    title: str
    running: str
    head: tuple[Statement, ...]
    blocks: tuple[Block, ...]
    marks: tuple[str, ...]
    timestamp: int
    landscape: bool


def render_record(document: RecordDocument) -> bytes:
    """Return the PDF of a document; the same document gives the same bytes. Raises RenderingError."""
    pictures: dict[str, bytes] = {}
    blocks = []
    for number, block in enumerate(document.blocks):
        shown: dict[str, object] = {"kind": type(block).__name__.lower(), **_fields(block)}
        if isinstance(block, Table):
            # Digests and keys stand in narrow columns here; elsewhere they have room, and can be copied whole.
            shown["rows"] = [[wording.breakable(cell) for cell in row] for row in block.rows]
        if isinstance(block, Image):
            name = f"picture-{number}.png"
            pictures[name] = block.png
            shown["file"] = name
        blocks.append(shown)
    view = printable(_plain({**_fields(document), "blocks": blocks}))
    assert isinstance(view, dict)
    return typeset(what="record", templates=TEMPLATES, view=view, pictures=pictures, timestamp=document.timestamp)


def _fields(value: Block | RecordDocument) -> dict[str, object]:
    names = (field.name for field in dataclasses.fields(value))
    return {name: getattr(value, name) for name in names if name not in ("png", "blocks")}


def _plain(value: object) -> object:
    if isinstance(value, Statement):
        return dataclasses.asdict(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(member) for member in value]
    return value
