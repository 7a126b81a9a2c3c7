"""The bundle judged on what was held out (``imaging.training.held_out``): by LUNA16's rules, with bootstrap intervals.

What was judged lies in ``judged/``, a file a scan, as ``imaging.training.judge`` wrote it; the figures are computed
from it here. Where the shipped bundle came to answer otherwise since (``Bundle.answers_digest``), it is run again.
Folds are judged by networks that do not ship: what they said is taken as it was kept.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from imaging.agreement.intervals import wilson
from imaging.errors import NotApplicable
from imaging.inference.bundle import Bundle, load_bundle, shipped_bundle
from imaging.training.calibration_set import check_phantoms
from imaging.training.held_out import FOLDS, INSERTED_REPEATS, UNSEEN, UNSEEN_FIRST_SEED, held_out
from imaging.training.judge import (
    CALIBRATION,
    INSERTED,
    PHANTOMS,
    REAL,
    judge_background,
    judge_phantoms,
    judge_real,
    kept_of,
)
from imaging.training.judged import Judged, calibration, figures, kept_judgement
from tests.benchmarks.lines import Line, alone

SHOWING = ".that_show"
"""Ends the name of the same figure without the nodules that a vessel swallowed."""

RATES = ("model.cpm_phantom", "model.sens_1fp_ge6mm", "model.sens_1fp_4to6mm")
PROBABILITIES = ("model.ece", "model.brier")
SENSITIVITY = "model.sens_inserted_2fp"
REAL_NODULE = ("model.lidc_0001_rank", "model.lidc_0001_dice")
BACKGROUNDS = (*UNSEEN, *FOLDS)
NAMES = (
    *RATES,
    *(f"{name}{SHOWING}" for name in RATES),
    *PROBABILITIES,
    SENSITIVITY,
    f"{SENSITIVITY}{SHOWING}",
    *(f"{SENSITIVITY}.{name}" for name in BACKGROUNDS),
    *REAL_NODULE,
)

KEPT = Path(__file__).parent / "judged"
SCANS = Path(__file__).resolve().parents[4] / "shared" / "data"

_PHANTOM_NOTE = (
    "`model.cpm_phantom`, `model.sens_1fp_*`: 40 phantoms whose generator, seeds and strata were committed before the "
    "training; LUNA16's rules (a hit lies nearer than half the diameter), ground-glass below 4 mm not counted. CPM: "
    "mean sensitivity at 1/8 to 8 false positives a scan. `.that_show`: without the nodules that a vessel or the chest "
    "wall swallows, which the other figures count as missed."
)
_CALIBRATION_NOTE = (
    "`model.ece`, `model.brier`: candidates with a probability of at least 0.05 in the 40 held-out phantoms and 60 "
    "more that nothing was fitted on, ten equal-mass bins; intervals bootstrapped over scans."
)
_INSERTED_NOTE = (
    "`model.sens_inserted_2fp`: nodules of another renderer put into real scans, each scan judged by a network that "
    "never saw it: lungdx-a0002 and lidc-0001 by the bundle that ships, the others by networks trained without them; "
    "diameters from max(4 mm, twice the slice step); candidates on what a scan itself holds are ignored."
)
_REAL_NOTE = (
    "`model.lidc_0001_*`: the real nodule of LIDC-IDRI-0001, never trained on; Dice with its readers' majority. One "
    "nodule has no interval."
)


def measure(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and all figures. What this bundle judged before is not run again."""
    asked = set(wanted)
    bundle = load_bundle(shipped_bundle(), expected_sha256=None)
    scans = Path(os.environ.get("QASERVICE_REAL_DATA", SCANS))
    folder = work / "model"
    _take_over(KEPT, folder, bundle)
    lines: list[Line] = []
    detail: dict[str, object] = {"answers_digest": bundle.answers_digest}
    rates = {*RATES, *(f"{name}{SHOWING}" for name in RATES)}
    if asked & {*rates, *PROBABILITIES}:
        judged = judge_phantoms(bundle=bundle, folder=folder / PHANTOMS, planned=held_out())
        detail["phantoms"] = found = figures(judged)
        lines += _phantom_lines(found, "")
        lines += _phantom_lines(found["that_show"], SHOWING)
        if asked & {*PROBABILITIES}:
            more = judge_phantoms(bundle=bundle, folder=folder / CALIBRATION, planned=check_phantoms())
            detail["calibration"] = believed = calibration([*judged, *more])
            unit = f"over {believed['candidates']} candidates"
            pairs = zip(PROBABILITIES, ("ece", "brier"), strict=True)
            lines += [_with_interval(name, believed[key], unit, _CALIBRATION_NOTE) for name, key in pairs]
    if any(name.startswith(SENSITIVITY) for name in asked):
        detail["inserted"], found_lines = _inserted(bundle, scans, folder / INSERTED)
        lines += found_lines
    if asked & {*REAL_NODULE}:
        detail["real"], found_lines = _real(bundle, scans, folder / REAL)
        lines += found_lines
    return [line for line in lines if line.bench in asked], detail


