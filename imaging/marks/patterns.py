"""Issues of one kind that crowd: in one reading, on one scan, or at one place in the order of readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binom

from imaging.marks.relations import counted
from imaging.marks.types import Kind, MarkedScan, MarkIssue

FROM_ONE_READING = 4
"""So many issues of one kind in one reading are shown as one habit or one fault, not as so many."""

SLOT_LEVEL = 0.001
"""How rare a reader's share must be, if issues fell on readers as their marks do, to be called a pattern."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Alike issues with what they share. ``file_name`` and ``reader`` are empty where they do not share it."""

    kind: str
    file_name: str
    reader: int | None
    issues: int
    sentence: str


def patterns_of(issues: Sequence[tuple[MarkedScan, MarkIssue]], kinds: Mapping[str, Kind]) -> tuple[Pattern, ...]:
    """Return the patterns among the issues of a survey, the largest first.

    In a reading: ``FROM_ONE_READING`` issues of one kind or more. By place in the order of readers: more than the
    readers' marks explain, by a binomial tail below ``SLOT_LEVEL``. A place in the order is no person.
    """
    found: list[Pattern] = []
    readings = Counter((issue.kind, scan.file_name, issue.reader) for scan, issue in issues)
    for (name, file_name, reader), number in readings.items():
        if number >= FROM_ONE_READING:
            said = (
                f"{counted(number, 'issue')} “{kinds[name].title}” in one reading: one habit or one fault, and one "
                "question to the reader."
            )
            found.append(Pattern(name, file_name, reader, number, said))
    marks: Counter[int] = Counter()
    for scan in {id(scan): scan for scan, _ in issues}.values():
        marks.update(mark.reader for mark in scan.marks)
    slots = Counter((issue.kind, issue.reader) for _, issue in issues)
    totals = Counter(issue.kind for _, issue in issues)
    for (name, reader), number in slots.items():
        share = marks[reader] / max(1, sum(marks.values()))
        if number >= 10 and float(binom.sf(number - 1, totals[name], share)) < SLOT_LEVEL:
            said = (
                f"{number} of {totals[name]} issues “{kinds[name].title}” come from reader {reader}, counted in each "
                f"file's order, who made {share:.0%} of the marks. Readers are not the same people across files, so "
                "this may be how files were put together, or a few readings."
            )
            found.append(Pattern(name, "", reader, number, said))
    return tuple(sorted(found, key=lambda one: (-one.issues, one.kind, one.file_name, one.reader or 0)))
