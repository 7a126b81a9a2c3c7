"""Second nodules that touch first ones: the places where a missing label hides behind its neighbour's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from imaging.geometry.affine import to_patient
from imaging.masks.build import box_of, mask_from_voxels
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.nodules import Attenuation, Site, blend, draw_nodule, render_nodule
from imaging.phantom.trees import AxialGrid
from imaging.phantom.visibility import shows
from imaging.types import Mask

IN_PLANE_BLUR_MM = 0.5
TRIES = 24
LEAST_CLEAR_SHARE = 0.8
"""Share of a neighbour that has to lie in the lung and outside every other nodule."""


def with_neighbours(*, case: PhantomCase, diameters_mm: Sequence[float], seed: int) -> PhantomCase:
    """Return the case with nodules of about these diameters put beside the ones that are there, touching them.

    Each stands beside another host, not much smaller than itself, surfaces meeting; masks share no voxel. One for which
    there is no host or no room is left out. Deterministic in ``case.seed`` and ``seed``.
    """
    generator = np.random.default_rng([case.seed, seed, 57])
    grid = case.volume.grid
    # A frame of its own, millimetres along column, row and slice: shapes know nothing of the patient's axes.
    frame = AxialGrid(grid.shape, grid.spacing_mm, (0.0, 0.0, 0.0))
    hounsfield = case.volume.hounsfield.astype(np.float32)
    nodules = list(case.nodules)
    hosts = [one for one in nodules if one.attenuation is not Attenuation.CALCIFIED]
    for diameter in sorted(diameters_mm, reverse=True):
        able = [one for one in hosts if one.diameter_mm >= 0.8 * diameter]
        for index in generator.permutation(len(able)):
            host = able[int(index)]
            placed = _beside(host, diameter, nodules, case, hounsfield, frame, generator)
            if placed is not None:
                nodules.append(placed)
                hosts.remove(host)
                break
    changed = np.clip(np.rint(hounsfield), -32768, 32767).astype(np.int16)
    changed.setflags(write=False)
    return replace(case, volume=replace(case.volume, hounsfield=changed), nodules=tuple(nodules))


def _beside(
    host: TrueNodule,
    diameter: float,
    nodules: Sequence[TrueNodule],
    case: PhantomCase,
    hounsfield: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    frame: AxialGrid,
    generator: np.random.Generator,
) -> TrueNodule | None:
    spacing = np.array(frame.spacing_mm)
    middle = (np.argwhere(host.mask.voxels).mean(axis=0) + np.array(host.mask.origin)) * spacing
    for _ in range(TRIES):
        way = generator.normal(size=3) * np.array([0.4, 1.0, 1.0])
        at = middle + way / np.linalg.norm(way) * 0.5 * (host.diameter_mm + diameter) * generator.uniform(0.85, 1.0)
        shape = draw_nodule(
            generator=generator,
            centre_mm=(float(at[2]), float(at[1]), float(at[0])),
            diameter_mm=diameter,
            attenuation=Attenuation.SOLID,
        )
        shape = replace(shape, spikes=np.zeros((0, 3)))
        bare = render_nodule(shape=shape, grid=frame, blur_mm=(0.0, 0.0, 0.0))
        if bare is None:
            continue
        box = tuple(slice(a, a + size) for a, size in zip(bare.origin, bare.coverage.shape, strict=True))
        filled = bare.coverage >= 0.5
        clear = filled & case.lungs[box]
        for other in nodules:
            clear &= ~_in_box(other.mask, bare.origin, clear.shape)
        if np.count_nonzero(clear) < max(4.0, LEAST_CLEAR_SHARE * np.count_nonzero(filled)):
            continue
        near = ndimage.binary_dilation(clear, structure=np.ones((3, 3, 3)))
        if not np.any(near & _in_box(host.mask, bare.origin, clear.shape)):
            continue
        _, found = ndimage.label(clear)
        if found != 1:
            continue
        seen = render_nodule(shape=shape, grid=frame, blur_mm=(0.0, IN_PLANE_BLUR_MM, IN_PLANE_BLUR_MM))
        if seen is None:
            continue
        before = hounsfield[box].copy()
        blend(hounsfield=hounsfield, rendered=seen)
        raised = (hounsfield[box] - before)[clear]
        mask = mask_from_voxels(grid=case.volume.grid, voxels=clear, origin=bare.origin)
        return _true_nodule(f"N{len(nodules) + 1:02d}", mask, shows(raised=raised))
    return None


def _in_box(
    mask: Mask, origin: tuple[int, int, int], shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return a mask as it lies in a box of the grid."""
    inside = np.zeros(shape, dtype=np.bool_)
    low = [max(part.start, a) for part, a in zip(box_of(mask), origin, strict=True)]
    high = [min(part.stop, a + size) for part, a, size in zip(box_of(mask), origin, shape, strict=True)]
    if all(start < stop for start, stop in zip(low, high, strict=True)):
        here = tuple(slice(start - a, stop - a) for start, stop, a in zip(low, high, origin, strict=True))
        there = tuple(slice(start - a, stop - a) for start, stop, a in zip(low, high, mask.origin, strict=True))
        inside[here] = mask.voxels[there]
    return inside


def _true_nodule(nodule_id: str, mask: Mask, seen: bool) -> TrueNodule:
    diameter = float((6.0 * mask.count * float(np.prod(mask.grid.spacing_mm)) / np.pi) ** (1.0 / 3.0))
    index = np.argwhere(mask.voxels).mean(axis=0) + np.array(mask.origin)
    return TrueNodule(
        nodule_id=nodule_id,
        centre_mm=to_patient(mask.grid, [float(value) for value in index]),
        diameter_mm=diameter,
        attenuation=Attenuation.SOLID,
        site=Site.ISOLATED,
        subtlety=int(np.clip(round(diameter / 6.0 + 2.5), 1, 5)),
        malignancy=int(np.clip(round(1.0 + diameter / 8.0), 1, 5)),
        mask=mask,
        shows=seen,
    )
