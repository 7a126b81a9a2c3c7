"""From shapes in patient space to rows and back: what a finding revision holds of a mask, a sphere or a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imaging.errors import NotApplicable
from imaging.masks.canonical import mask_bytes, read_mask
from imaging.masks.measure import Measurement, measure
from imaging.types import Category, Finding, Grid, Mask, PointMm, Sphere
from qaservice.labels.models import FindingRevision
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, write_bytes

MASK_TYPE = "application/vnd.label-qa.mask"


@dataclass(frozen=True, slots=True)
class StoredShape:
    """The columns of a revision that say where the finding is; the mask's bytes lie in the blob directory already."""

    shape: str
    mask: BlobItem | None
    place_mm: PointMm
    diameter_mm: float | None
    measurement: dict[str, object]


def store_shape(shape: Mask | Sphere | PointMm) -> StoredShape:
    """Measure a shape and put its mask on disk, before the transaction that records it.

    Raises NotApplicable ``empty-mask`` for a mask without a voxel.
    """
    if isinstance(shape, Mask):
        size = measure(shape)
        blob = write_bytes(data=mask_bytes(shape), media_type=MASK_TYPE)
        return StoredShape("mask", blob, size.centroid_mm, size.long_axis_mm, _as_json(size))
    if isinstance(shape, Sphere):
        measurement: dict[str, object] = {"diameter_mm": shape.diameter_mm, "method": "diameter of the given sphere"}
        return StoredShape("sphere", None, shape.centre_mm, shape.diameter_mm, measurement)
    return StoredShape("point", None, shape, None, {})


def shape_of_finding(finding: Finding) -> Mask | Sphere | PointMm:
    """Return where a finding is. Raises NotApplicable ``no-place`` if it says nothing of it."""
    if finding.mask is not None:
        return finding.mask
    if finding.sphere is not None:
        return finding.sphere
    if finding.point_mm is not None:
        return finding.point_mm
    raise NotApplicable("no-place", "the finding has no outline, sphere or point", subjects=(finding.finding_id,))


def mask_of_revision(revision: FindingRevision, grid: Grid) -> Mask:
    """Return the outline of a revision on its series' grid. Raises NotApplicable ``no-mask`` where it has none."""
    if revision.mask_id is None:
        raise NotApplicable("no-mask", f"this finding is a {revision.shape}, not an outline")
    return read_mask(read_blob(revision.mask_id), grid)


def finding_of_revision(
    revision: FindingRevision, grid: Grid, sop_instance_uids: tuple[str, ...], source_label: str
) -> Finding:
    """Return a stored revision in the analysis core's terms; its id is the id of the finding's row.

    ``sop_instance_uids`` are the series' instances in slice order; the finding keeps those that its outline touches.
    """
    place: PointMm = (revision.x_mm, revision.y_mm, revision.z_mm)
    mask = mask_of_revision(revision, grid) if revision.shape == "mask" else None
    sphere = None
    if revision.shape == "sphere" and revision.diameter_mm is not None:
        sphere = Sphere(centre_mm=place, diameter_mm=revision.diameter_mm)
    touched: tuple[str, ...] = ()
    if mask is not None:
        filled = np.flatnonzero(mask.voxels.any(axis=(1, 2)))
        touched = tuple(sop_instance_uids[mask.origin[0] + int(index)] for index in filled)
    return Finding(
        finding_id=str(revision.finding_id),
        category=Category(revision.category),
        mask=mask,
        sphere=sphere,
        point_mm=place if mask is None and sphere is None else None,
        source_label=source_label,
        characteristics=dict(revision.characteristics),
        sop_instance_uids=touched,
    )


def _as_json(size: Measurement) -> dict[str, object]:
    return {
        "long_axis_mm": size.long_axis_mm,
        "short_axis_mm": size.short_axis_mm,
        "mean_mm": size.mean_mm,
        "volume_mm3": size.volume_mm3,
        "equivalent_diameter_mm": size.equivalent_diameter_mm,
        "slice_index": size.slice_index,
        "method": size.method,
    }
