"""Where findings and candidates lie on the case's image, and when two of them are one place."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import numpy as np
from scipy import ndimage

from imaging.agreement.overlap import containment
from imaging.geometry.affine import contains_index, to_index
from imaging.masks import place
from imaging.masks.boxes import box_containment, box_holds, box_on_image, mask_share_in_box
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import mask_holds
from imaging.types import Candidate, Finding, Grid, Mask, PointMm, Volume

_SAME_PLACE = 0.25

# Every check asks where every finding lies, and an outline's centre takes a walk over its voxels.
_CENTRES: WeakKeyDictionary[Finding, PointMm] = WeakKeyDictionary()
_RADII: WeakKeyDictionary[Finding, float] = WeakKeyDictionary()


def centre_of(finding: Finding) -> PointMm:
    """Return ``imaging.masks.place.centre_of``, computed once as long as the finding lives."""
    known = _CENTRES.get(finding)
    if known is None:
        known = _CENTRES[finding] = place.centre_of(finding)
    return known


def radius_of(finding: Finding) -> float:
    """Return ``imaging.masks.place.radius_of``, computed once as long as the finding lives."""
    known = _RADII.get(finding)
    if known is None:
        known = _RADII[finding] = place.radius_of(finding)
    return known


def lies_inside(*, grid: Grid, place_mm: PointMm) -> bool:
    """Say whether a place lies in the image: within half a voxel of a voxel centre on every axis."""
    return contains_index(grid, to_index(grid, place_mm))


def comparable_mask(*, finding: Finding, volume: Volume) -> Mask | None:
    """Return the finding's mask if it has voxels, lies on the volume's grid and within it; None otherwise.

    What does not fit the image is for the geometry check to report; no other check may compare it.
    """
    return finding.mask if finding.mask is not None and mask_fits(mask=finding.mask, volume=volume) else None


def mask_fits(*, mask: Mask, volume: Volume) -> bool:
    """Say whether a mask has voxels and lies on the volume's grid, within it."""
    if mask.count == 0 or (mask.grid is not volume.grid and mask.grid.digest != volume.grid.digest):
        return False
    ends = (start + size for start, size in zip(mask.origin, mask.voxels.shape, strict=True))
    return min(mask.origin) >= 0 and all(end <= size for end, size in zip(ends, volume.grid.shape, strict=True))


def equivalent_diameter_mm(*, mask: Mask) -> float:
    """Return the diameter of the ball with the mask's volume, in millimetres."""
    slices, rows, columns = mask.grid.spacing_mm
    return math.cbrt(6.0 * mask.count * slices * rows * columns / math.pi)


def finding_diameter_mm(*, finding: Finding) -> float | None:
    """Return a finding's size in mm; None for a point, which has none.

    An outline's is that of the ball of its volume, a sphere's its own, a box's that of ``masks.boxes.box_diameter_mm``.
    """
    radius = radius_of(finding)
    return 2 * radius if radius > 0 else None


def finding_reach_mm(*, finding: Finding) -> float:
    """Return a distance from a finding's centre beyond which none of it lies, in mm; not the smallest such."""
    if finding.mask is not None:
        spacing = finding.mask.grid.spacing_mm
        return math.hypot(*(size * step for size, step in zip(finding.mask.voxels.shape, spacing, strict=True)))
    if finding.box is not None:
        return math.dist(finding.box.corner_mm, finding.box.opposite_corner_mm) / 2
    return radius_of(finding)


def on_image(*, finding: Finding, volume: Volume) -> bool:
    """Say whether a finding lies on the image: its outline on the volume's grid, or its sphere, box or point within."""
    if finding.mask is not None:
        return mask_fits(mask=finding.mask, volume=volume)
    if finding.box is not None:
        return box_on_image(box=finding.box, grid=volume.grid)
    place = finding.sphere.centre_mm if finding.sphere is not None else finding.point_mm
    return place is not None and lies_inside(grid=volume.grid, place_mm=place)


