"""Which flag finds which error: one to one, in millimetres, in the same reader's set.

A flag meets an error of one label if it names that label, or if it is about an empty place (for a lesion marked twice:
about either mark) within max(d / 2, 2.5 mm) of the error's place, d being the true nodule's diameter. A flag meets an
error of a whole set if it is about that set or anything in it, for no label of it is right. The surest flag finds the
error; further ones that meet it are neither right nor wrong: they lead to what has been found already. So are flags
about what the simulated readers did of their own accord, and about a background's own lesions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from imaging.phantom.label_errors import ErrorKind, InjectedError
from imaging.training.spoilt import SpoiltCase
from tests.benchmarks.labels.flags import LEAST_REACH_MM, Flag, one_a_subject


class Verdict(StrEnum):
    """What became of a flag."""

    FOUND = "found"
    AGAIN = "again"
    EXCUSED = "excused"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Judged:
    """A flag, what became of it, and the error that it meets."""

    flag: Flag
    verdict: Verdict
    error: InjectedError | None


def judge(*, case: SpoiltCase, flags: Sequence[Flag]) -> list[Judged]:
    """Return every subject's surest flag with its verdict, surest first."""
    diameters = {nodule.nodule_id: nodule.diameter_mm for nodule in case.nodules}
    found: set[InjectedError] = set()
    judged = []
    for flag in one_a_subject(flags):
        met = [error for error in case.errors if meets(flag=flag, error=error, diameters=diameters)]
        open_ = [error for error in met if error not in found]
        if open_:
            nearest = min(open_, key=lambda error: (flag.finding_id != error.finding_id, _way(flag, error)))
            found.add(nearest)
            judged.append(Judged(flag, Verdict.FOUND, nearest))
        elif met:
            judged.append(Judged(flag, Verdict.AGAIN, met[0]))
        elif excused(case=case, flag=flag):
            judged.append(Judged(flag, Verdict.EXCUSED, None))
        else:
            judged.append(Judged(flag, Verdict.FALSE, None))
    return judged


def meets(*, flag: Flag, error: InjectedError, diameters: dict[str, float]) -> bool:
    """Tell whether a flag is about an error; ``diameters`` of the true nodules by id, mm."""
    if flag.set_id != error.set_id:
        return False
    if error.kind.of_a_whole_set:
        return True
    if flag.whole_set:
        return False
    if flag.finding_id is not None and flag.finding_id == error.finding_id:
        return True
    if flag.finding_id is not None and error.kind is not ErrorKind.DUPLICATED:
        return False
    diameter = diameters.get(error.nodule_id or "", error.magnitude_mm)
    return _way(flag, error) <= max(0.5 * diameter, LEAST_REACH_MM)


def excused(*, case: SpoiltCase, flag: Flag) -> bool:
    """Tell whether a flag is about something that nobody can call right or wrong."""
    return not flag.whole_set and any(
        one.set_id in ("", flag.set_id) and math.dist(one.place_mm, flag.place_mm) <= max(one.radius_mm, LEAST_REACH_MM)
        for one in case.excused
    )


def _way(flag: Flag, error: InjectedError) -> float:
    return math.dist(flag.place_mm, error.place_mm)
