"""DICOM SEG onto the CT series that it describes: BINARY and LABELMAP.

Frames are not slices: empty ones are usually left out, and each is placed by its own position or source image
(DICOM PS3.3 C.8.20, C.7.6.16).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from imaging.errors import ImagingError, UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.masks.measure import measure
from imaging.readers.dataset import numbers_of, open_dataset, text_of, whole_of
from imaging.readers.frame_placement import LabelPlane, Placement, place_planes
from imaging.readers.limits import CT_READ_LIMITS, ReadLimits
from imaging.types import AnnotationImport, AnnotationSet, Category, Finding, Mask, Rejection, SetKind

__all__ = ["SOURCE_FORMAT", "read_segmentation"]

SOURCE_FORMAT = "dicom-seg"

_SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_NODULE_LIKE = re.compile(r"nodul|lesion|\bmass|neoplasm|tumou?r|metasta|carcinoma", re.IGNORECASE)
_LEAST_NODULE_MM = 3.0


def read_segmentation(data: bytes, image: PlacedSeries, limits: ReadLimits = CT_READ_LIMITS) -> AnnotationImport:
    """Return the nodule segments of a DICOM SEG on a CT series, one finding a segment, in one annotation set.

    The set is an algorithm's if every segment says that it was drawn automatically, else a reader's; no name of a
    person is taken over. Segments whose longest axis is below 3 mm are of category ``nodule < 3 mm``. A label whose
    geometry does not fit is refused as a whole: the result then has no set, and rejections say why in millimetres
    (codes of ``place_planes``, ``another-frame-of-reference``, ``unsupported-segmentation``). Single segments are
    rejected as ``not-a-nodule`` or ``empty-segment``.
    Raises UnreadableFile if the bytes are no readable SEG (codes of ``open_dataset``, ``not-a-segmentation``,
    ``malformed``, ``bad-value``, ``pixel-claim-too-large``, ``pixels-not-decoded``).
    """
    dataset = open_dataset(data, limits, with_pixels=True).dataset
    if text_of(dataset, "SOPClassUID") not in _SEGMENTATION_CLASSES:
        raise UnreadableFile("not-a-segmentation", "The file is DICOM, but not a Segmentation object.")
    try:
        return _read(dataset, image, limits)
    except ImagingError:
        raise
    # Required sequences that are missing or of the wrong kind surface as whatever the parser raises on access.
    except Exception as error:
        raise UnreadableFile(
            "malformed", f"The segmentation lacks required parts or they are damaged ({type(error).__name__})."
        ) from error


def _read(dataset: Dataset, image: PlacedSeries, limits: ReadLimits) -> AnnotationImport:
    def refused(*rejections: Rejection) -> AnnotationImport:
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), rejections)

    uid = text_of(dataset, "SOPInstanceUID")
    style = text_of(dataset, "SegmentationType")
    if style not in {"BINARY", "LABELMAP"}:
        message = "Only BINARY and LABELMAP segmentations are read; this one is of another type (FRACTIONAL, say)."
        return refused(Rejection("unsupported-segmentation", message, (uid,)))
    frame = text_of(dataset, "FrameOfReferenceUID")
    if frame and image.grid.frame_of_reference_uid and frame != image.grid.frame_of_reference_uid:
        message = "The label lies in another frame of reference than the image."
        return refused(Rejection("another-frame-of-reference", message, (frame, image.grid.frame_of_reference_uid)))
    size = (whole_of(dataset, "Rows") or 0, whole_of(dataset, "Columns") or 0)
    planes = list(_planes(dataset))
    if not planes:
        return refused(Rejection("no-plane-position", "The label does not say where its planes lie.", (uid,)))
    placement = place_planes(planes, size, image)
    if placement.refusals:
        return refused(*placement.refusals, *placement.remarks)
    frames = _frames(dataset, (len(planes), *size), limits)
    return _import(dataset, frames, placement, image)


def _import(
    dataset: Dataset, frames: NDArray[np.generic], placement: Placement, image: PlacedSeries
) -> AnnotationImport:
    labelmap = text_of(dataset, "SegmentationType") == "LABELMAP"
    set_id = "seg-" + hashlib.sha256(text_of(dataset, "SOPInstanceUID").encode()).hexdigest()[:12]
    frames_of = _frames_by_segment(dataset, len(frames))
    rejections = list(placement.remarks)
    findings: list[Finding] = []
    kinds: set[str] = set()
    for segment in dataset.SegmentSequence:
        number = whole_of(segment, "SegmentNumber") or 0
        if labelmap and number == 0:
            continue  # the background of a label map is described as a segment (PS3.3 C.8.20.2)
        label = text_of(segment, "SegmentLabel")
        if not _NODULE_LIKE.search(_property(segment)):
            message = f"Segment {number} is not described as a nodule or a lesion."
            rejections.append(Rejection("not-a-nodule", message, (f"segment {number}",)))
            continue
        indices = range(len(frames)) if labelmap else frames_of[number]
        regions = [(frames[i] == number if labelmap else frames[i] != 0, placement.origins[i]) for i in indices]
        mask = _assemble(regions, image)
        if not mask.count:
            rejections.append(Rejection("empty-segment", f"Segment {number} is empty.", (f"segment {number}",)))
            continue
        kinds.add(text_of(segment, "SegmentAlgorithmType"))
        findings.append(_finding(f"{set_id}/segment-{number:03d}", label, mask, image))
    if not findings:
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), tuple(rejections))
    automatic = kinds == {"AUTOMATIC"}
    one = AnnotationSet(
        set_id=set_id,
        reader_label="segmentation by an algorithm" if automatic else "segmentation by a reader",
        kind=SetKind.ALGORITHM if automatic else SetKind.READER,
        read=True,
        findings=tuple(findings),
    )
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (one,), tuple(rejections))


def _finding(finding_id: str, label: str, mask: Mask, image: PlacedSeries) -> Finding:
    filled = np.flatnonzero(mask.voxels.any(axis=(1, 2))) + mask.origin[0]
    small = measure(mask).long_axis_mm < _LEAST_NODULE_MM
    return Finding(
        finding_id,
        Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM,
        mask=mask,
        source_label=label,
        sop_instance_uids=tuple(image.sop_instance_uids[int(index)] for index in filled),
    )


def _assemble(regions: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]], image: PlacedSeries) -> Mask:
    first = min((origin[0] for _, origin in regions), default=0)
    last = max((origin[0] for _, origin in regions), default=-1)
    voxels = np.zeros((last - first + 1, *image.grid.shape[1:]), dtype=np.bool_)
    for region, (index, top, left) in regions:
        voxels[index - first, top : top + region.shape[0], left : left + region.shape[1]] |= region
    return mask_from_voxels(grid=image.grid, voxels=voxels, origin=(first, 0, 0))


def _planes(dataset: Dataset) -> Iterator[LabelPlane]:
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    for frame in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        position = numbers_of(_group(frame, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
        spacing = numbers_of(_group(frame, shared, "PixelMeasuresSequence"), "PixelSpacing", 2)
        sources = tuple(
            text_of(source, "ReferencedSOPInstanceUID")
            for derivation in frame.get("DerivationImageSequence") or ()
            for source in derivation.get("SourceImageSequence") or ()
        )
        yield LabelPlane(
            position_mm=None if position is None else (position[0], position[1], position[2]),
            orientation=numbers_of(_group(frame, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
            source_uids=sources,
        )


def _frames_by_segment(dataset: Dataset, count: int) -> dict[int, list[int]]:
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    found: dict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence[:count]):
        number = whole_of(_group(frame, shared, "SegmentIdentificationSequence"), "ReferencedSegmentNumber")
        if number is not None:
            found[number].append(index)
    return found


def _frames(dataset: Dataset, shape: tuple[int, int, int], limits: ReadLimits) -> NDArray[np.generic]:
    # A packed bit becomes a byte when it is read, so the claim is counted in voxels and not in stored bytes.
    claimed = max(shape[0], whole_of(dataset, "NumberOfFrames") or 1) * shape[1] * shape[2]
    if claimed > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large", f"The label claims {claimed} voxels; at most {limits.pixel_bytes} are read."
        )
    try:
        values: NDArray[np.generic] = pixel_array(dataset, raw=True)
    # Decoders raise whatever their libraries do on damaged or unsupported streams.
    except Exception as error:
        raise UnreadableFile(
            "pixels-not-decoded", f"The label's voxels cannot be decoded ({type(error).__name__})."
        ) from error
    if values.ndim == 2:
        values = values[None]
    if values.shape != shape:
        raise UnreadableFile(
            "malformed", f"The label has {values.shape[0]} frames of voxels but describes {shape[0]} planes."
        )
    return values


def _property(segment: Dataset) -> str:
    kind = text_of(_first(segment, "SegmentedPropertyTypeCodeSequence"), "CodeMeaning")
    return f"{kind} {text_of(segment, 'SegmentLabel')}"


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
    return _first(frame, keyword) if frame.get(keyword) else _first(shared, keyword)


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()
