"""Branching trees of tapering tubes (vessels, airways) and their rendering as partial volume.

Coordinates are (x, y, z) LPS millimetres; arrays are (slices, rows, columns) on an axis-aligned axial grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Tubes:
    """Straight tubes with round ends. ``start``, ``end``: (n, 3) mm; ``radius_start``, ``radius_end``: (n,) mm."""

    start: Floats
    end: Floats
    radius_start: Floats
    radius_end: Floats


@dataclass(frozen=True, slots=True)
class AxialGrid:
    """An axial grid without obliquity: ``origin_mm`` is the (x, y, z) of voxel (0, 0, 0).

    ``shape`` is (slices, rows, columns); ``spacing_mm`` is (between slices, between rows, between columns).
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def axis(self, number: int) -> Field:
        """Coordinates in mm along array axis 0 (z), 1 (y) or 2 (x), shaped for broadcasting over the grid."""
        values = self.origin_mm[2 - number] + self.spacing_mm[number] * np.arange(self.shape[number])
        form = [1, 1, 1]
        form[number] = -1
        return values.astype(np.float32).reshape(form)

    def to_index(self, places_mm: Floats) -> Floats:
        """(n, 3) mm (x, y, z) to (n, 3) fractional (slice, row, column)."""
        return np.asarray((places_mm - np.array(self.origin_mm))[:, ::-1] / np.array(self.spacing_mm))

    def to_mm(self, indices: Floats) -> Floats:
        """(n, 3) fractional (slice, row, column) to (n, 3) mm (x, y, z)."""
        return np.asarray((indices * np.array(self.spacing_mm))[:, ::-1] + np.array(self.origin_mm))


def grow_tree(
    *, generator: np.random.Generator, root_mm: Floats, leaves_mm: Floats, leaf_radius_mm: float, exponent: float
) -> Tubes:
    """Return a tree that joins a root to every leaf, thick at the root and tapering by Murray's law.

    Each leaf, nearest first, is tied to the node with the cheapest detour; radii satisfy
    ``r_parent ** exponent == sum(r_child ** exponent)`` (Murray 1926 has 3; lungs are nearer 2.7).
    """
    order = np.argsort(np.linalg.norm(leaves_mm - root_mm, axis=1))
    nodes = np.empty((16 + 40 * len(leaves_mm), 3))
    detour = np.empty(len(nodes))
    parent = np.full(len(nodes), -1)
    nodes[0], detour[0], used = root_mm, 0.0, 1
    tips: list[int] = []
    for leaf in leaves_mm[order]:
        distance = np.linalg.norm(nodes[:used] - leaf, axis=1)
        at = int(np.argmin(distance + 0.35 * detour[:used]))
        steps = int(np.clip(np.ceil(distance[at] / 9.0), 1, 39))
        base = nodes[at].copy()
        for step in range(1, steps + 1):
            sway = generator.normal(0.0, 0.8, 3) if step < steps else 0.0
            nodes[used] = base + (leaf - base) * step / steps + sway
            parent[used] = at
            detour[used] = detour[at] + float(np.linalg.norm(nodes[used] - nodes[at]))
            at, used = used, used + 1
        tips.append(at)
    flow = np.zeros(used)
    flow[tips] = (leaf_radius_mm * generator.uniform(0.7, 1.3, len(tips))) ** exponent
    for node in range(used - 1, 0, -1):
        flow[parent[node]] += flow[node]
    radius = flow ** (1.0 / exponent)
    child = np.arange(1, used)
    # A daughter leaves with its own radius, not its parent's, so a thin twig does not flare at the trunk.
    start_radius = np.minimum(radius[parent[child]], 1.15 * radius[child])
    return Tubes(nodes[parent[child]], nodes[child], start_radius, radius[child])


def render_tubes(*, tubes: Tubes, grid: AxialGrid) -> Field:
    """Return the fraction of each voxel that lies in any of the tubes, (slices, rows, columns) float32 in [0, 1]."""
    coverage = np.zeros(grid.shape, dtype=np.float32)
    voxel = float(np.mean(grid.spacing_mm))
    widest = np.maximum(tubes.radius_start, tubes.radius_end)
    length = np.linalg.norm(tubes.end - tubes.start, axis=1)
    thin = (widest < 1.1 * voxel) & (length > 0)
    if thin.any():
        _splat(coverage, grid, _select(tubes, thin))
    for number in np.flatnonzero(widest >= 1.1 * voxel):
        _draw_capsule(coverage, grid, tubes, int(number), voxel)
    return np.minimum(coverage, 1.0, out=coverage)


