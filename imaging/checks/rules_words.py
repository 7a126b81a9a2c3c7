"""A rule's fields and values as the guide says them: with spaces and units, for the reasons that readers see."""

from __future__ import annotations

from imaging.checks.rules_terms import Scalar

_UNITS = {"mm3": "mm³", "mm2": "mm²", "mm": "mm", "ml": "ml", "hu": "HU", "days": "days"}
_BARE = frozenset({"count", "share", "ratio"})
"""Endings that say what a number is and have no unit; a share is said in per cent."""

_OPENINGS = {
    "first": "the first mark's {}",
    "second": "the second mark's {}",
    "change": "the change of {}",
    "ratio": "the ratio of {}",
    "most": "the largest {}",
    "least": "the smallest {}",
    "spread": "the spread of {}",
    "count": "the number of labels ({})",
    "acquisition": "the acquisition's {}",
}
_SILENT = frozenset({"features", "characteristics"})
_WITHOUT_UNIT = frozenset({"ratio", "count"})


def said_value(*, name: str, value: Scalar) -> str:
    """Return one field with its value as a clause: "diameter_mm" and 4.2 give "the diameter is 4.2 mm"."""
    opening, words, unit = _parts(name)
    subject = _OPENINGS[opening].format(words) if opening else f"the {words}"
    if isinstance(value, bool):
        return f"{subject} is {'known' if value else 'not known'}"
    if isinstance(value, int | float):
        if unit == "share":
            return f"{subject} is {value:.0%}"
        number = f"{value:.4g}"
        return f"{subject} is {number} {unit}" if unit and opening not in _WITHOUT_UNIT else f"{subject} is {number}"
    return f"{subject} is {value[:60]}"


def _parts(name: str) -> tuple[str, str, str]:
    """Return what the field asks of ("first", "most", or ""), the words, and the unit ("" without one)."""
    *before, last = name.split(".", maxsplit=2) if "." in name else ["", name]
    opening = next((part for part in before if part in _OPENINGS), "")
    inner = [part for part in (*before, *last.split(".")) if part and part not in _SILENT and part not in _OPENINGS]
    # Only what follows an underscore is an ending: a category's name may end in "mm" too.
    words = "_".join(inner).split("_")
    unit = ""
    if len(words) > 1 and words[-1] in _UNITS:
        unit = _UNITS[words.pop()]
    elif len(words) > 1 and words[-1] in _BARE:
        ending = words.pop()
        unit = "share" if ending == "share" else ""
        words = ["number", "of", *words] if ending == "count" else words
    return opening, " ".join(words), unit
