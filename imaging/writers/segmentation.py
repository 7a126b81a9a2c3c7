"""Outlines as DICOM Segmentation (PS3.3 A.51), BINARY: one object a set, one segment a finding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from imaging.masks.build import box_of
from imaging.types import Finding, Mask, SetKind
from imaging.writers import codes
from imaging.writers.carrying import CarriedSet, carried_sets
from imaging.writers.contract import (
    Carried,
    CategoryFidelity,
    LabelledSeries,
    LabelWriter,
    Loss,
    LossKind,
    WriteContext,
    Written,
    WrittenFile,
)
from imaging.writers.dicom_objects import algorithm_identification, file_bytes, person_name, source_slices, stamp
from imaging.writers.identity import algorithm_of, author_of, file_stem, labels_of, object_uid, one_line

MEDIA_TYPE = "application/dicom"
SERIES_NUMBER = 9001

CARRIES = Carried(
    shapes=frozenset({"mask"}),
    category=CategoryFidelity.KIND,
    tracking=True,
    names=True,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=False,
    author=True,
    empty_sets=False,
    case_probabilities=False,
)


def write_segmentations(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one DICOM SEG a set that has outlines.

    Segments are numbered in the order of the findings and may overlap; each has the finding's tracking UID, its name,
    property codes of its category, and the reader's pseudonym as content creator, or the algorithm's identification.
    Frames have the images' rows and columns and name the image that they were drawn on; empty ones are left out.
    Raises NotApplicable as ``source_header`` does.
    """
    sets, losses = carried_sets(
        labelled.annotation_sets, CARRIES, series_instance_uid=labelled.image.series_instance_uid
    )
    files = []
    named: list[Loss] = list(losses)
    for ordinal, one in enumerate(sets, start=1):
        files.append(segmentation_of(one, labelled, context, ordinal=ordinal))
        named.extend(renamed(one))
    return Written(tuple(files), tuple(named))


def segmentation_of(
    carried: CarriedSet, labelled: LabelledSeries, context: WriteContext, *, ordinal: int
) -> WrittenFile:
    """Return the SEG of one set, all of whose findings are outlines; ``ordinal`` counts the sets of the series."""
    source, findings = carried.source, carried.findings
    masks = [finding.mask for finding in findings if finding.mask is not None]
    touched = _touched_slices(masks)
    uid = object_uid("dicom-seg", source, labelled.image.series_instance_uid, context)
    dataset = Segmentation(
        source_images=source_slices(labelled, touched),
        pixel_array=_pixels(masks, touched, labelled.image.grid.shape[1:]),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, label, finding, carried)
            for number, (label, finding) in enumerate(zip(segment_labels(carried), findings, strict=True), start=1)
        ],
        series_instance_uid=context.new_uid(f"series|{uid}"),
        series_number=SERIES_NUMBER + ordinal - 1,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=context.manufacturer,
        manufacturer_model_name=context.model_name,
        software_versions=context.software_version,
        device_serial_number=context.device_serial_number,
        content_description=one_line(f"Labels by {author_of(source)}", 64),
        content_creator_name=person_name(author_of(source)),
        content_label="LABELS",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=one_line(f"Labels by {author_of(source)}", 64),
    )
    for item in dataset.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = context.new_uid(f"dimensions|{uid}")
    for item in dataset.DimensionIndexSequence:
        item.DimensionOrganizationUID = context.new_uid(f"dimensions|{uid}")
    stamp(dataset, context)
    return WrittenFile(
        name=f"{file_stem(source, ordinal)}.seg.dcm",
        media_type=MEDIA_TYPE,
        data=file_bytes(dataset),
        set_ids=(source.set_id,),
        read_as="dicom-seg",
        carries=CARRIES,
        content=named_as_written(carried),
        sop_instance_uid=uid,
    )


def segment_labels(carried: CarriedSet) -> tuple[str, ...]:
    """Return what the findings of a set are called in DICOM objects, in their order."""
    return labels_of(carried.findings, length=64)


def named_as_written(carried: CarriedSet) -> tuple[Finding, ...]:
    """Return the findings of a set under the names that DICOM objects give them."""
    labels = segment_labels(carried)
    return tuple(replace(finding, source_label=label) for finding, label in zip(carried.findings, labels, strict=True))


def renamed(carried: CarriedSet) -> list[Loss]:
    """Return a loss for every name that a DICOM object gives only in part, or with a number behind it."""
    return [
        Loss(
            LossKind.NAME, "The name is changed: too long, or not the only one.", carried.source.set_id, one.finding_id
        )
        for one, label in zip(carried.findings, segment_labels(carried), strict=True)
        if one.source_label and label != one.source_label
    ]


def _description(number: int, label: str, finding: Finding, carried: CarriedSet) -> SegmentDescription:
    automatic = carried.source.kind is SetKind.ALGORITHM
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.PROPERTY_CATEGORY[finding.category],
        segmented_property_type=codes.PROPERTY_TYPE[finding.category],
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC if automatic else SegmentAlgorithmTypeValues.MANUAL,
        algorithm_identification=algorithm_identification(*algorithm_of(carried.source)) if automatic else None,
        tracking_uid=finding.tracking_uid,
        tracking_id=label,
        anatomic_regions=[codes.LUNG] if finding.category.is_nodule else None,
    )


def _touched_slices(masks: list[Mask]) -> list[int]:
    touched: set[int] = set()
    for mask in masks:
        touched.update(mask.origin[0] + int(index) for index in np.flatnonzero(mask.voxels.any(axis=(1, 2))))
    return sorted(touched)


def _pixels(masks: list[Mask], touched: list[int], size: tuple[int, int]) -> NDArray[np.generic]:
    """The touched slices as a label map, or with one channel a segment where segments overlap."""
    place = {index: position for position, index in enumerate(touched)}
    label_map = np.zeros((len(touched), *size), dtype=np.uint8 if len(masks) < 256 else np.uint16)
    overlap = False
    for number, mask in enumerate(masks, start=1):
        for plane, position, rows, columns in _planes(mask, place):
            view = label_map[position, rows, columns]
            overlap = overlap or bool(np.any(view[plane]))
            view[plane] = number
    if not overlap:
        return label_map
    stacked = np.zeros((len(touched), *size, len(masks)), dtype=np.uint8)
    for channel, mask in enumerate(masks):
        for plane, position, rows, columns in _planes(mask, place):
            stacked[position, rows, columns, channel] |= plane
    return stacked


def _planes(mask: Mask, place: dict[int, int]) -> list[tuple[NDArray[np.bool_], int, slice, slice]]:
    _, rows, columns = box_of(mask)
    return [
        (plane, place[mask.origin[0] + index], rows, columns) for index, plane in enumerate(mask.voxels) if plane.any()
    ]


WRITER = LabelWriter(
    name="dicom-seg",
    title="DICOM Segmentation",
    needs_header=True,
    carries=CARRIES,
    write=write_segmentations,
)
