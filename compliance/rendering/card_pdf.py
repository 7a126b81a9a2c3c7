"""Turns a proof card into one tagged page or two, with a QR code of what a reader compares."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from compliance.rendering.qr import as_svg, qr_code
from compliance.rendering.typesetting import printable, typeset

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
    view = printable(dataclasses.asdict(page))
    assert isinstance(view, dict)
    return typeset(
        what="proof card",
        templates=TEMPLATES,
        view=view,
        pictures={"code.svg": as_svg(qr_code(page.code))},
        timestamp=page.timestamp,
    )
