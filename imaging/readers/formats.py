"""What every reader of label files offers, so that a caller needs to know none of them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imaging.geometry.series import PlacedSeries
from imaging.readers.limits import ReadLimits
from imaging.readers.vocabulary import LabelVocabulary
from imaging.types import AnnotationImport, Grid


def no_companion(sop_instance_uid: str) -> bytes | None:
    """Answer that no other object is at hand."""
    return None


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What a reader is told beside the bytes.

    ``file_name`` is the label file's path in its delivery. ``image_names`` maps the names that label files may use for
    images (paths, file names, stems) to SOP Instance UIDs. ``companion`` returns the bytes of another object of the
    delivery by SOP Instance UID (the SEG that a report measures), None where it is not at hand.
    ``fraction_threshold`` in (0, 1] is where a fractional segment's edge is drawn.
    """

    file_name: str
    vocabulary: LabelVocabulary
    limits: ReadLimits
    fraction_threshold: float
    image_names: Mapping[str, str] = field(default_factory=dict)
    companion: Callable[[str], bytes | None] = no_companion


@dataclass(frozen=True, slots=True)
class ImageReferences:
    """Which images a label file says that it describes, in whatever way its format can say it.

    A caller looks for series by SOP Instance UIDs first, then series, study and frame of reference; by
    ``image_names`` where the format names files; and by ``grid`` (a NIfTI or NRRD label's own sampling, in LPS) where
    it names nothing. ``companion_uids`` are the SOP Instance UIDs of other label objects that it needs to be read: the
    segmentation that a report measures.
    """

    study_instance_uids: frozenset[str] = frozenset()
    series_instance_uids: frozenset[str] = frozenset()
    sop_instance_uids: frozenset[str] = frozenset()
    frame_of_reference_uids: frozenset[str] = frozenset()
    image_names: frozenset[str] = frozenset()
    grid: Grid | None = None
    companion_uids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """One format of label files.

    ``references`` and ``read`` raise UnreadableFile, and nothing else, for bytes that are not this format or damaged.
    ``read`` returns what the file says of one series: findings, and every part that was not taken with the reason. A
    label that does not fit the image is refused as a whole, by name and in millimetres; it is never moved to fit.
    ``many_series``: one file may describe several series; it is then read once for each.
    """

    source_format: str
    title: str
    many_series: bool
    references: Callable[[bytes, ReadContext], ImageReferences]
    read: Callable[[bytes, PlacedSeries, ReadContext], AnnotationImport]
