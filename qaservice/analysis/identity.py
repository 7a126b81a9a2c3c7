"""When two sightings are one flag, and when new evidence reopens a settled one. Pure rules, no database."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.scoring.subjects import Subject, same_subject

# A settled "label is right" is opened again only by a newer model clearly surer than the one that was overruled.
REOPENING_RISE = 0.25


@dataclass(frozen=True)
class Sighting:
    """What is in question. ``place_mm`` is LPS; ``radius_mm`` half the size of what is there.

    ``whole_set``: about a set of labels as such, not about an empty place. ``ambiguous``: no claim that a label is
    wrong. Which check raised it does not matter: the lead may change from run to run.
    """

    annotation_set_id: str
    finding_id: str | None
    place_mm: tuple[float, float, float]
    radius_mm: float
    whole_set: bool = False
    ambiguous: bool = False


@dataclass(frozen=True)
class Evidence:
    """What stood behind a flag when it was looked at: which model, and how sure."""

    model_sha256: str
    score: float


def is_same(known: Sighting, seen: Sighting) -> bool:
    """Return whether ``seen`` is the flag that ``known`` already is.

    The rule is that by which checks are merged into one issue: the same annotation set, and the same finding, the set
    as a whole or, where a label is missing, a place within the larger radius (at least 2.5 mm), whichever check speaks.
    """
    return same_subject(first=_subject(known), second=_subject(seen))


def _subject(sighting: Sighting) -> Subject:
    return Subject(
        set_id=sighting.annotation_set_id,
        finding_id=sighting.finding_id,
        place_mm=sighting.place_mm,
        radius_mm=sighting.radius_mm,
        whole_set=sighting.whole_set,
        ambiguous=sighting.ambiguous,
    )


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
