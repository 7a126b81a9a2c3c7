"""Nodules put into a real scan: real vessels, pleura and noise around a lesion that is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.errors import GeometryError
from imaging.geometry.affine import to_index, to_patient
from imaging.masks.build import mask_from_voxels
from imaging.phantom.nodules import Attenuation, Site, blend, draw_nodule, find_place, render_nodule
from imaging.phantom.trees import AxialGrid
from imaging.types import Mask, PointMm, Sphere, Volume

VESSEL_ABOVE_HU = -400
TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class InsertedNodule:
    """What was put in. ``mask``: voxels of which it fills at least half, inside the lungs."""

    centre_mm: PointMm
    diameter_mm: float
    attenuation: Attenuation
    site: Site
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Insertion:
    """The changed scan, what is in it, and the diameters (mm) for which no free place was found."""

    volume: Volume
    nodules: tuple[InsertedNodule, ...]
    left_out_mm: tuple[float, ...]


def insert_nodules(
    *,
    volume: Volume,
    lungs: NDArray[np.bool_],
    diameters_mm: Sequence[float],
    keep_clear: Sequence[Sphere],
    slice_thickness_mm: float,
    seed: int,
) -> Insertion:
    """Return ``volume`` with nodules of these diameters put in, deterministic in ``seed``.

    ``lungs``: (slices, rows, columns) bool on the volume's grid; nodules stay in them, away from ``keep_clear`` (what
    is there already) and from each other. Edges are mixed by share of the voxel and blurred by the slice profile of
    ``slice_thickness_mm``; the background's noise goes on through the nodule.
    Raises GeometryError ``oblique-volume`` if slices, rows and columns are not at right angles.
    """
    spacing = volume.grid.spacing_mm
    axes = volume.grid.matrix[:3, :3] / np.array(spacing)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise GeometryError("oblique-volume", "Nodules can only be put into a volume whose axes are at right angles.")
    generator = np.random.default_rng([seed, 31])
    # A frame of its own, millimetres along column, row and slice: shapes know nothing of the patient's axes.
    frame = AxialGrid(volume.grid.shape, spacing, (0.0, 0.0, 0.0))
    hounsfield = volume.hounsfield.astype(np.float32)
    depth = np.asarray(ndimage.distance_transform_edt(lungs, sampling=spacing), dtype=np.float32)
    vessels = lungs & (hounsfield > VESSEL_ABOVE_HU)
    taken = [(_in_frame(volume, sphere.centre_mm), sphere.diameter_mm) for sphere in keep_clear]
    nodules: list[InsertedNodule] = []
    left_out: list[float] = []
    for diameter in sorted(diameters_mm, reverse=True):
        nodule = None
        for _ in range(TRIES):
            site = Site(generator.choice([kind.value for kind in Site]))
            centre = find_place(
                generator=generator,
                site=site,
                diameter_mm=diameter,
                lungs=lungs,
                depth_mm=depth,
                vessels=vessels,
                grid=frame,
                taken=taken,
            )
            if centre is not None:
                nodule = _insert(
                    volume, hounsfield, lungs, frame, generator, centre, diameter, site, slice_thickness_mm
                )
            if nodule is not None and centre is not None:
                taken.append((centre, diameter))
                break
        if nodule is None:
            left_out.append(diameter)
        else:
            nodules.append(nodule)
    changed = np.clip(np.rint(hounsfield), -32768, 32767).astype(np.int16)
    changed.setflags(write=False)
    return Insertion(replace(volume, hounsfield=changed), tuple(nodules), tuple(left_out))


def _in_frame(volume: Volume, place_mm: PointMm) -> PointMm:
    slice_, row, column = to_index(volume.grid, place_mm)
    between_slices, between_rows, between_columns = volume.grid.spacing_mm
    return (column * between_columns, row * between_rows, slice_ * between_slices)


def _insert(
    volume: Volume,
    hounsfield: NDArray[np.float32],
    lungs: NDArray[np.bool_],
    frame: AxialGrid,
    generator: np.random.Generator,
    centre: tuple[float, float, float],
    diameter: float,
    site: Site,
    slice_thickness_mm: float,
) -> InsertedNodule | None:
    attenuation = Attenuation(generator.choice([kind.value for kind in Attenuation], p=[0.66, 0.12, 0.18, 0.04]))
    shape = draw_nodule(generator=generator, centre_mm=centre, diameter_mm=diameter, attenuation=attenuation)
    in_plane = float(generator.uniform(0.4, 0.7))
    profile = float(np.sqrt(max(slice_thickness_mm**2 - frame.spacing_mm[0] ** 2, 0.0) / 12.0))
    bare = render_nodule(shape=shape, grid=frame, blur_mm=(0.0, 0.0, 0.0))
    seen = render_nodule(shape=shape, grid=frame, blur_mm=(profile, in_plane, in_plane))
    if bare is None or seen is None:
        return None
    box = tuple(slice(a, a + size) for a, size in zip(bare.origin, bare.coverage.shape, strict=True))
    mask = mask_from_voxels(grid=volume.grid, voxels=(bare.coverage >= 0.5) & lungs[box], origin=bare.origin)
    if not mask.count:
        return None
    blend(hounsfield=hounsfield, rendered=seen)
    middle = np.argwhere(mask.voxels).mean(axis=0) + np.array(mask.origin)
    size = float((6.0 * mask.count * float(np.prod(frame.spacing_mm)) / np.pi) ** (1.0 / 3.0))
    place = to_patient(volume.grid, [float(value) for value in middle])
    return InsertedNodule(place, size, attenuation, site, mask)
