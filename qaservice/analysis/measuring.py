"""The figures and charts of an evaluation, as they are stored: from scans with known truth to JSON and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from imaging.agreement.intervals import Interval
from imaging.errors import NotApplicable
from imaging.evaluation.bands import froc_band
from imaging.evaluation.calibration import (
    ReliabilityRow,
    brier_score,
    expected_calibration_error,
    reliability_table,
)
from imaging.evaluation.froc import FALSE_POSITIVE_RATES, Froc, Scan, froc, froc_interval
from imaging.evaluation.operating_point import OperatingPoint, at_threshold, without_small
from imaging.evaluation.plots import BAND_RATES, calibration_plot, froc_plot, sensitivity_plot

SEED = 20260801
BINS = 10
CALIBRATED_FROM = 0.05
"""Below this probability a candidate is background; hundreds of them would make any model look calibrated."""


@dataclass(frozen=True)
class Measured:
    """What an evaluation measured: the operating point for the judge, figures and charts for the record."""

    point: OperatingPoint | None
    figures: dict[str, object]
    plots: dict[str, bytes]


def measure(
    *, scans: Sequence[Scan], patients: Mapping[str, str], threshold: float | None, smallest_mm: float
) -> Measured:
    """Return the figures of a model on golden scans. ``threshold``: its operating point, None where it never spoke.

    Without a nodule to find there are no figures but the reason.
    """
    if threshold is None:
        return _nothing("the model had no opinion on any golden case")
    try:
        point = at_threshold(scans=scans, patients=patients, threshold=threshold, smallest_mm=smallest_mm, seed=SEED)
    except NotApplicable as reason:
        return _nothing(reason.message)
    counted = without_small(scans=scans, smallest_mm=smallest_mm)
    curve, limits = froc(scans=counted), froc_interval(scans=counted, seed=SEED)
    band = froc_band(scans=counted, patients=patients, rates=BAND_RATES, seed=SEED)
    figures: dict[str, object] = {
        "threshold": threshold,
        "smallest_mm": smallest_mm,
        "scans": point.scans,
        "patients": point.patients,
        "nodules": point.nodules,
        "found": point.found,
        "false_positives": point.false_positives_total,
        "sensitivity": _interval(point.sensitivity),
        "false_positives_a_scan": _interval(point.false_positives),
        # Without an upper bound the last bin goes on; JSON has no infinity.
        "by_size": [
            {**asdict(row), "upper_mm": row.upper_mm if row.upper_mm < float("inf") else None} for row in point.by_size
        ],
        "froc": {
            "rates": list(FALSE_POSITIVE_RATES),
            "sensitivities": list(curve.sensitivities),
            "limits": [[low, high] for _mean, low, high in limits.sensitivities],
            "cpm": curve.cpm,
            "cpm_limits": [limits.cpm[1], limits.cpm[2]],
        },
    }
    plots = {
        "froc": froc_plot(curve=curve, band=band, point=point),
        "by-size": sensitivity_plot(rows=point.by_size, threshold=threshold),
    }
    calibrated = _calibration(curve)
    if calibrated is not None:
        rows, error, brier = calibrated
        figures["calibration"] = {
            "from": CALIBRATED_FROM,
            "candidates": sum(row.count for row in rows),
            "ece": error,
            "brier": brier,
            "bins": [asdict(row) for row in rows],
        }
        plots["calibration"] = calibration_plot(rows=rows, error=error, brier=brier, least=CALIBRATED_FROM)
    return Measured(point=point, figures=figures, plots=plots)


def _nothing(why: str) -> Measured:
    return Measured(point=None, figures={"not_measured": why}, plots={})


def _calibration(curve: Froc) -> tuple[tuple[ReliabilityRow, ...], float, float] | None:
    pairs = [(score, True) for hits in curve.hits for score in hits.hit_confidences]
    pairs += [(score, False) for hits in curve.hits for score in hits.false_positive_confidences]
    kept = [(score, truth) for score, truth in pairs if score >= CALIBRATED_FROM]
    if not kept:
        return None
    scores = np.array([score for score, _ in kept], dtype=np.float64)
    truths = np.array([truth for _, truth in kept], dtype=np.bool_)
    rows = reliability_table(scores=scores, truths=truths, bins=BINS)
    error = expected_calibration_error(scores=scores, truths=truths, bins=BINS)
    return rows, error, brier_score(scores=scores, truths=truths)


def _interval(interval: Interval) -> dict[str, object]:
    return {
        "estimate": interval.estimate,
        "lower": interval.lower,
        "upper": interval.upper,
        "method": interval.method,
    }
