"""Training crops for the place network: a place, what lies exactly there, and whether that is a nodule.

What is to be outlined is only the lesion at the place, never its neighbours in the crop. Every sample follows from the
generator and the ground alone, so an interrupted training goes on with the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.inference.crops import View, cut
from imaging.inference.network import scale_window
from imaging.inference.place_settings import COARSE_MM, FINE_MM, PLACE_SIZE
from imaging.phantom.nodules import Attenuation, NoduleShape, RenderedNodule, blend, draw_nodule, render_nodule
from imaging.phantom.trees import AxialGrid
from imaging.phantom.visibility import shows
from imaging.training.patches import KINDS
from imaging.training.place_grounds import CLEAR_MM, PlaceGround

SMALLEST_MM, SMALL_MM, LARGEST_MM = 3.0, 8.0, 40.0
SMALL_SHARE = 0.5
FINEST_MM, COARSEST_MM = 0.6, 1.6
COARSE_FROM_MM = 16.0
PRESENT_SHARE = 0.35
"""Of the positives in a phantom: nodules that were scanned with it, instead of put in afterwards."""
NEIGHBOUR_SHARE = 0.35
TRIES = 80

Field = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PlaceSample:
    """``image``: (48, 48, 48) window-scaled. ``mask``: the same shape, 0 or 1, the lesion at the middle.

    ``nodule``: whether there is one.
    """

    image: Field
    mask: Field
    nodule: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """The piece of a ground that a crop rests on, to be changed. ``first``: the scan's index of its first voxel."""

    ground: PlaceGround
    view: View
    first: tuple[int, int, int]
    hounsfield: Field


def draw_place(*, ground: PlaceGround, generator: np.random.Generator, nodule: bool) -> PlaceSample:
    """Return one sample from ``ground``. Where no place for a nodule is found the sample is a negative one."""
    drawn = _positive(ground, generator) if nodule else None
    return drawn if drawn is not None else _negative(ground, generator)


def _positive(ground: PlaceGround, generator: np.random.Generator) -> PlaceSample | None:
    if len(ground.lesions) and generator.random() < PRESENT_SHARE:
        return _present(ground, generator)
    for _ in range(4):
        diameter = _diameter(generator)
        middle = _site(ground, generator, diameter)
        if middle is None:
            continue
        place = _jittered(ground, generator, middle, diameter)
        scene = _scene(ground, _view(ground, generator, place, diameter))
        own = _put_in(scene, generator, middle, diameter, avoid=None)
        if own is None:
            continue
        _neighbour(scene, generator, place, own)
        return _sample(scene, generator, own)
    return None


