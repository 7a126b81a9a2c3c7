"""Public scans read for training and trials, through the same reader and geometry gate as any other series."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from imaging.geometry.verdict import LUNG_CT_TOLERANCES
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import load_volume, read_header
from imaging.types import Grid, PointMm, Volume


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A scan and the boxes (low corner, high corner; LPS mm) around the lesions that came outlined with it."""

    volume: Volume
    lesion_boxes: tuple[tuple[PointMm, PointMm], ...]


def read_scan(*, folder: Path, name: str, usable_mm: float) -> Scan | None:
    """Return the lowest ``usable_mm`` of the CT in ``folder/name`` or ``folder/name.zip``, or None if neither exists.

    Raises GeometryError or UnreadableFile if it is no regular volume.
    """
    ct: dict[str, bytes] = {}
    structures: list[pydicom.Dataset] = []
    for _, content in members(folder, name, ".dcm"):
        dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        if dataset.Modality == "CT":
            ct[str(dataset.SOPInstanceUID)] = content
        elif dataset.Modality == "RTSTRUCT":
            structures.append(dataset)
    if not ct:
        return None
    volume = load_volume(
        slices=[read_header(content, CT_READ_LIMITS) for content in ct.values()],
        open_bytes=lambda uid: ct[uid],
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    boxes = tuple(box for dataset in structures for box in _boxes(dataset))
    return Scan(_lowest(volume, usable_mm), boxes)


def read_member(*, folder: Path, name: str, member: str) -> bytes:
    """Return one file of ``folder/name`` or ``folder/name.zip``. Raises FileNotFoundError if it is in neither."""
    plain = folder / name / member
    if plain.is_file():
        return plain.read_bytes()
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        for entry in archive.namelist():
            if entry == member or entry.endswith(f"/{member}"):
                return archive.read(entry)
    raise FileNotFoundError(f"{member} is not in {name}")


def _lowest(volume: Volume, usable_mm: float) -> Volume:
    """Slices run upwards in every scan that is known here, so the lowest come first."""
    count = min(volume.grid.shape[0], int(np.ceil(usable_mm / volume.grid.spacing_mm[0])))
    if count == volume.grid.shape[0]:
        return volume
    hounsfield = volume.hounsfield[:count].copy()
    hounsfield.setflags(write=False)
    shape = (count, volume.grid.shape[1], volume.grid.shape[2])
    return replace(
        volume,
        grid=Grid(shape, volume.grid.affine, volume.grid.frame_of_reference_uid),
        hounsfield=hounsfield,
        sop_instance_uids=volume.sop_instance_uids[:count],
        instance_numbers=volume.instance_numbers[:count],
    )


def members(folder: Path, name: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path within it, content) of each file of ``folder/name`` or ``folder/name.zip`` with such an ending."""
    unpacked, packed = folder / name, folder / f"{name}.zip"
    if unpacked.is_dir():
        for path in sorted(unpacked.rglob(f"*{ending}")):
            yield path.relative_to(unpacked).as_posix(), path.read_bytes()
    elif packed.is_file():
        with zipfile.ZipFile(packed) as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith(ending):
                    yield entry, archive.read(entry)


def _boxes(dataset: pydicom.Dataset) -> Iterator[tuple[PointMm, PointMm]]:
    """Boxes 8 mm wider than each tumour or lymph node that an RTSTRUCT outlines."""
    names = {int(item.ROINumber): str(item.ROIName) for item in dataset.StructureSetROISequence}
    for item in dataset.ROIContourSequence:
        if names[int(item.ReferencedROINumber)].startswith(("Tumor", "LN")):
            points = np.concatenate(
                [np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3) for contour in item.ContourSequence]
            )
            yield as_point(points.min(axis=0) - 8.0), as_point(points.max(axis=0) + 8.0)


def as_point(values: NDArray[np.float64]) -> PointMm:
    """Return three coordinates as a point, LPS mm."""
    return (float(values[0]), float(values[1]), float(values[2]))
