"""Free-response ROC analysis by the rules of the LUNA16 challenge.

The rules (Setio 2017 and the challenge's evaluation script): a candidate hits a nodule when the distance of its centre
to the nodule's is *less* than half the nodule's diameter; of several hits on one nodule the most confident counts and
the others are ignored; hits on excluded findings (marked by too few readers, smaller than 3 mm, non-nodules) are
ignored; every scan stays in the denominator, nodules or none. The curve is interpolated linearly between its points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable
from imaging.types import PointMm

FALSE_POSITIVE_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a scan at which LUNA16 reads the sensitivity."""

EXCLUDED_FALLBACK_DIAMETER_MM = 10.0
"""The challenge's diameter for an excluded finding that has none of its own (its list says -1)."""

BOOTSTRAPS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Truth:
    """One finding of the reference. ``diameter_mm`` is None only for excluded findings without a size."""

    centre_mm: PointMm
    diameter_mm: float | None
    included: bool


@dataclass(frozen=True, slots=True)
class Detection:
    """One candidate: its centre (LPS millimetres) and how sure the detector is; larger means surer."""

    centre_mm: PointMm
    confidence: float


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan with its reference and candidates; either may be empty, and the scan counts all the same."""

    scan_id: str
    truths: tuple[Truth, ...]
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class ScanHits:
    """What the candidates of one scan came to: confidences of hits (best per nodule) and of false positives."""

    scan_id: str
    hit_confidences: tuple[float, ...]
    false_positive_confidences: tuple[float, ...]
    missed: int
    ignored_on_excluded: int
    ignored_doubles: int


@dataclass(frozen=True, slots=True, eq=False)
class Froc:
    """A FROC curve with LUNA16's summary.

    ``false_positives_per_scan`` and ``sensitivity`` are (points,) float64, from (0, 0) upwards. ``sensitivities`` is
    read at ``FALSE_POSITIVE_RATES``; ``cpm`` (competition performance metric) is their mean. Limits are the 2.5th and
    97.5th percentile over scan-level bootstraps, None for the curve of a bootstrap draw.
    """

    false_positives_per_scan: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    sensitivities: tuple[float, ...]
    cpm: float
    scans: int
    nodules: int
    hits: tuple[ScanHits, ...]


@dataclass(frozen=True, slots=True)
class FrocInterval:
    """Bootstrap limits: (mean, lower, upper) at each of ``FALSE_POSITIVE_RATES`` and for the CPM."""

    sensitivities: tuple[tuple[float, float, float], ...]
    cpm: tuple[float, float, float]
    draws: int
    draws_without_nodules: int
    seed: int


def match_scan(*, scan: Scan) -> ScanHits:
    """Return which candidates of a scan hit, which are ignored and which are false positives, by LUNA16's rules.

    A candidate within two nodules counts as a hit on both, as in the challenge's script.
    Raises ValueError for an included nodule without a positive diameter: it could never be hit.
    """
    open_candidates = set(range(len(scan.detections)))
    centres = np.array([detection.centre_mm for detection in scan.detections], dtype=np.float64).reshape(-1, 3)
    hits: list[float] = []
    missed = excluded = doubles = 0
    for truth in scan.truths:
        diameter = truth.diameter_mm
        if truth.included and (diameter is None or diameter <= 0):
            raise ValueError(f"scan {scan.scan_id}: an included nodule needs a positive diameter, got {diameter}")
        if diameter is None or diameter < 0:
            diameter = EXCLUDED_FALLBACK_DIAMETER_MM
        distances = np.linalg.norm(centres - np.array(truth.centre_mm), axis=1)
        within = [int(index) for index in np.flatnonzero(distances < diameter / 2)]
        if truth.included:
            if within:
                hits.append(max(scan.detections[index].confidence for index in within))
                doubles += len(within) - 1
            else:
                missed += 1
        else:
            excluded += len(open_candidates.intersection(within))
        open_candidates.difference_update(within)
    return ScanHits(
        scan_id=scan.scan_id,
        hit_confidences=tuple(hits),
        false_positive_confidences=tuple(scan.detections[index].confidence for index in sorted(open_candidates)),
        missed=missed,
        ignored_on_excluded=excluded,
        ignored_doubles=doubles,
    )


def froc(*, scans: Sequence[Scan]) -> Froc:
    """Return the FROC curve of a detector over all scans.

    Raises NotApplicable without scans or without a single included nodule: sensitivity is then undefined.
    """
    return _curve(tuple(match_scan(scan=scan) for scan in scans))


def froc_interval(*, scans: Sequence[Scan], seed: int) -> FrocInterval:
    """Return bootstrap limits over scans: 1,000 draws with replacement, all scans eligible, a fixed seed.

    A draw that holds no nodule has no sensitivity; it is left out and counted.
    """
    matched = tuple(match_scan(scan=scan) for scan in scans)
    _curve(matched)
    generator = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    for _ in range(BOOTSTRAPS):
        drawn = generator.integers(0, len(matched), size=len(matched))
        try:
            curve = _curve(tuple(matched[index] for index in drawn))
        except NotApplicable:
            continue
        rows.append((*curve.sensitivities, curve.cpm))
    table = np.sort(np.array(rows), axis=0)
    tail = (1 - CONFIDENCE) / 2
    lower = table[int(np.floor(tail * len(table)))]
    upper = table[min(len(table) - 1, int(np.floor((1 - tail) * len(table))))]
    limits = [
        (float(mean), float(low), float(high)) for mean, low, high in zip(table.mean(axis=0), lower, upper, strict=True)
    ]
    return FrocInterval(
        sensitivities=tuple(limits[:-1]),
        cpm=limits[-1],
        draws=len(rows),
        draws_without_nodules=BOOTSTRAPS - len(rows),
        seed=seed,
    )


def _curve(matched: tuple[ScanHits, ...]) -> Froc:
    hits = np.array([value for scan in matched for value in scan.hit_confidences], dtype=np.float64)
    false = np.array([value for scan in matched for value in scan.false_positive_confidences], dtype=np.float64)
    nodules = len(hits) + sum(scan.missed for scan in matched)
    if not matched or nodules == 0:
        raise NotApplicable("no-nodules", "sensitivity needs at least one scan and one included nodule")
    # Every distinct confidence is a threshold, the lowest included: dropping it would cost a perfect detector half.
    thresholds = np.unique(np.concatenate([hits, false]))[::-1]
    found = np.searchsorted(np.sort(-hits), -thresholds, side="right")
    wrong = np.searchsorted(np.sort(-false), -thresholds, side="right")
    rate = np.concatenate([[0.0], wrong / len(matched)])
    sensitivity = np.concatenate([[0.0], found / nodules])
    # np.interp takes the last of several points with one abscissa: the top of a vertical step, as the script does.
    sensitivities = tuple(float(value) for value in np.interp(FALSE_POSITIVE_RATES, rate, sensitivity))
    return Froc(
        false_positives_per_scan=rate,
        sensitivity=sensitivity,
        sensitivities=sensitivities,
        cpm=float(np.mean(sensitivities)),
        scans=len(matched),
        nodules=nodules,
        hits=matched,
    )