def _present(ground: PlaceGround, generator: np.random.Generator) -> PlaceSample:
    """A nodule that is in the phantom already; now and then where the first network reported it."""
    number = int(generator.integers(len(ground.lesions)))
    diameter = float(ground.lesion_diameters[number])
    place = _jittered(ground, generator, ground.lesion_centres[number], diameter)
    reported = ground.lesion_reported[number]
    if generator.random() < 0.4 and not np.isnan(reported[0]):
        place = reported
    scene = _scene(ground, _view(ground, generator, place, diameter))
    mask = ground.lesions[number]
    share = np.zeros(scene.hounsfield.shape, dtype=np.float32)
    offset = np.array(mask.origin) - np.array(scene.first)
    low, high = np.maximum(offset, 0), np.minimum(offset + np.array(mask.voxels.shape), share.shape)
    if np.all(low < high):
        inner = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
        share[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = mask.voxels[inner]
    _neighbour(scene, generator, place, share)
    return _sample(scene, generator, share)


def _negative(ground: PlaceGround, generator: np.random.Generator) -> PlaceSample:
    place, diameter = _empty_place(ground, generator)
    scene = _scene(ground, _view(ground, generator, place, diameter))
    _neighbour(scene, generator, place, None)
    return _sample(scene, generator, None)


def _empty_place(ground: PlaceGround, generator: np.random.Generator) -> tuple[Floats, float]:
    """Return a place without a nodule, and the diameter (mm) of what it may be taken for."""
    spacing = np.array(ground.spacing_mm)
    while True:
        kind = generator.random()
        # The same sizes as nodules have, so that the size of a voxel does not give the answer away.
        diameter = _diameter(generator)
        if kind < 0.55 and len(ground.false_places):
            weight = np.sqrt(ground.false_scores + 1e-3)
            number = int(generator.choice(len(weight), p=weight / weight.sum()))
            place = ground.false_places[number] + generator.normal(0.0, 0.7, 3) / spacing
            if generator.random() < 0.5:
                diameter = float(ground.false_diameters[number])
        elif kind < 0.78 and len(ground.bright):
            flat = int(ground.bright[generator.integers(len(ground.bright))])
            place = np.array(np.unravel_index(flat, ground.hounsfield.shape)) + generator.normal(0.0, 0.5, 3) / spacing
        elif kind < 0.92 and len(ground.rim):
            place = ground.rim[generator.integers(len(ground.rim))] + generator.normal(0.0, 1.0, 3) / spacing
        else:
            place = np.array([generator.uniform(0, size - 1) for size in ground.lungs.shape])
            if ground.depth_at(place) == 0.0:
                continue
        if not ground.is_silent(place) and ground.gap_mm(place) > CLEAR_MM:
            return np.asarray(place, dtype=np.float64), diameter


def _diameter(generator: np.random.Generator) -> float:
    largest = SMALL_MM if generator.random() < SMALL_SHARE else LARGEST_MM
    return float(np.exp(generator.uniform(np.log(SMALLEST_MM), np.log(largest))))


def _site(ground: PlaceGround, generator: np.random.Generator, diameter: float) -> Floats | None:
    """A third each: anywhere in the lung, on its surface, against something bright. Fractional index or None."""
    radius = 0.5 * diameter
    spacing = np.array(ground.spacing_mm)
    site = int(generator.integers(3))
    for _ in range(TRIES):
        if site == 2 and len(ground.bright):
            flat = int(ground.bright[generator.integers(len(ground.bright))])
            aside = generator.normal(size=3)
            aside *= radius * generator.uniform(0.3, 1.0) / np.linalg.norm(aside)
            place = np.array(np.unravel_index(flat, ground.hounsfield.shape)) + aside / spacing
        else:
            place = np.array([generator.uniform(0, size - 1) for size in ground.lungs.shape])
        deep = ground.depth_at(place)
        if site == 1 and not 0.3 * radius < deep < 0.95 * radius + 1.0:
            continue
        # No lung is deep enough for the largest everywhere: beyond 8 mm they may touch its surface.
        if site != 1 and deep < min(radius, 8.0):
            continue
        if ground.gap_mm(place) < radius + CLEAR_MM or _touches_silence(ground, place, radius):
            continue
        return np.asarray(place, dtype=np.float64)
    return None


def _touches_silence(ground: PlaceGround, place: Floats, radius: float) -> bool:
    if ground.silent is None:
        return False
    reach = (radius + CLEAR_MM) / np.array(ground.spacing_mm)
    low = np.maximum(np.floor(place - reach).astype(int), 0)
    high = np.minimum(np.ceil(place + reach).astype(int) + 1, ground.silent.shape)
    return bool(ground.silent[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].any())


def _jittered(ground: PlaceGround, generator: np.random.Generator, middle: Floats, diameter: float) -> Floats:
    """Where somebody may point who means the nodule: near its middle mostly, anywhere in it now and then."""
    radius = 0.5 * diameter
    if generator.random() < 0.2:
        offset = generator.normal(size=3)
        offset *= 0.95 * max(radius, 2.0) * generator.random() ** (1.0 / 3.0) / np.linalg.norm(offset)
    else:
        offset = generator.normal(0.0, min(0.15 * diameter, 1.0), 3)
        furthest = min(max(0.5 * radius, 1.0), 4.0)
        offset *= min(1.0, furthest / max(float(np.linalg.norm(offset)), 1e-6))
    return np.asarray(middle + offset / np.array(ground.spacing_mm), dtype=np.float64)


def _view(ground: PlaceGround, generator: np.random.Generator, place: Floats, diameter: float) -> View:
    if generator.random() < 0.65:
        usual = FINE_MM if diameter <= COARSE_FROM_MM else COARSE_MM
        voxel = usual * float(np.exp(generator.uniform(-0.15, 0.15)))
    else:
        voxel = float(np.exp(generator.uniform(np.log(FINEST_MM), np.log(COARSEST_MM))))
    z, y, x = place
    return View((float(z), float(y), float(x)), ground.spacing_mm, voxel)


def _scene(ground: PlaceGround, view: View) -> _Scene:
    box = view.box(ground.hounsfield.shape)
    first = (box[0].start, box[1].start, box[2].start)
    return _Scene(ground, view, first, ground.hounsfield[box].astype(np.float32))


def _put_in(
    scene: _Scene, generator: np.random.Generator, middle: Floats, diameter: float, *, avoid: Field | None
) -> Field | None:
    """Put a nodule into the scene and return what share of each voxel it fills inside the lungs; None if hardly any.

    With ``avoid``, shares of another, nothing is put in where the two would come near each other.
    """
    ground = scene.ground
    attenuation = Attenuation(generator.choice([kind.value for kind in KINDS], p=list(KINDS.values())))
    z, y, x = (middle - np.array(scene.first)) * np.array(ground.spacing_mm)
    shape = draw_nodule(
        generator=generator, centre_mm=(float(x), float(y), float(z)), diameter_mm=diameter, attenuation=attenuation
    )
    in_plane = float(generator.uniform(0.35, 0.7))
    rendered = _render(shape, scene)
    if rendered is None:
        return None
    box = tuple(slice(a, a + size) for a, size in zip(rendered.origin, rendered.coverage.shape, strict=True))
    whole = tuple(slice(a, a + size) for a, size in zip(scene.first, scene.hounsfield.shape, strict=True))
    share = np.zeros(scene.hounsfield.shape, dtype=np.float32)
    share[box] = rendered.coverage * ground.lungs[whole][box]
    if float((share[box] >= 0.5).sum()) * float(np.prod(ground.spacing_mm)) < 4.0:
        return None
    if avoid is not None and (ndimage.maximum_filter(share, size=3) * ndimage.maximum_filter(avoid, size=3)).any():
        return None
    # Averaging within the voxel has blurred by spacing / sqrt(12) already; only the rest of the profile is added.
    step = ground.spacing_mm[0]
    profile = float(np.sqrt(max(ground.profile_mm**2 - step**2 / 12.0, 0.0)))
    sigma = np.array([profile, in_plane, in_plane]) / np.array(ground.spacing_mm)
    seen = ndimage.gaussian_filter(rendered.coverage, sigma, mode="nearest", truncate=3.0)
    before = scene.hounsfield[box].copy()
    blend(hounsfield=scene.hounsfield, rendered=RenderedNodule(rendered.origin, seen, rendered.hounsfield))
    raised = (scene.hounsfield[box] - before)[share[box] >= 0.5]
    if not shows(raised=raised):
        scene.hounsfield[box] = before
        return None
    return share


def _render(shape: NoduleShape, scene: _Scene) -> RenderedNodule | None:
    """Render in finer slices and average them: a thick slice holds what lies within it, not what lies at its middle."""
    spacing = scene.ground.spacing_mm
    finer = max(1, round(spacing[0] / spacing[1]))
    slices, rows, columns = scene.hounsfield.shape
    thin = spacing[0] / finer
    grid = AxialGrid((slices * finer, rows, columns), (thin, *spacing[1:]), (0.0, 0.0, -0.5 * thin * (finer - 1)))
    fine = render_nodule(shape=shape, grid=grid, blur_mm=(0.0, 0.0, 0.0))
    if fine is None:
        return None
    first = fine.origin[0] // finer
    before = fine.origin[0] - first * finer
    after = -(before + fine.coverage.shape[0]) % finer
    pads = ((before, after), (2, 2), (2, 2))
    form = (-1, finer, fine.coverage.shape[1] + 4, fine.coverage.shape[2] + 4)
    coverage = np.pad(fine.coverage, pads).reshape(form).mean(axis=1)
    density = np.pad(fine.hounsfield, pads, mode="edge").reshape(form).mean(axis=1)
    # A rim of nothing, so that the blur that follows is not cut off; none where the scene ends.
    coverage, density = np.pad(coverage, ((1, 1), (0, 0), (0, 0))), np.pad(density, ((1, 1), (0, 0), (0, 0)), "edge")
    origin = np.array([first - 1, fine.origin[1] - 2, fine.origin[2] - 2])
    low = np.maximum(-origin, 0)
    high = np.minimum(np.array(scene.hounsfield.shape) - origin, coverage.shape)
    inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    z, y, x = (int(value) for value in origin + low)
    return RenderedNodule((z, y, x), coverage[inner], density[inner])


def _neighbour(scene: _Scene, generator: np.random.Generator, place: Floats, own: Field | None) -> None:
    """Now and then put another nodule near by, which is not the one that is asked about."""
    if generator.random() >= NEIGHBOUR_SHARE:
        return
    ground = scene.ground
    diameter = float(np.exp(generator.uniform(np.log(SMALLEST_MM), np.log(12.0))))
    half = 0.5 * PLACE_SIZE * scene.view.voxel_mm
    for _ in range(12):
        aside = generator.normal(size=3)
        aside *= generator.uniform(0.5 * diameter + CLEAR_MM, half) / np.linalg.norm(aside)
        middle = place + aside / np.array(ground.spacing_mm)
        if ground.depth_at(middle) < 0.3 * diameter or _touches_silence(ground, middle, 0.5 * diameter):
            continue
        if ground.gap_mm(middle) > 0.5 * diameter + CLEAR_MM:
            _put_in(scene, generator, middle, diameter, avoid=own)
            return


def _sample(scene: _Scene, generator: np.random.Generator, share: Field | None) -> PlaceSample:
    image = cut(values=scene.hounsfield, first=scene.first, view=scene.view)
    mask = np.zeros_like(image)
    if share is not None:
        mask = (cut(values=share, first=scene.first, view=scene.view) >= 0.5).astype(np.float32)
    image, mask = _augment(generator, image, mask)
    return PlaceSample(scale_window(image), mask, share is not None)


def _augment(generator: np.random.Generator, image: Field, mask: Field) -> tuple[Field, Field]:
    if generator.random() < 0.3:
        image = ndimage.gaussian_filter(image, generator.uniform(0.0, 0.8, 3))
    if generator.random() < 0.5:
        grain = ndimage.gaussian_filter(
            generator.standard_normal(image.shape, dtype=np.float32), float(generator.uniform(0.0, 1.2))
        )
        image = image + grain * float(generator.uniform(0.0, 35.0)) / float(grain.std())
    image = image * float(generator.uniform(0.96, 1.04)) + float(generator.uniform(-30.0, 30.0))
    flips = tuple(axis for axis in range(3) if generator.random() < 0.5)
    image, mask = np.flip(image, flips), np.flip(mask, flips)
    if generator.random() < 0.5:
        image, mask = image.transpose(0, 2, 1), mask.transpose(0, 2, 1)
    return np.ascontiguousarray(image, dtype=np.float32), np.ascontiguousarray(mask, dtype=np.float32)