def _select(tubes: Tubes, chosen: NDArray[np.bool_]) -> Tubes:
    return Tubes(tubes.start[chosen], tubes.end[chosen], tubes.radius_start[chosen], tubes.radius_end[chosen])


def _splat(coverage: Field, grid: AxialGrid, tubes: Tubes) -> None:
    """Add tubes thinner than a voxel as point masses: their volume is right, which is all that a voxel sees of them."""
    length = np.linalg.norm(tubes.end - tubes.start, axis=1)
    pitch = 0.35 * float(np.min(grid.spacing_mm))
    counts = np.maximum(1, np.ceil(length / pitch)).astype(int)
    which = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    along = (np.arange(len(which)) - first + 0.5) / counts[which]
    centre = tubes.start[which] + (tubes.end - tubes.start)[which] * along[:, None]
    radius = tubes.radius_start[which] * (1 - along) + tubes.radius_end[which] * along
    direction = (tubes.end - tubes.start) / np.maximum(length, 1e-6)[:, None]
    helper = np.where(np.abs(direction[:, 2:]) < 0.8, np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]]))
    side = np.cross(direction, helper)
    side /= np.linalg.norm(side, axis=1)[:, None]
    other = np.cross(direction, side)
    mass = np.pi * radius**2 * (length / counts)[which] / float(np.prod(grid.spacing_mm))
    angles = np.arange(5) * (2 * np.pi / 5)
    for cosine, sine in zip(np.cos(angles), np.sin(angles), strict=True):
        offset = 0.7 * radius[:, None] * (cosine * side[which] + sine * other[which])
        _deposit(coverage, grid.to_index(centre + offset), mass / len(angles))


def _deposit(coverage: Field, index: Floats, mass: Floats) -> None:
    low = np.floor(index).astype(int)
    fraction = index - low
    shape = np.array(coverage.shape)
    total = np.zeros(coverage.size, dtype=np.float64)
    for corner in np.ndindex(2, 2, 2):
        at = low + corner
        weight = mass * np.prod(np.where(np.array(corner) == 1, fraction, 1 - fraction), axis=1)
        inside = np.all((at >= 0) & (at < shape), axis=1)
        flat = np.ravel_multi_index(tuple(at[inside].T), coverage.shape)
        np.add.at(total, flat, weight[inside])
    coverage += total.reshape(coverage.shape).astype(np.float32)


def _draw_capsule(coverage: Field, grid: AxialGrid, tubes: Tubes, number: int, voxel: float) -> None:
    start, end = tubes.start[number], tubes.end[number]
    radius_start, radius_end = tubes.radius_start[number], tubes.radius_end[number]
    reach = max(radius_start, radius_end) + voxel
    corners = grid.to_index(np.stack([np.minimum(start, end) - reach, np.maximum(start, end) + reach]))
    low = np.maximum(np.floor(corners[0]).astype(int), 0)
    high = np.minimum(np.ceil(corners[1]).astype(int) + 1, grid.shape)
    if np.any(low >= high):
        return
    z, y, x = (grid.axis(axis).ravel()[low[axis] : high[axis]] for axis in range(3))
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    dx = x[None, None, :] - np.float32(start[0])
    dy = y[None, :, None] - np.float32(start[1])
    dz = z[:, None, None] - np.float32(start[2])
    axis = (end - start).astype(np.float32)
    squared = float(axis @ axis)
    along = np.clip((dx * axis[0] + dy * axis[1] + dz * axis[2]) / max(squared, 1e-6), 0.0, 1.0)
    distance = np.sqrt((dx - along * axis[0]) ** 2 + (dy - along * axis[1]) ** 2 + (dz - along * axis[2]) ** 2)
    radius = radius_start + (radius_end - radius_start) * along
    drawn = np.clip(0.5 + (radius - distance) / voxel, 0.0, 1.0).astype(np.float32)
    np.maximum(coverage[box], drawn, out=coverage[box])
