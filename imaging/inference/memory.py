"""How much memory a prediction takes at most, known before it runs.

Counted from the arrays that ``predict`` holds at a time, whatever lies in the scan, and from what each library was
measured to take (x86-64, OpenVINO 2026.4, torch 2.13): its code, the network, and the working space of each tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imaging.inference.backends import BackendName
from imaging.inference.bundle import Settings
from imaging.inference.tiles import tiling_of

MIB = 1 << 20
_INTERPRETER = 110 * MIB
"""Python with NumPy, SciPy and this package, before anything is loaded."""

_LIBRARY = {
    BackendName.OPENVINO_F32: 300 * MIB,
    BackendName.OPENVINO_BF16: 260 * MIB,
    BackendName.TORCH: 450 * MIB,
    # With the driver's context, on the side of the processor; not measured on the machine of the other figures.
    BackendName.CUDA: 3072 * MIB,
}
_CONVERSION = 700 * MIB
"""Torch and MONAI, loaded to convert a network that has no graph, and the conversion itself."""

_TILE_BYTES_A_VOXEL = {
    BackendName.OPENVINO_F32: 130,
    BackendName.OPENVINO_BF16: 80,
    BackendName.TORCH: 200,
    BackendName.CUDA: 40,
}
"""Of each tile that is computed at a time: input, output and what lies between, at sixteen first channels."""

_PLACES = 80 * MIB
"""The place network compiled, and what each crop takes, for up to four at a time: measured with two."""

_SCAN_BYTES_A_VOXEL = 5
"""Hounsfield units (2) and the lungs, with one copy on their way to full size (3)."""

_WORKING_BYTES_A_VOXEL = 27
"""Sums of both maps (8), their weights (4), resampled and padded scan (8), then in the place of the last two: numbered
components and local peaks (8); and a handful of masks."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """The most that a prediction takes, in bytes, by what takes it. ``scan`` includes the volume itself."""

    interpreter: int
    library: int
    tiles: int
    scan: int
    maps: int

    @property
    def total(self) -> int:
        """All together."""
        return self.interpreter + self.library + self.tiles + self.scan + self.maps


def memory_estimate(
    *,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    settings: Settings,
    backend: BackendName,
    threads: int,
    has_graph: bool,
) -> MemoryEstimate:
    """Return the most memory that ``predict`` takes for a volume of ``shape`` (slices, rows, columns).

    ``spacing_mm``: (between slices, between rows, between columns). ``has_graph``: whether the bundle carries the graph
    and the reference that OpenVINO needs, else torch is loaded beside it. The lungs are taken to fill the whole scan,
    so that it holds for every scan of that shape; DICOM files that are read meanwhile are not counted.
    """
    uses_openvino = backend in (BackendName.OPENVINO_F32, BackendName.OPENVINO_BF16)
    # What tiles are fitted to is not known before the lungs are, and a smaller box may have the larger tiles.
    tile = tiling_of(settings).most_voxels
    width = max(1.0, settings.network.channels[0] / 16.0)
    return MemoryEstimate(
        interpreter=_INTERPRETER,
        library=_LIBRARY[backend]
        + (0 if has_graph or not uses_openvino else _CONVERSION)
        + (0 if settings.places is None else _PLACES),
        tiles=int(threads * tile * _TILE_BYTES_A_VOXEL[backend] * width),
        scan=_voxels(shape) * _SCAN_BYTES_A_VOXEL,
        maps=_working_voxels(shape, spacing_mm, settings) * _WORKING_BYTES_A_VOXEL,
    )


def _working_voxels(shape: Sequence[int], spacing_mm: Sequence[float], settings: Settings) -> int:
    return _voxels(
        [
            max(settings.tile, round(size * spacing / settings.spacing_mm) + 1)
            for size, spacing in zip(shape, spacing_mm, strict=True)
        ]
    )


def _voxels(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
