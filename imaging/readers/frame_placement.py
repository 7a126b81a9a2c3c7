"""Where the planes of a multi-frame label lie in the grid of the image that they describe, to the millimetre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imaging.geometry.affine import to_index
from imaging.geometry.series import PlacedSeries
from imaging.types import Index, PointMm, Rejection, RoundTrip

PLANE_TOLERANCE_MM = 0.1
"""Planes may lie this far from the image's voxels: writers round positions to 0.1 mm, and no axis is read finer."""

DIRECTION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine; writers round to three decimals."""

SPACING_TOLERANCE_MM = 0.001
"""Largest difference of pixel spacings: half a millimetre over 512 pixels."""


@dataclass(frozen=True, slots=True)
class LabelPlane:
    """One frame of a label: where it says that it lies. Lengths are millimetres in LPS, absent values None or empty."""

    position_mm: PointMm | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    source_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each plane's first pixel lies (slice, row, column), or the reasons why the label has no place.

    ``round_trips``: for each plane, how far its worst corner lies on the grid from where the plane itself puts it.
    ``remarks`` do not stand in the way.
    """

    origins: tuple[Index, ...]
    round_trips: tuple[RoundTrip, ...]
    refusals: tuple[Rejection, ...]
    remarks: tuple[Rejection, ...]


def place_planes(planes: Sequence[LabelPlane], size: tuple[int, int], image: PlacedSeries) -> Placement:
    """Return the place of every plane of ``size`` (rows, columns) in the image's grid.

    Planes are placed by position, else by the one image that they name; if both are given they must agree. A label is
    taken whole or not at all. Refusals: ``no-plane-position``, ``orientation-disagrees``, ``spacing-disagrees``,
    ``label-outside-image``, ``label-off-grid``, ``reference-disagrees``; remark: ``dangling-reference``. Where moving
    the planes by whole slices alone would bring them onto the grid, the refusal says by how many; nothing is moved.
    """
    slice_of = {uid: index for index, uid in enumerate(image.sop_instance_uids)}
    dangling = sorted({uid for plane in planes for uid in plane.source_uids if uid not in slice_of})
    remarks: tuple[Rejection, ...] = ()
    if dangling:
        message = f"The label names {len(dangling)} source images that are not in the series."
        remarks = (Rejection("dangling-reference", message, tuple(dangling)),)
    refusals = _direction_refusals(planes, image)
    if refusals:
        return Placement((), (), refusals, remarks)
    located: list[tuple[float, float, float]] = []
    for plane in planes:
        named = [slice_of[uid] for uid in plane.source_uids if uid in slice_of]
        if plane.position_mm is not None:
            located.append(to_index(image.grid, plane.position_mm))
        elif len(named) == 1 and size == image.grid.shape[1:]:
            located.append((float(named[0]), 0.0, 0.0))
        else:
            message = "The label's planes have no position in the patient, and name no single image that they lie on."
            return Placement((), (), (Rejection("no-plane-position", message),), remarks)
    refusals = _position_refusals(planes, located, size, slice_of, image) or _reference_refusals(
        planes, located, slice_of, image
    )
    if refusals:
        return Placement((), (), refusals, remarks)
    origins = tuple((round(s), round(r), round(c)) for s, r, c in located)
    round_trips = tuple(_round_trip(plane, origin, size, image) for plane, origin in zip(planes, origins, strict=True))
    return Placement(origins, round_trips, (), remarks)


def worst(round_trips: Sequence[RoundTrip]) -> RoundTrip:
    """Return the one that lies farthest away, zero if there are none."""
    return max(round_trips, key=lambda one: one.mm, default=RoundTrip(0.0, 0.0))


def _round_trip(plane: LabelPlane, origin: Index, size: tuple[int, int], image: PlacedSeries) -> RoundTrip:
    if plane.position_mm is None:
        return RoundTrip(0.0, 0.0)
    matrix, steps = image.grid.matrix, np.array(image.grid.spacing_mm)
    corners = np.array([[0, row, column] for row in (0, size[0] - 1) for column in (0, size[1] - 1)], dtype=np.float64)
    orientation = plane.orientation or (*(matrix[:3, 2] / steps[2]), *(matrix[:3, 1] / steps[1]))
    spacing = plane.pixel_spacing_mm or (steps[1], steps[2])
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    said = (
        np.array(plane.position_mm)
        + corners[:, 1:2] * spacing[0] * along_column
        + corners[:, 2:3] * spacing[1] * along_row
    )
    held = (corners + np.array(origin)) @ matrix[:3, :3].T + matrix[:3, 3]
    offsets = held - said
    voxels = np.linalg.solve(matrix[:3, :3], offsets.T)
    return RoundTrip(float(np.abs(voxels).max()), float(np.linalg.norm(offsets, axis=1).max()))


def _direction_refusals(planes: Sequence[LabelPlane], image: PlacedSeries) -> tuple[Rejection, ...]:
    matrix = image.grid.matrix
    steps = image.grid.spacing_mm
    expected = np.concatenate([matrix[:3, 2] / steps[2], matrix[:3, 1] / steps[1]])
    turned = [
        float(np.abs(np.array(plane.orientation) - expected).max()) for plane in planes if plane.orientation is not None
    ]
    if turned and max(turned) > DIRECTION_TOLERANCE:
        message = f"The label's planes are turned against the image: a direction cosine differs by {max(turned):.3f}."
        return (Rejection("orientation-disagrees", message),)
    off = [
        max(abs(plane.pixel_spacing_mm[0] - steps[1]), abs(plane.pixel_spacing_mm[1] - steps[2]))
        for plane in planes
        if plane.pixel_spacing_mm is not None
    ]
    if off and max(off) > SPACING_TOLERANCE_MM:
        message = (
            f"The label's pixels are not the image's: their spacing differs by {max(off):.4f} mm from "
            f"{steps[1]:.4f} x {steps[2]:.4f} mm."
        )
        return (Rejection("spacing-disagrees", message),)
    return ()


