"""What written objects are called: UIDs made from content, tracking UIDs, authors and file names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from imaging.masks.canonical import mask_digest
from imaging.types import AnnotationSet, Category, Finding, SetKind
from imaging.writers.contract import WriteContext

CONSENSUS = "consensus"
"""The author of a reference standard: no single person, and none is made up for it."""

_KIND_WORDS: Mapping[Category, str] = {
    Category.NODULE_GE_3MM: "Nodule",
    Category.NODULE_LT_3MM: "Nodule",
    Category.NON_NODULE: "Non-nodule",
    Category.STRUCTURE: "Structure",
}
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


def content_uid(text: str) -> str:
    """Return a UID that depends on nothing but ``text``: a UUID of version 8 under the root 2.25 (PS3.5 B.2)."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def tracking_uid_of(finding: Finding, *, set_id: str, series_instance_uid: str) -> str:
    """Return the finding's own tracking UID, else one made of series, set and finding, the same in every format."""
    return finding.tracking_uid or content_uid(f"tracking|{series_instance_uid}|{set_id}|{finding.finding_id}")


def author_of(annotation_set: AnnotationSet) -> str:
    """Return who made a set, as far as a file may say: the reader's pseudonym, the algorithm's name, or consensus."""
    if annotation_set.kind is SetKind.REFERENCE:
        return CONSENSUS
    if annotation_set.kind is SetKind.ALGORITHM and annotation_set.algorithm and annotation_set.algorithm.name:
        return annotation_set.algorithm.name
    return annotation_set.reader_label or annotation_set.kind.value


def algorithm_of(annotation_set: AnnotationSet) -> tuple[str, str]:
    """Return name and version of the algorithm that made a set; what is not known is said to be unknown."""
    algorithm = annotation_set.algorithm
    name = (algorithm.name if algorithm else "") or annotation_set.reader_label or "unknown algorithm"
    return (name, (algorithm.version if algorithm else "") or "unknown version")


def object_uid(role: str, annotation_set: AnnotationSet, series_instance_uid: str, context: WriteContext) -> str:
    """Return the UID of one object made of a set; another content, author, writer or time gives another UID."""
    return context.new_uid(f"{role}|{series_instance_uid}|{content_digest(annotation_set, context)}")


def content_digest(annotation_set: AnnotationSet, context: WriteContext) -> str:
    """Return SHA-256 (hex) over everything that a written set depends on beside its images."""
    stated = {
        "writer": [
            context.manufacturer,
            context.model_name,
            context.software_version,
            context.device_serial_number,
            context.written_at.isoformat(),
        ],
        "set": [
            annotation_set.set_id,
            annotation_set.reader_label,
            annotation_set.kind.value,
            list(algorithm_of(annotation_set)),
        ],
        "findings": [_stated(finding) for finding in annotation_set.findings],
    }
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def labels_of(findings: Sequence[Finding], *, length: int) -> tuple[str, ...]:
    """Return what findings are called in a file, each name once: their own, else what they are and their number.

    Names are one line of at most ``length`` characters; one that comes again gets its number behind it, because
    readers tell the findings of a file apart by name.
    """
    taken: set[str] = set()
    labels = []
    for number, finding in enumerate(findings, start=1):
        label = one_line(finding.source_label, length) or f"{_KIND_WORDS[finding.category]} {number}"
        if label.lower() in taken:
            tail = f" ({number})"
            label = label[: length - len(tail)] + tail
        taken.add(label.lower())
        labels.append(label)
    return tuple(labels)


def one_line(text: str, length: int) -> str:
    """Return text as one line of at most ``length`` characters without a backslash, which separates DICOM values."""
    return " ".join(text.replace("\\", "/").split())[:length].strip()


def file_stem(annotation_set: AnnotationSet, ordinal: int) -> str:
    """Return the name of a set's file without its ending: its number among the series' sets, and its author."""
    author = _NOT_IN_A_NAME.sub("-", author_of(annotation_set).lower()).strip("-")[:40].strip("-")
    return f"set-{ordinal:02d}-{author}" if author else f"set-{ordinal:02d}"


def _stated(finding: Finding) -> list[object]:
    sphere, box = finding.sphere, finding.box
    return [
        finding.finding_id,
        finding.category.value,
        finding.source_label,
        finding.tracking_uid,
        None if finding.mask is None else mask_digest(finding.mask),
        None if sphere is None else [*sphere.centre_mm, sphere.diameter_mm],
        None if box is None else [*box.corner_mm, *box.opposite_corner_mm],
        finding.point_mm,
        sorted(finding.characteristics.items()),
        sorted(finding.attributes.items()),
        finding.confidence,
    ]
