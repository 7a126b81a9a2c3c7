"""Findings and places as a person reads them: which image, which side, how large."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.words import place_in_words
from imaging.errors import NotApplicable
from imaging.masks.boxes import box_extents_mm
from imaging.masks.measure import measure
from imaging.masks.place import centre_of
from imaging.types import Category, Finding, PointMm, Volume


@dataclass(frozen=True, slots=True)
class DescribedFinding:
    """One finding in words. ``place_mm`` is its centre, LPS millimetres; None where it lies nowhere.

    ``round_trip`` says how far the shape as held lies from what the source gave; empty where the reader states none.
    """

    finding_id: str
    category: str
    source_label: str
    shape: str
    place: str
    place_mm: PointMm | None
    size: str
    said: str
    round_trip: str


def place_words(*, volume: Volume, place_mm: PointMm) -> str:
    """Return a place as "image 87, patient's left (L)", "outside the image" where it lies there."""
    words = place_in_words(
        volume=volume,
        place_mm=place_mm,
        body_threshold_hu=CHEST_CT_NODULES.body_threshold_hu,
        midline_margin_mm=CHEST_CT_NODULES.midline_margin_mm,
    )
    for side in ("left", "right"):
        words = words.replace(f"patient's {side} side", f"patient's {side} ({side[0].upper()})")
    return words or "outside the image"


def category_words(category: Category) -> str:
    """Return a category as it is printed: "nodule ≥ 3 mm"."""
    return category.value.replace(">=", "≥")


def describe(*, finding: Finding, volume: Volume) -> DescribedFinding:
    """Return a finding in words."""
    try:
        place_mm: PointMm | None = centre_of(finding)
    except NotApplicable:
        place_mm = None
    round_trip = finding.round_trip
    return DescribedFinding(
        finding_id=finding.finding_id,
        category=category_words(finding.category),
        source_label=finding.source_label,
        shape=_shape(finding),
        place=place_words(volume=volume, place_mm=place_mm) if place_mm is not None else "no place stated",
        place_mm=place_mm,
        size=_size(finding, volume),
        said=_said(finding),
        round_trip=f"{round_trip.mm:.2f} mm, {round_trip.voxels:.2f} voxels" if round_trip is not None else "",
    )


def extent_mm(*, finding: Finding, volume: Volume) -> float:
    """Return how wide a picture must be to hold a finding: its greatest extent in mm, 0 for a point."""
    if finding.mask is not None and finding.mask.count:
        shape = finding.mask.voxels.shape
        rows, columns = (size * step for size, step in zip(shape[1:], volume.grid.spacing_mm[1:], strict=True))
        return float(max(rows, columns))
    if finding.sphere is not None:
        return finding.sphere.diameter_mm
    if finding.box is not None:
        return max(box_extents_mm(box=finding.box, grid=volume.grid)[1:])
    return 0.0


def _shape(finding: Finding) -> str:
    if finding.mask is not None:
        return "outline"
    if finding.sphere is not None:
        return "sphere"
    if finding.box is not None:
        return "box"
    return "point" if finding.point_mm is not None else "no place"


def _size(finding: Finding, volume: Volume) -> str:
    if finding.mask is not None and finding.mask.count:
        size = measure(finding.mask)
        millilitres = size.volume_mm3 / 1000.0
        amount = f"{millilitres:.1f} ml" if millilitres >= 1 else f"{size.volume_mm3:.0f} mm³"
        mass = finding.category.is_nodule and size.mean_mm > CHEST_CT_NODULES.mass_limit_mm
        words = f"{size.long_axis_mm:.1f} × {size.short_axis_mm:.1f} mm, {amount}"
        return f"{words}: a mass" if mass else words
    if finding.sphere is not None:
        return f"{finding.sphere.diameter_mm:.1f} mm across"
    if finding.box is not None:
        slices, rows, columns = box_extents_mm(box=finding.box, grid=volume.grid)
        number = max(1, round(slices / volume.grid.spacing_mm[0]))
        over = "one slice" if number == 1 else f"{number} slices"
        return f"box {columns:.1f} × {rows:.1f} mm on {over}"
    return "no size stated"


def _said(finding: Finding) -> str:
    parts = [f"{name} {value}" for name, value in sorted(finding.characteristics.items())]
    parts += [f"{name}: {value}" for name, value in sorted(finding.attributes.items())]
    parts += [f"{one.name} {one.value:g} {one.unit}".strip() for one in finding.measurements]
    if finding.confidence is not None:
        parts.insert(0, f"confidence {finding.confidence:.2f}")
    return ", ".join(parts)
