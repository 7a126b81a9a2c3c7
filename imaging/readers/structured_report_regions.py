"""Where a report's regions lie on the grid: image coordinates, patient coordinates and segments of a SEG.

PS3.3 C.18.6 (SCOORD), C.18.9 (SCOORD3D); PS3.16 TID 1410 and 1411.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import box_of, mask_from_voxels
from imaging.readers.formats import ReadContext
from imaging.readers.frame_placement import PLANE_TOLERANCE_MM
from imaging.readers.planar_contours import border_offset
from imaging.readers.segmentation import PlacedSegment, SegmentationReading, read_segments
from imaging.readers.structure_set_contours import Contour, beyond_grid, outline, voxel_indices
from imaging.readers.structured_report_codes import IMAGE_REGION, is_concept
from imaging.readers.structured_report_content import ContentItem, Reference
from imaging.types import Mask, Rejection, RoundTrip

_RIM_POINTS = 1440
"""A circle drawn with so many sides lies within a thousandth of a pixel of the round one up to 400 pixels' radius."""

_SURFACE_POINTS = 500


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One region of a report on the grid.

    ``mask`` is None for points and lines, and for outlines that enclose no voxel centre. ``points_mm`` is (n, 3): what
    the source gave, in patient space. ``slices`` are the slices that it lies on.
    """

    mask: Mask | None
    points_mm: NDArray[np.float64]
    round_trip: RoundTrip
    slices: tuple[int, ...]
    segment: PlacedSegment | None = None


class RegionPlacer:
    """Places the regions of one report on one series and keeps account of what has no place there."""

    def __init__(self, image: PlacedSeries, context: ReadContext, root: ContentItem) -> None:
        self._image = image
        self._context = context
        self._root = root
        self._slice_of = {uid: index for index, uid in enumerate(image.sop_instance_uids)}
        self._segmentations: dict[str, SegmentationReading | None] = {}
        self.rejections: list[Rejection] = []

    def region(self, item: ContentItem) -> Region | None:
        """Return the place of a SCOORD or SCOORD3D item, None (and a rejection) where it has none."""
        if not len(item.points):
            self._refuse("bad-value", "The region's coordinates are not whole, finite points.", item.subject)
            return None
        if item.value_type == "SCOORD":
            contour = self._on_image(item)
        else:
            frame, own = item.frame_of_reference_uid, self._image.grid.frame_of_reference_uid
            if frame and own and frame != own:
                message = "The region lies in another frame of reference than the image."
                self._refuse("another-frame-of-reference", message, item.subject, frame)
                return None
            contour = Contour(0, item.graphic, item.points, ())
        if contour is None:
            return None
        if item.graphic == "ELLIPSOID":
            return self._ellipsoid(item)
        return self._planar(item, contour)

    def segment(self, item: ContentItem, reference: Reference) -> list[Region] | None:
        """Return the segments that an item names of a SEG, None (and a rejection) where one is not to be had."""
        reading = self._segmentation(reference.sop_instance_uid, item)
        if reading is None:
            return None
        wanted = reference.segments or tuple(placed.segment.number for placed in reading.segments)
        by_number = {placed.segment.number: placed for placed in reading.segments}
        missing = [number for number in wanted if number not in by_number]
        if missing or not wanted:
            message = f"The segmentation that the report names gives no voxels for segment {missing or 'any'} here."
            self._refuse("segment-not-held", message, item.subject, reference.sop_instance_uid)
            return None
        regions = [self._of_segment(by_number[number], reference, reading) for number in wanted]
        if any(region.mask is None for region in regions):
            message = "The frames that the report names hold nothing of the segment."
            self._refuse("segment-not-held", message, item.subject, reference.sop_instance_uid)
            return None
        return regions

    def _of_segment(self, placed: PlacedSegment, reference: Reference, reading: SegmentationReading) -> Region:
        mask, finding = placed.finding.mask, placed.finding
        assert mask is not None  # a segment's finding always holds a mask
        if reference.frames:
            kept = {reading.frame_slices[n - 1] for n in reference.frames if 0 < n <= len(reading.frame_slices)}
            voxels = mask.voxels.copy()
            for index in range(len(voxels)):
                voxels[index] &= mask.origin[0] + index in kept
            mask = mask_from_voxels(grid=mask.grid, voxels=voxels, origin=mask.origin)
        filled = np.flatnonzero(mask.voxels.any(axis=(1, 2))) + mask.origin[0] if mask.count else np.zeros(0)
        return Region(
            mask=mask if mask.count else None,
            points_mm=np.zeros((0, 3)),
            round_trip=finding.round_trip or RoundTrip(0.0, 0.0),
            slices=tuple(int(index) for index in filled),
            segment=placed,
        )

    def _segmentation(self, uid: str, item: ContentItem) -> SegmentationReading | None:
        if uid in self._segmentations:
            return self._segmentations[uid]
        self._segmentations[uid] = None
        data = self._context.companion(uid)
        if data is None:
            self._refuse("dangling-reference", "The segmentation that outlines it is not at hand.", uid, item.subject)
            return None
        try:
            reading = read_segments(data, self._image, self._context)
        except UnreadableFile as error:
            message = f"The segmentation that outlines it cannot be read: {error.message}"
            self._refuse(error.code, message, uid, item.subject)
            return None
        self.rejections.extend(reading.rejections)
        self._segmentations[uid] = reading
        return reading

    def _on_image(self, item: ContentItem) -> Contour | None:
        """The region's points in patient space, on the slice that it was drawn on."""
        sources = [self.resolved(child) for child in item.children]
        references = [source.reference for source in sources if source is not None and source.reference is not None]
        if not references:
            self._refuse("region-without-image", "The region does not say on which image it lies.", item.subject)
            return None
        uid = references[0].sop_instance_uid
        index = self._slice_of.get(uid)
        if index is None:
            message = "The region lies on an image that is not in the series."
            self._refuse("dangling-reference", message, uid, item.subject)
            return None
        # The corner of the first pixel is (0, 0) and its centre (0.5, 0.5): PS3.3 C.18.6.1.1.
        places = np.column_stack([np.full(len(item.points), float(index)), item.points[:, ::-1] - 0.5])
        matrix = self._image.grid.matrix
        return Contour(0, item.graphic, places @ matrix[:3, :3].T + matrix[:3, 3], (uid,))

    def resolved(self, item: ContentItem) -> ContentItem | None:
        """Return the item itself, or the one that it refers to; None where that is not there."""
        return self._root.find(item.target) if item.target else item

    def _planar(self, item: ContentItem, contour: Contour) -> Region | None:
        points = contour.points_mm
        rim = self._rim(item, points)
        if rim is None:
            return None
        if rim.size:
            placed = outline([Contour(0, item.graphic, rim, contour.image_uids)], self._image, item.subject)
            self.rejections.extend((*placed.refusals, *placed.remarks))
            if placed.refusals:
                return None
            return Region(placed.mask if placed.mask.count else None, points, placed.round_trip, placed.slices)
        indices = voxel_indices(points, self._image)
        if self._outside(indices, item):
            return None
        return Region(None, points, RoundTrip(0.0, 0.0), tuple(sorted({round(float(s)) for s in indices[:, 0]})))

    def _outside(self, indices: NDArray[np.float64], item: ContentItem) -> bool:
        grid = self._image.grid
        beyond = beyond_grid(indices, np.array(grid.shape)) * np.array(grid.spacing_mm)
        if beyond.max() <= PLANE_TOLERANCE_MM:
            return False
        message = (
            f"The region lies outside the image, up to {beyond[0]:.1f} mm beyond its slices and "
            f"{beyond[1:].max():.1f} mm beyond its edge."
        )
        self._refuse("label-outside-image", message, item.subject)
        return True

    def _rim(self, item: ContentItem, points: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The closed outline of a region (n, 3), no rows for points and lines, None where the type is not known."""
        nothing = np.zeros((0, 3))
        turn = np.linspace(0.0, 2.0 * np.pi, _RIM_POINTS, endpoint=False)[:, None]
        if item.graphic in {"POINT", "MULTIPOINT"}:
            return nothing
        if item.graphic in {"POLYLINE", "POLYGON"}:
            closed = len(points) > 3 and bool(np.allclose(points[0], points[-1], atol=1e-6))
            corners = points[:-1] if closed else points
            if len(corners) < 3 or not (closed or item.graphic == "POLYGON" or is_concept(item.name, IMAGE_REGION)):
                return nothing
            if not closed:
                message = "The outline is not closed; its last point was joined to its first."
                self.rejections.append(Rejection("outline-closed", message, (item.subject,)))
            return corners
        if item.graphic == "CIRCLE" and len(points) == 2 and item.value_type == "SCOORD":
            matrix = self._image.grid.matrix
            radius = float(np.hypot(*(item.points[1] - item.points[0])))
            circle: NDArray[np.float64] = points[0] + radius * (
                np.cos(turn) * matrix[:3, 1] + np.sin(turn) * matrix[:3, 2]
            )
            return circle
        if item.graphic == "ELLIPSE" and len(points) == 4:
            centre, axes = points.mean(axis=0), ((points[1] - points[0]) / 2.0, (points[3] - points[2]) / 2.0)
            ellipse: NDArray[np.float64] = centre + np.cos(turn) * axes[0] + np.sin(turn) * axes[1]
            return ellipse
        if item.graphic == "ELLIPSOID" and len(points) == 6:
            return nothing
        message = f"A region of type {item.graphic or 'none'} with {len(points)} points is not one that DICOM defines."
        self.rejections.append(Rejection("unknown-graphic", message, (item.subject,)))
        return None

    def _ellipsoid(self, item: ContentItem) -> Region | None:
        points = item.points
        if self._rim(item, points) is None:
            return None
        grid = self._image.grid
        axes = np.stack([(points[n + 1] - points[n]) / 2.0 for n in (0, 2, 4)], axis=1)
        centre = points.mean(axis=0)
        if abs(float(np.linalg.det(axes))) < 1e-9:
            self._refuse("bad-value", "The ellipsoid's axes do not span a volume.", item.subject)
            return None
        directions = _directions()
        surface = voxel_indices(centre + directions @ axes.T, self._image)
        if self._outside(surface, item):
            return None
        low = np.maximum(np.floor(surface.min(axis=0)) - 1, 0).astype(np.int64)
        high = np.minimum(np.ceil(surface.max(axis=0)) + 1, np.array(grid.shape) - 1).astype(np.int64)
        ranges = [np.arange(first, last + 1, dtype=np.float64) for first, last in zip(low, high, strict=True)]
        places = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1) @ grid.matrix[:3, :3].T + grid.matrix[:3, 3]
        inside = (np.linalg.solve(axes, (places - centre).reshape(-1, 3).T) ** 2).sum(axis=0) <= 1.0 + 1e-9
        mask = mask_from_voxels(
            grid=grid,
            voxels=inside.reshape(places.shape[:3]),
            origin=(int(low[0]), int(low[1]), int(low[2])),
        )
        slices = tuple(range(mask.origin[0], mask.origin[0] + mask.voxels.shape[0]))
        if not mask.count:
            return Region(None, points, RoundTrip(0.0, 0.0), (round(float(surface[:, 0].mean())),))
        voxels, mm = border_offset(region=mask.voxels, corner=mask.origin, vertices=surface, spacing_mm=grid.spacing_mm)
        return Region(mask, points, RoundTrip(voxels, mm), slices)

    def _refuse(self, code: str, message: str, *subjects: str) -> None:
        self.rejections.append(Rejection(code, message, subjects))


def united(masks: Sequence[Mask]) -> Mask:
    """Return the voxels that belong to any of the masks, all on one grid."""
    if len(masks) == 1:
        return masks[0]
    low = [min(mask.origin[axis] for mask in masks) for axis in range(3)]
    high = [max(mask.origin[axis] + mask.voxels.shape[axis] for mask in masks) for axis in range(3)]
    voxels = np.zeros([last - first for first, last in zip(low, high, strict=True)], dtype=np.bool_)
    for mask in masks:
        box = tuple(slice(part.start - first, part.stop - first) for part, first in zip(box_of(mask), low, strict=True))
        voxels[box] |= mask.voxels
    return mask_from_voxels(grid=masks[0].grid, voxels=voxels, origin=(low[0], low[1], low[2]))


def _directions() -> NDArray[np.float64]:
    """Evenly spread unit vectors (n, 3), the axes among them."""
    number = np.arange(_SURFACE_POINTS) + 0.5
    polar, turn = np.arccos(1.0 - 2.0 * number / _SURFACE_POINTS), np.pi * (1.0 + 5.0**0.5) * number
    spread = np.column_stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)])
    return np.concatenate([spread, np.eye(3), -np.eye(3)])
