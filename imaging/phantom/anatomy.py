"""A stylised thorax: body, lungs, heart, skeleton, airways and vessels, without nodules and without noise.

All shapes are analytic in LPS millimetres, so the same seed gives the same patient on any sampling. Hounsfield values
are round figures from textbooks; the aim is to be hard in the same way as real lungs (vessels, pleura, diaphragm), not
to be mistaken for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.phantom.trees import AxialGrid, Field, Floats, Tubes, grow_tree, render_tubes

AIR_HU = -1000.0
FAT_HU = -100.0
MUSCLE_HU = 45.0
BLOOD_HU = 40.0
WALL_HU = -60.0
BONE_HU = 320.0
WALL_MM = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """``hounsfield``: (slices, rows, columns) float32; ``lungs`` includes the vessels in them."""

    hounsfield: Field
    lungs: NDArray[np.bool_]
    vessels: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Build:
    """Sizes of one patient, mm. Lung radii are half-axes of a superellipsoid."""

    body_x: float
    body_y: float
    lung_centre_x: float
    lung_x: float
    lung_y: float
    lung_z: float
    power: float
    dome: float
    floor: float


def thorax(*, generator: np.random.Generator, grid: AxialGrid, seed: int) -> Anatomy:
    """Return one patient drawn from ``generator`` on ``grid``, whose middle is taken as mid-chest.

    ``seed`` feeds what was added to the recipe later (the minor fissure, breathing), so that the rest of an older
    phantom stays as it was.

    Raises ValueError if the field of view holds no lung.
    """
    build = _draw_build(generator, grid)
    hounsfield = _body(generator, grid, build)
    distance, wobble = _lung_distance(generator, grid, build)
    voxel = float(np.mean(grid.spacing_mm))
    lung = np.clip(0.5 - distance / voxel, 0.0, 1.0)
    lungs = lung > 0.5
    if np.count_nonzero(lungs) < 1000:
        raise ValueError(f"a grid of {grid.shape} at {grid.spacing_mm} mm holds no lung to speak of")
    parenchyma = generator.uniform(-890.0, -800.0) + generator.uniform(20.0, 80.0) * grid.axis(1) / build.lung_y
    parenchyma = parenchyma + 14.0 * wobble
    skeleton = render_tubes(tubes=_skeleton(generator, build), grid=grid)
    hounsfield += np.minimum(skeleton * 1.4, 1.0) * (BONE_HU - hounsfield)
    hounsfield += lung * (parenchyma - hounsfield)
    _fissures(generator, grid, build, hounsfield, lungs)
    later = np.random.default_rng([seed, 11])
    _minor_fissure(later, grid, build, hounsfield, lungs)
    tubes, airways = _trees(generator, grid, build, lungs)
    vessel = render_tubes(tubes=tubes, grid=grid)
    hounsfield += vessel * lung * (BLOOD_HU - hounsfield)
    walls = Tubes(airways.start, airways.end, airways.radius_start * 1.25 + 0.5, airways.radius_end * 1.25 + 0.5)
    hounsfield += render_tubes(tubes=walls, grid=grid) * lung * 0.8 * (WALL_HU - hounsfield)
    hounsfield += render_tubes(tubes=airways, grid=grid) * (AIR_HU - hounsfield)
    _breathe(later, grid, build, hounsfield)
    return Anatomy(hounsfield.astype(np.float32), lungs, (vessel > 0.4) & lungs)


def smooth_field(*, generator: np.random.Generator, shape: tuple[int, int, int], cells: int) -> Field:
    """Return smooth noise of about unit variance, (slices, rows, columns), with ``cells`` bumps along each axis."""
    coarse = generator.normal(0.0, 1.0, (cells + 1, cells + 1, cells + 1)).astype(np.float32)
    for axis, size in enumerate(shape):
        at = np.linspace(0, cells, size, dtype=np.float32)
        low = np.minimum(at.astype(int), cells - 1)
        part = at - low
        part = part * part * (3 - 2 * part)
        form = [1, 1, 1]
        form[axis] = -1
        weight = part.reshape(form)
        coarse = np.take(coarse, low, axis=axis) * (1 - weight) + np.take(coarse, low + 1, axis=axis) * weight
    return np.asarray(coarse * 1.6, dtype=np.float32)


def _draw_build(generator: np.random.Generator, grid: AxialGrid) -> _Build:
    room = 0.5 * grid.shape[2] * grid.spacing_mm[2]
    room_y = 0.5 * grid.shape[1] * grid.spacing_mm[1]
    body_x = float(generator.uniform(150.0, 190.0))
    scale = min(1.0, 0.97 * room / body_x)
    body_x *= scale
    body_y = min(float(body_x * generator.uniform(0.62, 0.72)), 0.9 * room_y)
    return _Build(
        body_x=body_x,
        body_y=body_y,
        lung_centre_x=body_x * 0.45,
        lung_x=body_x * float(generator.uniform(0.35, 0.39)),
        lung_y=body_y * float(generator.uniform(0.68, 0.77)),
        lung_z=float(generator.uniform(115.0, 145.0)),
        power=float(generator.uniform(2.2, 2.8)),
        dome=float(generator.uniform(25.0, 50.0)),
        floor=float(generator.uniform(-115.0, -80.0)),
    )


def _body(generator: np.random.Generator, grid: AxialGrid, build: _Build) -> Field:
    x, y = grid.axis(2), grid.axis(1)
    outline = (x / build.body_x) ** 2 + (y / build.body_y) ** 2
    fat = float(generator.uniform(0.04, 0.16))
    plane = np.full(outline.shape, AIR_HU, dtype=np.float32)
    plane += np.clip((1.0 - outline) * 30.0, 0.0, 1.0) * (FAT_HU - AIR_HU)
    plane += np.clip((1.0 - fat - outline) * 30.0, 0.0, 1.0) * (MUSCLE_HU - FAT_HU)
    table = (np.abs(y - build.body_y - 8.0) < 3.0) & (np.abs(x) < build.body_x)
    plane[table] = -250.0
    return np.repeat(plane, grid.shape[0], axis=0)


def _lung_distance(generator: np.random.Generator, grid: AxialGrid, build: _Build) -> tuple[Field, Field]:
    """Return roughly the signed distance in mm to the lungs' surface (negative inside), and the noise that roughens."""
    x, y, z = grid.axis(2), grid.axis(1), grid.axis(0)
    wobble = smooth_field(generator=generator, shape=grid.shape, cells=9)
    best: Field | None = None
    for sign in (-1.0, 1.0):
        centre = sign * build.lung_centre_x
        total = (
            np.abs((x - centre) / build.lung_x) ** build.power
            + np.abs(y / build.lung_y) ** build.power
            + np.abs(z / build.lung_z) ** build.power
        )
        distance = (total - 1.0) * (70.0 / build.power)
        lift = build.dome * (1.0 - ((x - centre) / build.lung_x) ** 2 - (y / build.lung_y) ** 2)
        distance = np.maximum(distance, build.floor + (8.0 if sign < 0 else 0.0) + lift - z)
        best = distance if best is None else np.minimum(best, distance)
    assert best is not None
    scale = build.body_x / 170.0
    middle = ((x - 4.0) / (24.0 * scale)) ** 2 + ((y + 5.0) / (0.85 * build.lung_y)) ** 2
    best = np.maximum(best, (1.0 - middle) * 14.0)
    heart = (
        ((x - 30.0 * scale) / (58.0 * scale)) ** 2
        + ((y + 0.35 * build.lung_y) / (0.55 * build.lung_y)) ** 2
        + ((z + 45.0) / 62.0) ** 2
    )
    best = np.maximum(best, (1.0 - heart) * 25.0)
    spine = (x / (24.0 * scale)) ** 2 + ((y - 0.85 * build.lung_y) / (30.0 * scale)) ** 2
    best = np.maximum(best, (1.0 - spine) * 14.0)
    # A chest wall everywhere: a box-shaped lung in an oval body would come through at the corners.
    skin = (np.sqrt((x / build.body_x) ** 2 + (y / build.body_y) ** 2) - 1.0) * build.body_y
    best = np.maximum(best, skin + WALL_MM)
    best += 1.6 * wobble
    return best.astype(np.float32), wobble


