"""Phantoms to cut patches from: a rotating pool, made as the training goes, the same for the same seed."""

from __future__ import annotations

import numpy as np

from imaging.phantom.chest import chest_phantom
from imaging.training.backgrounds import WORKING_MM, Ground, make_ground, working_box

POOL_SIZE = 12
RENEW_EVERY_STEPS = 150


def phantom_ground(*, seed: int) -> Ground:
    """Return the phantom of ``seed`` on the working grid, its nodules marked."""
    generator = np.random.default_rng([seed, 77])
    spacing_z = float(generator.choice([1.0, 1.25, 2.0, 2.5, 3.0]))
    in_plane = float(generator.uniform(0.95, 1.15))
    slices = int(min(140, 170.0 / spacing_z))
    case = chest_phantom(
        seed=seed, shape=(slices, 320, 320), spacing_mm=(spacing_z, in_plane, in_plane), nodule_count=14
    )
    spacing = case.volume.grid.spacing_mm
    working = working_box(case.volume.hounsfield, spacing)
    lesions = np.zeros(working.hounsfield.shape, dtype=np.bool_)
    silent = np.zeros_like(lesions)
    centres = []
    for nodule in case.nodules:
        origin = np.array(nodule.mask.origin)
        corners = np.stack([origin - 1, origin + np.array(nodule.mask.voxels.shape)])
        low, high = working.from_scan(corners.astype(float))
        low = np.maximum(np.floor(low).astype(int), 0)
        high = np.minimum(np.ceil(high).astype(int) + 1, lesions.shape)
        axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        at = np.rint(working.to_scan(grid.astype(float))).astype(int) - origin
        inside = np.all((at >= 0) & (at < np.array(nodule.mask.voxels.shape)), axis=1)
        filled = np.zeros(len(grid), dtype=np.bool_)
        filled[inside] = nodule.mask.voxels[tuple(at[inside].T)]
        if not nodule.shows:
            # Neither to be found nor background: nothing is learnt there.
            silent[tuple(grid.T)] = True
            continue
        lesions[tuple(grid[filled].T)] = True
        middle = np.argwhere(nodule.mask.voxels).mean(axis=0) + origin
        centres.append([*working.from_scan(middle[None])[0], nodule.diameter_mm / WORKING_MM])
    return make_ground(
        name=f"phantom-{seed}",
        uid=case.volume.series_instance_uid,
        working=working,
        silent=silent,
        lesions=lesions,
        centres=np.array(centres).reshape(-1, 4),
        slice_blur_mm=spacing_z / float(np.sqrt(12.0)),
        smallest=64,
    )


def pool_seeds(*, seed: int, step: int) -> list[int]:
    """Return the phantom seeds in the pool at ``step``: the oldest is replaced every 150 steps."""
    renewals = step // RENEW_EVERY_STEPS
    return [seed * 100_000 + number for number in range(renewals, renewals + POOL_SIZE)]
