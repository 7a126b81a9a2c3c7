"""Where a finding lies and how far it reaches, whatever it was drawn with."""

from __future__ import annotations

import math

import numpy as np

from imaging.errors import NotApplicable
from imaging.geometry.affine import to_index
from imaging.masks.boxes import box_centre, box_diameter_mm
from imaging.masks.build import contains
from imaging.masks.measure import centroid
from imaging.types import Finding, Mask, PointMm


def centre_of(finding: Finding) -> PointMm:
    """Return the centre of a finding, LPS millimetres: its outline's centroid, its sphere's or box's centre, its point.

    Raises NotApplicable ``no-place`` if it has none of them, or an empty outline.
    """
    if finding.mask is not None and finding.mask.count:
        return centroid(finding.mask)
    if finding.sphere is not None:
        return finding.sphere.centre_mm
    if finding.box is not None:
        return box_centre(finding.box)
    if finding.point_mm is not None:
        return finding.point_mm
    raise NotApplicable("no-place", "The finding has no outline, sphere, box or point.", subjects=(finding.finding_id,))


def radius_of(finding: Finding) -> float:
    """Return half the diameter of a finding in millimetres: 0 for a point, which has none.

    An outline's is that of the ball of its volume, a box's that of ``box_diameter_mm``.
    """
    if finding.mask is not None:
        voxel = abs(float(np.linalg.det(finding.mask.grid.matrix[:3, :3])))
        return float((3.0 * finding.mask.count * voxel / (4.0 * math.pi)) ** (1.0 / 3.0))
    if finding.box is not None:
        return box_diameter_mm(finding.box) / 2.0
    return finding.sphere.diameter_mm / 2.0 if finding.sphere is not None else 0.0


def mask_holds(mask: Mask, place_mm: PointMm) -> bool:
    """Tell whether the voxel nearest to a place (LPS millimetres) belongs to a mask."""
    index = to_index(mask.grid, place_mm)
    return contains(mask, (round(index[0]), round(index[1]), round(index[2])))
