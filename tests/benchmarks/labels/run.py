"""Flags of all methods on spoilt cases, scan by scan, and the tuning of peers on the seeds for fitting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from imaging.training.spoilt import Rate, SpoiltCase
from tests.benchmarks.labels.figures import average_precision, rank
from tests.benchmarks.labels.flags import Flag
from tests.benchmarks.labels.ours import NAME, our_flags
from tests.benchmarks.labels.peers import PEERS, Knobs, Peer
from tests.benchmarks.labels.seen import seen_sets


@dataclass
class Collected:
    """Cases (without their voxels) and what every method flags on each; ``seconds`` of our checks a case."""

    cases: list[SpoiltCase] = field(default_factory=list)
    flags: dict[str, list[list[Flag]]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def at(self, rate: Rate) -> Collected:
        """Return the part of one rate of errors."""
        return self.only(lambda case: case.rate is rate)

    def only(self, wanted: Callable[[SpoiltCase], bool]) -> Collected:
        """Return the part whose cases are wanted."""
        kept = [number for number, case in enumerate(self.cases) if wanted(case)]
        return Collected(
            [self.cases[number] for number in kept],
            {name: [own[number] for number in kept] for name, own in self.flags.items()},
            [self.seconds[number] for number in kept],
        )


def collect(
    *, cases: Iterable[SpoiltCase], knobs: Mapping[str, Sequence[Knobs]], rates_for_peers: Sequence[Rate]
) -> Collected:
    """Return what our checks and all peers flag. ``knobs``: by peer's name the settings to run.

    A peer with several settings is collected under ``label`` of each; on rates not in ``rates_for_peers`` peers flag
    nothing, for nobody asks.
    """
    found = Collected()
    for case in cases:
        began = time.perf_counter()
        own = our_flags(case)
        found.seconds.append(time.perf_counter() - began)
        found.flags.setdefault(NAME, []).append(own)
        seen = list(seen_sets(case)) if case.rate in rates_for_peers else []
        for peer in PEERS:
            for setting in knobs.get(peer.name, ()):
                flags = [flag for one in seen for flag in peer.flags(one, setting)]
                found.flags.setdefault(label(peer, setting, knobs), []).append(flags)
        found.cases.append(without_voxels(case))
    return found


def label(peer: Peer, setting: Knobs, knobs: Mapping[str, Sequence[Knobs]]) -> str:
    """Return the name under which a peer's setting is collected: its own where it has one setting."""
    return peer.name if len(knobs[peer.name]) == 1 else f"{peer.name} {setting}"


def best_knobs(found: Collected) -> dict[str, Knobs]:
    """Return for every peer the setting with the highest average precision over all errors of the cases."""
    every = {peer.name: peer.knobs for peer in PEERS}
    chosen = {}
    for peer in PEERS:
        scores = {
            setting: average_precision(
                rank(
                    cases=found.cases,
                    flags=found.flags[label(peer, setting, every)],
                    kinds=None,
                    wanted=lambda _case, _error: True,
                )
            )
            for setting in peer.knobs
        }
        chosen[peer.name] = max(scores, key=lambda setting: (scores[setting], setting))
    return chosen


def without_voxels(case: SpoiltCase) -> SpoiltCase:
    """Return the case with an empty volume: a hundred scans would not fit into memory."""
    hollow = replace(case.case.volume, hounsfield=np.zeros((0, 0, 0), dtype=np.int16))
    return replace(case, case=replace(case.case, volume=hollow))
