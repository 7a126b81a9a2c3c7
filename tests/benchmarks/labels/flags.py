"""What a method says about one label or one empty place, in terms in which all methods can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from imaging.phantom.label_errors import ErrorKind
from imaging.training.spoken import OF_ABSENCE, OF_CLASS, OF_OUTLINES, OF_PRESENCE, OF_SETS
from imaging.types import PointMm

__all__ = [
    "LEAST_REACH_MM",
    "OF_ABSENCE",
    "OF_CLASS",
    "OF_OUTLINES",
    "OF_PRESENCE",
    "OF_SETS",
    "Flag",
    "one_a_subject",
    "speaking_of",
]

LEAST_REACH_MM = 2.5


@dataclass(frozen=True, slots=True)
class Flag:
    """One suspicion. ``finding_id``: the label in question, None for an empty place or a whole set.

    ``score``: higher is surer; only the order matters, except where a figure calls it a probability. ``kinds``: what
    the method may mean by it, so that figures by kind count against it only what it speaks about.
    """

    set_id: str
    finding_id: str | None
    place_mm: PointMm
    radius_mm: float
    score: float
    kinds: frozenset[ErrorKind]
    whole_set: bool = False


def one_a_subject(flags: Iterable[Flag]) -> list[Flag]:
    """Keep the surest flag about each label and place, surest first: several about one thing are one thing to see."""
    kept: list[Flag] = []
    for flag in sorted(flags, key=lambda one: (-one.score, one.set_id, one.finding_id or "", one.place_mm)):
        for number, known in enumerate(kept):
            if _same_subject(flag, known):
                kept[number] = replace(known, kinds=known.kinds | flag.kinds)
                break
        else:
            kept.append(flag)
    return kept


def speaking_of(flags: Sequence[Flag], kinds: frozenset[ErrorKind]) -> list[Flag]:
    """Return the flags that may mean one of ``kinds``."""
    return [flag for flag in flags if flag.kinds & kinds]


def _same_subject(first: Flag, second: Flag) -> bool:
    if (first.set_id, first.whole_set) != (second.set_id, second.whole_set):
        return False
    if first.whole_set:
        return True
    if first.finding_id is not None or second.finding_id is not None:
        return first.finding_id == second.finding_id
    reach = max(first.radius_mm, second.radius_mm, LEAST_REACH_MM)
    return math.dist(first.place_mm, second.place_mm) <= reach
