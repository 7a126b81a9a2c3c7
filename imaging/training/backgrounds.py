"""Real chest CTs as backgrounds for inserted nodules, with their own lesions left out of the loss.

No background's label is ever learnt from: where a scan has, or may have, lesions of its own the loss is silent.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.regions import lung_region
from imaging.inference.sampling import WorkingVolume, resample_box

WORKING_MM = 1.25
MARGIN_MM = 25.0


@dataclass(frozen=True, slots=True)
class Source:
    """A public scan that may serve as background.

    ``usable_mm``: thickness of the scan that is used, from its lowest slice; the rest holds unannotated lesions.
    ``silent``: boxes ((x, y, z), (x, y, z)) in LPS mm that the loss does not see. ``weight``: share of draws.
    """

    name: str
    slice_blur_mm: float
    usable_mm: float
    silent: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    weight: float


# Thick-slice scans (8 mm) are left out: a nodule smaller than their spacing cannot be inserted honestly.
SOURCES = (
    # Both apices hold opacities (a nodule on the right, scars on the left); no outline of them is published.
    Source("lungfcp", 0.6, 50.0, (), 0.45),
    Source("4dlung", 0.9, 1000.0, (), 0.4),
    Source("acrin-chest", 1.45, 1000.0, (), 0.15),
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


def load_grounds(folder: Path) -> list[tuple[Ground, float]]:
    """Return (ground, weight of draws) for each known scan in ``folder``, as ``NAME/ct`` or ``NAME.zip``."""
    found = []
    for source in SOURCES:
        files = list(_files(folder, source.name))
        if files:
            found.append((_ground(source, files), source.weight))
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


def _files(folder: Path, name: str) -> Iterator[tuple[str, bytes]]:
    unpacked, packed = folder / name, folder / f"{name}.zip"
    if unpacked.is_dir():
        for path in sorted(unpacked.rglob("*.dcm")):
            yield path.relative_to(unpacked).as_posix(), path.read_bytes()
    elif packed.is_file():
        with zipfile.ZipFile(packed) as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith(".dcm"):
                    yield entry, archive.read(entry)


def _ground(source: Source, files: list[tuple[str, bytes]]) -> Ground:
    datasets = [pydicom.dcmread(io.BytesIO(content)) for _, content in files]
    slices = sorted(
        (dataset for dataset in datasets if dataset.Modality == "CT"),
        key=lambda dataset: float(dataset.ImagePositionPatient[2]),
    )
    heights = np.array([float(dataset.ImagePositionPatient[2]) for dataset in slices])
    between_rows, between_columns = (float(step) for step in slices[0].PixelSpacing)
    spacing = (float(np.median(np.diff(heights))), between_rows, between_columns)
    count = int(np.count_nonzero(heights - heights[0] < source.usable_mm))
    hounsfield = np.stack(
        [
            dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
            for dataset in slices[:count]
        ]
    ).astype(np.int16)
    working = working_box(hounsfield, spacing)
    silent = np.zeros(working.hounsfield.shape, dtype=np.bool_)
    origin = np.array([float(value) for value in slices[0].ImagePositionPatient])
    for box in (*source.silent, *_contour_boxes(datasets)):
        corners = np.sort(np.array(box) - origin, axis=0)[:, ::-1] / np.array(spacing)
        low, high = working.from_scan(corners)
        silent[tuple(slice(max(0, int(a)), max(0, int(np.ceil(b)) + 1)) for a, b in zip(low, high, strict=True))] = True
    return make_ground(
        name=source.name,
        uid=str(slices[0].SeriesInstanceUID),
        working=working,
        silent=silent,
        lesions=np.zeros_like(silent),
        centres=np.zeros((0, 4)),
        slice_blur_mm=source.slice_blur_mm,
        smallest=64,
    )


def _contour_boxes(datasets: Sequence[pydicom.Dataset]) -> Iterator[NDArray[np.float64]]:
    """Boxes 8 mm wider than each tumour or lymph node that an RTSTRUCT outlines."""
    for dataset in datasets:
        if dataset.Modality != "RTSTRUCT":
            continue
        names = {int(item.ROINumber): str(item.ROIName) for item in dataset.StructureSetROISequence}
        for item in dataset.ROIContourSequence:
            if not names[int(item.ReferencedROINumber)].startswith(("Tumor", "LN")):
                continue
            points = np.concatenate(
                [np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3) for contour in item.ContourSequence]
            )
            yield np.stack([points.min(axis=0) - 8.0, points.max(axis=0) + 8.0])
