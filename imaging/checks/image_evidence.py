"""What the image itself shows where a label lies: told without any model and any other reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from imaging.checks.once import once
from imaging.checks.surroundings import surroundings_of
from imaging.masks.boxes import box_spans
from imaging.masks.build import mask_from_sphere, mask_from_voxels
from imaging.types import Case, Finding, Mask

_SHELL_MM = 5.0
_LUNG_BELOW_HU = -600.0
_LEAST_SHELL = 8
_BRIGHT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """Voxels in and around a label; Hounsfield units.

    ``inside_hu``: mean inside. ``core_hu``: upper quartile inside, which the rim's partial volume does not reach.
    ``around_hu``: median of the lung within 5 mm around, or of everything there where there is no lung.
    ``contrast_hu``: ``inside_hu`` less ``around_hu``: near zero on plain lung. ``bright_share``: share of the label
    that is denser than midway between the two; one beside its nodule holds little of it. ``running_on``: of the dense
    thing that the label touches, the share that lies outside it within 5 mm: small for a nodule, larger along a vessel
    or on the chest wall.
    """

    inside_hu: float
    core_hu: float
    around_hu: float
    contrast_hu: float
    bright_share: float
    running_on: float


def image_evidence(*, case: Case, finding: Finding) -> ImageEvidence | None:
    """Return what the image shows at a finding; None for a point, which has no inside, or one beside the image."""
    return once(case=case, key=("image_evidence", finding), compute=lambda: _look(case, finding))


def region_of(*, case: Case, finding: Finding) -> Mask | None:
    """Return the voxels that a finding's outline, ball or box takes up on the case's grid; None for a point."""
    grid = case.volume.grid
    if finding.mask is not None:
        return finding.mask if finding.mask.count else None
    if finding.sphere is not None:
        ball = mask_from_sphere(grid=grid, sphere=finding.sphere)
        return ball if ball.count else None
    if finding.box is None:
        return None
    low, high = [], []
    for (first, last), size in zip(box_spans(box=finding.box, grid=grid), grid.shape, strict=True):
        low.append(max(0, int(np.ceil(first - 1e-6))))
        high.append(min(size, int(np.floor(last + 1e-6)) + 1))
    if any(end <= start for start, end in zip(low, high, strict=True)):
        return None
    # An ellipsoid in the box: its corners are lung by construction.
    axes = [
        (np.arange(start, end) - (start + end - 1) / 2) / ((end - start) / 2)
        for start, end in zip(low, high, strict=True)
    ]
    distance = sum(part**2 for part in np.meshgrid(*axes, indexing="ij"))
    voxels = np.asarray(distance <= 1.0, dtype=np.bool_)
    return mask_from_voxels(grid=grid, voxels=voxels, origin=(low[0], low[1], low[2]))


def _look(case: Case, finding: Finding) -> ImageEvidence | None:
    mask = region_of(case=case, finding=finding)
    if mask is None:
        return None
    spacing = case.volume.grid.spacing_mm
    box = surroundings_of(case=case, finding=finding, mask=mask)
    pads = [max(1, round(_SHELL_MM / step)) for step in spacing]
    near = tuple(
        slice(max(0, start - low - pad), start - low + extent + pad)
        for start, low, extent, pad in zip(mask.origin, box.low, mask.voxels.shape, pads, strict=True)
    )
    values, inside, away = box.values[near], box.inside[near], box.outside_mm[near]
    # The first voxel around holds partial volume of whatever is inside.
    shell = values[(away > max(spacing[1:])) & (away <= _SHELL_MM + max(spacing[1:]))]
    lung = shell[shell < _LUNG_BELOW_HU]
    around = lung if len(lung) >= _LEAST_SHELL else shell
    held = values[inside]
    core = float(np.percentile(held, 75))
    around_hu = float(np.median(around)) if len(around) else core
    middle = around_hu + _BRIGHT_SHARE * (core - around_hu)
    bright = values > middle
    parts, _ = ndimage.label(bright)
    own = np.unique(parts[inside & bright])
    thing = np.isin(parts, own[own > 0])
    size = int(np.count_nonzero(thing))
    return ImageEvidence(
        inside_hu=float(held.mean()),
        core_hu=core,
        around_hu=around_hu,
        contrast_hu=float(held.mean()) - around_hu,
        bright_share=float(bright[inside].mean()),
        running_on=float(np.count_nonzero(thing & ~inside)) / size if size else 0.0,
    )
