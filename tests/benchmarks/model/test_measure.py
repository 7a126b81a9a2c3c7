"""Every figure that the model must hold is printed from what was kept, each background beside the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imaging.evaluation.froc import Detection
from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.training.calibration_set import check_phantoms
from imaging.training.held_out import FOLDS, INSERTED_REPEATS, UNSEEN, held_out
from imaging.training.judged import Judged, Known, written
from tests.benchmarks.model import measure as module

PLACES = [(40.0 * number, 0.0, 0.0) for number in range(6)]


def judged(name: str) -> dict[str, object]:
    """Six nodules of which the first four are found and the last does not show; candidates of many probabilities."""
    known = tuple(
        Known(place, diameter, "solid", 1.25, True, number < 5)
        for number, (place, diameter) in enumerate(zip(PLACES, (5.0, 5.5, 7.0, 9.0, 11.0, 14.0), strict=True))
    )
    found = [Detection(place, 0.9 - 0.1 * number) for number, place in enumerate(PLACES[:4])]
    false = [Detection((0.0, 500.0 + 20.0 * number, 0.0), 0.06 + 0.1 * number) for number in range(5)]
    return written(Judged(name, known, (*found, *false)))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "KEPT", tmp_path / "kept")
    monkeypatch.setenv("QASERVICE_REAL_DATA", str(tmp_path / "nothing"))
    digest = load_bundle(shipped_bundle(), expected_sha256=None).answers_digest
    names = [
        *(f"phantoms/phantom-{one.seed}" for one in held_out()),
        *(f"calibration/phantom-{one.seed}" for one in check_phantoms()),
        *(f"inserted/{name}-{repeat}" for name in UNSEEN for repeat in range(INSERTED_REPEATS)),
    ]
    for name in names:
        path = tmp_path / "kept" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"answers_digest": digest, **judged(path.stem)}))
    real = {"answers_digest": digest, "rank": 1, "candidates": 43, "dice_with_majority": 0.9}
    (tmp_path / "kept" / "real.json").write_text(json.dumps(real))
    return tmp_path / "kept"


def test_every_figure_is_printed_from_what_was_kept_with_its_interval(kept: Path, tmp_path: Path) -> None:
    lines, detail = module.measure(module.NAMES, tmp_path / "work")
    values = {line.bench: line for line in lines}
    folds = {f"{module.SENSITIVITY}.{name}" for name in FOLDS}
    assert set(values) == set(module.NAMES) - folds
    assert values["model.sens_1fp_4to6mm"].value == 1.0
    assert values["model.sens_1fp_ge6mm"].value == pytest.approx(0.5)
    assert values["model.sens_1fp_ge6mm.that_show"].value == pytest.approx(2 / 3, abs=1e-3)
    assert all(
        line.low is not None and line.high is not None and line.low <= line.value <= line.high
        for name, line in values.items()
        if name not in module.REAL_NODULE
    )
    assert values["model.lidc_0001_rank"].value == 1.0
    assert "all" in detail["inserted"]  # type: ignore[operator]  # a mapping


def test_a_fold_is_read_as_it_was_kept_whoever_judged_it(kept: Path, tmp_path: Path) -> None:
    for repeat in range(INSERTED_REPEATS):
        content = {"answers_digest": "of another network", **judged(f"{FOLDS[0]}-{repeat}")}
        (kept / "inserted" / f"{FOLDS[0]}-{repeat}.json").write_text(json.dumps(content))
    lines, _ = module.measure([f"{module.SENSITIVITY}.{FOLDS[0]}", module.SENSITIVITY], tmp_path / "work")
    told = {line.bench: line.unit for line in lines}
    assert told[f"{module.SENSITIVITY}.{FOLDS[0]}"] == f"of {6 * INSERTED_REPEATS} nodules"
    assert told[module.SENSITIVITY] == f"of {6 * INSERTED_REPEATS * 3} nodules"


def test_what_another_bundle_judged_speaks_for_nobody(kept: Path, tmp_path: Path) -> None:
    for path in (kept / "inserted").glob("*.json"):
        path.write_text(json.dumps({"answers_digest": "of another bundle", **judged(path.stem)}))
    (kept / "real.json").write_text(json.dumps({"answers_digest": "of another bundle", "rank": 1}))
    lines, _ = module.measure([*module.REAL_NODULE, module.SENSITIVITY], tmp_path / "work")
    # Without the scans nothing can be judged anew, and nothing is made up.
    assert lines == []
