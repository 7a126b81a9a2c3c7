"""What a DICOM SEG says of its segments in words: name, kind, who or what drew them (PS3.3 C.8.20.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from imaging.masks.measure import measure
from imaging.readers.dataset import text_of, whole_of
from imaging.readers.segmentation_frames import first_item
from imaging.readers.vocabulary import LabelVocabulary
from imaging.types import Algorithm, Category, Mask

BACKGROUND_CODE = "125040"
"""DCM: the segment of a label map that is no finding (PS3.3 C.8.20.2)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One item of the Segment Sequence. ``names`` are what it may be recognised by, most telling first."""

    number: int
    label: str
    names: tuple[str, ...]
    background: bool
    automatic: bool
    algorithm: Algorithm | None
    tracking_uid: str
    attributes: Mapping[str, str]


def segments_of(dataset: Dataset) -> tuple[Segment, ...]:
    """Return the segments in stored order. Raises UnreadableFile ``bad-value``, AttributeError without segments."""
    return tuple(_segment(item) for item in dataset.SegmentSequence)


def category_of(vocabulary: LabelVocabulary, names: tuple[str, ...], mask: Mask | None) -> Category:
    """Return the category of a thing that goes by several names, the most telling first.

    A name that the vocabulary lists exactly decides; else the first that is not just some structure. The size of
    ``mask`` decides between the nodule categories; None where no outline is known.
    """
    known = {name.strip().lower() for name in vocabulary.exact}
    exact = [name for name in names if name.strip().lower() in known]
    for name in (*exact[:1], *(() if exact else names)):
        category = vocabulary.category(name, longest_mm=None)
        if exact or category is not Category.STRUCTURE:
            if category is Category.NODULE_GE_3MM and mask is not None and mask.count:
                return vocabulary.category(name, longest_mm=measure(mask).long_axis_mm)
            return category
    return Category.STRUCTURE


def _segment(item: Dataset) -> Segment:
    label = text_of(item, "SegmentLabel")
    kind = first_item(item, "SegmentedPropertyTypeCodeSequence")
    region = first_item(item, "AnatomicRegionSequence")
    attributes = {
        "segmented property category": text_of(
            first_item(item, "SegmentedPropertyCategoryCodeSequence"), "CodeMeaning"
        ),
        "segmented property type": text_of(kind, "CodeMeaning"),
        "segmented property type modifier": text_of(
            first_item(kind, "SegmentedPropertyTypeModifierCodeSequence"), "CodeMeaning"
        ),
        "anatomic region": text_of(region, "CodeMeaning"),
        "anatomic region modifier": text_of(first_item(region, "AnatomicRegionModifierSequence"), "CodeMeaning"),
        "segment description": text_of(item, "SegmentDescription"),
        "segment algorithm type": text_of(item, "SegmentAlgorithmType"),
        "tracking identifier": text_of(item, "TrackingID"),
    }
    number = whole_of(item, "SegmentNumber") or 0
    return Segment(
        number=number,
        label=label,
        names=tuple(name for name in (label, text_of(kind, "CodeMeaning")) if name),
        background=text_of(kind, "CodeValue") == BACKGROUND_CODE or (number == 0 and label.lower() == "background"),
        automatic=text_of(item, "SegmentAlgorithmType") == "AUTOMATIC",
        algorithm=_algorithm(item),
        tracking_uid=text_of(item, "TrackingUID"),
        attributes={name: text for name, text in attributes.items() if text},
    )


def _algorithm(item: Dataset) -> Algorithm | None:
    identity = first_item(item, "SegmentationAlgorithmIdentificationSequence")
    name = text_of(identity, "AlgorithmName") or text_of(item, "SegmentAlgorithmName")
    version = text_of(identity, "AlgorithmVersion")
    return Algorithm(name, version) if name or version else None
