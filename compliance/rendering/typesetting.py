"""The one call of the typesetter: a template and its data become a tagged PDF/A-2a that is also PDF/UA-1.

The fonts are those that Typst brings along. The same data give the same bytes: no system font, no clock and no random
number takes part.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import typst

from compliance.rendering import wording

PDF_STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]


class RenderingError(Exception):
    """The document could not be set; the message is the typesetter's own, without the text that it was setting."""


def typeset(
    *, what: str, templates: Sequence[str], view: Mapping[str, object], pictures: Mapping[str, bytes], timestamp: int
) -> bytes:
    """Return the PDF of the first of ``templates``; the others are what it imports.

    ``view`` is what the template reads as document.json: pass its text through ``printable`` first. ``pictures`` are
    files beside it. ``timestamp`` is the document's own time, in POSIX seconds. ``what`` names the document in the
    message of a RenderingError.
    """
    with tempfile.TemporaryDirectory(prefix="typeset-") as name:
        folder = Path(name)
        for template in templates:
            source = resources.files("compliance.rendering").joinpath("templates", template)
            (folder / template).write_bytes(source.read_bytes())
        for file, data in pictures.items():
            (folder / file).write_bytes(data)
        (folder / "document.json").write_text(json.dumps(view, ensure_ascii=False), encoding="utf-8")
        try:
            return typst.compile(
                folder / templates[0],
                root=folder,
                ignore_system_fonts=True,
                pdf_standards=PDF_STANDARDS,
                timestamp=timestamp,
            )
        except typst.TypstError as error:
            raise RenderingError(f"the {what} could not be typeset: {error.message}") from error


def printable(value: object) -> object:
    """Return plain data (mappings, sequences, text) with characters that the fonts lack as their Unicode number."""
    if isinstance(value, Mapping):
        return {str(name): printable(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [printable(member) for member in value]
    return wording.displayable(value, can_show) if isinstance(value, str) else value


@functools.cache
def can_show(character: str) -> bool:
    """Tell whether the fonts that Typst brings along have a glyph for ``character``."""
    source = f'#set document(title: "probe")\n#set text(font: "Libertinus Serif")\n#"\\u{{{ord(character):x}}}"'
    try:
        typst.compile(source.encode(), ignore_system_fonts=True, pdf_standards="a-2a", timestamp=0)
    except typst.TypstError:
        return False
    return True
