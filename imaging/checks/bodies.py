"""Whether one outline is two bodies joined by a neck, and where it would be cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import align, crop
from imaging.checks.places import equivalent_diameter_mm
from imaging.geometry.affine import to_index
from imaging.types import Mask, PointMm, Volume

_FINEST_MM = 0.8
_STEPS_ACROSS = 16
_LEVELS = 14
_LEAST_CORE_MM = 1.2
_LEAST_SHARE = 0.12
_ONE_BODY = 0.9
"""As deep as this part of the radius of the ball of its volume is a compact thing; two equal balls reach 0.79."""


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """An outline taken as two bodies.

    ``neck_ratio``: inner radius of the neck between them over that of the smaller body, in [0, 1]: 1 is no neck at all.
    ``share``: of the outline in the smaller piece. ``pieces``: the two, larger first. ``centres_mm``: their middles.
    """

    neck_ratio: float
    share: float
    pieces: tuple[Mask, Mask]
    centres_mm: tuple[PointMm, PointMm]

    @property
    def distance_mm(self) -> float:
        """The distance between the two middles."""
        return math.dist(*self.centres_mm)


def two_bodies(*, mask: Mask) -> Bodies | None:
    """Return an outline as the two bodies between which its neck is thinnest; None where it is one body.

    The distance transform of the outline, at about a sixteenth of its diameter, is cut at falling levels; two parts
    that are still apart at a level have a neck thinner than it. Voxels belong to the body whose core is the nearer,
    which is a watershed of the distance transform where the bodies are convex.
    """
    if not mask.count:
        return None
    spacing = mask.grid.spacing_mm
    fine = max(_FINEST_MM, equivalent_diameter_mm(mask=mask) / _STEPS_ACROSS)
    padded = np.pad(mask.voxels, 1)
    places = [
        np.clip(np.rint(np.arange(0.0, size, fine / step)).astype(int), 0, size - 1)
        for size, step in zip(padded.shape, spacing, strict=True)
    ]
    depth = ndimage.distance_transform_edt(padded[np.ix_(*places)], sampling=fine)
    # The deepest voxel's centre lies up to half a step short of the deepest place.
    if depth.max() + fine / 2 >= _ONE_BODY * equivalent_diameter_mm(mask=mask) / 2:
        return None
    best: tuple[float, NDArray[np.int64]] | None = None
    for level in np.linspace(0.0, float(depth.max()), _LEVELS, endpoint=False)[1:]:
        labels, count = ndimage.label(depth > level)
        if count < 2:
            continue
        peaks = np.asarray(ndimage.maximum(depth, labels, np.arange(1, count + 1)))
        first, second = np.argsort(-peaks, kind="stable")[:2]
        ratio = float(level / peaks[second])
        if peaks[second] >= _LEAST_CORE_MM and (best is None or ratio < best[0]):
            cores = np.where(labels == first + 1, 1, np.where(labels == second + 1, 2, 0))
            best = ratio, cores
    if best is None:
        return None
    ratio, cores = best
    seeds = [
        np.argwhere(cores == number).mean(axis=0) * fine / np.array(spacing) - 1 + mask.origin for number in (1, 2)
    ]
    return _cut(mask, seeds, ratio)


def cut_between(*, mask: Mask, first_mm: PointMm, second_mm: PointMm) -> Bodies | None:
    """Return an outline cut between two places, LPS mm; None where one of them would get next to nothing.

    The neck ratio is 1: nothing is said about the shape.
    """
    seeds = [np.array(to_index(mask.grid, place)) for place in (first_mm, second_mm)]
    return _cut(mask, seeds, 1.0)


def lobe_middle(*, mask: Mask, other: Mask) -> PointMm | None:
    """Return the middle of the thickest part of a mask that lies outside another on its grid; None where nothing does.

    What is less than half as thick around it, the thin shell that careful outlines differ by, is no part of it.
    """
    aligned = align(masks=(mask, other), margin_voxels=1)
    own, held = aligned.voxels
    depth = ndimage.distance_transform_edt(own & ~held, sampling=aligned.grid.spacing_mm)
    if depth.max() <= 0:
        return None
    labels, _ = ndimage.label(depth > depth.max() / 2)
    deepest = labels[np.unravel_index(int(depth.argmax()), depth.shape)]
    index = np.argwhere(labels == deepest).mean(axis=0) + np.array(aligned.origin)
    x, y, z, _ = mask.grid.matrix @ np.array([*index, 1.0])
    return (float(x), float(y), float(z))


def density_dip_hu(*, volume: Volume, bodies: Bodies) -> float:
    """Return how far the image falls between two bodies' middles below the thinner of the two, in HU; 0 if nowhere."""
    first, second = (np.array(to_index(volume.grid, place)) for place in bodies.centres_mm)
    steps = max(3, int(np.ceil(bodies.distance_mm / min(volume.grid.spacing_mm[1:]))) + 1)
    line = first + np.linspace(0.0, 1.0, steps)[:, None] * (second - first)
    nearest = np.clip(np.rint(line).astype(int), 0, np.array(volume.grid.shape) - 1)
    values = volume.hounsfield[tuple(nearest.T)].astype(np.float64)
    return max(0.0, float(min(values[0], values[-1]) - values.min()))


def _cut(mask: Mask, seeds: list[NDArray[np.float64]], ratio: float) -> Bodies | None:
    spacing = np.array(mask.grid.spacing_mm)
    voxels = np.argwhere(mask.voxels)
    apart = [np.linalg.norm((voxels + mask.origin - seed) * spacing, axis=1) for seed in seeds]
    nearer = apart[0] <= apart[1]
    share = float(min(nearer.mean(), 1 - nearer.mean()))
    if share < _LEAST_SHARE:
        return None
    pieces = []
    for chosen in (nearer, ~nearer):
        piece = np.zeros(mask.voxels.shape, dtype=np.bool_)
        piece[tuple(voxels[chosen].T)] = True
        middle = mask.grid.matrix @ np.array([*(voxels[chosen].mean(axis=0) + mask.origin), 1.0])
        centre = (float(middle[0]), float(middle[1]), float(middle[2]))
        pieces.append((crop(grid=mask.grid, origin=mask.origin, voxels=piece), centre))
    (large, here), (small, there) = sorted(pieces, key=lambda entry: -entry[0].count)
    return Bodies(neck_ratio=ratio, share=share, pieces=(large, small), centres_mm=(here, there))
