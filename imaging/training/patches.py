"""Training patches: a piece of a phantom or of a real scan, with nodules put in, and what is to be found in it.

Every patch follows from (seed, step, number) and the grounds alone, so an interrupted training goes on with the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.inference.network import scale_window
from imaging.phantom.nodules import Attenuation, NoduleShape, blend, draw_nodule, render_nodule
from imaging.phantom.trees import AxialGrid
from imaging.phantom.visibility import shows
from imaging.training.backgrounds import WORKING_MM, Ground

SIZE = 64
HARD_NEGATIVE_SHARE = 0.25
SMALLEST_MM, LARGEST_MM = 3.0, 40.0
SMALL_MM = 8.0
SMALL_SHARE = 0.5
"""Half of the nodules are small ones: a scan holds few large ones that anyone overlooks."""
KINDS = {
    Attenuation.SOLID: 0.46,
    Attenuation.CALCIFIED: 0.08,
    Attenuation.PART_SOLID: 0.23,
    Attenuation.GROUND_GLASS: 0.23,
}
"""Shares of what is put in. Sub-solid ones are oftener than in life: they are what a network learns last."""

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """All (64, 64, 64): ``image`` window-scaled; ``mask`` 0 or 1; ``heat`` 0 to 1, 1 at centres; ``weight`` 0 or 1."""

    image: Field
    mask: Field
    heat: Field
    weight: Field


def draw_patch(*, ground: Ground, generator: np.random.Generator) -> Patch:
    """Return one patch from ``ground``."""
    negative = generator.random() < HARD_NEGATIVE_SHARE
    centre = _centre(ground, generator, negative)
    shape = np.array(ground.hounsfield.shape)
    low = np.clip(centre - SIZE // 2 + generator.integers(-20, 21, 3), 0, shape - SIZE)
    box = tuple(slice(start, start + SIZE) for start in low)
    image = ground.hounsfield[box].astype(np.float32)
    lungs = ground.lungs[box]
    mask = ground.lesions[box].astype(np.float32)
    weight = 1.0 - ground.silent[box].astype(np.float32)
    heat = np.zeros(image.shape, dtype=np.float32)
    for *place, diameter in ground.centres:
        _mark(heat, np.array(place) - low, diameter)
    if not negative:
        _insert(ground, generator, centre, low, image, mask, heat, lungs)
    image, mask, heat, weight = _augment(generator, image, mask, heat, weight)
    return Patch(scale_window(image), mask, heat, weight)


def _centre(ground: Ground, generator: np.random.Generator, negative: bool) -> NDArray[np.int64]:
    if negative and len(ground.bright):
        flat = int(ground.bright[generator.integers(len(ground.bright))])
        return np.array(np.unravel_index(flat, ground.hounsfield.shape))
    if len(ground.centres) and generator.random() < 0.4:
        return np.rint(ground.centres[generator.integers(len(ground.centres)), :3]).astype(np.int64)
    while True:
        place = np.array([int(generator.integers(size)) for size in ground.lungs.shape])
        if ground.lungs[tuple(place)] and not ground.silent[tuple(place)]:
            return place


def _insert(
    ground: Ground,
    generator: np.random.Generator,
    centre: NDArray[np.int64],
    low: NDArray[np.int64],
    image: Field,
    mask: Field,
    heat: Field,
    lungs: NDArray[np.bool_],
) -> None:
    grid = AxialGrid((SIZE,) * 3, (WORKING_MM,) * 3, (0.0, 0.0, 0.0))
    depth = ground.depth[tuple(slice(start, start + SIZE) for start in low)]
    taken = mask > 0
    for number in range(int(generator.integers(2, 6))):
        # The first lies where the patch was centred and may be of any size; the others have to fit in beside it.
        small = number > 0 or generator.random() < SMALL_SHARE
        diameter = float(np.exp(generator.uniform(np.log(SMALLEST_MM), np.log(SMALL_MM if small else LARGEST_MM))))
        place = _place(generator, lungs, depth, image, diameter, centre - low if number == 0 else None)
        if place is None:
            continue
        x, y, z = (WORKING_MM * (place + generator.uniform(-0.5, 0.5, 3)))[::-1]
        attenuation = Attenuation(generator.choice([kind.value for kind in KINDS], p=list(KINDS.values())))
        shape = draw_nodule(
            generator=generator, centre_mm=(float(x), float(y), float(z)), diameter_mm=diameter, attenuation=attenuation
        )
        _place_one(ground, shape, grid, generator, taken, image, mask, heat, lungs)


def _place(
    generator: np.random.Generator,
    lungs: NDArray[np.bool_],
    depth: NDArray[np.float16],
    image: Field,
    diameter: float,
    wished: NDArray[np.int64] | None,
) -> NDArray[np.float64] | None:
    """A third each: anywhere in the lung, on its surface, against something bright."""
    site = int(generator.integers(3))
    if wished is not None and np.any(wished < 6) | np.any(wished >= SIZE - 6):
        wished = None
    for attempt in range(60):
        place = wished if wished is not None and attempt == 0 else generator.integers(5, SIZE - 5, 3)
        at = (int(place[0]), int(place[1]), int(place[2]))
        if not lungs[at]:
            continue
        deep = float(depth[at])
        if site == 1 and not 0.3 * diameter / 2 < deep < 0.95 * diameter / 2 + 1.0:
            continue
        if site != 1 and deep < diameter / 2:
            continue
        around = image[tuple(slice(max(0, index - 2), index + 3) for index in at)]
        if site == 2 and float(around.max()) < -350.0:
            continue
        return np.array(place, dtype=np.float64)
    return None


def _place_one(
    ground: Ground,
    shape: NoduleShape,
    grid: AxialGrid,
    generator: np.random.Generator,
    taken: NDArray[np.bool_],
    image: Field,
    mask: Field,
    heat: Field,
    lungs: NDArray[np.bool_],
) -> None:
    blur = float(generator.uniform(0.4, 0.8))
    bare = render_nodule(shape=shape, grid=grid, blur_mm=(0.0, 0.0, 0.0))
    seen = render_nodule(shape=shape, grid=grid, blur_mm=(ground.slice_blur_mm, blur, blur))
    if bare is None or seen is None:
        return
    box = tuple(slice(a, a + size) for a, size in zip(bare.origin, bare.coverage.shape, strict=True))
    inside = (bare.coverage >= 0.5) & lungs[box]
    if not inside.any() or (inside & ndimage.binary_dilation(taken[box], iterations=2)).any():
        return
    before = image.copy()
    blend(hounsfield=image, rendered=seen)
    if not shows(raised=(image[box] - before[box])[inside]):
        image[...] = before
        return
    taken[box] |= inside
    mask[box] = np.maximum(mask[box], inside)
    centre = np.argwhere(inside).mean(axis=0) + np.array(bare.origin)
    _mark(heat, centre, (6.0 * np.count_nonzero(inside) / np.pi) ** (1.0 / 3.0))


def _mark(heat: Field, centre: NDArray[np.float64], diameter: float) -> None:
    """Draw a centre: a bell that is 1 at the nearest voxel, wider for larger nodules. ``diameter`` in voxels."""
    nearest = np.rint(centre)
    if np.any(nearest < -4) or np.any(nearest > SIZE + 3):
        return
    sigma = float(np.clip(diameter / 6.0, 0.9, 2.5))
    axes = [np.exp(-0.5 * ((np.arange(SIZE) - place) / sigma) ** 2) for place in nearest]
    bell = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    np.maximum(heat, bell.astype(np.float32), out=heat)


def _augment(
    generator: np.random.Generator, image: Field, mask: Field, heat: Field, weight: Field
) -> tuple[Field, Field, Field, Field]:
    if generator.random() < 0.3:
        image = ndimage.gaussian_filter(image, generator.uniform(0.0, 0.7, 3))
    if generator.random() < 0.5:
        grain = ndimage.gaussian_filter(
            generator.standard_normal(image.shape, dtype=np.float32), float(generator.uniform(0.0, 0.8))
        )
        image = image + grain * float(generator.uniform(0.0, 35.0)) / float(grain.std())
    image = image * float(generator.uniform(0.96, 1.04)) + float(generator.uniform(-30.0, 30.0))
    fields = [image, mask, heat, weight]
    flips = tuple(axis for axis in range(3) if generator.random() < 0.5)
    fields = [np.flip(field, flips) for field in fields]
    if generator.random() < 0.5:
        fields = [field.transpose(0, 2, 1) for field in fields]
    return (
        np.ascontiguousarray(fields[0], dtype=np.float32),
        np.ascontiguousarray(fields[1], dtype=np.float32),
        np.ascontiguousarray(fields[2], dtype=np.float32),
        np.ascontiguousarray(fields[3], dtype=np.float32),
    )
