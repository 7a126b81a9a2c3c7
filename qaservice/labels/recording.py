"""Writing findings and their revisions into the running change: in bulk, measured beforehand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from compliance.recording import current_change
from imaging.types import ReportedMeasurement
from qaservice.labels.models import AnnotationSet, Finding, FindingRevision
from qaservice.labels.shapes import StoredShape, reported_in
from qaservice.storage.services import store_blobs


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a finding beside where it is: ratings, words, the source's own numbers, a prediction's score."""

    characteristics: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    reported: tuple[ReportedMeasurement, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class NewFinding:
    """A finding with its first revision, ready to be written."""

    category: str
    shape: StoredShape
    origin: str
    source_label: str = ""
    source_tracking_uid: str = ""
    said: Said = field(default_factory=Said)
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
            source_tracking_uid=one.source_tracking_uid[:64],
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
            said=one.said,
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
    said: Said,
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
        box=shape.box,
        measurement=shape.measurement,
        reported=[asdict(one) for one in said.reported],
        characteristics=dict(said.characteristics),
        attributes=dict(said.attributes),
        confidence=said.confidence,
        origin=origin[:300],
    )


def said_in(revision: FindingRevision) -> Said:
    """Return what a revision says of its finding, for the revision after it."""
    return Said(
        characteristics=dict(revision.characteristics),
        attributes=dict(revision.attributes),
        reported=reported_in(revision),
        confidence=revision.confidence,
    )
