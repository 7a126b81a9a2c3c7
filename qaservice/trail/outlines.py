"""Changes of outlines: between two revisions of a finding as voxels and millimetres, and as a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imaging.errors import ImagingError
from imaging.geometry.affine import OrientationLetters
from imaging.masks.difference import MaskDifference, difference
from imaging.pictures.crop import LUNG_WINDOW_HU, Crop, Frame, crop_around, edge_letters
from imaging.types import Mask
from qaservice.common.errors import NotFound, ServiceError
from qaservice.labels.models import FindingRevision
from qaservice.labels.shapes import mask_of_revision
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of, image_number_at, slice_hounsfield

SIDE_PIXELS = 384
NARROWEST_MM = 40.0


@dataclass(frozen=True, slots=True)
class OutlineChange:
    """What a revision of a finding did to its outline. ``why_not`` says why there are no figures, else it is empty.

    ``letters`` are those of the edges of the picture of it.
    """

    revision: str
    before: str
    figures: MaskDifference | None
    image_number: int | None
    letters: OrientationLetters | None
    why_not: str

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """Return the figures as labelled statements."""
        if self.figures is None:
            return ()
        one = self.figures
        if not one.before_mm3 or not one.after_mm3:
            what = "First outline" if one.after_mm3 else "Outline taken out"
            number, volume = max((one.added, one.added_mm3), (one.removed, one.removed_mm3))
            return ((what, f"{number} voxels, {volume:.1f} mm³"),)
        return (
            ("Added", f"{one.added} voxels, {one.added_mm3:.1f} mm³"),
            ("Removed", f"{one.removed} voxels, {one.removed_mm3:.1f} mm³"),
            ("Kept", f"{one.kept} voxels"),
            ("Volume", f"{one.before_mm3:.1f} mm³ before, {one.after_mm3:.1f} mm³ after"),
            ("Overlap (Dice)", f"{one.dice:.3f}"),
        )


@dataclass(frozen=True, slots=True)
class OutlinePicture:
    """The slice on which most of an outline changed: before solid and orange, after dashed and blue."""

    crop: Crop
    image_number: int
    caption: str


def revision_before(revision: FindingRevision) -> FindingRevision | None:
    """Return the revision that this one followed, None for a finding's first."""
    earlier = FindingRevision.objects.filter(finding=revision.finding_id, number__lt=revision.number)
    return earlier.order_by("-number").first()


def outline_change(revision: FindingRevision) -> OutlineChange | None:
    """Return what a revision did to the outline of its finding; None where neither state has one."""
    earlier = revision_before(revision)
    if revision.mask_id is None and (earlier is None or earlier.mask_id is None):
        return None
    series = series_of_revision(revision)
    named = (str(revision.pk), "" if earlier is None else str(earlier.pk))
    try:
        figures = _figures(series, earlier, revision)
        number = (
            None if figures.slice_index is None else image_number_at(series=series, slice_index=figures.slice_index)
        )
    except (ImagingError, ServiceError) as error:
        return OutlineChange(*named, figures=None, image_number=None, letters=None, why_not=str(error))
    return OutlineChange(
        *named,
        figures=figures,
        image_number=number,
        letters=edge_letters(grid_of(series)),
        why_not=_other_shape(earlier, revision),
    )


def outline_picture(revision: FindingRevision) -> OutlinePicture:
    """Return the picture of what a revision did to the outline, turned so that the patient's left is on the right.

    Raises NotFound where there is no outline to show.
    """
    series, earlier = series_of_revision(revision), revision_before(revision)
    grid = grid_of(series)
    before, after = _mask(series, earlier), _mask(series, revision)
    figures = difference(grid=grid, before=before, after=after)
    if figures.slice_index is None or figures.centre_mm is None:
        raise NotFound("this revision and the one before it have no outline", code="no-outline")
    crop = crop_around(
        grid=grid,
        slice_index=figures.slice_index,
        hounsfield=slice_hounsfield(series, figures.slice_index),
        place_mm=figures.centre_mm,
        radius_mm=0.0,
        label=() if before is None else (before,),
        corrected=() if after is None else (after,),
        frame=Frame(
            side_pixels=SIDE_PIXELS,
            width_mm=_width_mm(before, after),
            window_hu=LUNG_WINDOW_HU,
            line_pixels=2,
        ),
    )
    number = image_number_at(series=series, slice_index=figures.slice_index)
    return OutlinePicture(
        crop=crop,
        image_number=number,
        caption=f"Image {number}, on which most voxels differ. Before: solid, orange. After: dashed, blue. "
        "Lung window; L is the patient's left.",
    )


def _figures(series: Series, earlier: FindingRevision | None, revision: FindingRevision) -> MaskDifference:
    return difference(grid=grid_of(series), before=_mask(series, earlier), after=_mask(series, revision))


def _mask(series: Series, revision: FindingRevision | None) -> Mask | None:
    """Return the outline that stands after a revision: none where the finding was taken out or is no outline."""
    if revision is None or revision.mask_id is None or not revision.present:
        return None
    return mask_of_revision(revision, grid_of(series))


def series_of_revision(revision: FindingRevision) -> Series:
    """Return the series that a revision's finding lies in."""
    return Series.objects.get(annotation_sets__findings=revision.finding_id)


def _other_shape(earlier: FindingRevision | None, revision: FindingRevision) -> str:
    other = [one.shape for one in (earlier, revision) if one is not None and one.mask_id is None]
    return f"One of the two is a {other[0]}, no outline; its voxels are not counted." if other else ""


def _width_mm(*masks: Mask | None) -> float:
    """Return how wide a picture has to be to show both outlines with room around them."""
    reach = [
        math.ceil(max(size * step for size, step in zip(mask.voxels.shape[1:], mask.grid.spacing_mm[1:], strict=True)))
        for mask in masks
        if mask is not None and mask.count
    ]
    return max(NARROWEST_MM, float(2 * sum(reach)))