def share_a_place(*, first: Finding, second: Finding, grid: Grid, margin_mm: float) -> bool:
    """Say whether two findings on one grid may be one thing.

    They are when their outlines or boxes share at least a quarter of the smaller one, when a box holds the other's
    centre, or when their centres are closer than half the larger diameter or ``margin_mm``. Looser than lesion
    matching: it is asked before a reader is said to be alone.
    """
    centre, other = centre_of(first), centre_of(second)
    apart = math.dist(centre, other)
    if apart < max(margin_mm, radius_of(first), radius_of(second)):
        return True
    if apart > finding_reach_mm(finding=first) + finding_reach_mm(finding=second):
        return False
    if first.mask is not None and second.mask is not None:
        return containment(first=first.mask, second=second.mask) >= _SAME_PLACE
    if first.box is not None and second.box is not None:
        return box_containment(first=first.box, second=second.box, grid=grid) >= _SAME_PLACE
    return _box_meets(first, second, other, grid) or _box_meets(second, first, centre, grid)


def candidate_is_finding(*, candidate: Candidate, finding: Finding, grid: Grid, margin_mm: float) -> bool:
    """Say whether the model's candidate and a finding on the same grid are one thing.

    They are when one's centre lies in the other's outline, when one outline holds at least half of the other, when a
    box holds the candidate's centre or half of its outline, or when their centres are closer than ``margin_mm``. Where
    the finding has no outline: closer than half the larger diameter. A candidate that meets a label only at its edge
    is therefore another thing, which may be missing.
    """
    centre = centre_of(finding)
    apart = math.dist(candidate.centre_mm, centre)
    reach = (candidate.diameter_mm or 0.0) / 2
    outline = candidate.mask if candidate.mask is not None and candidate.mask.count else None
    if apart < margin_mm or (outline is not None and mask_holds(outline, centre)):
        return True
    if finding.box is not None and (
        box_holds(box=finding.box, grid=grid, place_mm=candidate.centre_mm)
        or (outline is not None and mask_share_in_box(mask=outline, box=finding.box) >= 0.5)
    ):
        return True
    if finding.mask is None:
        return apart < max(reach, radius_of(finding))
    if mask_holds(finding.mask, candidate.centre_mm):
        return True
    if outline is None:
        return apart < reach
    return containment(first=outline, second=finding.mask) >= 0.5


def candidate_touches_finding(*, candidate: Candidate, finding: Finding) -> bool:
    """Say whether a candidate's outline shares a voxel with a finding's outline or box, or lies against it."""
    if candidate.mask is None or (finding.mask is None and finding.box is None):
        return False
    if finding.mask is not None and not _boxes_meet(candidate.mask, finding.mask):
        return False
    first, second, third = candidate.mask.origin
    grown = ndimage.binary_dilation(np.pad(candidate.mask.voxels, 1))
    reach = Mask(grid=candidate.mask.grid, origin=(first - 1, second - 1, third - 1), voxels=grown)
    if finding.mask is not None:
        return shared_voxels(reach, finding.mask) > 0
    return finding.box is not None and mask_share_in_box(mask=reach, box=finding.box) > 0


def _boxes_meet(first: Mask, second: Mask) -> bool:
    """Say whether the boxes of two masks on one grid, one grown by a voxel, have a voxel in common."""
    return all(
        a - 1 < b + size_b and b < a + size_a + 1
        for a, b, size_a, size_b in zip(
            first.origin, second.origin, first.voxels.shape, second.voxels.shape, strict=True
        )
    )


def _box_meets(boxed: Finding, other: Finding, centre: PointMm, grid: Grid) -> bool:
    if boxed.box is None:
        return False
    if other.mask is not None and mask_share_in_box(mask=other.mask, box=boxed.box) >= _SAME_PLACE:
        return True
    return box_holds(box=boxed.box, grid=grid, place_mm=centre)
