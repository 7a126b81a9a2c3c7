"""A reader file as the marks of one scan: categories, contours by slice, and the slice step that outlines show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from imaging.errors import NotApplicable
from imaging.marks.contours import enclosed
from imaging.marks.types import Contour, Mark, MarkedScan
from imaging.readers.lidc_document import LidcDocument, LidcNodule, LidcRoi
from imaging.types import Category

Z_DIGITS = 2
"""z is compared to 0.01 mm: files give it to 0.1 mm or finer, and as binary fractions."""


def marked_scan(*, document: LidcDocument, file_name: str, sha256: str) -> MarkedScan:
    """Return the marks of one LIDC-IDRI reader file on CT, without any image.

    A nodule whose every contour is a single point is a ``nodule < 3 mm``, unless it has several points on several
    places and a full sheet of ratings; the reading process knows no other sign (Armato et al., Med Phys 38:915, 2011).
    Raises NotApplicable ``chest-x-ray``.
    """
    if document.modality == "chest-x-ray":
        raise NotApplicable("chest-x-ray", "Readings of a chest X-ray: LIDC's three categories are those of CT.")
    marks: list[Mark] = []
    unusable: list[tuple[int, str]] = []
    for session in document.sessions:
        given = [(one, _category(one)) for one in session.nodules]
        given += [(one, Category.NON_NODULE) for one in session.non_nodules]
        for number, (nodule, category) in enumerate(given, start=1):
            contours = tuple(_contours(nodule.rois))
            lost = len(nodule.rois) - len(contours)
            if lost or not contours:
                what = f"{lost} of {len(nodule.rois)} contours without coordinates or without a z position"
                said = what if contours else "the mark has no place at all"
                unusable.append((session.ordinal, f"{category.value}, id {nodule.nodule_id or 'not given'}: {said}"))
            if contours:
                marks.append(
                    Mark(session.ordinal, number, nodule.nodule_id, category, nodule.characteristics, contours)
                )
    if document.unread_points:
        unusable.append((0, f"{document.unread_points} points have coordinates that are not whole numbers"))
    slices = {(contour.z_mm, contour.sop_instance_uid) for mark in marks for contour in mark.contours}
    return MarkedScan(
        file_name=file_name,
        sha256=sha256,
        series_instance_uid=document.series_instance_uid,
        study_instance_uid=document.study_instance_uid,
        readers=len(document.sessions),
        reader_labels=tuple(session.label for session in document.sessions),
        marks=tuple(marks),
        step_mm=slice_step_mm(marks),
        slices=tuple(sorted(slices)),
        unusable=tuple(unusable),
    )


def slice_step_mm(marks: Sequence[Mark]) -> float | None:
    """Return the distance between neighbouring slices in mm, as outlines show it; None if no outline has two slices.

    It is the most frequent distance between consecutive slices of an outline, the smaller of equally frequent ones;
    distances within a tenth of it are averaged, since files round z.
    """
    apart = [above - below for mark in marks if mark.outlined for below, above in pairwise(mark.planes)]
    if not apart:
        return None
    counts = Counter(round(one, 1) for one in apart)
    usual = min(counts, key=lambda one: (-counts[one], one))
    return median(one for one in apart if abs(one - usual) <= max(0.06, 0.1 * usual))


def _category(nodule: LidcNodule) -> Category:
    points = [roi.points for roi in nodule.rois]
    if all(len(set(one)) <= 1 for one in points) and not (len(points) > 1 and nodule.characteristics):
        return Category.NODULE_LT_3MM
    return Category.NODULE_GE_3MM


def _contours(rois: Sequence[LidcRoi]) -> list[Contour]:
    return [
        Contour(
            number=number,
            sop_instance_uid=roi.sop_instance_uid,
            z_mm=round(roi.z_mm, Z_DIGITS),
            inclusion=roi.inclusion,
            points=roi.points,
            enclosed=enclosed(roi.points),
        )
        for number, roi in enumerate(rois, start=1)
        if roi.points and roi.z_mm is not None
    ]
