"""Pictures for the page: flags with what is held against the label, and lesions with every outline of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imaging.audit.described import category_words, extent_mm, place_words
from imaging.audit.result import LesionPicture, Picture
from imaging.checks.places import on_image
from imaging.errors import NotApplicable
from imaging.geometry.affine import contains_index, to_index
from imaging.masks.build import box_of
from imaging.masks.matching import match_lesions
from imaging.masks.measure import measure
from imaging.masks.place import centre_of
from imaging.pictures.crop import (
    LUNG_WINDOW_HU,
    SOFT_TISSUE_WINDOW_HU,
    Drawable,
    Frame,
    crop_around,
    slice_nearest,
)
from imaging.types import AnnotationSet, Category, Finding, LabelIssue, PointMm, Sphere, Volume

SIDE_PIXELS = 256
LEAST_WIDTH_MM = 64.0
LEAST_SKETCH_MM = 5.0
_DENSE_HU = -200.0
_WINDOWS = {LUNG_WINDOW_HU: "lung window", SOFT_TISSUE_WINDOW_HU: "soft-tissue window"}
LESION_PICTURES = 24
"""Most pictures of lesions on one series; a page must stay a page."""


def flag_picture(*, issue: LabelIssue, finding: Finding | None, volume: Volume) -> Picture | None:
    """Return the picture of a flag: the label solid, the first correction proposed dashed; None outside the image."""
    if not contains_index(volume.grid, to_index(volume.grid, issue.place_mm)):
        return None
    label = _drawable(finding, volume)
    proposed: tuple[Drawable, ...] = ()
    origin = ""
    for proposal in issue.proposals:
        shape = proposal.mask or proposal.sphere
        # A sketch of a point mark would cover what it marks; there the ring alone says where.
        if shape is not None and not (isinstance(shape, Sphere) and shape.diameter_mm < LEAST_SKETCH_MM):
            proposed, origin = (shape,), proposal.origin
            break
    lines = ["Ring: the place."]
    if label:
        lines.append("Solid line: this label.")
    if proposed:
        lines.append(f"Dashed line: {origin}.")
    width = max(LEAST_WIDTH_MM, 3.0 * issue.radius_mm)
    return _picture(volume, issue.place_mm, issue.radius_mm, label, proposed, width, LUNG_WINDOW_HU, " ".join(lines))


def lesion_pictures(*, sets: Sequence[AnnotationSet], volume: Volume) -> tuple[tuple[LesionPicture, ...], int]:
    """Return a picture of each lesion and structure, largest first, and how many more there are than are shown."""
    findings = {
        (one.set_id, finding.finding_id): (one, finding)
        for one in sets
        for finding in one.findings
        if on_image(finding=finding, volume=volume)
    }
    shown = [_of_kept(one, findings) for one in sets]
    try:
        groups = [lesion.members for lesion in match_lesions(shown)]
    except NotApplicable:
        groups = []
    groups += [(key,) for key, (_, finding) in findings.items() if finding.category is Category.STRUCTURE]
    members = [[findings[key] for key in group] for group in groups]
    members.sort(key=lambda group: _largest_first(group, volume))
    numbers = {one.set_id: number for number, one in enumerate(sets, start=1)}
    pictures = [_lesion(group, numbers, volume) for group in members[:LESION_PICTURES]]
    return tuple(pictures), max(0, len(members) - LESION_PICTURES)


def _lesion(
    group: Sequence[tuple[AnnotationSet, Finding]], numbers: Mapping[str, int], volume: Volume
) -> LesionPicture:
    # The largest outline is shown in the slice where it is widest, where readers measure it.
    _, largest = max(group, key=lambda pair: _amount(pair[1]))
    place = centre_of(largest)
    if largest.mask is not None:
        index = to_index(volume.grid, place)
        widest = measure(largest.mask).slice_index
        step = volume.grid.matrix[:3, 0] * (widest - index[0])
        place = (place[0] + float(step[0]), place[1] + float(step[1]), place[2] + float(step[2]))
    drawn = tuple(shape for _, finding in group for shape in _drawable(finding, volume))
    width = max(LEAST_WIDTH_MM, 1.6 * max(extent_mm(finding=finding, volume=volume) for _, finding in group))
    categories = sorted({category_words(finding.category) for _, finding in group})
    names = {finding.source_label for _, finding in group if finding.source_label}
    listed = sorted({numbers[one.set_id] for one, _ in group})
    caption = f"Set{'' if len(listed) == 1 else 's'} {', '.join(str(number) for number in listed)}"
    caption += f", {names.pop()}." if len(names) == 1 else "."
    caption += " Lines: every outline here." if drawn else " Point marks only; the ring shows where."
    picture = _picture(volume, place, 0.0 if drawn else 2.5, drawn, (), width, _window(largest, volume), caption)
    return LesionPicture(
        title=" / ".join(categories), place=place_words(volume=volume, place_mm=place), picture=picture
    )


def _picture(
    volume: Volume,
    place_mm: PointMm,
    radius_mm: float,
    label: tuple[Drawable, ...],
    proposed: tuple[Drawable, ...],
    width_mm: float,
    window_hu: tuple[float, float],
    caption: str,
) -> Picture:
    index = slice_nearest(grid=volume.grid, place_mm=place_mm)
    crop = crop_around(
        grid=volume.grid,
        slice_index=index,
        hounsfield=volume.hounsfield[index],
        place_mm=place_mm,
        radius_mm=radius_mm,
        label=label,
        corrected=proposed,
        frame=Frame(side_pixels=SIDE_PIXELS, width_mm=width_mm, window_hu=window_hu, line_pixels=2),
    )
    where = place_words(volume=volume, place_mm=place_mm)
    return Picture(
        png=crop.png,
        letters=crop.letters,
        caption=caption,
        alternative=f"CT, {_WINDOWS[window_hu]}, at {where}. {caption}",
        shown=f"{_WINDOWS[window_hu]}, {width_mm:.0f} mm wide",
    )


def _window(finding: Finding, volume: Volume) -> tuple[float, float]:
    # Other structures lie in the mediastinum as a rule, where a lung window shows white on white.
    if finding.category is not Category.STRUCTURE or finding.mask is None:
        return LUNG_WINDOW_HU
    inside = volume.hounsfield[box_of(finding.mask)][finding.mask.voxels]
    return SOFT_TISSUE_WINDOW_HU if float(np.median(inside)) > _DENSE_HU else LUNG_WINDOW_HU


def _drawable(finding: Finding | None, volume: Volume) -> tuple[Drawable, ...]:
    if finding is None or not on_image(finding=finding, volume=volume):
        return ()
    shape = finding.mask or finding.sphere or finding.box
    return () if shape is None else (shape,)


def _largest_first(group: Sequence[tuple[AnnotationSet, Finding]], volume: Volume) -> tuple[int, float]:
    # Boxes and points have no amount to go by: they come in the order of the slices.
    return -max(_amount(finding) for _, finding in group), to_index(volume.grid, centre_of(group[0][1]))[0]


def _amount(finding: Finding) -> int:
    return finding.mask.count if finding.mask is not None else 0


def _of_kept(one: AnnotationSet, findings: dict[tuple[str, str], tuple[AnnotationSet, Finding]]) -> AnnotationSet:
    kept = tuple(finding for finding in one.findings if (one.set_id, finding.finding_id) in findings)
    return AnnotationSet(one.set_id, one.reader_label, one.kind, one.read, kept)
