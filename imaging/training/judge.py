"""Judge bundles on what was held out: ``python -m imaging.training.judge --bundle DIR --output DIR [...]``.

What is judged on stands in ``imaging.training.held_out`` and was fixed before the training. Every scan's candidates go
to a file of their own as soon as they are there, so an interrupted judgement goes on where it stopped.

Phantoms: LUNA16's rules (a hit is nearer than half the diameter). Ground-glass nodules below 4 mm are neither hits nor
misses. Inserted nodules: each background by the bundle that was trained without it (``--fold NAME=DIR``); what lies in
a background's own outlines is ignored, nodules below max(4 mm, twice the slice step) are not counted.

Calibration is measured on the held-out phantoms and those of ``imaging.training.calibration_set`` together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from imaging.errors import NotApplicable
from imaging.evaluation.calibration import brier_score, expected_calibration_error, reliability_table
from imaging.evaluation.froc import Detection, Froc, Scan, Truth, froc, froc_interval, match_scan
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.predict import predict
from imaging.phantom.nodules import Attenuation
from imaging.training.backgrounds import SOURCES
from imaging.training.calibration_set import check_phantoms
from imaging.training.held_out import FOLDS, INSERTED_MM, INSERTED_REPEATS, STRATA_MM, HeldOut, held_out
from imaging.training.scans import read_scan
from imaging.training.trial_nodules import insert_trial_nodules
from imaging.types import PointMm, Sphere, Volume

THREADS = 2
BOOTSTRAP_SEED = 20_261_121
CALIBRATED_FROM = 0.05
BINS = 10
WHOLE_SCAN_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Known:
    """One nodule that is known, with what it is reported by. ``included``: whether it counts."""

    centre_mm: PointMm
    diameter_mm: float
    kind: str
    step_mm: float
    included: bool


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


def judge_phantoms(*, bundle: Bundle, folder: Path, planned: Iterable[HeldOut]) -> tuple[Judged, ...]:
    """Return the planned phantoms with the bundle's candidates, made or read from ``folder``."""
    return tuple(
        _kept(folder / f"phantom-{one.seed}.json", bundle, partial(_phantom, one), f"phantom-{one.seed}")
        for one in tqdm(list(planned), unit="phantom", file=sys.stderr)
    )


def judge_background(*, name: str, bundle: Bundle, scans: Path, folder: Path) -> tuple[Judged, ...]:
    """Return a background with nodules put in, several times over, with the candidates of a bundle that never saw it.

    Raises ValueError if the bundle's lineage names the background.
    """
    usable = {source.name: source.usable_mm for source in SOURCES}.get(name, WHOLE_SCAN_MM)
    scan = read_scan(folder=scans, name=name, usable_mm=usable)
    if scan is None:
        raise FileNotFoundError(f"{scans} holds no {name}")
    lineage = (bundle.path / "configs" / "metadata.json").read_text()
    if scan.volume.series_instance_uid in lineage:
        raise ValueError(f"the bundle was trained on {name}: it cannot be judged there")
    own = tuple(_around(low, high) for low, high in scan.lesion_boxes)
    return tuple(
        _kept(
            folder / f"{name}-{repeat}.json",
            bundle,
            partial(_inserted, scan.volume, own, repeat),
            f"{name}-{repeat}",
        )
        for repeat in tqdm(range(INSERTED_REPEATS), unit="scan", desc=name, file=sys.stderr)
    )


def kept_judgement(path: Path) -> Judged:
    """Return what was judged before, from its file; the scan is called by the file's name."""
    return _read(path.stem, json.loads(path.read_text()))


def figures(judged: Sequence[Judged]) -> dict[str, object]:
    """Return sensitivities at LUNA16's operating points with intervals, by size and kind, and the calibration."""
    scans = [one.scan for one in judged]
    curve, limits = froc(scans=scans), froc_interval(scans=scans, seed=BOOTSTRAP_SEED)
    return {
        "scans": curve.scans,
        "nodules": curve.nodules,
        "cpm": _interval(curve.cpm, limits.cpm),
        "sensitivity_at_1_fp": _interval(curve.sensitivities[3], limits.sensitivities[3]),
        "sensitivity_at_2_fp": _interval(curve.sensitivities[4], limits.sensitivities[4]),
        "sensitivities": [round(value, 4) for value in curve.sensitivities],
        "by_size_at_1_fp": _by(judged, curve, 1.0, lambda one: _stratum(one.diameter_mm)),
        "from_6_mm_at_1_fp": _share(judged, curve, 1.0, lambda one: one.diameter_mm >= 6.0),
        "4_to_6_mm_at_1_fp": _share(judged, curve, 1.0, lambda one: 4.0 <= one.diameter_mm < 6.0),
        "by_kind_at_1_fp": _by(judged, curve, 1.0, lambda one: one.kind),
        "by_slice_step_at_1_fp": _by(judged, curve, 1.0, lambda one: f"{one.step_mm:g} mm"),
        "detectability_at_1_fp": _by(
            judged, curve, 1.0, lambda one: f"{_stratum(one.diameter_mm)}, {one.kind}, {one.step_mm:g} mm"
        ),
        "calibration": calibration(judged),
    }