def _take_over(kept: Path, folder: Path, bundle: Bundle) -> None:
    """Copy what was kept of this very bundle, and of the folds', to where judgements go on."""
    for path in kept.rglob("*.json"):
        target = folder / path.relative_to(kept)
        of_a_fold = path.parent.name == INSERTED and not path.name.startswith(UNSEEN)
        if of_a_fold or json.loads(path.read_text()).get("answers_digest") == bundle.answers_digest:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _phantom_lines(found: object, ending: str) -> list[Line]:
    assert isinstance(found, Mapping)
    lines = [_with_interval(f"{RATES[0]}{ending}", found["cpm"], "CPM", _PHANTOM_NOTE)]
    for name, key in zip(RATES[1:], ("from_6_mm_at_1_fp", "4_to_6_mm_at_1_fp"), strict=True):
        hits, total = (int(part) for part in str(found[key]).split("/"))
        limits = wilson(successes=hits, total=total, confidence=0.95)
        interval = (limits.lower, limits.upper)
        lines.append(
            alone(f"{name}{ending}", limits.estimate, f"of {total} nodules", note=_PHANTOM_NOTE, interval=interval)
        )
    return lines


def _inserted(bundle: Bundle, scans: Path, folder: Path) -> tuple[Mapping[str, object], list[Line]]:
    by_background: dict[str, Sequence[Judged]] = {}
    for name in UNSEEN:
        kept = [kept_of(bundle=bundle, path=folder / f"{name}-{repeat}.json") for repeat in range(INSERTED_REPEATS)]
        known = tuple(one for one in kept if one is not None)
        try:
            by_background[name] = (
                known
                if len(known) == INSERTED_REPEATS
                else judge_background(
                    name=name, bundle=bundle, scans=scans, folder=folder, first_seed=UNSEEN_FIRST_SEED
                )
            )
        except FileNotFoundError as missing:
            print(f"  {name} is not judged: {missing}", file=sys.stderr)
    for name in FOLDS:
        paths = sorted(folder.glob(f"{name}-*.json"))
        if paths:
            by_background[name] = tuple(kept_judgement(path) for path in paths)
        else:
            print(f"  {name} is not judged: no network that was trained without it was kept", file=sys.stderr)
    if not by_background:
        return {}, []
    detail: dict[str, object] = {}
    lines = []
    for name, judged in by_background.items():
        try:
            detail[name] = of_one = figures(judged)
        except NotApplicable as reason:
            detail[name] = reason.message
            continue
        lines.append(_sensitivity_line(f".{name}", of_one))
    detail["all"] = together = figures([one for judged in by_background.values() for one in judged])
    return detail, [_sensitivity_line("", together), _sensitivity_line(SHOWING, together["that_show"]), *lines]


def _sensitivity_line(ending: str, found: object) -> Line:
    assert isinstance(found, Mapping)
    unit = f"of {found['nodules']} nodules"
    return _with_interval(f"{SENSITIVITY}{ending}", found["sensitivity_at_2_fp"], unit, _INSERTED_NOTE)


def _real(bundle: Bundle, scans: Path, path: Path) -> tuple[Mapping[str, object], list[Line]]:
    try:
        found = judge_real(bundle=bundle, scans=scans, path=path)
    except FileNotFoundError as missing:
        print(f"  the real nodule is not judged: {missing}", file=sys.stderr)
        return {}, []
    # Not found at all is a rank behind every candidate.
    rank = float(str(found["rank"])) if found["rank"] is not None else float(str(found["candidates"])) + 1.0
    overlap = 0.0 if found["dice_with_majority"] is None else float(str(found["dice_with_majority"]))
    return found, [
        alone(REAL_NODULE[0], rank, f"of {found['candidates']} candidates", note=_REAL_NOTE),
        alone(REAL_NODULE[1], overlap, "Dice", note=_REAL_NOTE),
    ]


def _with_interval(name: str, found: object, unit: str, note: str) -> Line:
    assert isinstance(found, Mapping)
    return alone(name, float(found["value"]), unit, note=note, interval=(float(found["low"]), float(found["high"])))
