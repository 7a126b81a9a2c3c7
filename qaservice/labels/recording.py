"""Writing findings and their revisions into the running change: in bulk, measured beforehand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compliance.recording import current_change
from qaservice.labels.models import AnnotationSet, Finding, FindingRevision
from qaservice.labels.shapes import StoredShape
from qaservice.storage.services import store_blobs


@dataclass(frozen=True, slots=True)
class NewFinding:
    """A finding with its first revision, ready to be written."""

    category: str
    shape: StoredShape
    origin: str
    source_label: str = ""
    characteristics: Mapping[str, int] = field(default_factory=dict)
    id: uuid.UUID = field(default_factory=uuid.uuid4)


def add_findings(*, annotation_set: AnnotationSet, findings: Sequence[NewFinding]) -> list[FindingRevision]:
    """Write findings and their first revisions, inside the running change, in the order given."""
    if not findings:
        return []
    running = current_change()
    store_blobs(items=[one.shape.mask for one in findings if one.shape.mask is not None])
    rows = [
        Finding(
            id=one.id,
            annotation_set=annotation_set,
            # A UUID as a UID, DICOM PS3.5 annex B.2: unique without asking anybody.
            tracking_uid=f"2.25.{one.id.int}",
            source_label=one.source_label[:200],
        )
        for one in findings
    ]
    Finding.objects.record_many(rows, running, root_label="findings")
    revisions = [
        revision_row(
            finding=row,
            number=1,
            present=True,
            category=one.category,
            shape=one.shape,
            characteristics=one.characteristics,
            origin=one.origin,
        )
        for row, one in zip(rows, findings, strict=True)
    ]
    return FindingRevision.objects.record_many(revisions, running, root_label="finding revisions")


def revision_row(
    *,
    finding: Finding,
    number: int,
    present: bool,
    category: str,
    shape: StoredShape,
    characteristics: Mapping[str, int],
    origin: str,
) -> FindingRevision:
    """Return an unsaved revision; its mask's blob row must be written before it."""
    x, y, z = shape.place_mm
    return FindingRevision(
        finding=finding,
        number=number,
        present=present,
        category=category,
        shape=shape.shape,
        mask_id=None if shape.mask is None else shape.mask.sha256,
        x_mm=x,
        y_mm=y,
        z_mm=z,
        diameter_mm=shape.diameter_mm,
        measurement=shape.measurement,
        characteristics=dict(characteristics),
        origin=origin[:300],
    )
