"""The contours of an RT Structure Set on the slices of a CT series (DICOM PS3.3 C.8.8.6).

Contours are (n, 3) points in patient space, LPS millimetres. Closed contours of one slice are combined by exclusive or,
which is how holes are drawn; a contour that does not lie on a slice is refused, never moved to one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.masks.polygons import place_in_slice
from imaging.readers.dataset import text_of, whole_of
from imaging.readers.frame_placement import PLANE_TOLERANCE_MM
from imaging.readers.planar_contours import Outline, border_offset, cross_each_other, even_odd_area, fill_even_odd
from imaging.types import Mask, PointMm, Rejection, RoundTrip

CLOSED_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One contour as stored. ``points_mm`` is (n, 3), LPS millimetres; ``image_uids`` the images that it names."""

    number: int
    kind: str
    points_mm: NDArray[np.float64]
    image_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """What the closed contours of one region give on the grid.

    ``mask`` may be empty. ``planimetric_mm3`` is the sum of the contours' areas times the slice step. ``middle_mm`` is
    the mean of all vertices. ``refusals`` mean that the region has no place here, and then nothing else counts;
    ``remarks`` do not stand in the way.
    """

    mask: Mask
    planimetric_mm3: float
    middle_mm: PointMm
    round_trip: RoundTrip
    slices: tuple[int, ...]
    refusals: tuple[Rejection, ...]
    remarks: tuple[Rejection, ...]


def contour_of(item: Dataset, ordinal: int) -> Contour:
    """Return one item of a Contour Sequence. Raises UnreadableFile ``bad-value`` if its points are no points."""
    points = _coordinates(item)
    if points.size % 3 or not np.all(np.isfinite(points)):
        raise UnreadableFile("bad-value", f"The points of contour {ordinal} are not triples of finite numbers.")
    images = tuple(text_of(image, "ReferencedSOPInstanceUID") for image in item.get("ContourImageSequence") or ())
    return Contour(
        number=whole_of(item, "ContourNumber") or ordinal,
        kind=text_of(item, "ContourGeometricType"),
        points_mm=points.reshape(-1, 3),
        image_uids=tuple(uid for uid in images if uid),
    )


def outline(contours: Sequence[Contour], image: PlacedSeries, subject: str) -> Outlined:
    """Return the region within closed contours of at least three points; ``subject`` names it in rejections.

    A pixel whose centre lies inside or on a contour belongs. The region is taken whole or not at all: refusals are
    ``contour-not-in-slice``, ``label-outside-image``, ``contour-between-slices`` and ``reference-disagrees``; remarks
    ``irregular-contour-planes``, ``contours-cross`` and ``slice-without-interior``.
    """
    grid = image.grid
    indices = [voxel_indices(contour.points_mm, image) for contour in contours]
    middle = np.concatenate([contour.points_mm for contour in contours]).mean(axis=0)
    place = (float(middle[0]), float(middle[1]), float(middle[2]))
    refusals = placement_refusals(contours, indices, image, subject)
    if refusals:
        nothing = mask_from_voxels(grid=grid, voxels=np.zeros((0, 0, 0), dtype=np.bool_))
        return Outlined(nothing, 0.0, place, RoundTrip(0.0, 0.0), (), refusals, ())
    planes: dict[int, list[Outline]] = defaultdict(list)
    off_plane = 0.0
    for index in indices:
        slice_index = round(float(index[:, 0].mean()))
        off_plane = max(off_plane, float(np.abs(index[:, 0] - slice_index).max()))
        planes[slice_index].append(index[:, 1:])
    slices = tuple(sorted(planes))
    mask = _mask(planes, image)
    in_plane = [
        border_offset(
            region=mask.voxels[number - mask.origin[0]],
            corner=mask.origin[1:],
            vertices=np.concatenate(planes[number]),
            spacing_mm=grid.spacing_mm[1:],
        )
        for number in slices
        if _fills(mask, number)
    ]
    round_trip = RoundTrip(
        voxels=max([off_plane, *(voxels for voxels, _ in in_plane)]),
        mm=max([off_plane * grid.spacing_mm[0], *(mm for _, mm in in_plane)]),
    )
    pixel_area = grid.spacing_mm[1] * grid.spacing_mm[2]
    # Perpendicular to the slices, which in a tilted stack is less than the way between neighbouring first pixels.
    step = abs(float(np.linalg.det(grid.matrix[:3, :3]))) / pixel_area
    area = float(sum(even_odd_area(outlines) for outlines in planes.values())) * pixel_area
    return Outlined(mask, area * step, place, round_trip, slices, (), _remarks(planes, mask, image, subject))


