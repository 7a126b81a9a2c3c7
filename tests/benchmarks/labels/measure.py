"""The benchmark of label checks: ``make bench-labels``, or ``make bench BENCH=labels``.

The peers' settings, the threshold for clean scans and what silence is worth are chosen on scans of their own, on which
no probability was fitted. Then everything is measured once on the benchmark's own seeds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging.inference.bundle import Bundle, load_bundle, shipped_bundle
from imaging.phantom.label_errors import ErrorKind, Severity
from imaging.training.score_examples import Source
from imaging.training.spoilt import Rate, SpoiltCase, spoilt_cases
from imaging.training.spoilt_grounds import BENCHMARK_SEEDS, FIT_SEEDS, OTHER_SEEDS
from tests.benchmarks.labels.compare import (
    BOUNDARY,
    CLEANLAB_ONLY,
    SIZES_MM,
    by_question,
    found_of_each,
    margin,
    missing_beside_another,
    of_kinds,
    of_size,
    overall,
)
from tests.benchmarks.labels.cost import crowding, growth, peak_memory_mb
from tests.benchmarks.labels.figures import false_flags, rounded, threshold_for
from tests.benchmarks.labels.lines import NAMES, lines_of
from tests.benchmarks.labels.ours import NAME
from tests.benchmarks.labels.peers import PEERS, PLAIN, Knobs
from tests.benchmarks.labels.plots import write_plots
from tests.benchmarks.labels.probability import calibration_error, share_wrong_unflagged, statements
from tests.benchmarks.labels.real_case import real_case
from tests.benchmarks.labels.run import Collected, best_knobs, collect
from tests.benchmarks.labels.tables import show, tables
from tests.benchmarks.lines import Line

__all__ = ["NAMES", "measured"]

ROOT = Path(__file__).resolve().parents[3]
PAGE, IMAGES = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "images" / "label-errors"
SCANS, FIT_SCANS = 100, 40
TUNING_SEEDS = FIT_SEEDS[10_000:]
"""Of the seeds for fitting those that ``imaging.training.fit_scores``, which takes the first, does not come near: on
what probabilities were fitted to, fewer false ones are high than elsewhere, and a threshold frozen there is too low."""

FALSE_FLAGS_A_CASE = 0.1
"""Frozen at half of the 0.2 that are allowed, so that another sample of clean scans does not break the bar."""

LEAST_THRESHOLD = 0.2
THREADS = 2
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: how many scans to measure and to tune on, where to keep them, and where real scans lie."""

    scans: int
    fit_scans: int
    folder: Path
    backgrounds: Path | None
    bundle: Bundle
    source: Source
    processes: int


