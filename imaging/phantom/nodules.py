"""Shapes of synthetic nodules: what share of each voxel they fill, and how dense they are.

Coordinates are (x, y, z) LPS millimetres; local arrays are (slices, rows, columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.phantom.trees import AxialGrid, Field, Floats


class Attenuation(StrEnum):
    """How a nodule looks on CT (Fleischner Society glossary)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"
    CALCIFIED = "calcified"


class Site(StrEnum):
    """What a nodule lies against."""

    ISOLATED = "isolated"
    JUXTAPLEURAL = "juxtapleural"
    JUXTAVASCULAR = "juxtavascular"


@dataclass(frozen=True, slots=True, eq=False)
class NoduleShape:
    """One nodule, free of any grid.

    ``axes``: relative half-axes along the rows of ``rotation``; ``waves``: (n, 3) directions on the unit sphere with
    ``wave_depths`` relative to the radius; ``spikes``: (m, 3) directions of spicules.
    """

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    attenuation: Attenuation
    hounsfield: float
    core_hounsfield: float
    core_share: float
    axes: Floats
    rotation: Floats
    waves: Floats
    wave_depths: Floats
    wave_phases: Floats
    spikes: Floats
    spike_length: float


@dataclass(frozen=True, slots=True, eq=False)
class RenderedNodule:
    """``origin``: index of the box in its grid; ``coverage``: share of each voxel filled; ``hounsfield``: HU within."""

    origin: tuple[int, int, int]
    coverage: Field
    hounsfield: Field


def draw_nodule(
    *,
    generator: np.random.Generator,
    centre_mm: tuple[float, float, float],
    diameter_mm: float,
    attenuation: Attenuation,
) -> NoduleShape:
    """Return a nodule of about the stated diameter (of the ball of equal volume, spicules aside)."""
    axes = generator.uniform(0.72, 1.0, 3)
    axes /= np.prod(axes) ** (1.0 / 3.0)
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    wave_count = int(generator.integers(3, 9))
    spiky = diameter_mm > 7.0 and generator.random() < 0.35
    spike_count = int(generator.integers(5, 16)) if spiky else 0
    if attenuation is Attenuation.SOLID:
        hounsfield = float(generator.uniform(-120.0, 80.0))
    elif attenuation is Attenuation.CALCIFIED:
        hounsfield = float(generator.uniform(200.0, 700.0))
    else:
        hounsfield = float(generator.uniform(-720.0, -420.0))
    return NoduleShape(
        centre_mm=centre_mm,
        diameter_mm=diameter_mm,
        attenuation=attenuation,
        hounsfield=hounsfield,
        core_hounsfield=float(generator.uniform(-150.0, 50.0)),
        core_share=float(generator.uniform(0.3, 0.65)),
        axes=axes,
        rotation=rotation,
        waves=_directions(generator, wave_count) * generator.uniform(1.5, 5.0, (wave_count, 1)),
        wave_depths=generator.uniform(0.02, 0.11, wave_count),
        wave_phases=generator.uniform(0.0, 2 * np.pi, wave_count),
        spikes=_directions(generator, spike_count),
        spike_length=float(generator.uniform(0.25, 0.7)),
    )


