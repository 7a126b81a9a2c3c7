"""Judging one file of a delivery: what it is, whether it can be a slice, and what is kept of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from imaging.errors import UnreadableFile
from imaging.geometry.header import SliceHeader
from imaging.readers.limits import ReadLimits
from imaging.readers.series import read_header
from imaging.readers.sniff import HEAD_BYTES, kind_of
from qaservice.storage.services import BlobItem, BlobWriter
from qaservice.studies.models import Outcome
from qaservice.studies.sources import Entry, EntryUnreadable

DICOM_TYPE = "application/dicom"
LIDC_TYPE = "application/xml"

ANNOTATION_KINDS = frozenset({"lidc-xml", "dicom-seg"})
"""What is handed on to the labels once the images it belongs to are in."""

_NOT_READ_HERE = {
    "dicom-rtstruct": "RT structure sets are not read by this version; the file was left out",
    "dicom-sr": "structured reports are not read by this version; the file was left out",
}


TROUBLE = frozenset({Outcome.REFUSED, Outcome.QUARANTINED})
"""Outcomes of files that somebody may want to try again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One file with its outcome: ``header`` for a slice that may be stored, ``annotation`` for labels, else neither.

    ``blob`` are the bytes of what may be stored, ``kept`` those of a file that was refused.
    """

    name: str
    kind: str
    sha256: str
    outcome: Outcome
    code: str = ""
    message: str = ""
    uid: str = ""
    header: SliceHeader | None = None
    blob: BlobItem | None = None
    kept: BlobItem | None = None

    @property
    def kept_apart(self) -> BlobItem | None:
        """Return the bytes of a file that was refused or kept apart, where they were written down to be tried again."""
        if self.outcome not in TROUBLE:
            return None
        return self.kept or self.blob

    def quarantined(self, code: str, message: str) -> Judged:
        """Return this file as kept apart, with the reason."""
        return replace(self, outcome=Outcome.QUARANTINED, code=code, message=message)

    @property
    def is_annotation(self) -> bool:
        return self.blob is not None and self.kind in ANNOTATION_KINDS


def judge(entry: Entry, limits: ReadLimits, writer: BlobWriter, *, keep_refused: bool) -> Judged:
    """Read one file, hand what is kept of it to the blob directory's writer, and say what it is.

    With ``keep_refused`` the bytes of a file that is refused are kept too, so that it can be tried again.
    Never raises for what is in a file. No message quotes a header, which may hold a person's name.
    """
    try:
        kind = kind_of(entry.read(HEAD_BYTES))
        if kind == "other":
            return _unread(entry)
        data = entry.read(None)
    except EntryUnreadable as error:
        return Judged(entry.name, "unknown", "", Outcome.REFUSED, error.code, error.message)
    digest = hashlib.sha256(data).hexdigest()
    if kind in _NOT_READ_HERE:
        return Judged(entry.name, kind, digest, Outcome.IGNORED, "not-read-here", _NOT_READ_HERE[kind])
    if kind == "lidc-xml":
        blob = writer.write(data=data, media_type=LIDC_TYPE)
        return Judged(entry.name, kind, digest, Outcome.STORED, blob=blob)
    try:
        header = read_header(data, limits)
    except UnreadableFile as error:
        uid = error.subjects[0] if error.subjects else ""
        kept = writer.write(data=data, media_type=DICOM_TYPE) if keep_refused else None
        return Judged(entry.name, kind, digest, Outcome.REFUSED, error.code, error.message, uid, kept=kept)
    if kind == "dicom-image" and header.modality != "CT":
        message = "an image of another modality; this service checks labels on CT"
        kept = writer.write(data=data, media_type=DICOM_TYPE) if keep_refused else None
        uid = header.sop_instance_uid
        return Judged(entry.name, kind, digest, Outcome.REFUSED, "wrong-modality", message, uid, kept=kept)
    blob = writer.write(data=data, media_type=DICOM_TYPE)
    return Judged(entry.name, kind, digest, Outcome.STORED, uid=header.sop_instance_uid, header=header, blob=blob)


def _unread(entry: Entry) -> Judged:
    message = "neither DICOM (the mark DICM is missing at byte 128) nor a kind of annotation file that is read here"
    return Judged(entry.name, "other", "", Outcome.IGNORED, "not-a-study-file", message)
