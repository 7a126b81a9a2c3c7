"""How far a FROC curve may be trusted along its whole length: bootstrap limits at any false positive rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable
from imaging.evaluation.froc import BOOTSTRAPS, CONFIDENCE, Scan, ScanHits, match_scan
from imaging.evaluation.operating_point import patient_clusters


@dataclass(frozen=True, slots=True, eq=False)
class FrocBand:
    """Limits of the sensitivity: (rates,) float64 each. ``draws`` had a nodule in them; pointwise, not simultaneous."""

    rates: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    draws: int
    seed: int


def froc_band(*, scans: Sequence[Scan], patients: Mapping[str, str], rates: Sequence[float], seed: int) -> FrocBand:
    """Return the 2.5th and 97.5th percentile of the sensitivity at each false positive rate.

    1,000 draws of whole patients with replacement; ``patients`` maps a scan's id to its patient (a scan without an
    entry is a patient of its own). A draw that holds no nodule has no sensitivity and is left out.
    Raises NotApplicable ``no-nodules`` where no draw has one.
    """
    clusters = patient_clusters(matched=[match_scan(scan=scan) for scan in scans], patients=patients)
    generator = np.random.default_rng(seed)
    wanted = np.asarray(rates, dtype=np.float64)
    rows = []
    for _ in range(BOOTSTRAPS if clusters else 0):
        drawn = generator.integers(0, len(clusters), size=len(clusters))
        row = _sensitivity_at([hits for index in drawn for hits in clusters[index]], wanted)
        if row is not None:
            rows.append(row)
    if not rows:
        raise NotApplicable("no-nodules", "limits of a sensitivity need at least one scan with an included nodule")
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(np.array(rows), [tail, 1 - tail], axis=0)
    return FrocBand(rates=wanted, lower=lower, upper=upper, draws=len(rows), seed=seed)


def _sensitivity_at(matched: Sequence[ScanHits], rates: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the curve of these scans read at ``rates``, by the rules of ``froc``; None without a nodule."""
    hits = np.array([value for scan in matched for value in scan.hit_confidences], dtype=np.float64)
    false = np.array([value for scan in matched for value in scan.false_positive_confidences], dtype=np.float64)
    nodules = len(hits) + sum(scan.missed for scan in matched)
    if nodules == 0:
        return None
    thresholds = np.unique(np.concatenate([hits, false]))[::-1]
    found = np.searchsorted(np.sort(-hits), -thresholds, side="right")
    wrong = np.searchsorted(np.sort(-false), -thresholds, side="right")
    rate = np.concatenate([[0.0], wrong / len(matched)])
    return np.asarray(np.interp(rates, rate, np.concatenate([[0.0], found / nodules])), dtype=np.float64)
