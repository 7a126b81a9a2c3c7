"""Flags of all methods on spoilt cases, scan by scan, and the tuning of peers on the seeds for fitting."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from imaging import checks
from imaging.training.score_examples import HEARD, Source, bundle_at, case_name, cases_of, code_digest, worked
from imaging.training.spoilt import Rate, SpoiltCase, keep, kept_at
from tests.benchmarks.labels.figures import average_precision, rank
from tests.benchmarks.labels.flags import Flag
from tests.benchmarks.labels.ours import NAME, our_flags
from tests.benchmarks.labels.peers import PEERS, Knobs, Peer
from tests.benchmarks.labels.seen import seen_sets

FLAGGING = ("cleanlab_objects", "cleanlab_pixels", "flags", "ours", "peers", "rules", "run", "seen")
"""Modules here that decide what is flagged; what only counts and shows it may change without flagging anew."""


@dataclass
class Collected:
    """Cases (without their voxels) and what every method flags on each; ``seconds`` of CPU that our checks took."""

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
    *,
    source: Source,
    seeds: range,
    knobs: Mapping[str, Sequence[Knobs]],
    rates_for_peers: Sequence[Rate],
    processes: int,
    progress: Callable[[int, int], None],
) -> Collected:
    """Return what our checks and all peers flag on scans. ``knobs``: by peer's name the settings to run.

    A peer with several settings is collected under ``label`` of each; on rates not in ``rates_for_peers`` peers flag
    nothing, for nobody asks. What is found on a scan is kept beside it, under the digest of the code and settings that
    it came from. ``processes``: scans at a time.
    """
    found = Collected()
    work = partial(_of_scan, source, knobs, tuple(rates_for_peers))
    for done, one in enumerate(worked(work, seeds, processes), start=1):
        found.cases += one.cases
        found.seconds += one.seconds
        for name, own in one.flags.items():
            found.flags.setdefault(name, []).extend(own)
        progress(done, len(seeds))
    return found


def _of_scan(source: Source, knobs: Mapping[str, Sequence[Knobs]], rates: tuple[Rate, ...], seed: int) -> Collected:
    bundle = bundle_at(source.bundle)
    asked = hashlib.sha256(repr((sorted(knobs.items()), rates)).encode()).hexdigest()[:8]
    name = f"flags-{seed}-{case_name(source, bundle)}-{_code()}-{asked}.bin"
    kept = kept_at(source.folder / name)
    if isinstance(kept, Collected):
        return kept
    found = Collected()
    for case in cases_of(source, seed):
        began = time.process_time()
        own = our_flags(case)
        found.seconds.append(time.process_time() - began)
        found.flags.setdefault(NAME, []).append(own)
        seen = list(seen_sets(case)) if case.rate in rates else []
        for peer in PEERS:
            for setting in knobs.get(peer.name, ()):
                flags = [flag for one in seen for flag in peer.flags(one, setting)]
                found.flags.setdefault(label(peer, setting, knobs), []).append(flags)
        found.cases.append(without_voxels(case))
    keep(source.folder / name, found)
    return found


@cache
def _code() -> str:
    here = Path(__file__).parent
    package = Path(checks.__file__).parents[1]
    shipped = (package / "pipeline.py", package / "scoring" / "calibration.json", package / "training" / "spoken.py")
    return code_digest(folders=HEARD, files=(*(here / f"{name}.py" for name in FLAGGING), *shipped))


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
    """Return the case with an empty volume and without outlined places: a hundred scans would not fit into memory."""
    hollow = replace(case.case.volume, hounsfield=np.zeros((0, 0, 0), dtype=np.int16))
    assert case.case.prediction is not None
    told = replace(case.case.prediction, outlines=())
    return replace(case, case=replace(case.case, volume=hollow, prediction=told))
