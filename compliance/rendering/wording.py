"""How figures, times and foreign text are put on paper. The same wording serves every table of the report."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from compliance.rendering.document import Measure, Proportion

ZERO_WIDTH_SPACE = "\u200b"
LONGEST_UNBROKEN = 34
"""Characters of an unbroken word that still fit the narrowest text column; a UID or digest in running text does not."""

_CARD_LINE = re.compile(r"^(?P<mark>#{1,6}|[-*+])\s+(?P<text>.+)$")
_EMPHASIS = re.compile(r"\*\*|__|`")


def percent(share: Decimal) -> str:
    """Return a share in [0, 1] as a percentage with one decimal: ``"21.4 %"`` (the space does not break)."""
    return f"{(share * 100).quantize(Decimal('0.1'), rounding=ROUND_HALF_EVEN)}\u00a0%"


def share_of(proportion: Proportion) -> str:
    """Return n/N as a percentage, or a dash where nothing was counted."""
    if proportion.total == 0:
        return "–"
    return percent(Decimal(proportion.count) / Decimal(proportion.total))


def interval_of(proportion: Proportion) -> str:
    """Return the limits of a proportion as percentages, or the words that say there are none."""
    if proportion.lower is None or proportion.upper is None:
        return "no interval"
    return f"{percent(proportion.lower)} to {percent(proportion.upper)}"


def value_of(measure: Measure) -> str:
    """Return a measure with its unit, or ``"not given"``; the remark then says why."""
    if measure.value is None:
        return "not given"
    return f"{measure.value:f}\u00a0{measure.unit}".rstrip("\u00a0")


def limits_of(measure: Measure) -> str:
    """Return the limits of a measure, or a dash."""
    if measure.lower is None or measure.upper is None:
        return "–"
    return f"{measure.lower:f} to {measure.upper:f}"


def moment(time: datetime) -> str:
    """Return a time as people read it, to the second, in UTC and saying so: ``"21 Nov 2026, 14:03:09 UTC"``."""
    utc = time.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC"


def count_of(number: int, singular: str, plural: str) -> str:
    """Return ``"1 flag"`` or ``"3 flags"``."""
    return f"{number} {singular if number == 1 else plural}"


def shortened(text: str, longest: int) -> str:
    """Return ``text`` on one line, cut at a word where it is longer than ``longest`` and marked as cut."""
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    return line[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def breakable(text: str) -> str:
    """Return ``text`` with permission to break inside words that no column could hold.

    Only words longer than ``LONGEST_UNBROKEN`` are touched: after every separator, and after each run of that length.
    """
    return re.sub(rf"\S{{{LONGEST_UNBROKEN + 1},}}", lambda found: _loosen(found.group()), text)


def _loosen(word: str) -> str:
    pieces = re.findall(rf"[^/._\-\\:]{{1,{LONGEST_UNBROKEN}}}[/._\-\\:]?|[/._\-\\:]", word)
    return ZERO_WIDTH_SPACE.join(pieces)


def displayable(text: str, can_show: Callable[[str], bool]) -> str:
    """Return ``text`` with every character that cannot be shown written as its number: ``"‹U+4E2D›"``.

    Control, format and private characters are written out too: a right-to-left override would let a name read
    differently on paper than in the record. Line breaks stay; a tab becomes a space.
    """
    normal = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    return "".join(
        character if character == "\n" or _harmless(character, can_show) else f"‹U+{ord(character):04X}›"
        for character in normal
    )


def _harmless(character: str, can_show: Callable[[str], bool]) -> bool:
    if character == ZERO_WIDTH_SPACE:
        return True
    if unicodedata.category(character).startswith("C"):
        return False
    return " " <= character <= "~" or can_show(character)


def card_blocks(markdown: str) -> list[dict[str, object]]:
    """Return a model card's Markdown as a flat list of headings, list items, table rows and paragraphs.

    The card is printed as it stands; only its marks (hashes, asterisks, back quotes, table rules) go.
    """
    blocks: list[dict[str, object]] = []
    paragraph: list[str] = []

    def close() -> None:
        if paragraph:
            blocks.append({"kind": "text", "text": " ".join(paragraph)})
            paragraph.clear()

    for raw in markdown.splitlines():
        line = _EMPHASIS.sub("", raw.strip())
        found = _CARD_LINE.match(line)
        if not line:
            close()
        elif line.startswith("|"):
            close()
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not all(set(cell) <= set("-: ") for cell in cells):
                blocks.append({"kind": "row", "cells": cells})
        elif found:
            close()
            kind = "heading" if found["mark"].startswith("#") else "item"
            blocks.append({"kind": kind, "text": found["text"]})
        elif blocks and blocks[-1]["kind"] == "item" and raw.startswith((" ", "\t")) and not paragraph:
            blocks[-1]["text"] = f"{blocks[-1]['text']} {line}"
        else:
            paragraph.append(line)
    close()
    return blocks