def _skeleton(generator: np.random.Generator, build: _Build) -> Tubes:
    starts: list[Floats] = []
    ends: list[Floats] = []
    radii: list[float] = []
    phase = float(generator.uniform(0.0, 26.0))
    for number in range(13):
        top = build.lung_z + 20.0 - phase - 26.0 * number
        for sign in (-1.0, 1.0):
            angle = np.linspace(0.12 * np.pi, 0.9 * np.pi, 15)
            z = top - 75.0 * (angle / np.pi)
            shrink = np.clip(1.0 - np.abs(z / (1.15 * build.lung_z)) ** build.power, 0.2, 1.0) ** (1.0 / build.power)
            rx = (build.lung_centre_x + build.lung_x + 6.0) * shrink
            ry = (build.lung_y + 6.0) * shrink
            path = np.stack([sign * rx * np.sin(angle), ry * np.cos(angle), z], axis=1)
            starts.extend(path[:-1])
            ends.extend(path[1:])
            radii.extend([float(generator.uniform(3.5, 5.0))] * (len(path) - 1))
    for height in range(-160, 161, 24):
        starts.append(np.array([0.0, build.lung_y * 0.85, float(height)]))
        ends.append(np.array([0.0, build.lung_y * 0.85, height + 19.0]))
        radii.append(min(15.0, build.lung_y * 0.2))
    radius = np.array(radii)
    return Tubes(np.array(starts), np.array(ends), radius, radius)


