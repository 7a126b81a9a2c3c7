"""LIDC-IDRI reader files onto the CT series that they describe.

The contour is drawn along the first pixels outside a nodule, so contour pixels do not belong to it (Armato et al., Med
Phys 38:915, 2011). Of an exclusion (a cavity, say) nothing belongs to the nodule: neither its interior nor the pixels
of its contour, which the reader drew as the edge of what is left out; an exclusion is applied after all inclusions of
its slice, in whatever order the file gives them. A nodule below 3 mm is a single point, a non-nodule a single mark.
Slices are found by SOP Instance UID, never by z, since some scans repeat a z position.

Each finding's round trip is how far at worst a point of the file's contours lies from the contour that the same rule
draws around the held mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imaging.geometry.affine import to_patient
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.masks.polygons import place_in_slice, polygon_interior, polygon_outline
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.lidc_document import (
    LidcDocument,
    LidcNodule,
    LidcRoi,
    LidcSession,
    parse_lidc_xml,
)
from imaging.readers.lidc_redrawn import contours_redrawn
from imaging.readers.redrawn import worst_gap
from imaging.types import (
    AnnotationImport,
    AnnotationSet,
    Category,
    Finding,
    Mask,
    PointMm,
    Rejection,
    RoundTrip,
    SetKind,
)

__all__ = ["FORMAT", "SOURCE_FORMAT", "LidcDocument", "parse_lidc_xml", "place_lidc_document", "read_lidc_xml"]

SOURCE_FORMAT = "lidc-xml"

Z_TOLERANCE_MM = 0.1
"""Files round z to 0.1 mm; a larger difference between a mark's z and its slice's is worth a remark."""


def read_lidc_xml(data: bytes, image: PlacedSeries) -> AnnotationImport:
    """Return the readers' sets of an LIDC-IDRI file on a CT series: one set a session, in the order of the file.

    A session without marks is a set that was read, with no findings. Nodules with outlines become masks of category
    ``nodule >= 3 mm``, single points ``nodule < 3 mm``, non-nodules points. Nothing is dropped silently; rejections:
    ``chest-x-ray`` and ``another-series`` (nothing is taken), ``dangling-reference`` (the image is not in this series),
    ``label-outside-image``, ``empty-mark``, ``unread-coordinates``, ``slice-without-interior`` (that part is left out),
    ``outline-without-interior`` (kept as a point) and ``z-disagrees`` (taken, with this remark).
    Raises UnreadableFile as ``parse_lidc_xml`` does.
    """
    return place_lidc_document(parse_lidc_xml(data), image)


def place_lidc_document(document: LidcDocument, image: PlacedSeries) -> AnnotationImport:
    """Return a parsed file's sets on a CT series; see ``read_lidc_xml``."""
    refusal = _refusal(document, image)
    if refusal is not None:
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (refusal,))
    placer = _Placer(image)
    sets = tuple(_annotation_set(session, placer) for session in document.sessions)
    if document.unread_points:
        placer.reject("unread-coordinates", f"{document.unread_points} points have coordinates that are not numbers.")
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, sets, tuple(placer.rejections))


def _refusal(document: LidcDocument, image: PlacedSeries) -> Rejection | None:
    if document.modality == "chest-x-ray":
        message = "The file holds readings of a chest X-ray, not of this CT."
        return Rejection("chest-x-ray", message, (document.series_instance_uid,))
    named = {
        roi.sop_instance_uid
        for session in document.sessions
        for nodule in (*session.nodules, *session.non_nodules)
        for roi in nodule.rois
    }
    if document.series_instance_uid != image.series_instance_uid and named.isdisjoint(image.sop_instance_uids):
        message = "The file describes another series: neither its series nor any of its images is this one's."
        return Rejection("another-series", message, (document.series_instance_uid,))
    return None


