"""Bundles on disk with weights made here, and a scan whose contents are known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.inference.bundle import bundle_digest, file_digests
from imaging.inference.foreign.archive import ORDINARY
from imaging.inference.foreign.exchange import ChildLimits
from imaging.inference.foreign.inspection import InspectedBundle, inspect_bundle
from imaging.inference.foreign.running import ForeignBundle
from imaging.types import Grid, ModelIdentity, Volume
from tests.imaging.inference.foreign.layouts import BRIGHT, label_map, metadata, segmentation_configuration

LIMITS = ChildLimits(seconds=240.0, memory_bytes=4 * 1024**3, file_bytes=1024**3, work_bytes=2 * 1024**3, threads=1)

LICENCE = "Apache License, Version 2.0 (test bundle)"
README = """# A test bundle

Not a real model.

## Data
Balls in grey boxes, made by a test.

## How to run
It is run by tests.
"""


def write_bundle(
    folder: Path,
    *,
    content: Mapping[str, Any],
    about: Mapping[str, Any],
    state: Mapping[str, Any] | None,
    scripts: Mapping[str, str] | None = None,
) -> Path:
    """A bundle with a configuration, metadata, a licence, a README and weights, in the new folder ``folder``."""
    import torch

    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(content, indent=2))
    (folder / "configs" / "metadata.json").write_text(json.dumps(about, indent=2))
    (folder / "docs" / "README.md").write_text(README)
    (folder / "LICENSE").write_text(LICENCE)
    if state is not None:
        torch.save(dict(state), folder / "models" / "model.pt")
    for name, text in (scripts or {}).items():
        (folder / "scripts").mkdir(exist_ok=True)
        (folder / "scripts" / name).write_text(text)
    return folder


def bright_state() -> dict[str, Any]:
    import torch

    return {
        "weight": torch.tensor([0.0, 40.0]).reshape(2, 1, 1, 1, 1),
        "bias": torch.tensor([0.0, -20.0]),
    }


def bright_bundle(folder: Path, *, label: str = "nodule", **changes: Any) -> Path:
    """A segmentation bundle that outlines what is bright: small, and its answer is known."""
    return write_bundle(
        folder,
        content=segmentation_configuration(network_def=BRIGHT, **changes),
        about=metadata(task="Segmentation of what is bright", outputs=label_map("background", label)),
        state=bright_state(),
    )


def inspected(source: Path, into: Path, given: Mapping[str, Any] | None = None) -> InspectedBundle:
    into.mkdir(parents=True, exist_ok=True)
    return inspect_bundle(source=source, into=into, limits=ORDINARY, given=given or {}, fallback_name="unnamed")


def runnable(source: Path, into: Path, given: Mapping[str, Any] | None = None) -> ForeignBundle:
    """The bundle as a service would run it after its approval."""
    found = inspected(source, into, given).inspection
    assert found.mapping is not None, found.problems
    return ForeignBundle(
        files={file.name: source / file.name for file in found.files},
        identity=ModelIdentity(found.described.name, found.described.version, found.bundle_sha256),
        configuration=found.configuration,
        mapping=found.mapping,
    )


def pinned(folder: Path) -> str:
    return bundle_digest(file_digests(folder))


def scan_with_balls(*balls: tuple[tuple[float, float, float], float]) -> Volume:
    """A grey box with bright balls (LPS centre, diameter in mm): oblique, with uneven voxels."""
    shape = (30, 60, 56)
    angle = np.deg2rad(6.0)
    row_step = np.array([np.cos(angle), np.sin(angle), 0.0]) * 1.4
    column_step = np.array([-np.sin(angle), np.cos(angle), 0.0]) * 1.2
    # Rows advance along the column direction cosine and columns along the row's: (slice, row, column).
    matrix = np.eye(4)
    matrix[:3, 0] = (0.0, 0.0, 2.5)
    matrix[:3, 1] = column_step
    matrix[:3, 2] = row_step
    matrix[:3, 3] = (-40.0, -30.0, -700.0)
    voxels = np.full(shape, -850, dtype=np.int16)
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    places: NDArray[np.float64] = (index @ matrix.T)[..., :3]
    for centre, diameter in balls:
        voxels[np.linalg.norm(places - np.array(centre), axis=-1) <= diameter / 2.0] = 50
    voxels.setflags(write=False)
    affine = tuple(tuple(float(v) for v in row) for row in matrix)
    grid = Grid(shape=shape, affine=affine, frame_of_reference_uid="1.2.3.4")  # type: ignore[arg-type]  # four by four
    return Volume(
        grid=grid,
        hounsfield=voxels,
        series_instance_uid="1.2.3.5",
        study_instance_uid="1.2.3.6",
        sop_instance_uids=tuple(f"1.2.3.7.{n}" for n in range(shape[0])),
        instance_numbers=tuple(range(1, shape[0] + 1)),
        slice_thickness_mm=2.5,
    )


def nobody(_done: int, _total: int, _note: str) -> None:
    """Progress that no test looks at."""
