"""Real chest CTs as backgrounds for inserted nodules, with their own lesions left out of the loss.

No background's label is ever learnt from: where a scan has, or may have, lesions of its own the loss is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_index
from imaging.geometry.regions import lung_region
from imaging.inference.sampling import WorkingVolume, resample_box
from imaging.training.scans import Scan, read_scan

WORKING_MM = 1.25
MARGIN_MM = 25.0


@dataclass(frozen=True, slots=True)
class Source:
    """A public scan that may serve as background.

    ``usable_mm``: thickness of the scan that is used, from its lowest slice; the rest holds unannotated lesions.
    ``slice_blur_mm``: standard deviation of its slice profile. ``weight``: share of draws.
    """

    name: str
    slice_blur_mm: float
    usable_mm: float
    weight: float


# Thick-slice scans (8 mm) are left out: a nodule smaller than their spacing cannot be inserted honestly.
SOURCES = (
    # Both apices hold opacities (a nodule on the right, scars on the left); no outline of them is published.
    Source("lungfcp", 0.6, 50.0, 0.45),
    Source("4dlung", 0.9, 1000.0, 0.4),
    Source("acrin-chest", 1.45, 1000.0, 0.15),
)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A volume to cut training patches from, (slices, rows, columns) at 1.25 mm.

    ``silent``: voxels without loss. ``lesions``: voxels of lesions that are to be found; ``centres``: (n, 4) working
    index and diameter in voxels. ``bright``: where vessels and walls lie, for hard negatives.
    """

    name: str
    uid: str
    hounsfield: NDArray[np.int16]
    lungs: NDArray[np.bool_]
    depth: NDArray[np.float16]
    silent: NDArray[np.bool_]
    lesions: NDArray[np.bool_]
    centres: NDArray[np.float64]
    bright: NDArray[np.int64]
    slice_blur_mm: float


def load_grounds(folder: Path, *, without: tuple[str, ...]) -> list[tuple[Ground, float]]:
    """Return (ground, weight of draws) for each known scan in ``folder``, as ``NAME/ct`` or ``NAME.zip``.

    Those named in ``without`` are not even opened.
    """
    found = []
    for source in SOURCES:
        if source.name in without:
            continue
        scan = read_scan(folder=folder, name=source.name, usable_mm=source.usable_mm)
        if scan is not None:
            found.append((_ground(source, scan), source.weight))
    return found


def make_ground(
    *,
    name: str,
    uid: str,
    working: WorkingVolume,
    silent: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    centres: NDArray[np.float64],
    slice_blur_mm: float,
    smallest: int,
) -> Ground:
    """Return a ground, padded with air to at least ``smallest`` voxels on each axis."""
    hounsfield = working.hounsfield
    # Before padding: air added at a cut surface would join the lungs to the outside.
    lungs = lung_region(hounsfield=hounsfield, spacing_mm=(WORKING_MM,) * 3, closing_mm=8.0)
    pads = [(0, max(0, smallest - size)) for size in hounsfield.shape]
    hounsfield = np.pad(hounsfield, pads, constant_values=-1000.0)
    silent, lesions = np.pad(silent, pads, constant_values=True), np.pad(lesions, pads)
    lungs = np.pad(lungs, pads)
    depth = ndimage.distance_transform_edt(lungs, sampling=WORKING_MM)
    bright = np.flatnonzero((hounsfield > -500.0) & lungs & ~lesions & ~silent)
    return Ground(
        name,
        uid,
        np.clip(np.rint(hounsfield), -1100, 3000).astype(np.int16),
        lungs,
        depth.astype(np.float16),
        silent,
        lesions,
        centres,
        bright,
        slice_blur_mm,
    )


def working_box(hounsfield: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> WorkingVolume:
    """Return the box around the lungs on the working grid."""
    lungs = lung_region(hounsfield=hounsfield, spacing_mm=spacing_mm, closing_mm=8.0)
    filled = np.argwhere(lungs[::2, ::4, ::4]) * np.array([2, 4, 4])
    margin = np.ceil(MARGIN_MM / np.array(spacing_mm)).astype(int)
    low = np.maximum(filled.min(axis=0) - margin, 0)
    high = np.minimum(filled.max(axis=0) + 4 + margin, hounsfield.shape)
    return resample_box(
        hounsfield=hounsfield,
        spacing_mm=spacing_mm,
        low=(int(low[0]), int(low[1]), int(low[2])),
        high=(int(high[0]), int(high[1]), int(high[2])),
        target_mm=WORKING_MM,
    )


def _ground(source: Source, scan: Scan) -> Ground:
    grid = scan.volume.grid
    working = working_box(scan.volume.hounsfield, grid.spacing_mm)
    silent = np.zeros(working.hounsfield.shape, dtype=np.bool_)
    for box in scan.lesion_boxes:
        corners = np.sort(np.array([to_index(grid, corner) for corner in box]), axis=0)
        low, high = working.from_scan(corners)
        silent[tuple(slice(max(0, int(a)), max(0, int(np.ceil(b)) + 1)) for a, b in zip(low, high, strict=True))] = True
    return make_ground(
        name=source.name,
        uid=scan.volume.series_instance_uid,
        working=working,
        silent=silent,
        lesions=np.zeros_like(silent),
        centres=np.zeros((0, 4)),
        slice_blur_mm=source.slice_blur_mm,
        smallest=64,
    )
