"""How the report calls things. Keys of the database never reach the paper."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from imaging.types import Action
from qaservice.projects.models import Role
from qaservice.review.models import Decision

SUSPICIONS = {
    "missing_nodule": "Missing nodule",
    "spurious_label": "Spurious label",
    "boundary": "Boundary of the outline",
    "incomplete_contour": "Incomplete contour",
    "merged_lesions": "Two lesions outlined as one",
    "duplicate_mark": "Duplicate mark",
    "wrong_category": "Wrong category",
    "reader_disagreement": "Disagreement among readers",
    "geometry_mismatch": "Geometry mismatch",
    "rules": "Rule of the project broken",
    "confident_learning": "Category or rating unlike those of similar labels",
    "out_of_distribution": "Unlike the rest of the dataset",
    "near_duplicate": "Near duplicate",
    "taxonomy_drift": "Categories used differently",
    "ambiguous": "Ambiguous: for adjudication",
}
"""The checks in the order of the report, as people call what they suspect."""

ACTIONS = {
    Action.ADD.value: "Finding added",
    Action.REMOVE.value: "Finding removed",
    Action.REPLACE_OUTLINE.value: "Outline replaced",
    Action.RECATEGORISE.value: "Category changed",
}

PROPOSED = {
    Action.ADD.value: "Add a finding",
    Action.REMOVE.value: "Remove the finding",
    Action.REPLACE_OUTLINE.value: "Replace the outline",
    Action.RECATEGORISE.value: "Change the category",
}

SIMULATED = "simulated"


def suspicion(check_name: str) -> str:
    """Return what a check suspects, in words; a check without an entry is called by its own name, spelt out."""
    return SUSPICIONS.get(check_name, check_name.replace("_", " ").capitalize())


def suspicion_order(check_name: str) -> tuple[int, str]:
    """Return the sorting key that puts checks into the report's order, unknown ones last by name."""
    known = list(SUSPICIONS)
    return (known.index(check_name) if check_name in known else len(known), check_name)


def decision(value: str) -> str:
    """Return a verdict or an outcome in words."""
    return str(Decision(value).label)


def role(value: str) -> str:
    """Return a role as people call it; text that is no role of ours stays as it is."""
    return str(Role(value).label) if value in Role.values else value.replace("_", " ").replace("-", " ")


def decimal(value: float, places: int) -> Decimal:
    """Return a measured number with a fixed number of decimals, as it is printed and as it stands in the facts."""
    # From repr, so that the printed figure is the rounding of the number as every program shows it.
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return rounded if rounded else abs(rounded)


def coordinates(x_mm: float, y_mm: float, z_mm: float) -> str:
    """Return a place in LPS millimetres with one decimal: ``"(-61.2, 48.9, -112.5) mm"``."""
    return f"({decimal(x_mm, 1)}, {decimal(y_mm, 1)}, {decimal(z_mm, 1)}) mm"


def place(x_mm: float, y_mm: float, z_mm: float) -> str:
    """Return a place in LPS millimetres with one decimal, and what the three axes are."""
    return f"{coordinates(x_mm, y_mm, z_mm)}, DICOM patient axes (to the left, to the back, to the head)"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return ``"1 flag"`` or ``"3 flags"``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def listed(parts: list[str]) -> str:
    """Return parts as a sentence lists them: "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """Return ``text`` beginning with a capital and ending with a full stop."""
    trimmed = text.strip()
    if not trimmed:
        return ""
    return trimmed[0].upper() + trimmed[1:] + ("" if trimmed[-1] in ".!?" else ".")
