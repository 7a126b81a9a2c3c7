"""What was judged, scan by scan, and the figures that follow from it; nothing here runs a network.

LUNA16's rules: a hit is nearer than half the diameter. What is known but not counted is neither hit nor miss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable
from imaging.evaluation.calibration import brier_score, expected_calibration_error, reliability_table
from imaging.evaluation.froc import Detection, Froc, Scan, Truth, froc, froc_interval, match_scan
from imaging.training.held_out import STRATA_MM
from imaging.types import Candidate, PointMm

BOOTSTRAP_SEED = 20_261_121
CALIBRATED_FROM = 0.05
BINS = 10
BOOTSTRAPS = 1000
PLACE_DIGITS, SCORE_DIGITS = 2, 6
"""Of millimetres and of probabilities, as judgements are kept and figured."""
OWN = "its own"
"""Kind of what a background holds already: neither found nor falsely found, and in no table."""


Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """One nodule that is known, with what it is reported by.

    ``included``: whether it counts. ``shows``: whether it changed the picture (``imaging.phantom.visibility``); one
    that a vessel swallows counts all the same, and the figures without such stand beside those with them.
    """

    centre_mm: PointMm
    diameter_mm: float
    kind: str
    step_mm: float
    included: bool
    shows: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """One scan with everything that is known in it and everything that was seen in it."""

    name: str
    known: tuple[Known, ...]
    detections: tuple[Detection, ...]

    @property
    def scan(self) -> Scan:
        """The scan as FROC analysis takes it."""
        truths = tuple(Truth(one.centre_mm, one.diameter_mm, one.included) for one in self.known)
        return Scan(self.name, truths, self.detections)


def judged_scan(*, name: str, known: Iterable[Known], candidates: Iterable[Candidate]) -> Judged:
    """Return a judged scan with places and scores rounded as they are kept, so that its figures are those of its file.

    Places to 0.01 mm, scores to six digits.
    """
    return Judged(
        name,
        tuple(
            replace(one, centre_mm=_rounded(one.centre_mm), diameter_mm=round(one.diameter_mm, PLACE_DIGITS))
            for one in known
        ),
        tuple(Detection(_rounded(one.centre_mm), round(one.probability, SCORE_DIGITS)) for one in candidates),
    )


def _rounded(place: PointMm) -> PointMm:
    x, y, z = (round(value, PLACE_DIGITS) for value in place)
    return (x, y, z)


def figures(judged: Sequence[Judged]) -> dict[str, object]:
    """Return sensitivities at LUNA16's operating points with intervals, by size and kind, and the calibration.

    Over all nodules that count; ``that_show`` holds the same rates over those among them that show.
    Raises NotApplicable ``no-nodules`` where none counts.
    """
    curve, rates = _rates(judged)
    return {
        **rates,
        "hidden": sum(one.included and not one.shows for scan in judged for one in scan.known),
        "that_show": _rates_that_show(judged),
        "sensitivities": [round(value, 4) for value in curve.sensitivities],
        "by_size_at_1_fp": _by(judged, curve, 1.0, lambda one: stratum(one.diameter_mm)),
        "by_kind_at_1_fp": _by(judged, curve, 1.0, lambda one: one.kind),
        "by_slice_step_at_1_fp": _by(judged, curve, 1.0, lambda one: f"{one.step_mm:g} mm"),
        "detectability_at_1_fp": _by(
            judged, curve, 1.0, lambda one: f"{stratum(one.diameter_mm)}, {one.kind}, {one.step_mm:g} mm"
        ),
        "calibration": calibration(judged),
    }


def _rates(judged: Sequence[Judged]) -> tuple[Froc, dict[str, object]]:
    scans = [one.scan for one in judged]
    curve, limits = froc(scans=scans), froc_interval(scans=scans, seed=BOOTSTRAP_SEED)
    return curve, {
        "scans": curve.scans,
        "nodules": curve.nodules,
        "cpm": _interval(curve.cpm, limits.cpm),
        "sensitivity_at_1_fp": _interval(curve.sensitivities[3], limits.sensitivities[3]),
        "sensitivity_at_2_fp": _interval(curve.sensitivities[4], limits.sensitivities[4]),
        "from_6_mm_at_1_fp": _share(judged, curve, 1.0, lambda one: one.diameter_mm >= 6.0),
        "4_to_6_mm_at_1_fp": _share(judged, curve, 1.0, lambda one: 4.0 <= one.diameter_mm < 6.0),
    }


def _rates_that_show(judged: Sequence[Judged]) -> dict[str, object]:
    seen = [replace(one, known=tuple(_silent(known) for known in one.known)) for one in judged]
    try:
        return _rates(seen)[1]
    except NotApplicable as reason:
        return {"not_measured": reason.message}


def _silent(one: Known) -> Known:
    """A nodule that does not show, as something that is there and does not count: a candidate on it is no mistake."""
    return one if one.shows else replace(one, included=False, kind=OWN)


def calibration(judged: Sequence[Judged]) -> dict[str, object]:
    """Return ECE over ten equal-mass bins and Brier score of candidates with a probability of at least 0.05.

    Their intervals are bootstrapped over scans: 1,000 draws with replacement, a fixed seed.
    """
    told = [_told(one) for one in judged]
    score, truth = _joined(told, range(len(told)))
    try:
        table = reliability_table(scores=score, truths=truth, bins=BINS)
    except NotApplicable as reason:
        return {"candidates": 0, "not_measured": reason.message}
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = [_joined(told, generator.integers(0, len(told), size=len(told))) for _ in range(BOOTSTRAPS)]
    return {
        "candidates": len(score),
        "ece": _bootstrapped(expected_calibration_error, score, truth, drawn),
        "brier": _bootstrapped(
            lambda scores, truths, bins: brier_score(scores=scores, truths=truths), score, truth, drawn
        ),
        "bins": [[round(row.mean_score, 3), round(row.observed_share, 3), row.count] for row in table],
    }


def _told(one: Judged) -> tuple[Floats, Flags]:
    """Return the probabilities of a scan's candidates that count, from 0.05 on, and whether each is a nodule."""
    hits = match_scan(scan=one.scan)
    score = np.array([*hits.hit_confidences, *hits.false_positive_confidences], dtype=np.float64)
    truth = np.arange(len(score)) < len(hits.hit_confidences)
    return score[score >= CALIBRATED_FROM], truth[score >= CALIBRATED_FROM]