def placement_refusals(
    contours: Sequence[Contour], indices: Sequence[NDArray[np.float64]], image: PlacedSeries, subject: str
) -> tuple[Rejection, ...]:
    """Return why contours have no place on the grid, in millimetres; see ``outline`` for the codes.

    ``indices`` are the contours' points as fractional voxel indices, (n, 3) as (slice, row, column).
    """
    steps, shape = np.array(image.grid.spacing_mm), np.array(image.grid.shape)
    found: list[Rejection] = []
    turned = [float(np.ptp(index[:, 0])) * steps[0] for index in indices]
    if max(turned) > PLANE_TOLERANCE_MM:
        count = sum(spread > PLANE_TOLERANCE_MM for spread in turned)
        message = (
            f"{count} of {len(contours)} contours are not parallel to the image's slices: one spans "
            f"{max(turned):.1f} mm across them."
        )
        return (Rejection("contour-not-in-slice", message, (subject,)),)
    beyond = [beyond_grid(index, shape) * steps for index in indices]
    outside = [index for index, far in enumerate(beyond) if far.max() > PLANE_TOLERANCE_MM]
    if outside:
        along, across = max(far[0] for far in beyond), max(far[1:].max() for far in beyond)
        message = (
            f"{len(outside)} of {len(contours)} contours lie outside the image, up to {along:.1f} mm beyond its slices "
            f"and {across:.1f} mm beyond its edge."
        )
        found.append(Rejection("label-outside-image", message, (subject,)))
    within = [index for index in range(len(contours)) if index not in set(outside)]
    astray = {
        index: float(np.abs(indices[index][:, 0] - np.rint(indices[index][:, 0].mean())).max()) * steps[0]
        for index in within
    }
    between = [index for index, far in astray.items() if far > PLANE_TOLERANCE_MM]
    if between:
        message = (
            f"{len(between)} of {len(contours)} contours lie between the image's slices, up to "
            f"{max(astray.values()):.2f} mm from the nearest."
        )
        found.append(Rejection("contour-between-slices", message, (subject,)))
    slice_of = {uid: index for index, uid in enumerate(image.sop_instance_uids)}
    wrong = [
        (abs(slice_of[uid] - float(indices[index][:, 0].mean())) * steps[0], uid)
        for index in within
        for uid in contours[index].image_uids
        if uid in slice_of
    ]
    wrong = [(distance, uid) for distance, uid in wrong if distance > PLANE_TOLERANCE_MM and not between]
    if wrong:
        message = (
            f"{len(wrong)} of {len(contours)} contours name an image that lies up to {max(wrong)[0]:.1f} mm from them."
        )
        found.append(Rejection("reference-disagrees", message, (subject, *(uid for _, uid in wrong))))
    return tuple(found)


def _remarks(planes: dict[int, list[Outline]], mask: Mask, image: PlacedSeries, subject: str) -> tuple[Rejection, ...]:
    remarks: list[Rejection] = []
    slices = sorted(planes)
    missing = sorted(set(range(slices[0], slices[-1] + 1)) - set(slices))
    if missing:
        message = (
            f"Between its first and last contour {len(missing)} of {slices[-1] - slices[0] + 1} slices have none; "
            "they were left empty."
        )
        uids = tuple(image.sop_instance_uids[index] for index in missing)
        remarks.append(Rejection("irregular-contour-planes", message, (subject, *uids)))
    crossing = [index for index in slices if len(planes[index]) > 1 and cross_each_other(planes[index])]
    if crossing:
        message = f"On {len(crossing)} slices contours cross one another; what two of them share was left out."
        uids = tuple(image.sop_instance_uids[index] for index in crossing)
        remarks.append(Rejection("contours-cross", message, (subject, *uids)))
    empty = [index for index in slices if not _fills(mask, index)]
    if empty and mask.count:
        message = f"On {len(empty)} of its slices the contours enclose no voxel centre."
        uids = tuple(image.sop_instance_uids[index] for index in empty)
        remarks.append(Rejection("slice-without-interior", message, (subject, *uids)))
    return tuple(remarks)


def _mask(planes: dict[int, list[Outline]], image: PlacedSeries) -> Mask:
    shape = image.grid.shape
    first, last = min(planes), max(planes)
    voxels = np.zeros((last - first + 1, *shape[1:]), dtype=np.bool_)
    for index, outlines in planes.items():
        filled, corner = fill_even_odd(outlines)
        box, (_, top, left) = place_in_slice(box=filled, corner=corner, slice_index=index, shape=(shape[1], shape[2]))
        voxels[index - first, top : top + box.shape[0], left : left + box.shape[1]] = box
    return mask_from_voxels(grid=image.grid, voxels=voxels, origin=(first, 0, 0))


def _fills(mask: Mask, index: int) -> bool:
    inner = index - mask.origin[0]
    return 0 <= inner < mask.voxels.shape[0] and bool(mask.voxels[inner].any())


def beyond_grid(index: NDArray[np.float64], shape: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far points (n, 3) reach beyond the outer faces of a grid's voxels: (3,), voxels along each axis."""
    low, high = index.min(axis=0), index.max(axis=0)
    far: NDArray[np.float64] = np.maximum(np.maximum(-0.5 - low, high - (shape - 0.5)), 0.0)
    return far


def voxel_indices(points_mm: NDArray[np.float64], image: PlacedSeries) -> NDArray[np.float64]:
    """Return points (n, 3), LPS millimetres, as fractional voxel indices (n, 3): (slice, row, column)."""
    matrix = image.grid.matrix
    index: NDArray[np.float64] = np.linalg.solve(matrix[:3, :3], (points_mm - matrix[:3, 3]).T).T.astype(np.float64)
    return index


def _coordinates(item: Dataset) -> NDArray[np.float64]:
    if "ContourData" not in item:
        return np.zeros(0)
    # Straight from the stored text: a decimal string object for each of a chest's hundred thousand numbers takes long.
    raw = item.get_item("ContourData")
    try:
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            return np.array([float(part) for part in raw.value.decode("ascii").split("\\") if part.strip(" \x00")])
        return np.array([float(part) for part in item.ContourData], dtype=np.float64)
    except (TypeError, ValueError, UnicodeDecodeError) as error:
        raise UnreadableFile("bad-value", "The points of a contour are not numbers.") from error
