"""Pictures for the page: flags with what is held against the label, and lesions with every outline of them."""

from __future__ import annotations

from collections.abc import Sequence

from imaging.audit.described import extent_mm, place_words
from imaging.audit.result import LesionPicture, Picture
from imaging.checks.places import on_image
from imaging.errors import NotApplicable
from imaging.geometry.affine import contains_index, to_index
from imaging.masks.matching import match_lesions
from imaging.masks.measure import measure
from imaging.masks.place import centre_of
from imaging.pictures.crop import Drawable, Frame, crop_around, slice_nearest
from imaging.types import AnnotationSet, Category, Finding, LabelIssue, PointMm, Volume

SIDE_PIXELS = 256
LEAST_WIDTH_MM = 64.0
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
        if shape is not None:
            proposed, origin = (shape,), proposal.origin
            break
    lines = [f"Dotted ring: the place, {issue.radius_mm:.0f} mm around."]
    if label:
        lines.append("Solid line: this label.")
    if proposed:
        lines.append(f"Dashed line: {origin}.")
    width = max(LEAST_WIDTH_MM, 3.0 * issue.radius_mm)
    return _picture(volume, issue.place_mm, issue.radius_mm, label, proposed, width, " ".join(lines))


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
    members.sort(key=lambda group: -max(_amount(finding) for _, finding in group))
    pictures = [_lesion(group, volume) for group in members[:LESION_PICTURES]]
    return tuple(pictures), max(0, len(members) - LESION_PICTURES)


def _lesion(group: Sequence[tuple[AnnotationSet, Finding]], volume: Volume) -> LesionPicture:
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
    names = sorted({finding.source_label or finding.finding_id for _, finding in group})
    categories = sorted({finding.category.value for _, finding in group})
    number = len({one.set_id for one, _ in group})
    marked = f"{number} label sets" if number > 1 else "one label set"
    caption = f"Marked in {marked} ({', '.join(names[:4])}{' …' if len(names) > 4 else ''})."
    caption += " Solid lines: every outline here." if drawn else " Point marks only; the ring shows where."
    picture = _picture(volume, place, 0.0 if drawn else 2.5, drawn, (), width, caption)
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
        frame=Frame(side_pixels=SIDE_PIXELS, width_mm=width_mm),
    )
    where = place_words(volume=volume, place_mm=place_mm)
    return Picture(
        png=crop.png,
        letters=crop.letters,
        caption=caption,
        alternative=f"CT in lung window at {where}. {caption}",
        width_mm=width_mm,
    )


def _drawable(finding: Finding | None, volume: Volume) -> tuple[Drawable, ...]:
    if finding is None or not on_image(finding=finding, volume=volume):
        return ()
    shape = finding.mask or finding.sphere or finding.box
    return () if shape is None else (shape,)


def _amount(finding: Finding) -> int:
    return finding.mask.count if finding.mask is not None else 0


def _of_kept(one: AnnotationSet, findings: dict[tuple[str, str], tuple[AnnotationSet, Finding]]) -> AnnotationSet:
    kept = tuple(finding for finding in one.findings if (one.set_id, finding.finding_id) in findings)
    return AnnotationSet(one.set_id, one.reader_label, one.kind, one.read, kept)