def calibration(judged: Sequence[Judged]) -> dict[str, object]:
    """Return ECE over ten equal-mass bins and Brier score of candidates with a probability of at least 0.05."""
    scores, truths = [], []
    for one in judged:
        hits = match_scan(scan=one.scan)
        scores.extend([*hits.hit_confidences, *hits.false_positive_confidences])
        truths.extend([True] * len(hits.hit_confidences) + [False] * len(hits.false_positive_confidences))
    score, truth = np.array(scores, dtype=np.float64), np.array(truths, dtype=np.bool_)
    kept = score >= CALIBRATED_FROM
    score, truth = score[kept], truth[kept]
    try:
        table = reliability_table(scores=score, truths=truth, bins=BINS)
    except NotApplicable as reason:
        return {"candidates": 0, "not_measured": reason.message}
    return {
        "candidates": len(score),
        "ece": round(expected_calibration_error(scores=score, truths=truth, bins=BINS), 4),
        "brier": round(brier_score(scores=score, truths=truth), 4),
        "bins": [[round(row.mean_score, 3), round(row.observed_share, 3), row.count] for row in table],
    }


def threshold_for(curve: Froc, false_per_scan: float) -> float:
    """Return the confidence above which a detector makes at most that many false positives a scan."""
    false = sorted((value for scan in curve.hits for value in scan.false_positive_confidences), reverse=True)
    allowed = int(false_per_scan * curve.scans)
    return false[allowed] if allowed < len(false) else 0.0


def _by(judged: Sequence[Judged], curve: Froc, false_per_scan: float, group: Callable[[Known], str]) -> dict[str, str]:
    names = sorted({group(one) for scan in judged for one in scan.known}, key=_natural)
    return {name: _share(judged, curve, false_per_scan, partial(_in_group, group, name)) for name in names}


def _share(judged: Sequence[Judged], curve: Froc, false_per_scan: float, wanted: Callable[[Known], bool]) -> str:
    threshold = threshold_for(curve, false_per_scan)
    found = total = 0
    for scan in judged:
        for one in scan.known:
            if wanted(one):
                total += 1
                found += any(
                    detection.confidence > threshold
                    and float(np.linalg.norm(np.subtract(detection.centre_mm, one.centre_mm))) < one.diameter_mm / 2
                    for detection in scan.detections
                )
    return f"{found}/{total}"


def _in_group(group: Callable[[Known], str], name: str, one: Known) -> bool:
    return group(one) == name


def _stratum(diameter_mm: float) -> str:
    for low, high in STRATA_MM:
        if diameter_mm < high:
            return f"{low:g}-{high:g} mm" if diameter_mm >= low else f"under {STRATA_MM[0][0]:g} mm"
    return f"over {STRATA_MM[-1][1]:g} mm"


def _natural(name: str) -> tuple[float, str]:
    digits = name.split("-")[0].split(" ")[0]
    return (float(digits) if digits.replace(".", "").isdigit() else -1.0, name)


def _interval(value: float, limits: tuple[float, float, float]) -> dict[str, float]:
    return {"value": round(value, 4), "low": round(limits[1], 4), "high": round(limits[2], 4)}


def _phantom(one: HeldOut) -> tuple[Volume, tuple[Known, ...], tuple[Sphere, ...]]:
    case = one.make()
    known = tuple(
        Known(
            nodule.centre_mm,
            nodule.diameter_mm,
            nodule.attenuation.value,
            one.spacing_mm[0],
            not (nodule.attenuation is Attenuation.GROUND_GLASS and nodule.diameter_mm < 4.0),
        )
        for nodule in case.nodules
    )
    return case.volume, known, ()


