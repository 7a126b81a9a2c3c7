"""How many injected label errors the flags find, on synthetic scans that no training has seen.

One global ranking of all flags over all scans; a flag and an error meet one to one, in the same reader's set, at the
same finding or within max(d / 2, 2.5 mm). The budget is the number of injected errors. The same generator made the
training's phantoms, with other seeds, so this is a regression test and no claim about real scans.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging.checks.base import CHEST_CT_NODULES
from imaging.inference.bundle import Bundle, load_bundle, shipped_bundle
from imaging.inference.predict import predict
from imaging.masks.place import centre_of
from imaging.phantom.chest import chest_phantom
from imaging.phantom.label_errors import InjectedError
from imaging.phantom.label_errors_injected import inject_errors
from imaging.phantom.simulated_readers import simulated_readers
from imaging.pipeline import AnalysisParameters, analyse
from imaging.types import AnnotationSet, Case, LabelIssue, Prediction, Volume
from tests.benchmarks.baseline import blob_prediction
from tests.benchmarks.lines import Line, more_is_better

NAMES = ("label_errors.average_precision", "label_errors.recall_at_budget")
SEED = 2_000_000_000
SCANS = 20
ERRORS_A_SCAN = 5
NODULES_A_SCAN = 8
SHAPE = (72, 288, 288)
SPACING_MM = (2.5, 1.2, 1.2)
LEAST_REACH_MM = 2.5
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Scan:
    """One scan's errors and flags, best flag first."""

    errors: tuple[InjectedError, ...]
    flags: tuple[LabelIssue, ...]


def measured(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and all figures."""
    figures = measure()
    ours, peer = figures["bundle"], figures["log-filter"]
    assert isinstance(ours, Mapping) and isinstance(peer, Mapping)
    note = (
        "`label_errors.*`: injected label errors on synthetic scans that no training has seen, found by the bundle's "
        "opinion and the readers'; the peer puts an untrained blob filter in the place of the bundle."
    )
    found = [
        more_is_better(
            name,
            float(ours[key]),
            key.replace("_", " "),
            peer="untrained blob filter",
            peer_value=float(peer[key]),
            note=note,
        )
        for name, key in zip(NAMES, ("average_precision", "recall_at_budget"), strict=True)
    ]
    return [line for line in found if line.bench in wanted], figures


def measure() -> Mapping[str, object]:
    """Return recall at the budget, average precision with its interval, and the ceiling, by source of opinion."""
    bundle = load_bundle(shipped_bundle(), expected_sha256=None)
    scans: dict[str, list[Scan]] = {"bundle": [], "log-filter": [], "readers-alone": []}
    for number in range(SCANS):
        print(f"  scan {number + 1} of {SCANS}", file=sys.stderr, flush=True)
        case = chest_phantom(seed=SEED + number, shape=SHAPE, spacing_mm=SPACING_MM, nodule_count=NODULES_A_SCAN)
        honest = simulated_readers(case=case, seed=SEED)
        sets, errors = inject_errors(annotation_sets=honest, case=case, seed=SEED, count=ERRORS_A_SCAN)
        opinions: dict[str, Prediction | None] = {
            "bundle": _prediction(case.volume, sets, bundle),
            "log-filter": blob_prediction(case.volume),
            "readers-alone": None,
        }
        for source, opinion in opinions.items():
            outcome = analyse(
                case=Case(case.volume, sets, opinion), parameters=AnalysisParameters(checks=CHEST_CT_NODULES)
            )
            scans[source].append(Scan(errors, _one_a_subject(outcome.issues)))
    return {
        "seed": SEED,
        "scans": SCANS,
        "injected": sum(len(scan.errors) for scan in scans["bundle"]),
        "model": {
            "name": bundle.identity.name,
            "version": bundle.identity.version,
            "sha256": bundle.identity.bundle_sha256,
        },
        **{source: _figures(found) for source, found in scans.items()},
    }


def _prediction(volume: Volume, sets: Sequence[AnnotationSet], bundle: Bundle) -> Prediction:
    places = [centre_of(finding) for one in sets for finding in one.findings]
    return predict(volume, bundle, places=places, progress=lambda _done, _total: None, checkpoint_dir=None, threads=2)


def _one_a_subject(issues: Sequence[LabelIssue]) -> tuple[LabelIssue, ...]:
    """Keep the surest issue about each label: several checks about one thing are one thing to look at."""
    kept: list[LabelIssue] = []
    for issue in sorted(issues, key=lambda one: -one.score):
        if not any(_same_subject(issue, known) for known in kept):
            kept.append(issue)
    return tuple(kept)


def _same_subject(first: LabelIssue, second: LabelIssue) -> bool:
    if first.annotation_set_id != second.annotation_set_id:
        return False
    if first.finding_id is not None and first.finding_id == second.finding_id:
        return True
    return math.dist(first.place_mm, second.place_mm) <= LEAST_REACH_MM


def _hit(flag: LabelIssue, error: InjectedError) -> bool:
    if flag.annotation_set_id != error.set_id:
        return False
    if error.finding_id is not None and flag.finding_id == error.finding_id:
        return True
    return math.dist(flag.place_mm, error.place_mm) <= max(flag.radius_mm, LEAST_REACH_MM)


def _figures(scans: Sequence[Scan]) -> dict[str, object]:
    injected = sum(len(scan.errors) for scan in scans)
    ranked = _ranked(scans)
    found_at_budget = [error for _, error in ranked[:injected] if error is not None]
    kinds = Counter(error.kind.value for scan in scans for error in scan.errors)
    found = Counter(error.kind.value for error in found_at_budget)
    low, high = _interval(scans)
    return {
        "flags": len(ranked),
        "recall_at_budget": round(len(found_at_budget) / injected, 3),
        "average_precision": round(_average_precision(ranked, injected), 3),
        "average_precision_95": [round(low, 3), round(high, 3)],
        "ceiling": round(sum(error is not None for _, error in ranked) / injected, 3),
        "recall_at_budget_by_kind": {kind: [found[kind], kinds[kind]] for kind in sorted(kinds)},
        "false_flags_at_one_half": sum(1 for score, error in ranked if score >= 0.5 and error is None),
    }


def _ranked(scans: Sequence[Scan]) -> list[tuple[float, InjectedError | None]]:
    """Return all flags of all scans, surest first, each with the error that it finds."""
    ranked: list[tuple[float, InjectedError | None]] = []
    for scan in scans:
        open_errors = list(scan.errors)
        for flag in scan.flags:
            hits = [error for error in open_errors if _hit(flag, error)]
            nearest = min(hits, key=lambda error: math.dist(error.place_mm, flag.place_mm), default=None)
            if nearest is not None:
                open_errors.remove(nearest)
            ranked.append((flag.score, nearest))
    return sorted(ranked, key=lambda pair: -pair[0])


def _average_precision(ranked: Sequence[tuple[float, InjectedError | None]], injected: int) -> float:
    hits = 0
    total = 0.0
    for place, (_, error) in enumerate(ranked, start=1):
        if error is not None:
            hits += 1
            total += hits / place
    return total / injected if injected else 0.0


def _interval(scans: Sequence[Scan]) -> tuple[float, float]:
    """Return the 95 % interval of the average precision, by drawing whole scans."""
    generator = np.random.default_rng(SEED)
    drawn = []
    for _ in range(BOOTSTRAPS):
        sample = [scans[index] for index in generator.integers(0, len(scans), size=len(scans))]
        drawn.append(_average_precision(_ranked(sample), sum(len(scan.errors) for scan in sample)))
    return float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))