def render_nodule(*, shape: NoduleShape, grid: AxialGrid, blur_mm: tuple[float, float, float]) -> RenderedNodule | None:
    """Return the nodule as sampled on ``grid``, or None if it lies outside.

    ``blur_mm``: standard deviations (slices, rows, columns) in mm of the scanner's point spread; 0 for the bare object.
    """
    reach = 0.5 * shape.diameter_mm * 1.5 * (1.0 + (shape.spike_length if len(shape.spikes) else 0.0))
    margin = reach + 2.5 * np.array(blur_mm) + np.array(grid.spacing_mm)
    centre = grid.to_index(np.array([shape.centre_mm]))[0]
    half = margin / np.array(grid.spacing_mm)
    low = np.maximum(np.floor(centre - half).astype(int), 0)
    high = np.minimum(np.ceil(centre + half).astype(int) + 1, grid.shape)
    if np.any(low >= high):
        return None
    axes = [grid.axis(axis).ravel()[low[axis] : high[axis]] for axis in range(3)]
    dz = axes[0][:, None, None] - shape.centre_mm[2]
    dy = axes[1][None, :, None] - shape.centre_mm[1]
    dx = axes[2][None, None, :] - shape.centre_mm[0]
    rotated = [row[0] * dx + row[1] * dy + row[2] * dz for row in shape.rotation]
    scaled = np.sqrt(sum((part / size) ** 2 for part, size in zip(rotated, shape.axes, strict=True)))
    distance = np.sqrt(dx**2 + dy**2 + dz**2) + 1e-3
    unit = (dx / distance, dy / distance, dz / distance)
    limit = np.ones_like(scaled)
    for wave, depth, phase in zip(shape.waves, shape.wave_depths, shape.wave_phases, strict=True):
        limit += depth * np.sin(wave[0] * unit[0] + wave[1] * unit[1] + wave[2] * unit[2] + phase)
    for spike in shape.spikes:
        along = spike[0] * unit[0] + spike[1] * unit[1] + spike[2] * unit[2]
        limit += shape.spike_length * np.exp((along - 1.0) / 0.012)
    edge = float(np.mean(grid.spacing_mm))
    radius = 0.5 * shape.diameter_mm
    coverage = np.clip(0.5 + (limit * radius - scaled) / edge, 0.0, 1.0)
    inside = np.full(coverage.shape, shape.hounsfield)
    if shape.attenuation is Attenuation.PART_SOLID:
        core = np.clip(0.5 + (limit * radius * shape.core_share - scaled) / edge, 0.0, 1.0)
        inside += core * (shape.core_hounsfield - shape.hounsfield)
    sigma = np.array(blur_mm) / np.array(grid.spacing_mm)
    if np.any(sigma > 0):
        coverage = ndimage.gaussian_filter(coverage, sigma, mode="nearest")
    origin = (int(low[0]), int(low[1]), int(low[2]))
    return RenderedNodule(origin, coverage.astype(np.float32), inside.astype(np.float32))


def blend(*, hounsfield: Field, rendered: RenderedNodule) -> None:
    """Put the nodule into ``hounsfield`` (slices, rows, columns) in place, keeping the noise that is there.

    A nodule only ever adds density: a vessel that runs into it stays as bright as it was. The density that it adds is
    measured from the smoothed background, so that the background's noise goes on through the nodule.
    """
    low = rendered.origin
    box = tuple(slice(start, start + size) for start, size in zip(low, rendered.coverage.shape, strict=True))
    background = hounsfield[box]
    smooth = ndimage.gaussian_filter(background, 1.0, mode="nearest")
    hounsfield[box] = background + rendered.coverage * np.maximum(rendered.hounsfield - smooth, 0.0)


def _directions(generator: np.random.Generator, count: int) -> Floats:
    vectors = generator.normal(size=(count, 3))
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def find_place(
    *,
    generator: np.random.Generator,
    site: Site,
    diameter_mm: float,
    lungs: NDArray[np.bool_],
    depth_mm: Field,
    vessels: NDArray[np.bool_],
    grid: AxialGrid,
    taken: list[tuple[tuple[float, float, float], float]],
) -> tuple[float, float, float] | None:
    """Return a centre (x, y, z) mm for a nodule, or None if no place of that kind is free.

    ``depth_mm``: distance of each lung voxel from the lungs' surface. ``taken``: (centre, diameter) to stay clear of.
    """
    radius = 0.5 * diameter_mm
    if site is Site.JUXTAPLEURAL:
        allowed = lungs & (depth_mm > 0.35 * radius) & (depth_mm < 0.95 * radius + 0.7)
    elif site is Site.JUXTAVASCULAR:
        near = ndimage.binary_dilation(vessels, iterations=1)
        allowed = near & lungs & (depth_mm > radius)
    else:
        allowed = lungs & ~vessels & (depth_mm > radius + 2.0)
    places = np.flatnonzero(allowed)
    if len(places) == 0:
        return None
    for _ in range(20):
        index = np.array(np.unravel_index(int(generator.choice(places)), lungs.shape), dtype=float)
        edge = np.array(lungs.shape) - 1 - index
        if np.any(np.minimum(index, edge) * np.array(grid.spacing_mm) < radius * 0.8):
            continue
        x, y, z = grid.to_mm((index + generator.uniform(-0.5, 0.5, 3))[None])[0]
        clear = all(
            np.linalg.norm(np.array([x, y, z]) - np.array(other)) > 0.5 * (size + diameter_mm) + 8.0
            for other, size in taken
        )
        if clear:
            return (float(x), float(y), float(z))
    return None
