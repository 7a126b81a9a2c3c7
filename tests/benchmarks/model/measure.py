"""The bundle judged on what was held out (``imaging.training.held_out``): by LUNA16's rules, with bootstrap intervals.

Phantoms and the real nodule of LIDC-IDRI-0001 are run through the shipped bundle here. Inserted nodules are judged by
networks that never saw the background that they were put into; those networks do not ship, so what they said was kept
when they were trained (``inserted/*.json``) and the figures are computed from it here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from imaging.agreement.intervals import wilson
from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.training.calibration_set import check_phantoms
from imaging.training.evaluate import judge_real_nodule
from imaging.training.held_out import FOLDS, held_out
from imaging.training.judge import Judged, calibration, figures, judge_phantoms, kept_judgement
from tests.benchmarks.lines import Line, alone

PHANTOM = ("model.cpm_phantom", "model.sens_phantom_6mm_1fp", "model.sens_phantom_4_6mm_1fp")
CALIBRATION = ("model.ece", "model.brier")
INSERTED = ("model.sens_inserted_2fp", *(f"model.sens_inserted_2fp.{name}" for name in FOLDS))
REAL = ("model.lidc_0001_rank", "model.lidc_0001_dice")
NAMES = (*PHANTOM, *CALIBRATION, *INSERTED, *REAL)

KEPT = Path(__file__).parent / "inserted"
SCANS = Path(__file__).resolve().parents[4] / "shared" / "data"

_PHANTOM_NOTE = (
    "`model.*_phantom*`: 40 phantoms whose generator, seeds and strata were committed before the training; LUNA16's "
    "rules (a hit lies nearer than half the diameter), ground-glass below 4 mm not counted. CPM: mean sensitivity at "
    "1/8 to 8 false positives a scan."
)
_CALIBRATION_NOTE = (
    "`model.ece`, `model.brier`: candidates with a probability of at least 0.05 in the 40 held-out phantoms and 60 "
    "more that nothing was fitted on, ten equal-mass bins."
)
_INSERTED_NOTE = (
    "`model.sens_inserted_2fp`: nodules of another renderer put into real scans, each scan judged by a network that "
    "never saw it; diameters from max(4 mm, twice the slice step); candidates on what a scan itself holds are ignored. "
    "Computed from what those networks said when they were trained."
)
_REAL_NOTE = (
    "`model.lidc_0001_*`: the real nodule of LIDC-IDRI-0001, never trained on; Dice with its readers' majority."
)


def measure(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and all figures. What this bundle judged before is not run again."""
    asked = set(wanted)
    bundle = load_bundle(shipped_bundle(), expected_sha256=None)
    lines: list[Line] = []
    detail: dict[str, object] = {"bundle_sha256": bundle.identity.bundle_sha256}
    if asked & {*PHANTOM, *CALIBRATION}:
        judged = judge_phantoms(bundle=bundle, folder=work / "model" / "phantoms", planned=held_out())
        detail["phantoms"] = found = figures(judged)
        lines += _phantom_lines(found)
        if asked & {*CALIBRATION}:
            more = judge_phantoms(bundle=bundle, folder=work / "model" / "calibration", planned=check_phantoms())
            detail["calibration"] = believed = calibration([*judged, *more])
            lines += [
                alone(
                    name, float(str(believed[key])), f"over {believed['candidates']} candidates", note=_CALIBRATION_NOTE
                )
                for name, key in zip(CALIBRATION, ("ece", "brier"), strict=True)
            ]
    if asked & {*INSERTED}:
        inserted, found_lines = _inserted()
        detail["inserted"] = inserted
        lines += found_lines
    scans = Path(os.environ.get("QASERVICE_REAL_DATA", SCANS))
    if asked & {*REAL} and scans.is_dir():
        detail["real"] = real = judge_real_nodule(bundle=bundle, scans=scans)
        lines += [
            alone(REAL[0], float(str(real["rank"])), "rank", note=_REAL_NOTE),
            alone(REAL[1], float(str(real["dice_with_majority"])), "Dice", note=_REAL_NOTE),
        ]
    return [line for line in lines if line.bench in asked], detail


def _phantom_lines(found: Mapping[str, object]) -> list[Line]:
    lines = [_with_interval(PHANTOM[0], found["cpm"], "CPM", _PHANTOM_NOTE)]
    for name, key in zip(PHANTOM[1:], ("from_6_mm_at_1_fp", "4_to_6_mm_at_1_fp"), strict=True):
        hits, total = (int(part) for part in str(found[key]).split("/"))
        limits = wilson(successes=hits, total=total, confidence=0.95)
        lines.append(
            alone(
                name, limits.estimate, f"of {total} nodules", note=_PHANTOM_NOTE, interval=(limits.lower, limits.upper)
            )
        )
    return lines


def _inserted() -> tuple[Mapping[str, object], list[Line]]:
    by_background: dict[str, Sequence[Judged]] = {}
    for name in FOLDS:
        paths = sorted(KEPT.glob(f"{name}-*.json"))
        if paths:
            by_background[name] = tuple(kept_judgement(path) for path in paths)
    if not by_background:
        print("  inserted nodules: this bundle's folds have not been judged yet", file=sys.stderr)
        return {}, []
    detail: dict[str, object] = {name: figures(judged) for name, judged in by_background.items()}
    detail["all"] = together = figures([one for judged in by_background.values() for one in judged])
    lines = [_with_interval(INSERTED[0], together["sensitivity_at_2_fp"], "sensitivity", _INSERTED_NOTE)]
    for name in by_background:
        of_one = detail[name]
        assert isinstance(of_one, Mapping)
        lines.append(
            _with_interval(f"{INSERTED[0]}.{name}", of_one["sensitivity_at_2_fp"], "sensitivity", _INSERTED_NOTE)
        )
    return detail, lines


def _with_interval(name: str, found: object, unit: str, note: str) -> Line:
    assert isinstance(found, Mapping)
    return alone(name, float(found["value"]), unit, note=note, interval=(float(found["low"]), float(found["high"])))