def measured(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and all figures.

    The environment says how much is run: ``BENCH_SCANS`` and ``BENCH_FIT_SCANS`` (100 and 40), ``BENCH_BUNDLE`` (the
    shipped one), ``BENCH_PROCESSES`` (2 scans at a time), ``QASERVICE_REAL_DATA`` (the folder of real scans).
    """
    real = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))
    folder = Path(os.environ.get("BENCH_BUNDLE", "")) if os.environ.get("BENCH_BUNDLE") else shipped_bundle()
    kept = work / "labels" / "cases"
    kept.mkdir(parents=True, exist_ok=True)
    processes = int(os.environ.get("BENCH_PROCESSES") or PROCESSES)
    backgrounds = real if real.is_dir() else None
    plan = Plan(
        scans=int(os.environ.get("BENCH_SCANS") or SCANS),
        fit_scans=int(os.environ.get("BENCH_FIT_SCANS") or FIT_SCANS),
        folder=kept,
        backgrounds=backgrounds,
        bundle=load_bundle(folder, expected_sha256=None),
        source=Source(kept, backgrounds, folder, max(1, THREADS // processes)),
        processes=processes,
    )
    figures, plotted = measure(plan)
    write_plots(figures, plotted, work / "labels")
    (work / "labels" / "tables.md").write_text(tables(figures), encoding="utf-8")
    if plan.scans >= SCANS:
        # Fewer scans are for trying things out: they are not what the page says.
        show(PAGE, figures)
        write_plots(figures, plotted, IMAGES)
    return [line for line in lines_of(figures) if line.bench in wanted], figures


def measure(plan: Plan) -> tuple[dict[str, object], Collected]:
    """Return all figures, and the cases of the main setting with their flags, for plots."""
    _check_no_overlap(plan)
    every = {peer.name: peer.knobs for peer in PEERS}
    tuned = _collected(plan, TUNING_SEEDS, plan.fit_scans, every, (Rate.HIGH,))
    knobs = best_knobs(tuned.at(Rate.HIGH))
    clean = tuned.at(Rate.CLEAN)
    threshold = threshold_for(
        scores=false_flags(cases=clean.cases, flags=clean.flags[NAME]),
        a_case=FALSE_FLAGS_A_CASE,
        least=LEAST_THRESHOLD,
    )
    silence = {rate: _silence(tuned.at(rate)) for rate in Rate}
    chosen = {name: (setting,) for name, setting in knobs.items()}
    found = _collected(plan, BENCHMARK_SEEDS, plan.scans, chosen, (Rate.HIGH, Rate.NATURAL))
    high = found.at(Rate.HIGH)
    figures: dict[str, object] = {
        "scans": plan.scans,
        "fit_scans": plan.fit_scans,
        "seeds": [BENCHMARK_SEEDS.start, BENCHMARK_SEEDS.start + plan.scans - 1],
        "grounds": _counted([case.ground for case in high.cases if case.readers == 1]),
        "model": {
            "name": plan.bundle.identity.name,
            "version": plan.bundle.identity.version,
            "sha256": plan.bundle.identity.bundle_sha256,
        },
        "peer_settings": {name: list(setting) for name, setting in knobs.items()},
        "high": setting_figures(high),
        "natural": setting_figures(found.at(Rate.NATURAL)),
        "margins": margins(high),
        "calibration": {rate.value: _calibration(found.at(rate), silence[rate]) for rate in (Rate.HIGH, Rate.NATURAL)},
        "clean": _clean(found.at(Rate.CLEAN), threshold),
        "cost": _cost(plan, found),
        "lidc-0001": real_case(plan.backgrounds, plan.bundle, plan.folder),
    }
    return figures, high


def setting_figures(found: Collected) -> dict[str, object]:
    """Return all figures of one rate of errors, methods side by side, and our own by ground and number of readers."""
    cases, flags = found.cases, found.flags
    kinds = [of_kinds(kind.value, frozenset({kind})) for kind in ErrorKind]
    moderate = [of_kinds(kind.value, frozenset({kind}), Severity.MODERATE) for kind in ErrorKind]
    sizes = [of_size(kind, least, most) for kind in ErrorKind if not kind.of_a_whole_set for least, most in SIZES_MM]
    parts = {}
    for name, part in {
        "one reader": found.only(lambda case: case.readers == 1),
        "four readers": found.only(lambda case: case.readers == 4),
        "phantoms": found.only(lambda case: case.ground == "phantom"),
        "real backgrounds": found.only(lambda case: case.ground != "phantom"),
    }.items():
        if part.cases:
            parts[name] = overall(cases=part.cases, flags=part.flags)
    return {
        "cases": len(cases),
        "errors": sum(len(case.errors) for case in cases),
        "labels": sum(len(one.findings) for case in cases for one in case.case.annotation_sets),
        "overall": overall(cases=cases, flags=flags),
        "by_part": parts,
        "by_kind": by_question(cases=cases, flags=flags, questions=kinds),
        "by_kind_moderate": by_question(cases=cases, flags=flags, questions=moderate),
        "by_kind_and_size": by_question(cases=cases, flags={NAME: flags[NAME]}, questions=sizes),
        "found_at_the_common_budget": found_of_each(cases=cases, flags=flags[NAME]),
    }


def margins(found: Collected) -> dict[str, object]:
    """Return the margins over the peers that the comparison asks for."""
    cases, flags = found.cases, found.flags
    missing = of_kinds("missing", frozenset({ErrorKind.MISSING}))
    beside = missing_beside_another()
    return {
        "missing": margin(cases=cases, flags=flags, question=missing, families=CLEANLAB_ONLY),
        "missing_over_confidence": margin(cases=cases, flags=flags, question=missing, families=frozenset({PLAIN})),
        "missing_touching_another": margin(cases=cases, flags=flags, question=beside, families=CLEANLAB_ONLY),
        "missing_touching_another_over_confidence": margin(
            cases=cases, flags=flags, question=beside, families=frozenset({PLAIN})
        ),
        "spurious": margin(
            cases=cases,
            flags=flags,
            question=of_kinds("spurious", frozenset({ErrorKind.SPURIOUS})),
            families=None,
        ),
        "boundary": margin(cases=cases, flags=flags, question=of_kinds("boundary", BOUNDARY), families=None),
    }


def _collected(
    plan: Plan, whole: range, count: int, knobs: Mapping[str, Sequence[Knobs]], rates_for_peers: Sequence[Rate]
) -> Collected:
    words = "to tune on" if whole is TUNING_SEEDS else "to measure"
    return collect(
        source=plan.source,
        seeds=range(whole.start, whole.start + count),
        knobs=knobs,
        rates_for_peers=rates_for_peers,
        processes=plan.processes,
        progress=lambda done, total: print(f"  scan {done} of {total} {words}", file=sys.stderr, flush=True),
    )


def _cases(plan: Plan, whole: range, count: int, words: str) -> Iterator[SpoiltCase]:
    return spoilt_cases(
        folder=plan.folder,
        seeds=range(whole.start, whole.start + count),
        readers=(1, 4),
        rates=tuple(Rate),
        bundle=plan.bundle,
        backgrounds=plan.backgrounds,
        threads=THREADS,
        progress=lambda done, total: print(f"  scan {done} of {total} {words}", file=sys.stderr, flush=True),
    )


def _silence(found: Collected) -> float:
    return share_wrong_unflagged(statements(cases=found.cases, flags=found.flags[NAME]))


def _calibration(found: Collected, silence: float) -> dict[str, object]:
    said = statements(cases=found.cases, flags=found.flags[NAME])
    error, count, table = calibration_error(said, unflagged=silence, flagged_only=False)
    flagged_error, flagged, flagged_table = calibration_error(said, unflagged=silence, flagged_only=True)
    return {
        "statements": count,
        "wrong": int(said.wrong.sum()),
        "unflagged_counts_as": rounded(silence),
        "ece": rounded(error),
        "table": [[row.count, rounded(row.mean_score), rounded(row.observed_share)] for row in table],
        "flagged": flagged,
        "flagged_ece": rounded(flagged_error),
        "flagged_table": [[row.count, rounded(row.mean_score), rounded(row.observed_share)] for row in flagged_table],
    }


def _clean(found: Collected, threshold: float) -> dict[str, object]:
    scores = false_flags(cases=found.cases, flags=found.flags[NAME])
    above = [sum(score >= threshold for score in own) for own in scores]
    by_readers = {
        f"{readers} reader{'s' if readers > 1 else ''}": rounded(
            float(np.mean([many for many, case in zip(above, found.cases, strict=True) if case.readers == readers]))
        )
        for readers in (1, 4)
    }
    return {
        "cases": len(found.cases),
        "threshold": rounded(threshold),
        "false_flags_a_case": rounded(float(np.mean(above))),
        "by_readers": by_readers,
        "false_flags_a_case_at_any_score": rounded(float(np.mean([len(own) for own in scores]))),
    }


def _cost(plan: Plan, found: Collected) -> dict[str, object]:
    largest = None
    for case in _cases(plan, BENCHMARK_SEEDS, min(plan.scans, 3), "for its cost"):
        if case.readers == 4 and case.rate is Rate.HIGH:
            largest = case
    assert largest is not None
    counted = [
        (len(case.case.annotation_sets), seconds) for case, seconds in zip(found.cases, found.seconds, strict=True)
    ]
    return {
        "seconds_median": {
            str(readers): rounded(float(np.median([value for count, value in counted if count == readers])))
            for readers in (1, 4)
        },
        "seconds_95th": rounded(float(np.percentile(found.seconds, 95))),
        "seconds_most": rounded(max(found.seconds)),
        "memory_peak_mb": rounded(peak_memory_mb(largest.case)),
        "growth": growth(largest),
        "crowded_findings_and_seconds": crowding(largest.case),
    }


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


def _check_no_overlap(plan: Plan) -> None:
    """Stop where seeds for measuring might have been learnt from."""
    measured_on = range(BENCHMARK_SEEDS.start, BENCHMARK_SEEDS.start + plan.scans)
    for other in (FIT_SEEDS, *OTHER_SEEDS):
        if max(measured_on.start, other.start) < min(measured_on.stop, other.stop):
            raise ValueError(f"seeds to measure on overlap those from {other.start} on")
