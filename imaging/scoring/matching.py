"""Which issues found which injected error: the one rule by which scores are fitted and the checks are measured.

An issue meets an error of one label if it names that label, or if it is about an empty place (for a lesion marked
twice: about either mark) within max(d / 2, 2.5 mm) of the error's place, d being the true lesion's diameter. It meets
an error of a whole set if it is about that set or anything in it, for no label of it is right. Issues and errors meet
one to one, the surest issue first; further ones are neither right nor wrong, for they lead to what has been found
already. So are issues about what can be called neither: what simulated readers did of their own accord, a background's
own lesions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from imaging.phantom.label_errors import ErrorKind, InjectedError
from imaging.scoring.merge import surest_first
from imaging.scoring.subjects import LEAST_REACH_MM, Subject, subject_of
from imaging.types import LabelIssue, PointMm


class Excuse(Protocol):
    """A thing about which an issue is neither right nor wrong; ``set_id`` is empty where that holds for every set."""

    @property
    def set_id(self) -> str:
        """The set concerned."""

    @property
    def place_mm(self) -> PointMm:
        """Where it is, LPS millimetres."""

    @property
    def radius_mm(self) -> float:
        """Half its size."""


class Verdict(StrEnum):
    """What became of an issue."""

    FOUND = "found"
    AGAIN = "again"
    EXCUSED = "excused"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one issue; ``error`` is the place of its error in the record, None where it met none."""

    verdict: Verdict
    error: int | None


def matched(
    *,
    issues: Sequence[LabelIssue],
    errors: Sequence[InjectedError],
    excuses: Sequence[Excuse],
    diameters_mm: Mapping[str, float],
) -> tuple[Match, ...]:
    """Return what became of each issue on one case, in the order given.

    ``diameters_mm``: of the true lesions, by id. Among several errors that an issue meets it takes one on its own
    finding before the nearest.
    """
    result: dict[int, Match] = {}
    taken: set[int] = set()
    for number in sorted(range(len(issues)), key=lambda place: surest_first(issues[place])):
        subject = subject_of(issues[number])
        met = [
            (_nearness(subject, error), place)
            for place, error in enumerate(errors)
            if meets(subject=subject, error=error, diameters_mm=diameters_mm)
        ]
        free = [(near, place) for near, place in met if place not in taken]
        if free:
            first = min(free)[1]
            taken.add(first)
            result[number] = Match(Verdict.FOUND, first)
        elif met:
            result[number] = Match(Verdict.AGAIN, min(met)[1])
        elif is_excused(subject=subject, excuses=excuses):
            result[number] = Match(Verdict.EXCUSED, None)
        else:
            result[number] = Match(Verdict.FALSE, None)
    return tuple(result[number] for number in range(len(issues)))


def meets(*, subject: Subject, error: InjectedError, diameters_mm: Mapping[str, float]) -> bool:
    """Say whether what an issue is about is what an error was made of; ``diameters_mm`` of true lesions by id."""
    if subject.set_id != error.set_id:
        return False
    if error.kind.of_a_whole_set:
        return True
    if subject.whole_set:
        return False
    if subject.finding_id is not None:
        if subject.finding_id == error.finding_id:
            return True
        if error.kind is not ErrorKind.DUPLICATED:
            return False
    diameter = diameters_mm.get(error.nodule_id or "", error.magnitude_mm)
    return math.dist(subject.place_mm, error.place_mm) <= max(diameter / 2, LEAST_REACH_MM)


def is_excused(*, subject: Subject, excuses: Sequence[Excuse]) -> bool:
    """Say whether an issue is about something that nobody can call right or wrong."""
    return not subject.whole_set and any(
        one.set_id in ("", subject.set_id)
        and math.dist(one.place_mm, subject.place_mm) <= max(one.radius_mm, LEAST_REACH_MM)
        for one in excuses
    )


def _nearness(subject: Subject, error: InjectedError) -> tuple[bool, float]:
    own = error.finding_id is not None and subject.finding_id == error.finding_id
    return (not own, math.dist(subject.place_mm, error.place_mm))
