"""Rare groups are protected: a check that mostly fires on one small subgroup is named, for it may misjudge the group.

A check may be right about a rare kind of label. It may also hold whatever is rare for wrong. Which of the two cannot
be told from its flags alone, so nothing is taken back; whoever leads the project is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

SMALL_SHARE = 0.2
"""A subgroup is small with at most this share of all labels."""

MOSTLY = 0.5
"""A check fires mostly on a subgroup that holds at least this share of its flags."""

LEAST_FLAGS = 5
"""Of fewer flags nothing is said: two rare labels among three flags happen by chance every day."""

SIGNIFICANCE = 0.01
"""One-sided error probability of all comparisons of one run together (Holm)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One label of the dataset: a key of its own, and what groups it belongs to (grouping to group)."""

    key: str
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubgroupNote:
    """One check that mostly fires on one small subgroup, with the numbers and in words."""

    check: str
    grouping: str
    group: str
    flagged_here: int
    flagged: int
    members_here: int
    members: int
    p_value: float
    words: str


def subgroup_notes(*, members: Sequence[Member], flagged: Iterable[tuple[str, str]]) -> tuple[SubgroupNote, ...]:
    """Return the checks that mostly fire on one small subgroup, most striking first.

    ``flagged``: (check, key of the label); keys that are no member's are passed over. A note is made where the
    subgroup holds at most a fifth of the labels and at least half of the check's flags, of which there are five or
    more, and Fisher's exact test, one-sided and corrected by Holm over every check and subgroup compared, finds no
    more than one chance in a hundred.
    """
    known = {member.key: member for member in members}
    by_check: dict[str, set[str]] = {}
    for check, key in flagged:
        if key in known:
            by_check.setdefault(check, set()).add(key)
    groups: dict[tuple[str, str], set[str]] = {}
    for member in members:
        for grouping, group in member.groups.items():
            if group:
                groups.setdefault((grouping, group), set()).add(member.key)
    compared = [
        (fisher(here=len(hit & inside), outside=len(hit - inside), inside=len(inside), total=len(known)), check, name)
        for check, hit in sorted(by_check.items())
        for name, inside in sorted(groups.items())
        if len(hit) >= LEAST_FLAGS and len(inside) <= SMALL_SHARE * len(known)
    ]
    notes = []
    for p_value, check, name in significant(compared, level=SIGNIFICANCE):
        hit, inside = by_check[check], groups[name]
        here = len(hit & inside)
        if here >= MOSTLY * len(hit):
            notes.append(_note(check, name, here, len(hit), len(inside), len(known), p_value))
    return tuple(notes)


def fisher(*, here: int, outside: int, inside: int, total: int) -> float:
    """Return the chance of ``here`` or more flags among ``inside`` labels if flags fell on all ``total`` alike.

    Fisher's exact test, one-sided, by the hypergeometric tail; ``outside``: flags on the other labels.
    """
    return float(stats.hypergeom.sf(here - 1, total, inside, here + outside))


def significant(
    compared: Sequence[tuple[float, str, tuple[str, str]]], *, level: float
) -> list[tuple[float, str, tuple[str, str]]]:
    """Return the comparisons that hold at ``level`` for all of them together (Holm 1979), smallest p-value first.

    The p-values are the corrected ones, never above 1.
    """
    kept = []
    corrected = 0.0
    for rank, (p_value, check, name) in enumerate(sorted(compared)):
        corrected = max(corrected, min(1.0, p_value * (len(compared) - rank)))
        if corrected > level:
            break
        kept.append((corrected, check, name))
    return kept


def _note(
    check: str, name: tuple[str, str], here: int, flagged: int, inside: int, total: int, p_value: float
) -> SubgroupNote:
    grouping, group = name
    words = (
        f"{here} of the {flagged} flags of the check “{check.replace('_', ' ')}” are of {grouping} “{group}”, which "
        f"has {inside} of {total} labels. It may misjudge what is rare: look at some of them before acting on all."
    )
    return SubgroupNote(check, grouping, group, here, flagged, inside, total, p_value, words)
