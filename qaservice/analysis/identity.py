"""When two sightings are one flag, and when new evidence reopens a settled one. Pure rules, no database."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Below this distance two places are one place: half a typical slice step, and LUNA16's smallest hit radius.
LEAST_RADIUS_MM = 2.5
# A settled "label is right" is opened again only by a newer model clearly surer than the one that was overruled.
REOPENING_RISE = 0.25


@dataclass(frozen=True)
class Sighting:
    """Where and why a check suspects a label. ``place_mm`` is LPS; ``radius_mm`` half the size of what is there."""

    check: str
    annotation_set_id: str
    finding_id: str | None
    place_mm: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Evidence:
    """What stood behind a flag when it was looked at: which model, and how sure."""

    model_sha256: str
    score: float


def is_same(known: Sighting, seen: Sighting) -> bool:
    """Return whether ``seen`` is the flag that ``known`` already is.

    Same check on the same annotation set, and either the same finding or, where a label is missing, a place within
    the larger radius (at least 2.5 mm).
    """
    if (known.check, known.annotation_set_id) != (seen.check, seen.annotation_set_id):
        return False
    if known.finding_id is not None or seen.finding_id is not None:
        return known.finding_id == seen.finding_id
    reach = max(known.radius_mm, seen.radius_mm, LEAST_RADIUS_MM)
    return math.dist(known.place_mm, seen.place_mm) <= reach


def reopening_reason(*, outcome: str, settled_on: Evidence, seen: Evidence) -> str | None:
    """Return why a settled flag should be opened again, or None if it stays settled.

    Only "label is right" can be reopened by a machine, and only by another model: the same evidence twice is no news.
    """
    if outcome != "label-right" or seen.model_sha256 == settled_on.model_sha256:
        return None
    rise = seen.score - settled_on.score
    if rise < REOPENING_RISE:
        return None
    return (
        f"another QA model now gives {seen.score:.0%} where {settled_on.score:.0%} was given "
        "when readers held the label to be right"
    )