def _joined(told: Sequence[tuple[Floats, Flags]], places: Iterable[int]) -> tuple[Floats, Flags]:
    chosen = [told[place] for place in places]
    empty: tuple[Floats, Flags] = (np.zeros(0), np.zeros(0, dtype=np.bool_))
    return (
        np.concatenate([empty[0], *(score for score, _ in chosen)]),
        np.concatenate([empty[1], *(truth for _, truth in chosen)]),
    )


def _bootstrapped(
    measure: Callable[..., float], score: Floats, truth: Flags, drawn: Sequence[tuple[Floats, Flags]]
) -> dict[str, float]:
    values = np.sort([measure(scores=scores, truths=truths, bins=BINS) for scores, truths in drawn if len(scores)])
    tail = 0.025
    low = float(values[int(np.floor(tail * len(values)))])
    high = float(values[min(len(values) - 1, int(np.floor((1 - tail) * len(values))))])
    value = measure(scores=score, truths=truth, bins=BINS)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def threshold_for(curve: Froc, false_per_scan: float) -> float:
    """Return the confidence above which a detector makes at most that many false positives a scan."""
    false = sorted((value for scan in curve.hits for value in scan.false_positive_confidences), reverse=True)
    allowed = int(false_per_scan * curve.scans)
    return false[allowed] if allowed < len(false) else 0.0


def _by(judged: Sequence[Judged], curve: Froc, false_per_scan: float, group: Callable[[Known], str]) -> dict[str, str]:
    names = sorted({group(one) for scan in judged for one in scan.known if one.kind != OWN}, key=_natural)
    return {name: _share(judged, curve, false_per_scan, partial(_in_group, group, name)) for name in names}


def _share(judged: Sequence[Judged], curve: Froc, false_per_scan: float, wanted: Callable[[Known], bool]) -> str:
    threshold = threshold_for(curve, false_per_scan)
    found = total = 0
    for scan in judged:
        for one in scan.known:
            if one.kind != OWN and wanted(one):
                total += 1
                found += any(
                    detection.confidence > threshold
                    and float(np.linalg.norm(np.subtract(detection.centre_mm, one.centre_mm))) < one.diameter_mm / 2
                    for detection in scan.detections
                )
    return f"{found}/{total}"


def _in_group(group: Callable[[Known], str], name: str, one: Known) -> bool:
    return group(one) == name


def stratum(diameter_mm: float) -> str:
    """Return the held-out set's size class that a diameter lies in, in words."""
    for low, high in STRATA_MM:
        if diameter_mm < high:
            return f"{low:g}-{high:g} mm" if diameter_mm >= low else f"under {STRATA_MM[0][0]:g} mm"
    return f"over {STRATA_MM[-1][1]:g} mm"


def _natural(name: str) -> tuple[float, str]:
    digits = name.split("-")[0].split(" ")[0]
    return (float(digits) if digits.replace(".", "").isdigit() else -1.0, name)


def _interval(value: float, limits: tuple[float, float, float]) -> dict[str, float]:
    return {"value": round(value, 4), "low": round(limits[1], 4), "high": round(limits[2], 4)}


def kept_judgement(path: Path) -> Judged:
    """Return what was judged before, from its file; the scan is called by the file's name."""
    return read_judged(path.stem, json.loads(path.read_text()))


def written(judged: Judged) -> dict[str, object]:
    """Return a judged scan as its file holds it, but for who judged it."""
    return {
        "known": [
            [*one.centre_mm, one.diameter_mm, one.kind, one.step_mm, one.included, one.shows] for one in judged.known
        ],
        "detections": [[*one.centre_mm, one.confidence] for one in judged.detections],
    }


def read_judged(name: str, stored: Mapping[str, list[list[float]]]) -> Judged:
    """Return a judged scan from what its file holds."""
    known = tuple(
        Known((x, y, z), diameter, str(kind), step, bool(included), bool(shows))
        for x, y, z, diameter, kind, step, included, shows in stored["known"]
    )
    return Judged(name, known, tuple(Detection((x, y, z), score) for x, y, z, score in stored["detections"]))


def digest_of(judged: Sequence[Judged]) -> str:
    """Return SHA-256 (hex) over everything judged, so that two runs can be told to be the same."""
    text = json.dumps([[one.name, written(one)] for one in judged], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