def _position_refusals(
    planes: Sequence[LabelPlane],
    located: Sequence[tuple[float, float, float]],
    size: tuple[int, int],
    slice_of: Mapping[str, int],
    image: PlacedSeries,
) -> tuple[Rejection, ...]:
    shape, steps = image.grid.shape, np.array(image.grid.spacing_mm)
    first = np.array(located, dtype=np.float64)
    last = first + np.array([0, size[0] - 1, size[1] - 1])
    beyond = np.maximum(np.maximum(-first, last - (np.array(shape) - 1)), 0.0) * steps
    outside = np.flatnonzero(beyond.max(axis=1) > PLANE_TOLERANCE_MM)
    if outside.size:
        corners = np.array([[0, 0, 0], [shape[0] - 1, shape[1] - 1, shape[2] - 1]]) @ image.grid.matrix[:3, :3].T
        corners = corners + image.grid.matrix[:3, 3]
        span = ", ".join(
            f"{axis} {low:.1f} to {high:.1f}"
            for axis, low, high in zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=True)
        )
        places = [planes[int(index)].position_mm or (0.0, 0.0, 0.0) for index in (outside[0], outside[-1])]
        begin, end = ("({:.1f}, {:.1f}, {:.1f})".format(*place) for place in places)
        along, across = float(beyond[:, 0].max()), float(beyond[:, 1:].max())
        message = (
            f"{outside.size} of {len(planes)} planes lie outside the image, up to {along:.1f} mm beyond its slices "
            f"and {across:.1f} mm beyond its edge: the planes begin at {begin} to {end} mm, the image spans {span} mm."
            + _fitting_shift(planes, located, size, slice_of, image)
        )
        return (Rejection("label-outside-image", message),)
    astray = np.abs(first - np.rint(first)) * steps
    if float(astray.max()) > PLANE_TOLERANCE_MM:
        message = (
            f"The label's planes lie between the image's voxels: {float(astray[:, 0].max()):.2f} mm between slices, "
            f"{float(astray[:, 1:].max()):.2f} mm within the slice."
        )
        return (Rejection("label-off-grid", message),)
    return ()


def _reference_refusals(
    planes: Sequence[LabelPlane],
    located: Sequence[tuple[float, float, float]],
    slice_of: Mapping[str, int],
    image: PlacedSeries,
) -> tuple[Rejection, ...]:
    step = image.grid.spacing_mm[0]
    wrong: list[tuple[float, str]] = []
    for plane, place in zip(planes, located, strict=True):
        named = [uid for uid in plane.source_uids if uid in slice_of]
        if named:
            distance, uid = min((abs(slice_of[uid] - place[0]) * step, uid) for uid in named)
            if distance > PLANE_TOLERANCE_MM:
                wrong.append((distance, uid))
    if not wrong:
        return ()
    message = (
        f"{len(wrong)} of {len(planes)} planes name an image that lies up to {max(wrong)[0]:.1f} mm from the position "
        "that they give." + _fitting_shift(planes, located, (1, 1), slice_of, image)
    )
    return (Rejection("reference-disagrees", message, tuple(uid for _, uid in wrong)),)


def _fitting_shift(
    planes: Sequence[LabelPlane],
    located: Sequence[tuple[float, float, float]],
    size: tuple[int, int],
    slice_of: Mapping[str, int],
    image: PlacedSeries,
) -> str:
    """Say which shift by whole slices would bring the planes onto the grid, from positions and references alone.

    Empty where there is none: the planes lie between voxels or beside the image, or need different shifts.
    """
    shape, steps = image.grid.shape, np.array(image.grid.spacing_mm)
    first = np.array(located, dtype=np.float64)
    last = first + np.array([0, size[0] - 1, size[1] - 1])
    beside = np.maximum(np.maximum(-first[:, 1:], last[:, 1:] - (np.array(shape[1:]) - 1)), 0.0) * steps[1:]
    off_grid = np.abs(first - np.rint(first)) * steps
    if max(float(beside.max()), float(off_grid.max())) > PLANE_TOLERANCE_MM:
        return ""
    low, high = round(float(first[:, 0].min())), round(float(first[:, 0].max()))
    named = {
        slice_of[uid] - round(place[0])
        for plane, place in zip(planes, located, strict=True)
        for uid in plane.source_uids
        if uid in slice_of
    }
    if len(named) == 1:
        (shift,) = named
        reason = "the shift to the images that they name"
    else:
        shift = -low if low < 0 else shape[0] - 1 - high
        reason = "the smallest that fits; nothing in the header says that it is the right one"
    if len(named) > 1 or low + shift < 0 or high + shift >= shape[0] or shift == 0:
        return ""
    move = np.round(image.grid.matrix[:3, 0] * shift, 1) + 0.0  # no minus before a nought
    return (
        f" Moved by {shift:+d} slices, ({move[0]:.1f}, {move[1]:.1f}, {move[2]:.1f}) mm, they would lie on the image "
        f"({reason})."
    )
