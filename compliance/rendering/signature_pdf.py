"""Turns the signatures on a document into pages of their own: a signed document's bytes are never changed (11.50)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from compliance.rendering.card_pdf import CardFact
from compliance.rendering.qr import as_svg, qr_code
from compliance.rendering.typesetting import printable, typeset

TEMPLATES = ("signatures.typ", "house.typ")


@dataclass(frozen=True)
class SignatureRow:
    """One signature as it is printed: name, UTC time and meaning first. ``fault`` is empty where it stands."""

    name: str
    meaning: str
    signed_at: str
    fault: str
    facts: tuple[CardFact, ...]


@dataclass(frozen=True)
class SignaturePage:
    """What a signature page prints. ``code`` is the text of the QR code; ``timestamp`` is in POSIX seconds."""

    title: str
    status: str
    good: bool
    introduction: str
    document: tuple[CardFact, ...]
    signatures: tuple[SignatureRow, ...]
    missing: str
    instructions: tuple[str, ...]
    marks: tuple[str, ...]
    code: str
    timestamp: int


def render_signatures(page: SignaturePage) -> bytes:
    """Return the PDF of a signature page. Raises RenderingError if typesetting fails."""
    view = printable(dataclasses.asdict(page))
    assert isinstance(view, dict)
    return typeset(
        what="signature page",
        templates=TEMPLATES,
        view=view,
        pictures={"code.svg": as_svg(qr_code(page.code))},
        timestamp=page.timestamp,
    )
