"""What a written file was to say against what our own reader finds in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imaging.errors import WriteMismatch
from imaging.geometry.affine import to_patient
from imaging.masks.boxes import box_spans
from imaging.masks.build import mask_from_sphere
from imaging.types import Box, Finding, Grid, Mask, PointMm, Sphere
from imaging.writers.carrying import shape_of
from imaging.writers.contract import Carried, CategoryFidelity


def compare(
    *, expected: Sequence[Finding], found: Sequence[Finding], carries: Carried, grid: Grid, tolerance_mm: float
) -> None:
    """Raise WriteMismatch where what was found is not what was to be written, as far as the format carries it.

    Findings are matched by tracking UID where the format has it, else by place: the first that lies where one was to
    lie, of several the one that agrees in most.
    """
    left = list(found)
    for one in expected:
        match = _match(one, left, carries, grid, tolerance_mm)
        if match is None:
            raise _lost(one, left, grid)
        left.remove(match)
        differences = _differences(one, match, carries, grid, tolerance_mm)
        if differences:
            code, message = differences[0]
            raise WriteMismatch(code, f"{one.finding_id}: {message}", subjects=(one.finding_id,))
    if left:
        names = ", ".join(other.source_label or other.finding_id for other in left[:5])
        message = f"{len(left)} findings that nobody wrote are read back ({names})."
        raise WriteMismatch("finding-made-up", message, subjects=tuple(other.finding_id for other in left))


def _match(one: Finding, left: Sequence[Finding], carries: Carried, grid: Grid, tolerance_mm: float) -> Finding | None:
    def differences(other: Finding) -> int:
        return len(_differences(one, other, carries, grid, tolerance_mm))

    candidates = (other for other in left if _may_be(one, other, carries, grid, tolerance_mm))
    return min(candidates, key=differences, default=None)


def _may_be(one: Finding, other: Finding, carries: Carried, grid: Grid, tolerance_mm: float) -> bool:
    if carries.tracking:
        return one.tracking_uid == other.tracking_uid
    return _place_difference(one, other, grid, tolerance_mm) is None


def _lost(one: Finding, left: Sequence[Finding], grid: Grid) -> WriteMismatch:
    message = f"{one.finding_id} is not read back."
    same_shape = [other for other in left if shape_of(other) == shape_of(one)]
    if same_shape:
        nearest = min(same_shape, key=lambda other: math.dist(_middle(one, grid), _middle(other, grid)))
        gap = math.dist(_middle(one, grid), _middle(nearest, grid))
        difference = _place_difference(one, nearest, grid, 0.0)
        message += f" The nearest that is lies {gap:.3f} mm away" + (f": {difference[1]}" if difference else ".")
    return WriteMismatch("finding-lost", message, subjects=(one.finding_id,))


def _differences(
    one: Finding, other: Finding, carries: Carried, grid: Grid, tolerance_mm: float
) -> list[tuple[str, str]]:
    found = []
    place = _place_difference(one, other, grid, tolerance_mm)
    if place is not None:
        found.append(place)
    if carries.tracking and one.tracking_uid != other.tracking_uid:
        found.append(("tracking-differs", f"its tracking UID reads back as {other.tracking_uid or 'nothing'}."))
    exact = carries.category is CategoryFidelity.EXACT
    both_nodules = one.category.is_nodule and other.category.is_nodule
    if (
        exact or (carries.category is CategoryFidelity.KIND and not both_nodules)
    ) and one.category is not other.category:
        found.append(("category-differs", f'"{one.category.value}" reads back as "{other.category.value}".'))
    if carries.names and one.source_label != other.source_label:
        found.append(("name-differs", "its name reads back as another."))
    if carries.characteristics and dict(one.characteristics) != dict(other.characteristics):
        found.append(
            (
                "characteristics-differ",
                f"ratings {dict(one.characteristics)} read back as {dict(other.characteristics)}.",
            )
        )
    if carries.confidence and one.confidence != other.confidence:
        found.append(("confidence-differs", f"confidence {one.confidence} reads back as {other.confidence}."))
    return found


def _place_difference(one: Finding, other: Finding, grid: Grid, tolerance_mm: float) -> tuple[str, str] | None:
    shape, theirs = shape_of(one), shape_of(other)
    if one.sphere is not None and other.mask is not None:
        off = sphere_voxels_off(one.sphere, other.mask, tolerance_mm)
        return ("mask-differs", f"{off} voxels of the sphere's surface read back otherwise.") if off else None
    if shape != theirs:
        return ("shape-differs", f"a {shape} reads back as a {theirs}.")
    if one.mask is not None and other.mask is not None:
        differing = differing_voxels(one.mask, other.mask)
        if differing:
            return ("mask-differs", f"{differing} of its {one.mask.count} voxels read back otherwise.")
        return None
    gap = _gap_mm(one, other, grid)
    return ("place-differs", f"it reads back {gap:.3f} mm off.") if gap > tolerance_mm else None


def differing_voxels(one: Mask, other: Mask) -> int:
    """Return in how many voxels two masks of one grid differ; boxes may be cut anyhow."""
    first, second = _on_one_box(one, other)
    return int(np.count_nonzero(first != second))


def _on_one_box(one: Mask, other: Mask) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks of one grid on the smallest box that holds both."""
    full = [mask for mask in (one, other) if mask.count] or [one]
    low = np.min([mask.origin for mask in full], axis=0)
    high = np.max([np.add(mask.origin, mask.voxels.shape) for mask in full], axis=0)
    made = []
    for mask in (one, other):
        voxels = np.zeros(tuple((high - low).tolist()), dtype=np.bool_)
        if mask.count:
            starts = np.subtract(mask.origin, low).tolist()
            box = tuple(slice(start, start + size) for start, size in zip(starts, mask.voxels.shape, strict=True))
            voxels[box] = mask.voxels
        made.append(voxels)
    return made[0], made[1]