def _fissures(
    generator: np.random.Generator, grid: AxialGrid, build: _Build, hounsfield: Field, lungs: NDArray[np.bool_]
) -> None:
    """Draw the major fissures: slanting sheets, faint, thinner than a voxel."""
    x, y, z = grid.axis(2), grid.axis(1), grid.axis(0)
    for sign in (-1.0, 1.0):
        slope = float(generator.uniform(0.6, 1.1))
        bend = float(generator.uniform(-0.002, 0.002))
        sheet = np.abs(z - slope * y - 10.0 * sign + bend * (x - sign * build.lung_centre_x) ** 2)
        thin = np.clip(1.0 - sheet / (1.2 * max(grid.spacing_mm)), 0.0, 1.0) * (sign * x > 0)
        hounsfield += np.where(lungs, 110.0 * thin, 0.0).astype(np.float32)


def _minor_fissure(
    generator: np.random.Generator, grid: AxialGrid, build: _Build, hounsfield: Field, lungs: NDArray[np.bool_]
) -> None:
    """Draw the right lung's horizontal fissure, which parts the upper from the middle lobe in front."""
    x, y, z = grid.axis(2), grid.axis(1), grid.axis(0)
    height, tilt = float(generator.uniform(0.0, 20.0)), float(generator.uniform(-0.15, 0.15))
    sheet = np.abs(z - height - tilt * y + 0.0015 * (x + build.lung_centre_x) ** 2)
    thin = np.clip(1.0 - sheet / (1.2 * max(grid.spacing_mm)), 0.0, 1.0) * ((x < 0) & (y < 0))
    hounsfield += np.where(lungs, 90.0 * thin, 0.0).astype(np.float32)


def _breathe(generator: np.random.Generator, grid: AxialGrid, build: _Build, hounsfield: Field) -> None:
    """Smear half of the patients along z near the diaphragm, as breathing during the scan does: a double edge."""
    amplitude = float(generator.uniform(1.5, 4.0))
    if generator.random() < 0.5:
        return
    shift = max(1, round(amplitude / grid.spacing_mm[0]))
    moved = np.concatenate([hounsfield[shift:], np.repeat(hounsfield[-1:], shift, axis=0)])[: grid.shape[0]]
    height = grid.axis(0) - (build.floor + 0.6 * build.dome)
    weight = (0.5 * np.exp(-0.5 * (height / 18.0) ** 2)).astype(np.float32)
    hounsfield += weight * (moved - hounsfield)


def _trees(
    generator: np.random.Generator, grid: AxialGrid, build: _Build, lungs: NDArray[np.bool_]
) -> tuple[Tubes, Tubes]:
    """Return (vessels, airways) of both lungs, airways with trachea."""
    eroded = ndimage.binary_erosion(lungs[::2, ::2, ::2], iterations=1)
    inside = np.argwhere(eroded).astype(np.float64) * 2.0
    places = grid.to_mm(inside if len(inside) >= 16 else np.argwhere(lungs).astype(np.float64))
    cell = 8.0 * float(np.prod(grid.spacing_mm)) if len(inside) >= 16 else float(np.prod(grid.spacing_mm))
    vessels: list[Tubes] = []
    airways: list[Tubes] = []
    carina = np.array([0.0, 5.0, 35.0])
    for sign in (-1.0, 1.0):
        own = places[places[:, 0] * sign > 0]
        if len(own) < 8:
            continue
        litres = len(own) * cell / 1e6
        hilum = np.array([sign * 0.5 * build.lung_centre_x, 8.0, 10.0])
        density = float(generator.uniform(170.0, 270.0))
        for shift in (np.array([0.0, -8.0, 6.0]), np.array([0.0, 10.0, -12.0])):
            count = int(np.clip(density * litres, 8, 700))
            leaves = own[generator.integers(0, len(own), count)] + generator.uniform(-1.0, 1.0, (count, 3))
            leaf_radius = float(generator.uniform(0.38, 0.6))
            vessels.append(
                grow_tree(
                    generator=generator,
                    root_mm=hilum + shift,
                    leaves_mm=leaves,
                    leaf_radius_mm=leaf_radius,
                    exponent=2.7,
                )
            )
        leaves = own[generator.integers(0, len(own), int(np.clip(18 * litres, 4, 60)))]
        tree = grow_tree(generator=generator, root_mm=carina, leaves_mm=leaves, leaf_radius_mm=0.75, exponent=2.2)
        airways.append(tree)
    trachea = Tubes(carina[None], np.array([[0.0, -5.0, 200.0]]), np.array([8.0]), np.array([8.0]))
    airways.append(trachea)
    return _join(vessels), _join(airways)


def _join(parts: list[Tubes]) -> Tubes:
    return Tubes(
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.end for part in parts]),
        np.concatenate([part.radius_start for part in parts]),
        np.concatenate([part.radius_end for part in parts]),
    )
