"""Where the image itself has an edge around a label, and how far the label's outline lies from it, in signed mm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.checks.once import once
from imaging.checks.surroundings import Surroundings, surroundings_of
from imaging.types import Case, Finding, Mask

_STEP_MM = 0.5
_REACH_MM = 6.0
_MOST_POINTS = 320
_LEAST_POINTS = 12
LUNG_BELOW_HU = -600.0
_LEAST_SHELL = 8
_SHRINK = 1e-2

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageEdge:
    """How a label's outline lies to the edge that the image shows; mm, positive where the label is the wider.

    Along each normal of the label's surface the edge is where the density is halfway between the label's core and the
    lung around it. ``bias_mm``: mean distance. ``shift_mm``: length of the displacement that explains the distances
    best beside the bias; ``shift``: the same as a vector along (slice, row, column), from the edge to the label.
    ``over_mm`` and ``under_mm``: 90th percentile of how far the label lies outside and inside. ``left_mm``: root mean
    square of what bias and shift leave. ``found_share``: normals on which there is such an edge within 6 mm; a vessel
    or the chest wall has none.
    """

    bias_mm: float
    shift_mm: float
    shift: tuple[float, float, float]
    over_mm: float
    under_mm: float
    left_mm: float
    found_share: float


def image_edge(*, case: Case, finding: Finding, least_contrast_hu: float, offset_mm: float) -> ImageEdge | None:
    """Return how a finding's outline lies to the image's edge; None without an outline or without enough contrast.

    ``least_contrast_hu``: what the core has to be denser than the lung around for an edge to mean anything.
    ``offset_mm``: how far outside the lesion the guideline has the outline's surface lie.
    """
    mask = finding.mask
    if mask is None or not mask.count:
        return None
    return once(
        case=case,
        key=("image_edge", finding, least_contrast_hu, offset_mm),
        compute=lambda: _edge(case, finding, mask, least_contrast_hu, offset_mm),
    )


def levels_of(box: Surroundings) -> tuple[float, float]:
    """Return the density of a label's core and of the lung around it, HU.

    The core is the half of the label that lies deepest: an outline drawn too wide does not thin it, one drawn too
    tight does not miss it. Around is the lung within the box, or the thinner quarter of what is there without any.
    """
    core = float(np.median(box.values[box.signed_mm <= 0.5 * float(box.signed_mm.min())]))
    shell = box.values[box.signed_mm > 2 * box.half_mm]
    lung = shell[shell < LUNG_BELOW_HU]
    if len(lung) >= _LEAST_SHELL:
        return core, float(np.median(lung))
    return core, float(np.percentile(shell, 25)) if len(shell) else core


def _edge(case: Case, finding: Finding, mask: Mask, least_contrast_hu: float, offset_mm: float) -> ImageEdge | None:
    box = surroundings_of(case=case, finding=finding, mask=mask)
    core, around = levels_of(box)
    if core - around < least_contrast_hu:
        return None
    spacing = np.array(case.volume.grid.spacing_mm)
    points, normals = _surface(box, spacing)
    if len(points) < _LEAST_POINTS:
        return None
    distances = _distances(box, points, normals, spacing, (core + around) / 2)
    known = np.isfinite(distances)
    if np.count_nonzero(known) < _LEAST_POINTS:
        return None
    found, towards = distances[known] - offset_mm, normals[known]
    # One constant and one displacement; shrunk a little, for a flat surface tells nothing of its own plane.
    design = np.column_stack([np.ones(len(found)), towards])
    solved = np.linalg.solve(design.T @ design + _SHRINK * len(found) * np.diag([0, 1, 1, 1]), design.T @ found)
    left = found - design @ solved
    bias, first, second, third = (float(value) for value in solved)
    return ImageEdge(
        bias_mm=bias,
        shift_mm=math.hypot(first, second, third),
        shift=(first, second, third),
        over_mm=max(0.0, float(np.percentile(found, 90))),
        under_mm=max(0.0, -float(np.percentile(found, 10))),
        left_mm=float(np.sqrt(np.mean(left**2))),
        found_share=float(known.mean()),
    )


def _surface(box: Surroundings, spacing: Floats) -> tuple[Floats, Floats]:
    """Return the surface's voxels (n, 3) in the box and their outward normals, in mm along (slice, row, column)."""
    rim = box.inside & ~ndimage.binary_erosion(box.inside)
    places = np.argwhere(rim)
    places = places[:: max(1, math.ceil(len(places) / _MOST_POINTS))]
    low = np.maximum(places.min(axis=0) - 2, 0)
    high = places.max(axis=0) + 3
    part = box.signed_mm[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    # A surface of voxels has steps for normals; smoothed over a millimetre it has directions.
    smooth = ndimage.gaussian_filter(part, 1.0 / spacing)
    slopes = np.gradient(smooth, *(float(step) for step in spacing))
    at = tuple((places - low).T)
    normals = np.stack([slope[at] for slope in slopes], axis=1).astype(np.float64)
    length = np.linalg.norm(normals, axis=1)
    kept = length > 1e-3
    return places[kept].astype(np.float64), normals[kept] / length[kept, None]


def _distances(box: Surroundings, points: Floats, normals: Floats, spacing: Floats, level: float) -> Floats:
    """Return how far outside the edge the label's surface lies along each normal, NaN where there is no edge."""
    steps = np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM)
    lines = points[:, :, None] + normals[:, :, None] * steps[None, None, :] / spacing[None, :, None]
    coordinates = np.moveaxis(lines, 1, 0).reshape(3, -1)
    values = ndimage.map_coordinates(box.values, coordinates, order=1, mode="nearest").reshape(len(points), -1)
    start = -box.signed_mm[tuple(points.astype(int).T)].astype(np.float64)
    own = np.clip(np.rint((start + _REACH_MM) / _STEP_MM).astype(int), 0, len(steps) - 1)
    dense = values > level
    number = np.arange(len(steps))
    rows = np.arange(len(points))
    held = dense[rows, own]
    # Where the label's surface lies in dense tissue the edge is outwards of it, otherwise inwards.
    outwards = np.where(~dense & (number[None, :] > own[:, None]), number[None, :], len(steps)).min(axis=1)
    inwards = np.where(dense & (number[None, :] < own[:, None]), number[None, :], -1).max(axis=1)
    outer = np.where(held, outwards, inwards + 1)
    known = np.where(held, outwards < len(steps), inwards >= 0)
    place = np.clip(outer, 1, len(steps) - 1)
    before, after = values[rows, place - 1], values[rows, place]
    fall = np.where(np.abs(before - after) > 1e-6, before - after, 1.0)
    share = np.clip((before - level) / fall, 0.0, 1.0)
    crossing = steps[place - 1] + share * _STEP_MM
    return np.where(known, start - crossing, np.nan)
