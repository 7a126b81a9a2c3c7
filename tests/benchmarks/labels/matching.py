"""Which flag finds which error, by the one rule of ``imaging.scoring.matching``.

The surest flag finds the error; further ones that meet it are neither right nor wrong: they lead to what has been found
already. So are flags about what the simulated readers did of their own accord, and a background's own lesions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging.phantom.label_errors import InjectedError
from imaging.scoring.matching import Verdict, is_excused
from imaging.scoring.matching import meets as subject_meets
from imaging.scoring.subjects import Subject
from imaging.training.spoilt import SpoiltCase
from tests.benchmarks.labels.flags import Flag, one_a_subject


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


def meets(*, flag: Flag, error: InjectedError, diameters: Mapping[str, float]) -> bool:
    """Tell whether a flag is about an error; ``diameters`` of the true nodules by id, mm."""
    return subject_meets(subject=_subject(flag), error=error, diameters_mm=diameters)


def excused(*, case: SpoiltCase, flag: Flag) -> bool:
    """Tell whether a flag is about something that nobody can call right or wrong."""
    return is_excused(subject=_subject(flag), excuses=case.excused)


def _subject(flag: Flag) -> Subject:
    return Subject(flag.set_id, flag.finding_id, flag.place_mm, flag.radius_mm, flag.whole_set)


def _way(flag: Flag, error: InjectedError) -> float:
    return math.dist(flag.place_mm, error.place_mm)
