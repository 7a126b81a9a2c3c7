"""A reader's whole set put some slices away from where it belongs, as a broken export does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imaging.geometry.affine import to_index
from imaging.masks.place import centre_of
from imaging.phantom.label_errors import ErrorKind, InjectedError
from imaging.types import AnnotationSet, Finding, Grid


def displace_set(
    *, annotation_sets: tuple[AnnotationSet, ...], grid: Grid, position: int, slices: int
) -> tuple[tuple[AnnotationSet, ...], InjectedError]:
    """Return the sets with the labels of the one at ``position`` moved by ``slices`` along the slice axis.

    They go whichever way more of them stay inside the volume; a label that would leave it stays where it was. Ids do
    not change. ``magnitude_mm`` of the record is the distance, its place that of the first moved label.
    Raises ValueError if no label can be moved.
    """
    chosen = annotation_sets[position]
    ways = ([_moved(finding, grid, step) for finding in chosen.findings] for step in (slices, -slices))
    best = max(ways, key=lambda way: sum(finding is not None for finding in way))
    first = next((finding for finding in best if finding is not None), None)
    if slices == 0 or first is None:
        raise ValueError("no label of this set can be moved by so many slices")
    kept = tuple(new or old for new, old in zip(best, chosen.findings, strict=True))
    changed = tuple(
        replace(one, findings=kept) if index == position else one for index, one in enumerate(annotation_sets)
    )
    distance = round(abs(slices) * grid.spacing_mm[0], 3)
    return changed, InjectedError(ErrorKind.DISPLACED, chosen.set_id, None, None, centre_of(first), distance)


def _moved(finding: Finding, grid: Grid, slices: int) -> Finding | None:
    """Return the finding moved, or None if it would leave the volume or has no outline or point to move."""
    if finding.mask is not None:
        first = finding.mask.origin[0] + slices
        if first < 0 or first + finding.mask.voxels.shape[0] > grid.shape[0]:
            return None
        origin = (first, finding.mask.origin[1], finding.mask.origin[2])
        return replace(finding, mask=replace(finding.mask, origin=origin))
    if finding.point_mm is None:
        return None
    x, y, z = (float(part) for part in np.add(finding.point_mm, grid.matrix[:3, 0] * slices))
    inside = -0.5 < to_index(grid, (x, y, z))[0] < grid.shape[0] - 0.5
    return replace(finding, point_mm=(x, y, z)) if inside else None