def sphere_voxels_off(sphere: Sphere, mask: Mask, tolerance_mm: float) -> int:
    """Return how many voxels of a mask are not those within a sphere, of those farther than ``tolerance_mm`` from it.

    Ellipsoids read back as the voxels within them; coordinates are rounded, so that one on the very surface may change
    sides.
    """
    wide = mask_from_sphere(grid=mask.grid, sphere=replace(sphere, diameter_mm=sphere.diameter_mm + 2 * tolerance_mm))
    tight = mask_from_sphere(grid=mask.grid, sphere=replace(sphere, diameter_mm=sphere.diameter_mm - 2 * tolerance_mm))
    held, most = _on_one_box(mask, wide)
    least, again = _on_one_box(tight, mask)
    return int(np.count_nonzero(held & ~most) + np.count_nonzero(least & ~again))


def _gap_mm(one: Finding, other: Finding, grid: Grid) -> float:
    if one.sphere is not None and other.sphere is not None:
        apart = math.dist(one.sphere.centre_mm, other.sphere.centre_mm)
        return max(apart, abs(one.sphere.diameter_mm - other.sphere.diameter_mm))
    if one.box is not None and other.box is not None:
        pairs = zip(_extremes(one.box, grid), _extremes(other.box, grid), strict=True)
        return max(math.dist(mine, theirs) for mine, theirs in pairs)
    if one.point_mm is not None and other.point_mm is not None:
        return math.dist(one.point_mm, other.point_mm)
    return math.inf


def _extremes(box: Box, grid: Grid) -> tuple[PointMm, PointMm]:
    """The corners of least and of greatest indices, whichever two opposite ones the box was given by."""
    slices, rows, columns = box_spans(box=box, grid=grid)
    low = to_patient(grid, (slices[0], rows[0], columns[0]))
    return low, to_patient(grid, (slices[1], rows[1], columns[1]))


def _middle(finding: Finding, grid: Grid) -> PointMm:
    if finding.mask is not None:
        shape, origin = finding.mask.voxels.shape, finding.mask.origin
        return to_patient(grid, [start + (size - 1) / 2.0 for start, size in zip(origin, shape, strict=True)])
    if finding.sphere is not None:
        return finding.sphere.centre_mm
    if finding.box is not None:
        low, high = _extremes(finding.box, grid)
        return ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, (low[2] + high[2]) / 2.0)
    return finding.point_mm or (math.inf, math.inf, math.inf)
