"""One finding as numbers: size, shape, density, place, and what a model says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure as measure_module

from imaging.facts.lungs import CoarseLungs, depth_at_mm
from imaging.masks.build import mask_from_sphere
from imaging.masks.measure import measure
from imaging.masks.place import centre_of, mask_holds, radius_of
from imaging.types import Case, Category, Finding, Mask, PointMm, Sphere, Volume

MODEL_FEATURES = frozenset({"model_probability", "nodule_probability", "outline_probability"})
"""Features that a QA model gave: what rests on them inherits what the model is worth."""

SHELL_MM = (1.0, 4.0)
"""The surroundings that a finding is compared with: from a voxel's blur outside its outline to 4 mm."""

_LARGEST_BOX = 1_500_000
"""Voxels of a box above which only the volume is measured: a whole lung is no lesion, and costs seconds."""

_POINT_DIAMETER_MM = 3.0
_REACH_MM = 2.5


def finding_features(*, finding: Finding, case: Case, lungs: CoarseLungs) -> dict[str, float]:
    """Return what can be measured of a finding, each name with its unit at its end; the rest is absent.

    Size and shape are those of an outline. Density is measured in the outline or sphere, else in a ball of the box's
    size, or of 3 mm at a point mark; ``contrast_hu`` is its mean less the mean of the shell around it.
    """
    volume = case.volume
    place = centre_of(finding)
    features: dict[str, float] = {}
    outline = _fitting(finding.mask, volume)
    if outline is not None:
        features |= _size(outline)
    region = outline or _ball(finding, volume, place)
    if region is not None and region.count and region.voxels.size <= _LARGEST_BOX:
        features |= _density(region, volume)
    depth = depth_at_mm(lungs=lungs, volume=volume, place_mm=place)
    if depth is not None:
        features["lung_depth_mm"] = depth
    if finding.category is not Category.STRUCTURE:
        features |= _model(finding, case, place)
    return {name: round(value, 4) for name, value in sorted(features.items()) if math.isfinite(value)}


def _fitting(mask: Mask | None, volume: Volume) -> Mask | None:
    if mask is None or not mask.count or mask.grid.digest != volume.grid.digest:
        return None
    ends = (start + size for start, size in zip(mask.origin, mask.voxels.shape, strict=True))
    inside = min(mask.origin) >= 0 and all(end <= size for end, size in zip(ends, volume.grid.shape, strict=True))
    return mask if inside else None


def _ball(finding: Finding, volume: Volume, place: PointMm) -> Mask | None:
    if finding.mask is not None:
        return None
    diameter = 2.0 * radius_of(finding) or _POINT_DIAMETER_MM
    if math.prod(diameter / step + 1.0 for step in volume.grid.spacing_mm) > _LARGEST_BOX:
        return None
    return mask_from_sphere(grid=volume.grid, sphere=Sphere(place, diameter))


def _size(mask: Mask) -> dict[str, float]:
    voxel_mm3 = abs(float(np.linalg.det(mask.grid.matrix[:3, :3])))
    found = {"volume_mm3": mask.count * voxel_mm3}
    if mask.voxels.size > _LARGEST_BOX:
        return found
    size = measure(mask)
    found |= {
        "long_axis_mm": size.long_axis_mm,
        "short_axis_mm": size.short_axis_mm,
        "height_mm": mask.voxels.shape[0] * mask.grid.spacing_mm[0],
        "box_fill_share": mask.count / mask.voxels.size,
        "parts_count": float(ndimage.label(mask.voxels, structure=np.ones((3, 3, 3)))[1]),
    }
    surface = _surface_mm2(mask)
    if surface > 0:
        # Wadell: 1 for a ball. Voxels and thick slices can take it a little to either side.
        found["sphericity"] = math.pi ** (1 / 3) * (6.0 * found["volume_mm3"]) ** (2 / 3) / surface
        found["surface_mm2"] = surface
    return found | _slices(mask)


def _surface_mm2(mask: Mask) -> float:
    """Area of the half-way surface by marching cubes (Lewiner), in the grid's spacing."""
    padded = np.pad(mask.voxels, 1).astype(np.float32)
    surfaces: Any = measure_module
    corners, faces, _normals, _values = surfaces.marching_cubes(padded, 0.5, spacing=mask.grid.spacing_mm)
    return float(surfaces.mesh_surface_area(corners, faces))


def _slices(mask: Mask) -> dict[str, float]:
    """What goes on from slice to slice: how many, how many left out, and the largest jumps between neighbours."""
    areas = mask.voxels.sum(axis=(1, 2))
    filled = np.flatnonzero(areas)
    found = {"slices_count": float(len(filled)), "missing_slices_count": float(len(areas) - len(filled))}
    if len(filled) < 2:
        return found
    pairs = list(zip(areas[filled[:-1]], areas[filled[1:]], strict=True))
    found["largest_area_step_ratio"] = max(float(max(a, b) / min(a, b)) for a, b in pairs)
    _slice, rows, columns = mask.grid.spacing_mm
    centres = np.array([np.argwhere(mask.voxels[index]).mean(axis=0) for index in filled]) * (rows, columns)
    found["largest_centre_step_mm"] = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).max())
    return found


def _density(mask: Mask, volume: Volume) -> dict[str, float]:
    spacing = volume.grid.spacing_mm
    reach = [math.ceil(SHELL_MM[1] / step) for step in spacing]
    low = [max(0, start - pad) for start, pad in zip(mask.origin, reach, strict=True)]
    high = [
        min(size, start + extent + pad)
        for start, extent, pad, size in zip(mask.origin, mask.voxels.shape, reach, volume.grid.shape, strict=True)
    ]
    crop = volume.hounsfield[low[0] : high[0], low[1] : high[1], low[2] : high[2]].astype(np.float32)
    inside = np.zeros(crop.shape, dtype=np.bool_)
    at = tuple(
        slice(start - first, start - first + extent)
        for start, first, extent in zip(mask.origin, low, mask.voxels.shape, strict=True)
    )
    inside[at] = mask.voxels
    values = crop[inside]
    found = {
        "mean_hu": float(values.mean()),
        "sd_hu": float(values.std()),
        "p95_hu": float(np.percentile(values, 95)),
    }
    apart = ndimage.distance_transform_edt(~inside, sampling=spacing)
    shell: NDArray[np.bool_] = (apart > SHELL_MM[0]) & (apart <= SHELL_MM[1])
    if shell.any():
        around = crop[shell]
        found["contrast_hu"] = found["mean_hu"] - float(around.mean())
        found["shell_sd_hu"] = float(around.std())
    return found


def _model(finding: Finding, case: Case, place: PointMm) -> dict[str, float]:
    """What the model gives at a finding: its best candidate there (0 where it is silent), and its outline's opinion."""
    prediction = case.prediction
    if prediction is None:
        return {}
    reach = max(_REACH_MM, radius_of(finding))
    near = [
        candidate.probability
        for candidate in prediction.candidates
        if math.dist(candidate.centre_mm, place) <= max(reach, (candidate.diameter_mm or 0.0) / 2)
        or (finding.mask is not None and mask_holds(finding.mask, candidate.centre_mm))
    ]
    found = {"model_probability": max(near, default=0.0)}
    opinions = [one for one in prediction.outlines if math.dist(one.place_mm, place) <= _REACH_MM]
    if opinions:
        opinion = min(opinions, key=lambda one: math.dist(one.place_mm, place))
        found["outline_probability"] = opinion.mean_probability
        if opinion.nodule_probability is not None:
            found["nodule_probability"] = opinion.nodule_probability
    return found
