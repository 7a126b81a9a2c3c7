"""What a detector does at its own operating point: sensitivity, false positives a scan, by size, with 95 % limits.

Matching is LUNA16's (``froc.match_scan``). Limits allow for both chance within a patient and differences between
patients: of the exact or score interval, which takes findings as independent, and the bootstrap over patients, the
wider one counts on each side. A bootstrap alone would call two out of two certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scipy import special

from imaging.agreement.intervals import Interval, cluster_bootstrap, proportion
from imaging.errors import NotApplicable
from imaging.evaluation.froc import BOOTSTRAPS, CONFIDENCE, Scan, ScanHits, match_scan

SIZE_BOUNDS_MM = (3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
"""Bounds of the size bins: the diameter of the ball of a nodule's volume, lower bound included."""

LEAST_PATIENTS = 5
"""Fewer patients give no bootstrap: its draws would repeat a few samples."""


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Nodules of one size bin: found at the operating point, of all, with the score interval. Bounds in mm."""

    lower_mm: float
    upper_mm: float
    found: int
    total: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A detector at one threshold. ``false_positives`` is the number a scan; both intervals are two-sided, 95 %."""

    threshold: float
    scans: int
    patients: int
    nodules: int
    found: int
    false_positives_total: int
    sensitivity: Interval
    false_positives: Interval
    by_size: tuple[SizeRow, ...]


def at_threshold(
    *, scans: Sequence[Scan], patients: Mapping[str, str], threshold: float, smallest_mm: float, seed: int
) -> OperatingPoint:
    """Return what a detector does if candidates of at least ``threshold`` count.

    Included nodules below ``smallest_mm`` are not counted, and hits on them are ignored, as on excluded findings.
    ``patients`` maps a scan's id to its patient (a scan without an entry is a patient of its own).
    Raises NotApplicable ``no-nodules`` without scans or without a nodule that counts.
    """
    counted = tuple(_counted(scan, threshold, smallest_mm) for scan in scans)
    matched = [match_scan(scan=scan) for scan in counted]
    found = sum(len(hits.hit_confidences) for hits in matched)
    nodules = found + sum(hits.missed for hits in matched)
    if nodules == 0:
        raise NotApplicable("no-nodules", f"no golden nodule of at least {smallest_mm:g} mm is left to be found")
    false = sum(len(hits.false_positive_confidences) for hits in matched)
    clusters = patient_clusters(matched=matched, patients=patients)
    return OperatingPoint(
        threshold=threshold,
        scans=len(counted),
        patients=len(clusters),
        nodules=nodules,
        found=found,
        false_positives_total=false,
        sensitivity=_wider(
            proportion(successes=found, total=nodules, confidence=CONFIDENCE), _resampled(clusters, _share, seed)
        ),
        false_positives=_wider(poisson_rate(events=false, exposure=len(counted)), _resampled(clusters, _rate, seed)),
        by_size=_by_size(counted),
    )


def without_small(*, scans: Sequence[Scan], smallest_mm: float) -> tuple[Scan, ...]:
    """Return the scans with included nodules below ``smallest_mm`` excluded: finding or missing them is nothing."""
    return tuple(
        replace(
            scan,
            truths=tuple(
                replace(truth, included=truth.included and (truth.diameter_mm or 0.0) >= smallest_mm)
                for truth in scan.truths
            ),
        )
        for scan in scans
    )


def poisson_rate(*, events: int, exposure: int) -> Interval:
    """Return the exact (Garwood 1936) 95 % interval of a rate: ``events`` counted over ``exposure`` scans."""
    if exposure < 1 or events < 0:
        raise NotApplicable("no-scans", "a rate a scan needs at least one scan")
    tail = (1 - CONFIDENCE) / 2
    lower = 0.0 if events == 0 else float(special.gammaincinv(events, tail)) / exposure
    upper = float(special.gammaincinv(events + 1, 1 - tail)) / exposure
    return Interval(events / exposure, lower, upper, CONFIDENCE, "Garwood exact Poisson")


def patient_clusters(*, matched: Sequence[ScanHits], patients: Mapping[str, str]) -> list[list[ScanHits]]:
    """Return the scans of each patient, in the order of the patients' names: the units that a bootstrap draws."""
    clusters: dict[str, list[ScanHits]] = {}
    for hits in matched:
        clusters.setdefault(patients.get(hits.scan_id, f"scan {hits.scan_id}"), []).append(hits)
    return [clusters[patient] for patient in sorted(clusters)]


def _counted(scan: Scan, threshold: float, smallest_mm: float) -> Scan:
    small = without_small(scans=[scan], smallest_mm=smallest_mm)[0]
    return replace(small, detections=tuple(one for one in small.detections if one.confidence >= threshold))


def _share(matched: Sequence[ScanHits]) -> float:
    found = sum(len(hits.hit_confidences) for hits in matched)
    nodules = found + sum(hits.missed for hits in matched)
    if nodules == 0:
        raise NotApplicable("no-nodules", "no nodule was drawn")
    return found / nodules


def _rate(matched: Sequence[ScanHits]) -> float:
    return sum(len(hits.false_positive_confidences) for hits in matched) / len(matched)


def _resampled(
    clusters: list[list[ScanHits]], statistic: Callable[[Sequence[ScanHits]], float], seed: int
) -> Interval | None:
    if len(clusters) < LEAST_PATIENTS:
        return None
    try:
        return cluster_bootstrap(
            clusters=clusters,
            statistic=statistic,
            resamples=BOOTSTRAPS,
            seed=seed,
            confidence=CONFIDENCE,
        )
    except NotApplicable:
        return None


def _wider(exact: Interval, resampled: Interval | None) -> Interval:
    if resampled is None:
        return replace(exact, method=f"{exact.method}; fewer than {LEAST_PATIENTS} patients give no bootstrap")
    return replace(
        exact,
        lower=min(exact.lower, resampled.lower),
        upper=max(exact.upper, resampled.upper),
        method=f"the wider on each side of {exact.method} and {resampled.method}",
    )


def _by_size(scans: Sequence[Scan]) -> tuple[SizeRow, ...]:
    """Return the bins that hold a counted nodule; beyond the last bound is a bin of its own."""
    bounds = (0.0, *SIZE_BOUNDS_MM, math.inf)
    rows = []
    for low, high in pairwise(bounds):
        found = total = 0
        for scan in scans:
            for truth in scan.truths:
                diameter = truth.diameter_mm or 0.0
                if not truth.included or not low <= diameter < high:
                    continue
                total += 1
                alone = match_scan(scan=replace(scan, truths=(truth,)))
                found += len(alone.hit_confidences)
        if total:
            limits = proportion(successes=found, total=total, confidence=CONFIDENCE)
            rows.append(SizeRow(low, high, found, total, limits.lower, limits.upper))
    return tuple(rows)
