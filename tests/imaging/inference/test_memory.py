"""What a prediction takes is known beforehand: the estimate holds, and is no wild guess."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imaging.inference.backends import BackendName
from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.inference.memory import MIB, memory_estimate
from tests.imaging.inference.conftest import with_graph

PROGRAM = """
import json, sys
from pathlib import Path
from imaging.inference.bundle import load_bundle
from imaging.inference.predict import predict
from imaging.types import Grid, Volume
import numpy as np
shape, spacing = (120, 256, 256), (2.5, 1.4, 1.4)
affine = ((0.0, 0.0, 1.4, 0.0), (0.0, 1.4, 0.0, 0.0), (2.5, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
z, y, x = np.ogrid[:120, :256, :256]
hounsfield = np.full(shape, -1000, dtype=np.int16)
hounsfield[np.broadcast_to(((y - 128) / 110) ** 2 + ((x - 128) / 120) ** 2 < 1, shape)] = 40
for centre in (75, 181):
    hounsfield[((z - 60) / 52) ** 2 + ((y - 128) / 80) ** 2 + ((x - centre) / 45) ** 2 < 1] = -850
volume = Volume(Grid(shape, affine, "1.2"), hounsfield, "1.3", "1.4", (), (), None)
predict(
    volume,
    load_bundle(Path(sys.argv[1]), expected_sha256=None),
    places=(),
    progress=lambda done, total: None,
    checkpoint_dir=None,
    threads=2,
    backend=sys.argv[2],
)
# Not ru_maxrss, which a process inherits from the one that started it.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps(int(status["VmHWM"].split()[0]) * 1024))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("backend", ["openvino-f32", "torch"])
def test_a_prediction_stays_within_the_memory_that_was_told_before_it(bundle_folder: Path, backend: str) -> None:
    folder = with_graph(bundle_folder)
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), backend], capture_output=True, text=True, check=True
    ).stdout
    measured = int(json.loads(answer.splitlines()[-1]))
    bundle = load_bundle(folder, expected_sha256=None)
    told = memory_estimate(
        shape=(120, 256, 256),
        spacing_mm=(2.5, 1.4, 1.4),
        settings=bundle.settings,
        backend=BackendName(backend),
        threads=2,
        has_graph=True,
    ).total
    assert measured <= told <= 2.5 * measured


def test_the_shipped_bundle_needs_at_most_four_gigabytes_for_a_large_scan() -> None:
    settings = load_bundle(shipped_bundle(), expected_sha256=None).settings
    for backend in (BackendName.OPENVINO_F32, BackendName.OPENVINO_BF16, BackendName.TORCH):
        told = memory_estimate(
            shape=(300, 512, 512),
            spacing_mm=(1.0, 0.7, 0.7),
            settings=settings,
            backend=backend,
            threads=2,
            has_graph=False,
        )
        assert told.total <= 4096 * MIB
        assert told.total == told.interpreter + told.library + told.tiles + told.scan + told.maps


def test_more_voxels_threads_and_a_graph_to_convert_take_more() -> None:
    settings = load_bundle(shipped_bundle(), expected_sha256=None).settings

    def told(**changed: object) -> int:
        asked: dict[str, object] = {
            "shape": (100, 512, 512),
            "spacing_mm": (2.5, 0.7, 0.7),
            "settings": settings,
            "backend": BackendName.OPENVINO_F32,
            "threads": 1,
            "has_graph": True,
        }
        return memory_estimate(**(asked | changed)).total  # type: ignore[arg-type]  # names as the function has them

    least = told()
    assert least < told(threads=2) < told(threads=4)
    assert least < told(shape=(200, 512, 512))
    assert least < told(has_graph=False)
    assert least < told(settings=replace(settings, spacing_mm=1.0))
