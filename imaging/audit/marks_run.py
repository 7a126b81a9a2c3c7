"""A survey of readers' marks from files: what ``python -m imaging audit-marks`` runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imaging.audit.run import PARSER_LIMITS
from imaging.audit.scan import Progress
from imaging.errors import ImagingError
from imaging.marks.scan import marked_scan
from imaging.marks.survey import NotSurveyed, Survey, survey
from imaging.marks.types import MarkedScan
from imaging.readers.delivery import DELIVERY_LIMITS, Entry, EntryUnreadable, open_delivery
from imaging.readers.lidc_document import LidcDocument, parse_lidc_xml
from imaging.readers.sniff import HEAD_BYTES, kind_of
from imaging.sandbox import Sandbox


@dataclass(frozen=True, slots=True, eq=False)
class MarksAudit:
    """A survey with what it was made of. ``made_at`` is UTC; all else depends on the files alone."""

    source_name: str
    made_at: str
    version: str
    survey: Survey


def audit_marks(*, path: Path, made_at: str, version: str, progress: Progress) -> MarksAudit:
    """Return the survey of all LIDC reader files of a folder, an archive or one file.

    A file that is none, or cannot be read, is listed and stops nothing. Files are parsed in a child process.
    Raises UnreadableFile where the path as a whole cannot be opened.
    """
    left_out: list[NotSurveyed] = []
    with Sandbox(PARSER_LIMITS) as sandbox, open_delivery(path, DELIVERY_LIMITS) as entries:
        progress(f"reading {len(entries)} file{'' if len(entries) == 1 else 's'}")
        scans = list(_scans(entries, sandbox, left_out))
    progress(f"holding the marks of {len(scans)} scans against each other")
    found = survey(scans=scans, not_surveyed=left_out)
    return MarksAudit(source_name=path.name, made_at=made_at, version=version, survey=found)


def _scans(entries: tuple[Entry, ...], sandbox: Sandbox, left_out: list[NotSurveyed]) -> Iterator[MarkedScan]:
    seen: dict[str, str] = {}
    for entry in entries:
        try:
            if kind_of(entry.read(HEAD_BYTES)) != "lidc-xml":
                left_out.append(NotSurveyed(entry.name, "not-lidc", "No LIDC reader file."))
                continue
            data = entry.read(None)
            digest = hashlib.sha256(data).hexdigest()
            if digest in seen:
                left_out.append(NotSurveyed(entry.name, "same-file", f"The same file as {seen[digest]}."))
                continue
            seen[digest] = entry.name
            document: LidcDocument = sandbox.call(parse_lidc_xml, data)
            yield marked_scan(document=document, file_name=entry.name, sha256=digest)
        except EntryUnreadable as error:
            left_out.append(NotSurveyed(entry.name, error.code, error.message))
        except ImagingError as error:
            left_out.append(NotSurveyed(entry.name, error.code, error.message))
