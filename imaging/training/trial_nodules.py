"""Nodules for trials only: another renderer and another inserter than those the network learnt from.

A network shines on the renderer that it was trained on. These nodules are clusters of overlapping balls, sampled three
times finer than the scan, mixed in by share of the voxel, with texture of their own. Nothing here is used in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_patient
from imaging.geometry.regions import lung_region
from imaging.masks.build import mask_from_voxels
from imaging.phantom.visibility import shows
from imaging.types import Mask, PointMm, Sphere, Volume

FINER = 3
KINDS = (("solid", 0.6), ("part-solid", 0.15), ("ground-glass", 0.25))


@dataclass(frozen=True, slots=True, eq=False)
class TrialNodule:
    """A nodule that was put in. ``mask``: voxels of which it fills at least half."""

    centre_mm: PointMm
    diameter_mm: float
    kind: str
    mask: Mask
    shows: bool


def insert_trial_nodules(
    *, volume: Volume, diameters_mm: Sequence[float], keep_clear: Sequence[Sphere], seed: int
) -> tuple[Volume, tuple[TrialNodule, ...]]:
    """Return a copy of ``volume`` with nodules of about these diameters in its lungs, and what was put in.

    Centres keep away from ``keep_clear`` and from each other. A diameter for which no place is found is left out.
    """
    generator = np.random.default_rng([seed, 4711])
    spacing = np.array(volume.grid.spacing_mm)
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=volume.grid.spacing_mm, closing_mm=4.0)
    steps = np.maximum(1, np.rint(3.0 / spacing)).astype(int)
    coarse = lungs[:: steps[0], :: steps[1], :: steps[2]]
    depth = ndimage.distance_transform_edt(coarse, sampling=steps * spacing)
    hounsfield = volume.hounsfield.astype(np.float32)
    taken = [(np.array(sphere.centre_mm), sphere.diameter_mm / 2.0) for sphere in keep_clear]
    placed = []
    for diameter in sorted(diameters_mm, reverse=True):
        allowed = np.argwhere(depth > min(0.7 * diameter / 2.0, 8.0)) * steps
        for _ in range(40 if len(allowed) else 0):
            index = allowed[int(generator.integers(len(allowed)))]
            centre = to_patient(volume.grid, [float(value) for value in index])
            if any(np.linalg.norm(np.array(centre) - at) < 0.5 * diameter + radius + 8.0 for at, radius in taken):
                continue
            nodule = _put(hounsfield, volume, index, diameter, lungs, generator)
            if nodule is not None:
                placed.append(nodule)
                taken.append((np.array(nodule.centre_mm), 0.5 * diameter))
            break
    changed = np.clip(np.rint(hounsfield), -32768, 32767).astype(np.int16)
    changed.setflags(write=False)
    return replace(volume, hounsfield=changed), tuple(placed)


def _put(
    hounsfield: NDArray[np.float32],
    volume: Volume,
    index: NDArray[np.int64],
    diameter: float,
    lungs: NDArray[np.bool_],
    generator: np.random.Generator,
) -> TrialNodule | None:
    spacing = np.array(volume.grid.spacing_mm)
    half = np.ceil(diameter / spacing).astype(int) + 2
    low, high = index - half, index + half + 1
    if np.any(low < 0) or np.any(high > volume.grid.shape):
        return None
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    share = _cluster(high - low, half, spacing, diameter, generator)
    kind = str(generator.choice([name for name, _ in KINDS], p=[weight for _, weight in KINDS]))
    texture = ndimage.gaussian_filter(generator.normal(size=share.shape), 0.8)
    texture *= 25.0 / max(float(texture.std()), 1e-6)
    level = np.full(share.shape, float(generator.uniform(-60.0, 60.0)))
    if kind != "solid":
        glass = float(generator.uniform(-680.0, -450.0))
        level[:] = glass
        if kind == "part-solid":
            core = _cluster(high - low, half, spacing, 0.5 * diameter, generator)
            level += core * (float(generator.uniform(-80.0, 30.0)) - glass)
    inside = (share >= 0.5) & lungs[box]
    if np.count_nonzero(inside) < 2:
        return None
    seen = ndimage.gaussian_filter(share, 0.5 / spacing)
    local = hounsfield[box]
    brighter = np.maximum(level + texture, local)
    changed = local * (1.0 - seen) + brighter * seen
    raised = (changed - local)[inside]
    hounsfield[box] = changed
    mask = mask_from_voxels(grid=volume.grid, voxels=inside, origin=(int(low[0]), int(low[1]), int(low[2])))
    middle = np.argwhere(inside).mean(axis=0) + low
    size = float((6.0 * mask.count * float(np.prod(spacing)) / np.pi) ** (1.0 / 3.0))
    return TrialNodule(
        to_patient(volume.grid, [float(value) for value in middle]), size, kind, mask, shows(raised=raised)
    )


def _cluster(
    shape: NDArray[np.int64],
    middle: NDArray[np.int64],
    spacing: NDArray[np.float64],
    diameter: float,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Share of each voxel inside a cluster of balls whose volume is about that of one ball of ``diameter``."""
    axes = [
        ((np.arange(size * FINER) + 0.5) / FINER - 0.5 - centre) * step
        for size, centre, step in zip(shape, middle, spacing, strict=True)
    ]
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    field = np.zeros(tuple(int(size) * FINER for size in shape))
    radius = 0.5 * diameter
    for _ in range(int(generator.integers(2, 7))):
        offset = generator.normal(0.0, 0.32 * radius, 3)
        reach = float(generator.uniform(0.55, 0.9)) * radius
        field += np.exp(-((z - offset[0]) ** 2 + (y - offset[1]) ** 2 + (x - offset[2]) ** 2) / reach**2)
    wanted = np.pi / 6.0 * diameter**3 / float(np.prod(spacing)) * FINER**3
    level = np.partition(field.ravel(), -int(wanted))[-int(wanted)] if wanted < field.size else 0.0
    fine = (field >= max(level, 1e-3)).astype(np.float64)
    a, b, c = (int(size) for size in shape)
    return np.asarray(fine.reshape(a, FINER, b, FINER, c, FINER).mean(axis=(1, 3, 5)))