def _inserted(
    volume: Volume, own: tuple[Sphere, ...], repeat: int
) -> tuple[Volume, tuple[Known, ...], tuple[Sphere, ...]]:
    changed, nodules = insert_trial_nodules(volume=volume, diameters_mm=INSERTED_MM, keep_clear=own, seed=500 + repeat)
    step = volume.grid.spacing_mm[0]
    least = max(4.0, 2.0 * step)
    known = tuple(
        Known(nodule.centre_mm, nodule.diameter_mm, nodule.kind, round(step, 3), nodule.diameter_mm >= least)
        for nodule in nodules
    )
    return changed, known, own


def _around(low: PointMm, high: PointMm) -> Sphere:
    x, y, z = (0.5 * (a + b) for a, b in zip(low, high, strict=True))
    return Sphere((x, y, z), float(np.linalg.norm(np.subtract(high, low))))


def _kept(
    path: Path,
    bundle: Bundle,
    make: Callable[[], tuple[Volume, tuple[Known, ...], tuple[Sphere, ...]]],
    name: str,
) -> Judged:
    """Return a judged scan from its file if the same bundle judged it, else judge it now and write the file."""
    if path.is_file():
        stored = json.loads(path.read_text())
        if stored["bundle_sha256"] == bundle.identity.bundle_sha256:
            return _read(name, stored)
    volume, known, ignored = make()
    # What a background holds already is neither found nor falsely found.
    known = (*known, *(Known(one.centre_mm, one.diameter_mm, "its own", 0.0, False) for one in ignored))
    prediction = predict(
        volume, bundle, places=(), progress=lambda done, total: None, checkpoint_dir=None, threads=THREADS
    )
    judged = Judged(name, known, tuple(Detection(one.centre_mm, one.probability) for one in prediction.candidates))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"bundle_sha256": bundle.identity.bundle_sha256, **_written(judged)}) + "\n")
    return judged


def _written(judged: Judged) -> dict[str, object]:
    return {
        "known": [[*one.centre_mm, one.diameter_mm, one.kind, one.step_mm, one.included] for one in judged.known],
        "detections": [[*one.centre_mm, one.confidence] for one in judged.detections],
    }


def _read(name: str, stored: Mapping[str, list[list[float]]]) -> Judged:
    known = tuple(
        Known((x, y, z), diameter, str(kind), step, bool(included))
        for x, y, z, diameter, kind, step, included in stored["known"]
    )
    return Judged(name, known, tuple(Detection((x, y, z), score) for x, y, z, score in stored["detections"]))


def digest_of(judged: Sequence[Judged]) -> str:
    """Return SHA-256 (hex) over everything judged, so that two runs can be told to be the same."""
    text = json.dumps([[one.name, _written(one)] for one in judged], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _folds(given: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for one in given:
        name, _, path = one.partition("=")
        if name not in FOLDS or not path:
            raise SystemExit(f"--fold takes NAME=DIR with NAME one of {', '.join(FOLDS)}")
        yield name, Path(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="bundle to judge on the phantoms")
    parser.add_argument("--fold", action="append", default=[], help="NAME=DIR: a bundle that never saw background NAME")
    parser.add_argument("--scans", type=Path, help="folder of public scans, for --fold")
    parser.add_argument("--output", type=Path, required=True, help="folder for the scans' files and judged.json")
    given = parser.parse_args()
    found: dict[str, object] = {}
    if given.bundle is not None:
        bundle = load_bundle(given.bundle, expected_sha256=None)
        judged = judge_phantoms(bundle=bundle, folder=given.output / "phantoms", planned=held_out())
        checked = judge_phantoms(bundle=bundle, folder=given.output / "calibration", planned=check_phantoms())
        found["calibration"] = calibration([*judged, *checked])
        found["phantoms"] = {"bundle_sha256": bundle.identity.bundle_sha256, **figures(judged)}
        found["phantoms_digest"] = digest_of(judged)
    everything: list[Judged] = []
    backgrounds: dict[str, object] = {}
    for name, path in _folds(given.fold):
        if given.scans is None:
            raise SystemExit("--fold needs --scans")
        bundle = load_bundle(path, expected_sha256=None)
        part = judge_background(name=name, bundle=bundle, scans=given.scans, folder=given.output / "inserted")
        backgrounds[name] = figures(part)
        everything.extend(part)
    if everything:
        found["inserted"] = figures(everything)
        found["inserted_by_background"] = backgrounds
    (given.output / "judged.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
