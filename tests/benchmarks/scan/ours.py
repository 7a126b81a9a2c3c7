"""One scan by this service, in a process of its own: ``python -m tests.benchmarks.scan.ours DICOM BACKEND BUNDLE``.

Prints one JSON object. Nothing is loaded or cached beforehand: a worker that is running already is quicker.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from imaging.geometry.gate import LUNG_CT_TOLERANCES
from imaging.inference.backends import BackendName
from imaging.inference.bundle import load_bundle
from imaging.inference.memory import memory_estimate
from imaging.inference.predict import predict
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import load_volume, read_header

OVERLAP = 0.25
THREADS = 2


def main(folder: Path, backend: str, bundle_path: Path) -> None:
    began = time.perf_counter()
    paths: dict[str, Path] = {}
    headers = []
    for path in sorted(folder.glob("*.dcm")):
        header = read_header(path.read_bytes(), CT_READ_LIMITS)
        headers.append(header)
        paths[header.sop_instance_uid] = path
    volume = load_volume(
        slices=headers,
        open_bytes=lambda uid: paths[uid].read_bytes(),
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    read = time.perf_counter()
    bundle = load_bundle(bundle_path, expected_sha256=None)
    bundle = replace(bundle, settings=replace(bundle.settings, stride=int(bundle.settings.tile * (1.0 - OVERLAP))))
    tiles: list[tuple[float, int]] = []
    prediction = predict(
        volume,
        bundle,
        places=(),
        progress=lambda done, total: tiles.append((time.perf_counter(), total)),
        checkpoint_dir=None,
        threads=THREADS,
        backend=backend,
    )
    ended = time.perf_counter()
    estimate = memory_estimate(
        shape=volume.grid.shape,
        spacing_mm=volume.grid.spacing_mm,
        settings=bundle.settings,
        backend=BackendName(backend),
        threads=THREADS,
        has_graph=bundle.graph is not None,
    )
    said = {
        "reading": read - began,
        "lungs_and_loading": tiles[0][0] - read,
        "tiles": tiles[-1][0] - tiles[0][0],
        "outlines": ended - tiles[-1][0],
        "tile_count": tiles[0][1],
        "tile": bundle.settings.tile,
        "spacing_mm": bundle.settings.spacing_mm,
        "backend": prediction.backend,
        "refused": list(prediction.backend_refusals),
        "candidates": len(prediction.candidates),
        "peak_mb": peak_mb(),
        "estimated_mb": estimate.total / (1 << 20),
    }
    print(json.dumps(said))


def peak_mb() -> float:
    """Return the most memory that this process held at a time, in MB (2^20 bytes)."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
