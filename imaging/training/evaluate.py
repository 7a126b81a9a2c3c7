"""Measure a bundle and calibrate it: ``python -m imaging.training.evaluate --bundle DIR --scans DIR --output FILE``.

Calibration: fresh phantoms, and trial nodules in the scans that served as backgrounds (their own lesions ignored).
Test: trial nodules in lidc-0001, a patient that no training and no calibration has seen, and that scan untouched.
An untrained blob filter is measured on the same scans.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from imaging.agreement.fusion import majority
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.outlines import calibrated
from imaging.inference.predict import predict
from imaging.masks.overlap import dice
from imaging.training.fit import THREADS, detector_of, fit_both, fit_first
from imaging.training.log_filter import blob_candidates
from imaging.training.own_lesions import LIDC_SCAN, balls_of_marks, lidc_findings
from imaging.training.scans import read_scan
from imaging.training.trials import Outcome, judge, sensitivity_at, threshold_at, trial_of
from imaging.types import Candidate, Mask, PointMm, Prediction, Volume

BINS_MM = (3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
REPEATS = 3


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
    tested = read_scan(folder=scans, name=LIDC_SCAN, usable_mm=1000.0)
    if tested is None:
        raise FileNotFoundError(f"{scans} holds no {LIDC_SCAN}")
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
    fit = fit_both(bundle=bundle, scans=scans) if bundle.places is not None else fit_first(bundle=bundle, scans=scans)
    fitted, detect = fit.outcomes, detector_of(fit.bundle)
    tested = read_scan(folder=scans, name=LIDC_SCAN, usable_mm=1000.0)
    if tested is None:
        raise SystemExit(f"{scans} holds no {LIDC_SCAN}, the scan to test on")
    marks = lidc_findings(scans, tested.volume)
    # Its own nodule and marks are neither hits nor false candidates where nodules were put in.
    ignored = balls_of_marks(marks)
    outcomes, blobs = [], []
    for repeat in tqdm(range(REPEATS), unit="scan", desc="testing"):
        trial = trial_of(f"{LIDC_SCAN}-{repeat}", tested.volume, ignored, 100 + repeat)
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
        **fit.content,
        "threshold": round(threshold if bundle.places else calibrated(raw=threshold, calibration=fit.curve), 4),
        "validated_diameters_mm": [min(heard, default=BINS_MM[-2]), BINS_MM[-1]],
        "sensitivity_by_diameter": sensitivity,
        "figures": {
            "real_nodule_of_lidc_0001": real_nodule(volume=tested.volume, marks=marks, bundle=fit.bundle),
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