def _annotation_set(session: LidcSession, placer: _Placer) -> AnnotationSet:
    set_id = f"lidc-session-{session.ordinal}"
    findings: list[Finding] = []
    for number, nodule in enumerate(session.nodules, start=1):
        finding = _nodule(nodule, f"{set_id}/nodule-{number:03d}", placer)
        if finding is not None:
            findings.append(finding)
    for number, mark in enumerate(session.non_nodules, start=1):
        finding = _mark(mark, f"{set_id}/non-nodule-{number:03d}", Category.NON_NODULE, placer)
        if finding is not None:
            findings.append(finding)
    return AnnotationSet(set_id, session.label, SetKind.READER, True, tuple(findings))


def _nodule(nodule: LidcNodule, finding_id: str, placer: _Placer) -> Finding | None:
    if all(len(roi.points) <= 1 for roi in nodule.rois):
        return _mark(nodule, finding_id, Category.NODULE_LT_3MM, placer)
    rois = placer.placed(nodule.rois, finding_id)
    if not rois:
        return None
    mask = placer.mask(rois)
    uids = placer.uids(rois)
    if mask.count:
        placer.remark_empty_slices(rois, mask, finding_id)
        return Finding(
            finding_id,
            Category.NODULE_GE_3MM,
            mask=mask,
            source_label=nodule.nodule_id,
            characteristics=nodule.characteristics,
            sop_instance_uids=uids,
            round_trip=contours_redrawn(rois, mask),
        )
    placer.reject(
        "outline-without-interior",
        "The outline encloses no voxel once its own pixels are left out; it is kept as a point.",
        (finding_id, *uids),
    )
    return Finding(
        finding_id,
        Category.NODULE_GE_3MM,
        point_mm=placer.middle(rois),
        source_label=nodule.nodule_id,
        characteristics=nodule.characteristics,
        sop_instance_uids=uids,
        round_trip=placer.gathered(rois),
    )


def _mark(nodule: LidcNodule, finding_id: str, category: Category, placer: _Placer) -> Finding | None:
    rois = placer.placed(nodule.rois, finding_id)
    if not rois:
        if not any(roi.points for roi in nodule.rois):
            placer.reject("empty-mark", "The mark has no coordinates.", (finding_id,))
        return None
    return Finding(
        finding_id,
        category,
        point_mm=placer.middle(rois),
        source_label=nodule.nodule_id,
        characteristics=nodule.characteristics,
        sop_instance_uids=placer.uids(rois),
        round_trip=placer.gathered(rois),
    )


