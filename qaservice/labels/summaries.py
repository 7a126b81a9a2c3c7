"""What a series' annotation sets are, for people: where each comes from, what it holds, and what was not taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from imaging.types import Category
from qaservice.labels.models import AnnotationSet, FindingRevision, SetKind
from qaservice.labels.selectors import current_revisions, is_refused, standing_sets
from qaservice.labels.shapes import round_trip_of
from qaservice.studies.models import Series

FORMAT_NAMES = {
    "lidc-xml": "LIDC-IDRI reading (XML)",
    "dicom-seg": "DICOM segmentation (SEG)",
    "dicom-rtstruct": "RT structure set",
    "dicom-sr": "DICOM structured report (TID 1500)",
    "nifti": "NIfTI mask",
    "nrrd": "NRRD mask",
    "luna16-csv": "LUNA16 list (CSV)",
    "coco-json": "COCO (JSON)",
    "voc-xml": "Pascal-VOC boxes (XML)",
    "monai-datalist": "MONAI datalist (JSON)",
    "predictions-csv": "predictions (CSV)",
    "predictions-json": "predictions (JSON)",
    "consensus": "consensus of the readers",
}


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One annotation set of a series.

    ``findings`` counts by category; ``structure_names`` are the source's names that were not understood as nodules.
    ``confidences`` are the lowest and highest that an algorithm gave itself; ``round_trip_mm`` and
    ``round_trip_voxels`` the worst of its findings; None where there is none. ``rejections`` are what its source said
    that was not taken: code, message, subjects.
    """

    id: str
    kind: str
    reader: str
    simulated: bool
    read: bool
    refused: bool
    source_format: str
    format_name: str
    source_sha256: str
    algorithm: str
    algorithm_version: str
    findings: dict[str, int]
    structure_names: tuple[str, ...]
    shapes: dict[str, int]
    confidences: tuple[float, float] | None
    round_trip_mm: float | None
    round_trip_voxels: float | None
    case_probabilities: dict[str, float]
    rejections: tuple[dict[str, Any], ...]


def set_summaries(*, series: Series) -> list[SetSummary]:
    """Return every annotation set of a series: readers first, then algorithms, the reference standard, refusals."""
    order = {SetKind.READER.value: 0, SetKind.ALGORITHM.value: 1, SetKind.REFERENCE.value: 2}
    rows = sorted(standing_sets(series=series), key=lambda row: (is_refused(row), order[row.kind], row.reader_label))
    return [_summary(row) for row in rows]


def _summary(row: AnnotationSet) -> SetSummary:
    revisions = current_revisions(set_id=str(row.pk))
    errors = [error for one in revisions if (error := round_trip_of(one.measurement)) is not None]
    scores = [one.confidence for one in revisions if one.confidence is not None]
    return SetSummary(
        id=str(row.pk),
        kind=row.kind,
        reader=row.reader_label,
        simulated=row.simulated,
        read=row.read,
        refused=is_refused(row),
        source_format=row.source_format,
        format_name=FORMAT_NAMES.get(row.source_format, row.source_format),
        source_sha256=row.source_id or "",
        algorithm=str(row.algorithm.get("name", "")),
        algorithm_version=str(row.algorithm.get("version", "")),
        findings=_counted([one.category for one in revisions]),
        structure_names=tuple(
            sorted({one.finding.source_label for one in revisions if one.category == Category.STRUCTURE} - {""})
        ),
        shapes=_counted([_shape(one) for one in revisions]),
        confidences=(min(scores), max(scores)) if scores else None,
        round_trip_mm=max((error.mm for error in errors), default=None),
        round_trip_voxels=max((error.voxels for error in errors), default=None),
        case_probabilities={name: float(value) for name, value in row.case_probabilities.items()},
        rejections=tuple(row.rejections),
    )


def _shape(revision: FindingRevision) -> str:
    return {"mask": "outline"}.get(revision.shape, revision.shape)


def _counted(words: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
