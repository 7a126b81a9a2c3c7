"""The scan that is measured: a phantom of 300 slices of 512 x 512, stored as DICOM, and the box around its lungs."""

from __future__ import annotations

from pathlib import Path

from imaging.geometry.regions import lung_region
from imaging.inference.predict import CLOSING_MM, MARGIN_MM
from imaging.phantom.chest import chest_phantom
from imaging.phantom.dicom import write_series

SEED = 71_000_001
SHAPE = (300, 512, 512)
SPACING_MM = (1.0, 0.7, 0.7)
NODULES = 8
_BOX = "box.txt"


def make(folder: Path) -> tuple[float, float, float]:
    """Write the scan into ``folder``, unless it is there, and return the size of the box around its lungs in mm.

    The box is what both networks have to look at: (slices, rows, columns), with the margin that the service takes.
    """
    box = folder / _BOX
    if not box.is_file():
        case = chest_phantom(seed=SEED, shape=SHAPE, spacing_mm=SPACING_MM, nodule_count=NODULES)
        write_series(case=case, directory=folder / "dicom")
        lungs = lung_region(hounsfield=case.volume.hounsfield, spacing_mm=SPACING_MM, closing_mm=CLOSING_MM)
        sides = []
        for axis, step in enumerate(SPACING_MM):
            filled = lungs.any(axis=tuple(other for other in range(3) if other != axis)).nonzero()[0]
            low = max(0.0, filled[0] * step - MARGIN_MM)
            high = min(lungs.shape[axis] * step, (filled[-1] + 1) * step + MARGIN_MM)
            sides.append(high - low)
        # Last, so that a half-written scan is written again.
        box.write_text(" ".join(f"{side:.1f}" for side in sides))
    depth, height, width = (float(side) for side in box.read_text().split())
    return depth, height, width


def dicom_of(folder: Path) -> Path:
    """Return where the scan's files lie."""
    return folder / "dicom"


def patches(*, box_mm: tuple[float, ...], patch: tuple[int, ...], spacing_mm: tuple[float, ...], overlap: float) -> int:
    """Return how many patches cover a box, neighbours overlapping by at least the given share of a patch."""
    total = 1
    for side, size, spacing in zip(box_mm, patch, spacing_mm, strict=True):
        voxels, stride = round(side / spacing), int(size * (1.0 - overlap))
        total *= 1 + max(0, -(-(voxels - size) // stride))
    return total
