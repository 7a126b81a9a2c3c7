"""From shapes in patient space to rows and back: what a revision holds of a mask, a sphere, a box or a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imaging.errors import NotApplicable
from imaging.geometry.affine import to_index
from imaging.masks.canonical import mask_bytes, read_mask
from imaging.masks.measure import Measurement, measure
from imaging.types import (
    Box,
    Category,
    Finding,
    Grid,
    Mask,
    PointMm,
    ReportedMeasurement,
    RoundTrip,
    Sphere,
)
from qaservice.labels.models import FindingRevision
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, write_bytes

MASK_TYPE = "application/vnd.label-qa.mask"

Shape = Mask | Sphere | Box | PointMm
"""Where a finding is."""


@dataclass(frozen=True, slots=True)
class StoredShape:
    """The columns of a revision that say where the finding is; the mask's bytes lie in the blob directory already."""

    shape: str
    mask: BlobItem | None
    place_mm: PointMm
    diameter_mm: float | None
    measurement: dict[str, object]
    box: list[list[float]] | None = None


def store_shape(shape: Shape, grid: Grid) -> StoredShape:
    """Measure a shape on its series' grid and put its mask on disk, before the transaction that records it.

    A box is known by its middle and its longer edge in the slice plane; it has no outline, so no axis of one.
    Raises NotApplicable ``empty-mask`` for a mask without a voxel.
    """
    if isinstance(shape, Mask):
        size = measure(shape)
        blob = write_bytes(data=mask_bytes(shape), media_type=MASK_TYPE)
        return StoredShape("mask", blob, size.centroid_mm, size.long_axis_mm, _as_json(size))
    if isinstance(shape, Sphere):
        measurement: dict[str, object] = {"diameter_mm": shape.diameter_mm, "method": "diameter of the given sphere"}
        return StoredShape("sphere", None, shape.centre_mm, shape.diameter_mm, measurement)
    if isinstance(shape, Box):
        return _stored_box(shape, grid)
    return StoredShape("point", None, shape, None, {})


def stored_finding(finding: Finding, grid: Grid) -> StoredShape:
    """Measure a finding of a source, as ``store_shape`` does, and note its round-trip error with what was measured."""
    stored = store_shape(shape_of_finding(finding), grid)
    if finding.round_trip is None:
        return stored
    error = {"round_trip_mm": finding.round_trip.mm, "round_trip_voxels": finding.round_trip.voxels}
    return replace(stored, measurement=stored.measurement | error)


def stored_shape_of(revision: FindingRevision) -> StoredShape:
    """Return where a revision has its finding, for another revision at the same place."""
    mask = revision.mask
    blob = None if mask is None else BlobItem(sha256=mask.sha256, size=mask.size, media_type=mask.media_type)
    place: PointMm = (revision.x_mm, revision.y_mm, revision.z_mm)
    measurement = dict(revision.measurement)
    return StoredShape(revision.shape, blob, place, revision.diameter_mm, measurement, revision.box)


def shape_of_finding(finding: Finding) -> Shape:
    """Return where a finding is. Raises NotApplicable ``no-place`` if it says nothing of it."""
    if finding.mask is not None:
        return finding.mask
    if finding.sphere is not None:
        return finding.sphere
    if finding.box is not None:
        return finding.box
    if finding.point_mm is not None:
        return finding.point_mm
    raise NotApplicable("no-place", "the finding has no outline, sphere, box or point", subjects=(finding.finding_id,))


def mask_of_revision(revision: FindingRevision, grid: Grid) -> Mask:
    """Return the outline of a revision on its series' grid. Raises NotApplicable ``no-mask`` where it has none."""
    if revision.mask_id is None:
        raise NotApplicable("no-mask", f"this finding is a {revision.shape}, not an outline")
    return read_mask(read_blob(revision.mask_id), grid)


def finding_of_revision(revision: FindingRevision, grid: Grid, sop_instance_uids: tuple[str, ...]) -> Finding:
    """Return a stored revision in the analysis core's terms; its id is the id of the finding's row.

    ``sop_instance_uids`` are the series' instances in slice order; the finding keeps those that its outline touches.
    """
    place: PointMm = (revision.x_mm, revision.y_mm, revision.z_mm)
    mask = mask_of_revision(revision, grid) if revision.shape == "mask" else None
    sphere = None
    if revision.shape == "sphere" and revision.diameter_mm is not None:
        sphere = Sphere(centre_mm=place, diameter_mm=revision.diameter_mm)
    box = box_of_revision(revision)
    touched: tuple[str, ...] = ()
    if mask is not None:
        filled = np.flatnonzero(mask.voxels.any(axis=(1, 2)))
        touched = tuple(sop_instance_uids[mask.origin[0] + int(index)] for index in filled)
    return Finding(
        finding_id=str(revision.finding_id),
        category=Category(revision.category),
        mask=mask,
        sphere=sphere,
        point_mm=place if mask is None and sphere is None and box is None else None,
        source_label=revision.finding.source_label,
        characteristics=dict(revision.characteristics),
        sop_instance_uids=touched,
        box=box,
        tracking_uid=revision.finding.source_tracking_uid,
        confidence=revision.confidence,
        attributes=dict(revision.attributes),
        measurements=reported_in(revision),
        round_trip=round_trip_of(revision.measurement),
    )


def box_of_revision(revision: FindingRevision) -> Box | None:
    """Return the box of a revision, None where it is another shape."""
    if revision.box is None:
        return None
    first, second = ((float(x), float(y), float(z)) for x, y, z in revision.box)
    return Box(corner_mm=first, opposite_corner_mm=second)


def reported_in(revision: FindingRevision) -> tuple[ReportedMeasurement, ...]:
    """Return the numbers that the source gave for a finding."""
    return tuple(
        ReportedMeasurement(name=str(one["name"]), value=float(one["value"]), unit=str(one["unit"]))
        for one in revision.reported
    )


def round_trip_of(measurement: Mapping[str, Any]) -> RoundTrip | None:
    """Return the round-trip error kept with a measurement, None for a shape that no source gave."""
    if "round_trip_mm" not in measurement:
        return None
    return RoundTrip(voxels=float(measurement["round_trip_voxels"]), mm=float(measurement["round_trip_mm"]))


def _stored_box(box: Box, grid: Grid) -> StoredShape:
    corners: Sequence[PointMm] = (box.corner_mm, box.opposite_corner_mm)
    first, second = (np.asarray(to_index(grid, corner)) for corner in corners)
    edges = [float(edge) for edge in np.abs(second - first) * np.asarray(grid.spacing_mm)]
    x, y, z = (float(part) for part in (np.asarray(corners[0]) + np.asarray(corners[1])) / 2)
    measurement: dict[str, object] = {
        "long_axis_mm": max(edges[1:]),
        "short_axis_mm": min(edges[1:]),
        "edges_mm": edges,
        "method": "edges of the given box along slice, row and column; a thing fills its box only in part",
    }
    given = [[float(part) for part in corner] for corner in corners]
    return StoredShape("box", None, (x, y, z), max(edges[1:]), measurement, given)


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
