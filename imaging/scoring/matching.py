"""Which issues found which injected error: the one rule by which scores are fitted and the checks are measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from imaging.phantom.label_errors import InjectedError
from imaging.scoring.merge import surest_first
from imaging.scoring.subjects import LEAST_REACH_MM, concerns_set
from imaging.types import LabelIssue

SET_CHECK = "geometry_mismatch"
"""The check that sees a whole set displaced or mirrored, by its labels where it has no issue on the set itself."""


class Verdict(StrEnum):
    """What an issue turned out to be."""

    FOUND = "found"
    """It is the first that found its error."""

    AGAIN = "again"
    """It is right, but a surer one found its error, or it saw a consequence: no success and no false alarm."""

    FALSE = "false"
    """Nothing is wrong there."""


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one issue; ``error`` is the place of its error in the record, None for a false one."""

    verdict: Verdict
    error: int | None


def matched(*, issues: Sequence[LabelIssue], errors: Sequence[InjectedError]) -> tuple[Match, ...]:
    """Return what became of each issue on one case, in the order given: issues and errors meet one to one.

    The surest issue chooses first, and among the errors that it hits it takes one on its own finding before the
    nearest. An error found already makes further issues about it neither right nor wrong; so does a spoilt set with all
    that other checks say about its labels.
    """
    result: dict[int, Match] = {}
    taken: set[int] = set()
    for number in sorted(range(len(issues)), key=lambda place: surest_first(issues[place])):
        issue = issues[number]
        hits = [place for place, error in enumerate(errors) if hits_error(issue=issue, error=error)]
        spoilt = [
            place
            for place, error in enumerate(errors)
            if error.kind.of_a_whole_set and error.set_id == issue.annotation_set_id
        ]
        free = [place for place in hits if place not in taken]
        if free:
            first = min(free, key=lambda place: _nearness(issue, errors[place]))
            taken.add(first)
            result[number] = Match(Verdict.FOUND, first)
        elif hits or spoilt:
            again = min(hits or spoilt, key=lambda place: _nearness(issue, errors[place]))
            result[number] = Match(Verdict.AGAIN, again)
        else:
            result[number] = Match(Verdict.FALSE, None)
    return tuple(result[number] for number in range(len(issues)))


def hits_error(*, issue: LabelIssue, error: InjectedError) -> bool:
    """Say whether an issue points at an error.

    They concern the same set and the same finding, or the same set and places within half the issue's diameter (at
    least 2.5 mm). An error of a whole set is hit by an issue on that set as such, or on one of its labels by the check
    of geometry; by nothing else, for a missed nodule in a mirrored set is a consequence and not the cause.
    """
    if issue.annotation_set_id != error.set_id:
        return False
    if error.kind.of_a_whole_set:
        return concerns_set(issue) or issue.check == SET_CHECK
    if concerns_set(issue):
        return False
    if error.finding_id is not None and issue.finding_id == error.finding_id:
        return True
    return math.dist(issue.place_mm, error.place_mm) <= max(issue.radius_mm, LEAST_REACH_MM)


def _nearness(issue: LabelIssue, error: InjectedError) -> tuple[bool, float]:
    own = error.finding_id is not None and issue.finding_id == error.finding_id
    return (not own, math.dist(issue.place_mm, error.place_mm))
