"""The control of a survey: readers' marks moved apart, so that two of them only meet by coincidence.

What a rule that holds marks against each other still finds then, it finds of places that no lesion shares: a lower
bound of its false alarms, since marks crowd where disease does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imaging.marks.types import Contour, Mark, MarkedScan, Nature, Pixel, Rule

APART_PIXELS = 24
"""Beyond the reach of every rule, and near enough to stay in the same part of the lung."""

PAIRED_KINDS = frozenset({"marked_twice", "two_categories", "stacked_outlines"})
"""Kinds about two marks of one reader: every other mark of a reader is moved on its own."""


def by_coincidence(*, scan: MarkedScan, rules: Sequence[Rule]) -> Mapping[str, int]:
    """Return how often each kind that holds marks against each other fires on a scan whose marks were moved apart.

    For kinds against the other readers each reader's marks are moved together, by another distance than the others';
    for pairs of one reader's marks every other mark is moved, which tells half of the pairs: the count is doubled.
    """
    against = [
        rule for rule in rules if rule.kind.nature is Nature.AGAINST_OTHERS and rule.kind.name != "empty_reading"
    ]
    paired = [rule for rule in rules if rule.kind.name in PAIRED_KINDS]
    found: dict[str, int] = {}
    if against:
        apart = _moved(scan, {id(mark): mark.reader * APART_PIXELS for mark in scan.marks})
        found |= {rule.kind.name: sum(1 for _ in rule.issues(scan=apart)) for rule in against}
    if paired:
        apart = _moved(scan, {id(mark): (number % 2) * APART_PIXELS for number, mark in enumerate(scan.marks)})
        before = {id(mark): number % 2 for number, mark in enumerate(scan.marks)}
        side = {(new.reader, new.number): before[id(old)] for new, old in zip(apart.marks, scan.marks, strict=True)}
        for rule in paired:
            met = [issue for issue in rule.issues(scan=apart) if len({side[issue.reader, n] for n in issue.marks}) > 1]
            found[rule.kind.name] = 2 * len(met)
    return found


def _moved(scan: MarkedScan, columns: Mapping[int, int]) -> MarkedScan:
    return replace(scan, marks=tuple(_mark(mark, columns[id(mark)]) for mark in scan.marks))


def _mark(mark: Mark, columns: int) -> Mark:
    return replace(mark, contours=tuple(_contour(one, columns) for one in mark.contours)) if columns else mark


def _contour(contour: Contour, columns: int) -> Contour:
    def beside(pixel: Pixel) -> Pixel:
        return (pixel[0] + columns, pixel[1])

    return replace(
        contour,
        points=tuple(beside(one) for one in contour.points),
        enclosed=frozenset(beside(one) for one in contour.enclosed),
    )