class _Placer:
    """Finds marks' slices in one series and keeps account of what has no place there."""

    def __init__(self, image: PlacedSeries) -> None:
        self._image = image
        self._slice_of = {uid: index for index, uid in enumerate(image.sop_instance_uids)}
        self.rejections: list[Rejection] = []

    def reject(self, code: str, message: str, subjects: tuple[str, ...] = ()) -> None:
        self.rejections.append(Rejection(code, message, subjects))

    def placed(self, rois: Sequence[LidcRoi], finding_id: str) -> list[tuple[LidcRoi, int]]:
        """The outlines whose image is in the series and whose pixels are in the image, with their slice indices."""
        rows, columns = self._image.grid.shape[1:]
        kept: list[tuple[LidcRoi, int]] = []
        dangling: list[str] = []
        for roi in rois:
            if not roi.points:
                continue
            index = self._slice_of.get(roi.sop_instance_uid)
            if index is None:
                dangling.append(roi.sop_instance_uid)
                continue
            astray = sum(not (0 <= x < columns and 0 <= y < rows) for x, y in roi.points)
            if astray:
                message = f"{astray} of {len(roi.points)} points lie outside the image of {columns} x {rows} pixels."
                self.reject("label-outside-image", message, (finding_id, roi.sop_instance_uid))
                continue
            self._compare_z(roi, index, finding_id)
            kept.append((roi, index))
        if dangling:
            self.reject(
                "dangling-reference",
                f"{len(dangling)} of {len(rois)} marks of this finding name images that are not in the series.",
                (finding_id, *dangling),
            )
        return kept

    def mask(self, rois: Sequence[tuple[LidcRoi, int]]) -> Mask:
        """Inclusions' interiors together, less exclusions' interiors and contour pixels."""
        grid = self._image.grid
        first = min((index for _, index in rois), default=0)
        last = max((index for _, index in rois), default=-1)
        voxels = np.zeros((last - first + 1, *grid.shape[1:]), dtype=np.bool_)
        for roi, index in sorted(rois, key=lambda entry: not entry[0].inclusion):
            vertices = [(y, x) for x, y in roi.points]
            interior, corner = polygon_interior(vertices=vertices)
            outline, _ = polygon_outline(vertices=vertices)
            region = interior if roi.inclusion else interior | outline
            box, (_, top, left) = place_in_slice(
                box=region, corner=corner, slice_index=index, shape=(grid.shape[1], grid.shape[2])
            )
            target = voxels[index - first, top : top + box.shape[0], left : left + box.shape[1]]
            if roi.inclusion:
                target |= box
            else:
                target &= ~box
        return mask_from_voxels(grid=grid, voxels=voxels, origin=(first, 0, 0))

    def remark_empty_slices(self, rois: Sequence[tuple[LidcRoi, int]], mask: Mask, finding_id: str) -> None:
        """Name the images whose outline is so small that the exclusive rule leaves nothing of it."""
        filled = {mask.origin[0] + int(index) for index in np.flatnonzero(mask.voxels.any(axis=(1, 2)))}
        empty = sorted({index for _, index in rois} - filled)
        if empty:
            self.reject(
                "slice-without-interior",
                f"On {len(empty)} of its images the outline encloses no voxel once its own pixels are left out.",
                (finding_id, *(self._image.sop_instance_uids[index] for index in empty)),
            )

    def middle(self, rois: Sequence[tuple[LidcRoi, int]]) -> PointMm:
        """The mean of all points, LPS millimetres; of a single mark, its voxel's centre."""
        places = [(index, y, x) for roi, index in rois for x, y in roi.points]
        mean = np.array(places, dtype=np.float64).mean(axis=0)
        return to_patient(self._image.grid, (float(mean[0]), float(mean[1]), float(mean[2])))

    def gathered(self, rois: Sequence[tuple[LidcRoi, int]]) -> RoundTrip:
        """How far the middle of several points lies from the farthest of them; nothing for a single mark."""
        places = np.array([(index, y, x) for roi, index in rois for x, y in roi.points], dtype=np.float64)
        return worst_gap(places, places.mean(axis=0)[None], self._image.grid.spacing_mm)

    def uids(self, rois: Sequence[tuple[LidcRoi, int]]) -> tuple[str, ...]:
        """The images that the marks lie on, in slice order, each once."""
        return tuple(self._image.sop_instance_uids[index] for index in sorted({index for _, index in rois}))

    def _compare_z(self, roi: LidcRoi, index: int, finding_id: str) -> None:
        x, y = roi.points[0]
        z = to_patient(self._image.grid, (index, y, x))[2]
        if roi.z_mm is not None and abs(roi.z_mm - z) > Z_TOLERANCE_MM:
            message = (
                f"The file puts this mark at z = {roi.z_mm:.2f} mm, but the image that it names lies at {z:.2f} mm; "
                "the image was believed."
            )
            self.reject("z-disagrees", message, (finding_id, roi.sop_instance_uid))


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    document = parse_lidc_xml(data)
    marks = [one for session in document.sessions for one in (*session.nodules, *session.non_nodules)]

    def known(*uids: str) -> frozenset[str]:
        return frozenset(uid for uid in uids if uid)

    return ImageReferences(
        study_instance_uids=known(document.study_instance_uid),
        series_instance_uids=known(document.series_instance_uid),
        sop_instance_uids=known(*(roi.sop_instance_uid for one in marks for roi in one.rois)),
    )


def _read(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    return read_lidc_xml(data, image)


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="LIDC-IDRI reader file (XML)",
    many_series=False,
    references=_references,
    read=_read,
)
