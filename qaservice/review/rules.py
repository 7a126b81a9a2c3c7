"""What a verdict must say, and who may give one. Pure rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from imaging.types import Action, Category
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.review.models import Decision

LARGEST_SKETCH_MM = 200.0


def checked_rationale(rationale: str) -> str:
    """Return the rationale without surrounding blanks. Raises InvalidInput where nothing is left (REQ-13)."""
    stripped = rationale.strip()
    if not stripped:
        raise InvalidInput("say in a few words why you decide so", code="rationale-missing")
    return stripped


def checked_decision(decision: str) -> str:
    """Return the decision if it is one of the five."""
    if decision not in Decision.values:
        raise InvalidInput(f"a decision is one of: {', '.join(Decision.values)}", code="no-such-decision")
    return decision


def refuse_own_label(*, implicated: Iterable[str], own_sets: Iterable[str]) -> None:
    """Raise NotPermitted if one of the labels in question is the voter's own (REQ-16)."""
    if not set(own_sets).isdisjoint(implicated):
        raise NotPermitted("your own label is in question here; someone else must read it", code="own-label")


def checked_correction(
    *, correction: Mapping[str, object] | None, proposal_id: str, proposals: Sequence[Mapping[str, object]]
) -> dict[str, object] | None:
    """Return what the label should be, as stored with a verdict, or None where nothing was given.

    From an accepted proposal, or from a sketch: ``{"action", "category", "centre_mm": [x, y, z], "diameter_mm"}`` in
    LPS millimetres. Raises InvalidInput for an unknown proposal, an unknown action or category, a sketch without a
    finite place and a positive size.
    """
    if proposal_id and correction:
        raise InvalidInput("accept a proposal or give a correction of your own, not both", code="two-corrections")
    if proposal_id:
        for proposal in proposals:
            if proposal["id"] == proposal_id:
                return dict(proposal)
        raise InvalidInput(f"there is no proposal {proposal_id!r} on this flag", code="no-such-proposal")
    if not correction:
        return None
    action = _member(correction.get("action"), [member.value for member in Action], "action")
    checked: dict[str, object] = {"id": "", "action": action, "origin": "drawn by the reader", "mask": None}
    checked["category"] = None
    if action in {Action.ADD.value, Action.RECATEGORISE.value}:
        # The reference standard is one of nodules and of what looked like one; other structures have no place in it.
        known = [member.value for member in Category if member is not Category.STRUCTURE]
        checked["category"] = _member(correction.get("category"), known, "category")
    if action in {Action.ADD.value, Action.REPLACE_OUTLINE.value}:
        checked["centre_mm"] = _place(correction.get("centre_mm"))
        checked["diameter_mm"] = _size(correction.get("diameter_mm"))
    return checked


def _member(value: object, known: list[str], name: str) -> str:
    if value not in known:
        raise InvalidInput(f"a correction's {name} is one of: {', '.join(known)}", code="unusable-correction")
    return str(value)


def _place(value: object) -> list[float]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(isinstance(part, int | float) and not isinstance(part, bool) for part in value)
        or not all(math.isfinite(part) for part in value)
    ):
        raise InvalidInput("centre_mm is three finite numbers: x, y, z in LPS millimetres", code="unusable-correction")
    return [float(part) for part in value]


def _size(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LARGEST_SKETCH_MM:
        raise InvalidInput(
            f"diameter_mm is a number above 0 and at most {LARGEST_SKETCH_MM:.0f}", code="unusable-correction"
        )
    return float(value)
