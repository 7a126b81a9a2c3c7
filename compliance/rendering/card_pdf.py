"""Turns a proof card into one tagged page or two, with a QR code of what a reader compares."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import typst

from compliance.rendering import wording
from compliance.rendering.qr import as_svg, qr_code
from compliance.rendering.typst_pdf import PDF_STANDARDS, RenderingError, can_show

TEMPLATES = ("card.typ", "house.typ")


@dataclass(frozen=True)
class CardFact:
    """One labelled statement; ``exact`` for identifiers, which are set in a face of fixed width."""

    label: str
    text: str
    exact: bool = False


@dataclass(frozen=True)
class CardPage:
    """What a proof card prints. ``code`` is the text of the QR code; ``timestamp`` is in POSIX seconds."""

    title: str
    introduction: str
    event: tuple[CardFact, ...]
    record: tuple[CardFact, ...]
    checkpoint: str
    proof: tuple[CardFact, ...]
    instructions: tuple[str, ...]
    marks: tuple[str, ...]
    code: str
    timestamp: int


def render_card(page: CardPage) -> bytes:
    """Return the PDF of a proof card. Raises RenderingError if typesetting fails."""
    with tempfile.TemporaryDirectory(prefix="card-") as name:
        folder = Path(name)
        for template in TEMPLATES:
            source = resources.files("compliance.rendering").joinpath("templates", template)
            (folder / template).write_bytes(source.read_bytes())
        (folder / "code.svg").write_bytes(as_svg(qr_code(page.code)))
        (folder / "document.json").write_text(json.dumps(_shown(dataclasses.asdict(page))), encoding="utf-8")
        try:
            return typst.compile(
                folder / "card.typ",
                root=folder,
                ignore_system_fonts=True,
                pdf_standards=PDF_STANDARDS,
                timestamp=page.timestamp,
            )
        except typst.TypstError as error:
            raise RenderingError(f"the proof card could not be typeset: {error.message}") from error


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shown(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [_shown(member) for member in value]
    return wording.displayable(value, can_show) if isinstance(value, str) else value
