"""Label files of one image each: all that one delivery brings on a series is one reading, not a reader a slice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging.types import AnnotationImport, AnnotationSet, Finding, Rejection
from qaservice.labels.models import AnnotationSet as SetRow
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, write_bytes
from qaservice.studies.models import AnnotationFile, Series

ONE_IMAGE_KINDS = frozenset({"voc-xml"})
"""Formats whose files describe one image each."""

LIST_TYPE = "application/vnd.label-qa.file-list+json"
LIST_FORMAT = "label-qa list of label files, version 1"


@dataclass(frozen=True, slots=True, eq=False)
class FileLabels:
    """What one file of several says of one series."""

    file: AnnotationFile
    labels: AnnotationImport


def combined(files: Sequence[FileLabels]) -> AnnotationImport:
    """Return what several files say of one series: one set for each reader, its findings in the files' order.

    All are of one format and one series. What a file did not give names the file.
    """
    sets: dict[str, AnnotationSet] = {}
    rejections: list[Rejection] = []
    for number, one in enumerate(files, start=1):
        for annotation_set in one.labels.annotation_sets:
            known = sets.get(annotation_set.reader_label)
            set_id = annotation_set.set_id if known is None else known.set_id
            findings = tuple(_renamed(finding, set_id, number) for finding in annotation_set.findings)
            if known is None:
                sets[annotation_set.reader_label] = replace(annotation_set, findings=findings)
            else:
                read = known.read or annotation_set.read
                sets[annotation_set.reader_label] = replace(known, findings=(*known.findings, *findings), read=read)
        rejections += [
            replace(item, message=f"{one.file.name}: {item.message}", subjects=(one.file.name, *item.subjects))
            for item in one.labels.rejections
        ]
    first = files[0].labels
    return AnnotationImport(first.source_format, first.series_instance_uid, tuple(sets.values()), tuple(rejections))


def list_of(files: Sequence[FileLabels]) -> BlobItem:
    """Put on disk the list of files that make one source, by name and digest, and return what it is known by."""
    entries = [{"name": one.file.name, "sha256": one.file.sha256} for one in files]
    data = json.dumps({"format": LIST_FORMAT, "files": entries}, sort_keys=True, separators=(",", ":")).encode()
    return write_bytes(data=data, media_type=LIST_TYPE)


def digests_held(series: Series) -> frozenset[str]:
    """Return the digests of the files that came to a series in lists."""
    rows = SetRow.objects.filter(series=series, source__media_type=LIST_TYPE)
    return frozenset(
        str(entry["sha256"])
        for digest in rows.values_list("source_id", flat=True).distinct()
        for entry in json.loads(read_blob(digest))["files"]
    )


def _renamed(finding: Finding, set_id: str, number: int) -> Finding:
    return replace(finding, finding_id=f"{set_id}/{number}/{finding.finding_id}")
