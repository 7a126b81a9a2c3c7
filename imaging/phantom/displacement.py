"""A reader's whole set put some slices away from where it belongs, as a broken export does it."""

from __future__ import annotations

from dataclasses import replace

from imaging.masks.place import centre_of
from imaging.phantom.label_errors import ErrorKind, InjectedError, severity_of
from imaging.phantom.label_errors_sets import moved_by_slices
from imaging.types import AnnotationSet, Grid


def displace_set(
    *, annotation_sets: tuple[AnnotationSet, ...], grid: Grid, position: int, slices: int
) -> tuple[tuple[AnnotationSet, ...], InjectedError]:
    """Return the sets with the labels of the one at ``position`` moved by ``slices`` along the slice axis.

    They go whichever way more of them stay inside the volume; a label that would leave it stays where it was. Ids do
    not change. ``magnitude_mm`` of the record is the distance, its place that of the first moved label.
    Raises ValueError if no label can be moved.
    """
    chosen = annotation_sets[position]
    ways = (
        [moved_by_slices(finding=finding, grid=grid, slices=step) for finding in chosen.findings]
        for step in (slices, -slices)
    )
    best = max(ways, key=lambda way: sum(finding is not None for finding in way))
    first = next((finding for finding in best if finding is not None), None)
    if slices == 0 or first is None:
        raise ValueError("no label of this set can be moved by so many slices")
    kept = tuple(new or old for new, old in zip(best, chosen.findings, strict=True))
    changed = tuple(
        replace(one, findings=kept) if index == position else one for index, one in enumerate(annotation_sets)
    )
    distance = round(abs(slices) * grid.spacing_mm[0], 3)
    severity = severity_of(kind=ErrorKind.DISPLACED, magnitude_mm=distance)
    return changed, InjectedError(ErrorKind.DISPLACED, severity, chosen.set_id, None, None, centre_of(first), distance)
