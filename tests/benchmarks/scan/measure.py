"""A whole scan, from stored DICOM to candidates, and the same scan by MONAI's RetinaNet, extrapolated from patches."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imaging.inference.bundle import shipped_bundle
from imaging.inference.openvino_runner import import_openvino
from tests.benchmarks.lines import Line, alone
from tests.benchmarks.scan import ours, retinanet, series

NAMES = ("scan.seconds", "scan.seconds_bf16", "scan.peak_mb", "scan.vs_retinanet", "scan.vs_retinanet_bf16")
ROUNDS = 3
RETINANET_SPACING_MM = (1.25, 0.703125, 0.703125)
PEER = "MONAI RetinaNet (lung_nodule_ct_detection layout), torch"
ROOT = Path(__file__).resolve().parents[3]


def measure(wanted: Collection[str], work: Path) -> tuple[list[Line], Mapping[str, object]]:
    """Return the lines of the benchmarks wanted, and every single run.

    Medians of ``ROUNDS`` rounds, in each of which both programs have their turn in both precisions, so that what else
    the machine does falls on all of them. Ours is a whole process, from its start to its answer; of the peer only the
    network's own time is taken, for one patch a turn, times the patches that cover the same box.
    """
    box = series.make(work / "scan")
    count = series.patches(
        box_mm=box,
        patch=(retinanet.PATCH[2], *retinanet.PATCH[:2]),
        spacing_mm=RETINANET_SPACING_MM,
        overlap=ours.OVERLAP,
    )
    precisions = [one for one in ("f32", "bf16") if _wants(wanted, one) and _runs_here(one)]
    runs: dict[str, list[dict[str, Any]]] = {one: [] for one in precisions}
    seconds: dict[str, list[float]] = {one: [] for one in precisions}
    with _peer() as peer:
        asked = [one for one in precisions if _line_name("scan.vs_retinanet", one) in wanted]
        for one in asked:
            # The first patch of a precision pays for what later ones find prepared.
            _patch(peer, one)
        for number in range(ROUNDS):
            for one in precisions:
                runs[one].append(_ours(series.dicom_of(work / "scan"), f"openvino-{one}"))
                if one in asked:
                    seconds[one].append(_patch(peer, one))
                told = f"ours {runs[one][-1]['seconds']:.1f} s" + (
                    f", a patch of the peer's {seconds[one][-1]:.1f} s" if one in asked else ""
                )
                print(f"  round {number + 1}, {one}: {told}", file=sys.stderr, flush=True)
    lines = [line for one in precisions for line in _lines(one, runs[one], seconds[one], count)]
    figures: dict[str, object] = {
        "box_mm": box,
        "retinanet_patches": count,
        "runs": runs,
        "retinanet_patch_seconds": seconds,
    }
    return [line for line in lines if line.bench in wanted], figures


def _lines(precision: str, runs: list[dict[str, Any]], patch_seconds: list[float], count: int) -> Iterator[Line]:
    own = statistics.median(run["seconds"] for run in runs)
    slices, rows, columns = series.SHAPE
    size = " x ".join(f"{step:g}" for step in series.SPACING_MM[::-1])
    patch = " x ".join(map(str, retinanet.PATCH))
    note = (
        f"`scan.*`: a phantom of {columns} x {rows} x {slices} voxels of {size} mm, from stored DICOM to candidates in "
        f"a fresh process on two processors: {runs[0]['tile_count']} tiles, overlap {ours.OVERLAP:g}. The peer is "
        f"extrapolated from whole patches: {count} of {patch} voxels cover the same box with the same overlap; only "
        "its network is timed, with random weights."
    )
    yield alone(_line_name("scan.seconds", precision), own, "s", note=note)
    if precision == "f32":
        yield alone("scan.peak_mb", max(run["peak_mb"] for run in runs), "MB", note=note)
    if patch_seconds:
        whole = count * statistics.median(patch_seconds)
        name = _line_name("scan.vs_retinanet", precision)
        yield Line(name, round(own, 2), "s", f"{PEER} {precision}", round(whole), round(whole / own, 1), note)


def _line_name(name: str, precision: str) -> str:
    return name if precision == "f32" else f"{name}_{precision}"


def _wants(wanted: Collection[str], precision: str) -> bool:
    names = [_line_name(name, precision) for name in ("scan.seconds", "scan.vs_retinanet")]
    return any(name in wanted for name in (*names, *(["scan.peak_mb"] if precision == "f32" else [])))


def _runs_here(precision: str) -> bool:
    """Return whether this processor has the arithmetic; what it has not keeps the figure of the machine that had."""
    can = precision != "bf16" or "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if not can:
        print(f"  {precision} is not measured: this processor has no such arithmetic", file=sys.stderr, flush=True)
    return can


def _ours(dicom: Path, backend: str) -> dict[str, Any]:
    bundle = os.environ.get("QASERVICE_MODEL_BUNDLE", str(shipped_bundle()))
    command = [sys.executable, "-m", "tests.benchmarks.scan.ours", str(dicom), backend, bundle]
    began = time.perf_counter()
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    took = time.perf_counter() - began
    said: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    if said["refused"]:
        raise RuntimeError(f"not measured: {said['refused']}")
    return {"seconds": took, **said}


@contextmanager
def _peer() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.scan.retinanet"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise RuntimeError("the peer did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def _patch(process: subprocess.Popen[str], precision: str) -> float:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the peer has no pipes")
    process.stdin.write(f"{precision}\n")
    process.stdin.flush()
    return float(process.stdout.readline())
