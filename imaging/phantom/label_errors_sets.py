"""What goes wrong with a whole set of labels: mirrored, slices in reverse, or moved along by whole slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imaging.geometry.affine import to_index, to_patient
from imaging.masks.build import mask_from_voxels
from imaging.masks.overlap import jaccard
from imaging.masks.place import centre_of
from imaging.phantom.label_errors import SEVERITIES_MM, ErrorKind, InjectedError, Severity, severity_of
from imaging.types import AnnotationSet, Finding, Grid, Mask

LEAST_MEAN_WAY_MM = 2.0
"""A set that lies about its own mirror plane is hardly changed by mirroring; below this it counts as left as it was."""


def spoil_set(
    *, annotation_set: AnnotationSet, grid: Grid, kind: ErrorKind, severity: Severity | None
) -> tuple[AnnotationSet, InjectedError] | None:
    """Return the set with all its labels displaced, and the record of it; ids stay.

    ``severity`` is for ``DISPLACED`` alone: the way is then as long as the table says, in whole slices. How far a
    mirrored or reversed set goes is decided by where its labels lie. Labels that a displacement would put beyond the
    image are lost. None if all would be, or if labels stay (nearly) where they were. Raises ValueError for a kind that
    is not of a whole set, and for ``DISPLACED`` without a severity.
    """
    if not kind.of_a_whole_set or (kind is ErrorKind.DISPLACED and severity is None):
        raise ValueError(f"{kind.value} of severity {severity} is not done to a whole set")
    if not annotation_set.findings:
        return None
    if kind is ErrorKind.DISPLACED:
        assert severity is not None
        return _displaced(annotation_set, grid, severity)
    axis = 2 if kind is ErrorKind.MIRRORED else 0
    return _recorded(annotation_set, tuple(_flipped(one, grid, axis) for one in annotation_set.findings), kind)


def _displaced(
    annotation_set: AnnotationSet, grid: Grid, severity: Severity
) -> tuple[AnnotationSet, InjectedError] | None:
    step = grid.spacing_mm[0]
    count = max(1, int(np.ceil(SEVERITIES_MM[ErrorKind.DISPLACED][severity][0] / step - 1e-6)))
    ways = [
        [moved_by_slices(finding=one, grid=grid, slices=slices) for one in annotation_set.findings]
        for slices in (count, -count)
    ]
    best = max(ways, key=lambda way: sum(one is not None for one in way))
    # What would lie beyond the image has no slice to be on: a file that is read against it loses it.
    kept = [(new, old) for new, old in zip(best, annotation_set.findings, strict=True) if new is not None]
    if not kept:
        return None
    before = replace(annotation_set, findings=tuple(old for _, old in kept))
    done = _recorded(before, tuple(new for new, _ in kept), ErrorKind.DISPLACED)
    return None if done is None else (done[0], replace(done[1], severity=severity, magnitude_mm=count * step))


def moved_by_slices(*, finding: Finding, grid: Grid, slices: int) -> Finding | None:
    """Return the finding moved along the slice axis, or None if it would leave the volume or has nothing to move."""
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


def _flipped(finding: Finding, grid: Grid, axis: int) -> Finding:
    """Return the finding as a reader of the file would see it with one axis of the grid turned round."""
    if finding.mask is not None:
        mask = finding.mask
        origin = list(mask.origin)
        origin[axis] = grid.shape[axis] - origin[axis] - mask.voxels.shape[axis]
        turned = mask_from_voxels(
            grid=grid, voxels=np.flip(mask.voxels, axis=axis), origin=(origin[0], origin[1], origin[2])
        )
        return replace(finding, mask=turned)
    if finding.point_mm is None:
        return finding
    index = list(to_index(grid, finding.point_mm))
    index[axis] = grid.shape[axis] - 1 - index[axis]
    return replace(finding, point_mm=to_patient(grid, index))


def _recorded(
    annotation_set: AnnotationSet, findings: tuple[Finding, ...], kind: ErrorKind
) -> tuple[AnnotationSet, InjectedError] | None:
    ways = [
        float(np.linalg.norm(np.subtract(centre_of(new), centre_of(old))))
        for new, old in zip(findings, annotation_set.findings, strict=True)
    ]
    mean = float(np.mean(ways))
    if mean < LEAST_MEAN_WAY_MM or all(
        _same(new.mask, old.mask) for new, old in zip(findings, annotation_set.findings, strict=True)
    ):
        return None
    record = InjectedError(
        kind=kind,
        severity=severity_of(kind=kind, magnitude_mm=mean),
        set_id=annotation_set.set_id,
        finding_id=None,
        nodule_id=None,
        place_mm=centre_of(findings[0]),
        magnitude_mm=round(mean, 3),
    )
    return replace(annotation_set, findings=findings), record


def _same(new: Mask | None, old: Mask | None) -> bool:
    return new is not None and old is not None and jaccard(new, old) == 1.0
