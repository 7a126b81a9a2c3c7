"""Measure a bundle and calibrate it: ``python -m imaging.training.evaluate --bundle DIR --scans DIR --output FILE``.

Calibration: fresh phantoms, and trial nodules in the scans that served as backgrounds (their own lesions ignored).
Test: trial nodules in lidc-0001, a patient that no training and no calibration has seen, and that scan untouched.
An untrained blob filter is measured on the same scans.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from tqdm import tqdm

from imaging.agreement.fusion import majority
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.outlines import calibrated
from imaging.inference.predict import predict
from imaging.masks.overlap import dice
from imaging.masks.place import centre_of
from imaging.readers.lidc import read_lidc_xml
from imaging.training.backgrounds import SOURCES
from imaging.training.calibration_set import fit_phantoms
from imaging.training.log_filter import blob_candidates
from imaging.training.scans import read_member, read_scan
from imaging.training.trial_nodules import TrialNodule, insert_trial_nodules
from imaging.types import Candidate, Mask, PointMm, Prediction, Sphere, Volume

DIAMETERS_MM = (3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 26.0)
BINS_MM = (3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
REPEATS = 3
BACKGROUND_REPEATS = 2
THREADS = 2
TEST_SCAN = "lidc-0001"
Detector = Callable[[Volume], tuple[Candidate, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A scan with nodules that are known, and places where nothing counts."""

    name: str
    volume: Volume
    nodules: tuple[TrialNodule, ...]
    ignored: tuple[Sphere, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector made of one trial. ``hits``: (diameter, score or None where missed, Dice or None)."""

    hits: tuple[tuple[float, float | None, float | None], ...]
    false_scores: tuple[float, ...]


def judge(*, trial: Trial, candidates: Sequence[Candidate]) -> Outcome:
    """Match candidates to nodules, best first, one to one, within max(diameter / 2, 2.5 mm) in space."""
    found: dict[int, Candidate] = {}
    false_scores = []
    for candidate in candidates:
        near = [
            (float(np.linalg.norm(np.subtract(candidate.centre_mm, nodule.centre_mm))), number)
            for number, nodule in enumerate(trial.nodules)
        ]
        inside = [(gap, number) for gap, number in near if gap <= max(trial.nodules[number].diameter_mm / 2.0, 2.5)]
        free = [number for gap, number in sorted(inside) if number not in found]
        if free:
            found[free[0]] = candidate
        elif not inside and not any(_within(candidate.centre_mm, sphere) for sphere in trial.ignored):
            false_scores.append(candidate.probability)
    hits = []
    for number, nodule in enumerate(trial.nodules):
        candidate_found = found.get(number)
        overlap = None
        if candidate_found is not None and candidate_found.mask is not None:
            overlap = dice(candidate_found.mask, nodule.mask)
        score = None if candidate_found is None else candidate_found.probability
        hits.append((nodule.diameter_mm, score, overlap))
    return Outcome(tuple(hits), tuple(false_scores))


def sensitivity_at(*, outcomes: Sequence[Outcome], false_per_scan: float, low: float, high: float) -> tuple[int, int]:
    """Return (found, all) of nodules of ``low`` to below ``high`` mm with that many false candidates a scan."""
    threshold = threshold_at(outcomes=outcomes, false_per_scan=false_per_scan)
    own = [score for outcome in outcomes for size, score, _ in outcome.hits if low <= size < high]
    return sum(score is not None and score > threshold for score in own), len(own)


def threshold_at(*, outcomes: Sequence[Outcome], false_per_scan: float) -> float:
    """Return the score above which there are at most that many false candidates a scan."""
    false = sorted((score for outcome in outcomes for score in outcome.false_scores), reverse=True)
    allowed = int(false_per_scan * len(outcomes))
    return false[allowed] if allowed < len(false) else 0.0


def calibration_of(outcomes: Sequence[Outcome]) -> list[list[float]]:
    """Return (raw, probability) pairs of a logistic curve in the raw score's logit (Platt 1999)."""
    raw = [score for outcome in outcomes for _, score, _ in outcome.hits if score is not None]
    false = [score for outcome in outcomes for score in outcome.false_scores]
    truth = np.array([1.0] * len(raw) + [0.0] * len(false))

    def surprise(line: NDArray[np.float64]) -> float:
        margin = line[0] * _logit(np.array(raw + false)) + line[1]
        return float(np.logaddexp(0.0, margin).sum() - (truth * margin).sum() + 0.005 * line[0] ** 2)

    line = optimize.minimize(surprise, x0=np.array([1.0, 0.0])).x
    grid = np.concatenate([[0.0], np.linspace(0.02, 0.98, 33), [1.0]])
    curve = 1.0 / (1.0 + np.exp(-(line[0] * _logit(grid) + line[1])))
    return [[round(float(a), 4), round(float(b), 4)] for a, b in zip(grid, curve, strict=True)]


def _logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.clip(scores, 1e-3, 1.0 - 1e-3)
    return np.asarray(np.log(safe / (1.0 - safe)))


def calibration_trials(scans: Path) -> Iterator[Trial]:
    """Fresh phantoms with their own nodules, and trial nodules in the background scans."""
    for planned in fit_phantoms():
        case = planned.make()
        own = tuple(
            TrialNodule(one.centre_mm, one.diameter_mm, one.attenuation.value, one.mask) for one in case.nodules
        )
        yield Trial(f"phantom-{planned.seed}", case.volume, own, ())
    for source in SOURCES:
        scan = read_scan(folder=scans, name=source.name, usable_mm=source.usable_mm)
        if scan is None:
            continue
        ignored = tuple(_around(low, high) for low, high in scan.lesion_boxes)
        for repeat in range(BACKGROUND_REPEATS):
            yield _trial(f"{source.name}-{repeat}", scan.volume, ignored, repeat)


def lidc_findings(scans: Path, volume: Volume) -> tuple[tuple[PointMm, Mask | None], ...]:
    """Every mark of every reader of lidc-0001, with its mask where it has one."""
    imported = read_lidc_xml(read_member(folder=scans, name=TEST_SCAN, member="annotations-lidc.xml"), volume)
    return tuple(
        (centre_of(finding), finding.mask)
        for annotation_set in imported.annotation_sets
        for finding in annotation_set.findings
    )


def _trial(name: str, volume: Volume, ignored: tuple[Sphere, ...], seed: int) -> Trial:
    changed, nodules = insert_trial_nodules(volume=volume, diameters_mm=DIAMETERS_MM, keep_clear=ignored, seed=seed)
    return Trial(name, changed, nodules, ignored)


def _around(low: PointMm, high: PointMm) -> Sphere:
    centre = tuple(0.5 * (a + b) for a, b in zip(low, high, strict=True))
    return Sphere((centre[0], centre[1], centre[2]), float(np.linalg.norm(np.subtract(high, low))))


def _within(place: PointMm, sphere: Sphere) -> bool:
    return float(np.linalg.norm(np.subtract(place, sphere.centre_mm))) <= max(sphere.diameter_mm / 2.0, 5.0)


def _detector(bundle: Bundle) -> Detector:
    def run(volume: Volume) -> tuple[Candidate, ...]:
        prediction = predict(
            volume, bundle, places=(), progress=lambda done, total: None, checkpoint_dir=None, threads=THREADS
        )
        return prediction.candidates

    return run


def summary(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return sensitivities at 1 and 4 false candidates a scan, by size, and the median Dice of what was found."""
    overlaps = [overlap for outcome in outcomes for _, _, overlap in outcome.hits if overlap is not None]
    edges = [*itertools.pairwise(BINS_MM), (BINS_MM[0], 60.0)]
    table = {}
    for low, high in edges:
        entry = {}
        for allowed in (1.0, 4.0):
            found, count = sensitivity_at(outcomes=outcomes, false_per_scan=allowed, low=low, high=high)
            entry[f"at {allowed:g} false a scan"] = f"{found}/{count}"
        table["all" if high == 60.0 else f"{low:g}-{high:g} mm"] = entry
    return {
        "scans": len(outcomes),
        "sensitivity": table,
        "median_dice_of_found": round(float(np.median(overlaps)), 3) if overlaps else None,
    }


def real_nodule(*, volume: Volume, marks: Sequence[tuple[PointMm, Mask | None]], bundle: Bundle) -> dict[str, object]:
    """Return rank, time and Dice on the untouched lidc-0001, for the bundle and for the blob filter."""
    outlined = [(place, mask) for place, mask in marks if mask is not None]
    x, y, z = (float(np.mean([place[axis] for place, _ in outlined])) for axis in range(3))
    target = (x, y, z)
    prediction = predict(
        volume,
        bundle,
        places=[*(place for place, _ in outlined), target],
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=THREADS,
    )
    return {
        "rank": _rank(prediction.candidates, target),
        "candidates": len(prediction.candidates),
        "rank_of_untrained_blob_filter": _rank(blob_candidates(volume=volume), target),
        "seconds": round(prediction.seconds, 1),
        "threads": THREADS,
        "dice_with_majority": _dice_with_majority(prediction, outlined),
        "dice_with_each_reader": [
            None if opinion.mask is None or mask is None else round(dice(opinion.mask, mask), 3)
            for opinion, (_, mask) in zip(prediction.outlines[:-1], outlined, strict=True)
        ],
        "dice_between_readers": [
            round(dice(first, second), 3)
            for number, (_, first) in enumerate(outlined)
            for _, second in outlined[number + 1 :]
            if first is not None and second is not None
        ],
    }


def judge_real_nodule(*, bundle: Bundle, scans: Path) -> dict[str, object]:
    """Return rank, time and Dice on the untouched lidc-0001 of ``scans``. Raises FileNotFoundError without it."""
    tested = read_scan(folder=scans, name=TEST_SCAN, usable_mm=1000.0)
    if tested is None:
        raise FileNotFoundError(f"{scans} holds no {TEST_SCAN}")
    marks = lidc_findings(scans, tested.volume)
    return real_nodule(volume=tested.volume, marks=marks, bundle=bundle)


def _dice_with_majority(prediction: Prediction, outlined: Sequence[tuple[PointMm, Mask | None]]) -> float | None:
    """Dice of the outline at the readers' mean place with the voxels that most readers hold."""
    masks = tuple(mask for _, mask in outlined if mask is not None)
    opinion = prediction.outlines[-1]
    return None if opinion.mask is None else round(dice(opinion.mask, majority(masks=masks)), 3)


def _rank(candidates: Sequence[Candidate], target: Sequence[float]) -> int | None:
    near = [
        rank
        for rank, candidate in enumerate(candidates, start=1)
        if float(np.linalg.norm(np.subtract(candidate.centre_mm, target))) <= 10.0
    ]
    return near[0] if near else None


def measure(*, bundle: Bundle, scans: Path) -> dict[str, object]:
    """Return what ``imaging.training.export`` needs to know: calibration, operating point, figures."""
    raw = replace(bundle, settings=replace(bundle.settings, calibration=((0.0, 0.0), (1.0, 1.0))))
    detect = _detector(raw)
    fitted = [
        judge(trial=trial, candidates=detect(trial.volume))
        for trial in tqdm(calibration_trials(scans), unit="scan", desc="calibrating")
    ]
    calibration = calibration_of(fitted)
    curve = tuple((a, b) for a, b in calibration)
    tested = read_scan(folder=scans, name=TEST_SCAN, usable_mm=1000.0)
    if tested is None:
        raise SystemExit(f"{scans} holds no {TEST_SCAN}, the scan to test on")
    marks = lidc_findings(scans, tested.volume)
    # Its own nodule and marks are neither hits nor false candidates where nodules were put in.
    ignored = tuple(Sphere(place, 45.0 if mask is not None else 12.0) for place, mask in marks)
    outcomes, blobs = [], []
    for repeat in tqdm(range(REPEATS), unit="scan", desc="testing"):
        trial = _trial(f"{TEST_SCAN}-{repeat}", tested.volume, ignored, 100 + repeat)
        outcomes.append(judge(trial=trial, candidates=detect(trial.volume)))
        blobs.append(judge(trial=trial, candidates=blob_candidates(volume=trial.volume)))
    threshold = threshold_at(outcomes=fitted, false_per_scan=1.0)
    sensitivity = []
    for low, high in itertools.pairwise(BINS_MM):
        scores = [score for outcome in outcomes for size, score, _ in outcome.hits if low <= size < high]
        if scores:
            share = sum(score is not None and score > threshold for score in scores) / len(scores)
            sensitivity.append([low, round(share, 3)])
    heard = [low for low, share in sensitivity if share >= 0.5]
    return {
        "calibration": calibration,
        "threshold": round(calibrated(raw=threshold, calibration=curve), 4),
        "validated_diameters_mm": [min(heard, default=BINS_MM[-2]), BINS_MM[-1]],
        "sensitivity_by_diameter": sensitivity,
        "figures": {
            "real_nodule_of_lidc_0001": real_nodule(volume=tested.volume, marks=marks, bundle=raw),
            "inserted_in_lidc_0001": summary(outcomes),
            "inserted_in_lidc_0001_untrained_blob_filter": summary(blobs),
            "calibration_set": summary(fitted),
            "false_candidates_a_scan_at_threshold": {
                "calibration_set": _false_rate(fitted, threshold),
                "lidc_0001": _false_rate(outcomes, threshold),
            },
        },
    }


def _false_rate(outcomes: Sequence[Outcome], threshold: float) -> float:
    false = sum(score > threshold for outcome in outcomes for score in outcome.false_scores)
    return round(false / max(1, len(outcomes)), 2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scans", type=Path, required=True, help="folder of public scans, lidc-0001 among them")
    parser.add_argument("--output", type=Path, required=True, help="JSON for imaging.training.export --measured")
    given = parser.parse_args()
    found = measure(bundle=load_bundle(given.bundle, expected_sha256=None), scans=given.scans)
    given.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
