"""All figures of one set of cases: every method, overall, by kind, by severity and by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity
from imaging.phantom.label_errors_outlines import touch
from imaging.training.spoilt import SpoiltCase
from tests.benchmarks.labels.figures import (
    Floats,
    Wanted,
    at_budget,
    average_precision,
    average_precision_draws,
    interval,
    rank,
    rounded,
)
from tests.benchmarks.labels.flags import Flag
from tests.benchmarks.labels.ours import NAME
from tests.benchmarks.labels.peers import CLEANLAB, PEERS

BOUNDARY = frozenset(
    {
        ErrorKind.SHIFTED,
        ErrorKind.ERODED,
        ErrorKind.DILATED,
        ErrorKind.POLE_SLICES,
        ErrorKind.INNER_SLICES,
        ErrorKind.RUN_ON,
    }
)
"""What the margin on boundaries is measured over: one outline that is wrong in itself."""

SIZES_MM = ((0.0, 6.0), (6.0, 10.0), (10.0, 100.0))
HIGH_PEER = 0.70
"""Above this average precision of a peer the margin asked for is half of what the peer leaves."""

Flags = Sequence[Sequence[Flag]]


@dataclass(frozen=True, slots=True)
class Question:
    """Errors that belong together. ``kinds``: which flags take part; None for all."""

    name: str
    kinds: frozenset[ErrorKind] | None
    wanted: Wanted


def everything() -> Question:
    """Return the question for all errors."""
    return Question("all", None, lambda _case, _error: True)


def of_kinds(name: str, kinds: frozenset[ErrorKind], severity: Severity | None = None) -> Question:
    """Return the question for some kinds, of one severity or of all."""

    def wanted(case: SpoiltCase, error: InjectedError) -> bool:
        del case
        return error.kind in kinds and (severity is None or error.severity is severity)

    return Question(name, kinds, wanted)


def of_size(kind: ErrorKind, least_mm: float, most_mm: float) -> Question:
    """Return the question for one kind and the diameters of the nodules (of the label, where there is no nodule)."""

    def wanted(case: SpoiltCase, error: InjectedError) -> bool:
        diameters = {nodule.nodule_id: nodule.diameter_mm for nodule in case.nodules}
        return error.kind is kind and least_mm <= diameters.get(error.nodule_id or "", error.magnitude_mm) < most_mm

    return Question(f"{kind.value}, {least_mm:g} to {most_mm:g} mm", frozenset({kind}), wanted)


def missing_beside_another() -> Question:
    """Return the question for missing labels of nodules that touch another nodule."""

    def wanted(case: SpoiltCase, error: InjectedError) -> bool:
        if error.kind is not ErrorKind.MISSING:
            return False
        own = next(nodule for nodule in case.nodules if nodule.nodule_id == error.nodule_id)
        return any(one is not own and touch(first=one.mask, second=own.mask) for one in case.nodules)

    return Question("missing, touching another", frozenset({ErrorKind.MISSING}), wanted)


def overall(*, cases: Sequence[SpoiltCase], flags: Mapping[str, Flags]) -> dict[str, object]:
    """Return precision and recall at the budget and average precision of every method."""
    question = everything()
    figures: dict[str, object] = {}
    for name, own in flags.items():
        ranking = rank(cases=cases, flags=own, kinds=question.kinds, wanted=question.wanted)
        at = at_budget(ranking)
        low, high = interval(average_precision_draws(ranking))
        figures[name] = {
            "budget": at.budget,
            "looked_at": at.looked_at,
            "found": at.found,
            "precision": rounded(at.precision),
            "recall": rounded(at.recall),
            "average_precision": rounded(average_precision(ranking)),
            "average_precision_95": [rounded(low), rounded(high)],
            "ceiling": rounded(float(ranking.found.sum()) / max(1, ranking.asked)),
            "flags": len(ranking.found),
            "neutral_flags": ranking.neutral,
        }
    return figures


def by_question(
    *, cases: Sequence[SpoiltCase], flags: Mapping[str, Flags], questions: Sequence[Question]
) -> dict[str, dict[str, object]]:
    """Return, for each question and method: errors, precision at their number, average precision with its interval."""
    table: dict[str, dict[str, object]] = {}
    for question in questions:
        row: dict[str, object] = {}
        for name, own in flags.items():
            ranking = rank(cases=cases, flags=own, kinds=question.kinds, wanted=question.wanted)
            at = at_budget(ranking)
            low, high = interval(average_precision_draws(ranking))
            row[name] = {
                "errors": at.budget,
                "precision": rounded(at.precision),
                "recall": rounded(at.recall),
                "average_precision": rounded(average_precision(ranking)),
                "average_precision_95": [rounded(low), rounded(high)],
            }
        table[question.name] = row
    return table


def found_of_each(*, cases: Sequence[SpoiltCase], flags: Flags) -> dict[str, dict[str, list[int]]]:
    """Return how many of each kind and severity are found at the common budget of all errors, [found, injected]."""
    every = rank(cases=cases, flags=flags, kinds=None, wanted=lambda _case, _error: True)
    at = at_budget(every)
    least = float(every.scores[at.looked_at - 1]) if at.looked_at else float("inf")
    within = [[flag for flag in own if flag.score >= least] for own in flags]
    table: dict[str, dict[str, list[int]]] = {}
    for kind in ErrorKind:
        for severity in Severity:
            question = of_kinds(kind.value, frozenset({kind}), severity)
            ranking = rank(cases=cases, flags=within, kinds=None, wanted=question.wanted)
            table.setdefault(kind.value, {})[severity.value] = [int(ranking.found.sum()), ranking.asked]
    return table


def margin(
    *, cases: Sequence[SpoiltCase], flags: Mapping[str, Flags], question: Question, families: frozenset[str] | None
) -> dict[str, object]:
    """Return how far our average precision lies above that of the best peer of some families (None: of any).

    The interval is over scans, the same draws for both. ``asked``: the margin that has to be reached, 0.25, or half of
    what the peer leaves where it exceeds 0.70.
    """

    def draws(name: str) -> tuple[float, Floats]:
        ranking = rank(cases=cases, flags=flags[name], kinds=question.kinds, wanted=question.wanted)
        return average_precision(ranking), average_precision_draws(ranking)

    rivals = [peer.name for peer in PEERS if families is None or peer.family in families]
    theirs = {name: draws(name) for name in rivals if name in flags}
    own, own_draws = draws(NAME)
    best = max(theirs, key=lambda name: float(np.nan_to_num(theirs[name][0], nan=-1.0)))
    peer, peer_draws = theirs[best]
    low, high = interval(own_draws - peer_draws)
    return {
        "ours": rounded(own),
        "peer": best,
        "peers": rounded(peer),
        "margin": rounded(own - peer),
        "margin_95": [rounded(low), rounded(high)],
        "asked": rounded(0.5 * (1.0 - peer) if peer > HIGH_PEER else 0.25),
    }


CLEANLAB_ONLY = frozenset({CLEANLAB})
