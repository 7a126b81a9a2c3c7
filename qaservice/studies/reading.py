"""Judging the files of a delivery: what each is, whether it can be a slice, and what is kept of it."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from imaging.deidentification.report import CrosswalkEntry, Report
from imaging.errors import ImagingError
from imaging.geometry.header import SliceHeader
from imaging.readers.sniff import KINDS
from imaging.sandbox import Sandbox
from qaservice.common.errors import Unavailable
from qaservice.storage.services import BlobItem, BlobWriter
from qaservice.studies.examining import CANNOT_STORE, Batch, Examined, Submitted, Terms, examine, keep_unread
from qaservice.studies.models import Outcome
from qaservice.studies.parsers import CHILDREN, PARSER_LIMITS, parsers
from qaservice.studies.sources import Entry, EntryUnreadable

DICOM_TYPE = "application/dicom"

ANNOTATION_KINDS = frozenset(KINDS) - {"dicom-image", "other"}
"""What is handed on to the labels once the images it belongs to are in."""

BATCH_FILES = 16
"""Files that one call looks at: enough to hide the way there and back, few enough to spread over the children."""

BATCH_BYTES = 16 << 20

ARRIVING_AT_ONCE = 2
"""Requests of one web process whose instances are looked at at a time: more children would only cost memory."""

_arriving = threading.BoundedSemaphore(ARRIVING_AT_ONCE)

_MEDIA_TYPES = (
    ("dicom-", DICOM_TYPE),
    ("-xml", "application/xml"),
    ("-json", "application/json"),
    ("monai-datalist", "application/json"),
    ("-csv", "text/csv"),
)

TROUBLE = frozenset({Outcome.REFUSED, Outcome.QUARANTINED})
"""Outcomes of files that somebody may want to try again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One file with its outcome: ``header`` for a slice that may be stored, ``annotation`` for labels, else neither.

    ``blob`` are the bytes of what may be stored, ``kept`` those of a file that was refused. ``original_sha256`` is of
    the file as it came where other bytes are stored. ``pixel_fault`` is (code, message) where the pixels of a slice
    cannot be decoded.
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
    original_sha256: str = ""
    pixel_fault: tuple[str, str] | None = None
    identity_report: Report | None = None
    crosswalk: tuple[CrosswalkEntry, ...] = field(default=(), repr=False)

    @property
    def kept_apart(self) -> BlobItem | None:
        """Return the bytes of a file that was refused or kept apart, where they were written down to be tried again."""
        if self.outcome not in TROUBLE:
            return None
        return self.kept or self.blob

    def quarantined(self, code: str, message: str) -> Judged:
        """Return this file as kept apart, with the reason."""
        return replace(self, outcome=Outcome.QUARANTINED, code=code, message=message)

    def turned_away(self, code: str, message: str) -> Judged:
        """Return this file as refused, with the reason, and none of its bytes kept."""
        return replace(self, outcome=Outcome.REFUSED, code=code, message=message, blob=None, kept=None)

    def refused(self, code: str, message: str) -> Judged:
        """Return this file as refused, with the reason: no slice and no label any more, its bytes at most kept."""
        return replace(
            self, outcome=Outcome.REFUSED, code=code, message=message, header=None, blob=None, kept=self.blob
        )

    @property
    def is_annotation(self) -> bool:
        return self.blob is not None and self.kind in ANNOTATION_KINDS


def media_type_of(kind: str) -> str:
    """Return the media type under which the bytes of a kind of file are stored."""
    return next((found for part, found in _MEDIA_TYPES if part in kind), "application/octet-stream")


def judge_files(*, entries: Iterable[Entry], terms: Terms, writer: BlobWriter | None) -> Generator[Judged, None, None]:
    """Say of each file what it is, the bytes to be stored handed to ``writer``; in order, but stragglers at the end.

    Files are looked at in child processes, a batch at a time. A batch that does not come back is looked at again file
    by file, so that the one at fault is refused by name and the others are read. Without a writer nothing is kept.
    Never raises for what is in a file. No message quotes a header, which may hold a person's name. Raises Unavailable
    ``cannot-store`` where the disk takes no more.
    """
    suspects: list[Entry] = []
    with parsers(PARSER_LIMITS, children=CHILDREN) as sandbox:
        for together, found in _looked_at(sandbox, examine, _batches(entries, terms, BATCH_FILES)):
            if isinstance(found, ImagingError):
                suspects.extend(together)
                continue
            for entry, examined in zip(together, found, strict=True):
                yield _judged(entry, examined, writer)
        fatal: list[tuple[Entry, ImagingError]] = []
        for [entry], found in _looked_at(sandbox, examine, _batches(suspects, terms, 1)):
            if isinstance(found, ImagingError):
                fatal.append((entry, found))
            else:
                yield _judged(entry, found[0], writer)
        reasons = dict(fatal)
        for [entry], found in _looked_at(sandbox, keep_unread, _batches([entry for entry, _ in fatal], terms, 1)):
            bytes_of = Examined("unknown") if isinstance(found, ImagingError) else found[0]
            error = reasons[entry]
            yield _judged(entry, replace(bytes_of, code=error.code, message=error.message), writer)


def judge_seen(entry: Entry, found: Examined, writer: BlobWriter) -> Judged:
    """Say of a file of our own, which was looked at before and has not changed, what it is; its bytes are kept."""
    if entry.path is None:
        raise ValueError("only a file that lies by itself keeps its bytes under a second name")
    incoming = writer.folder / uuid.uuid4().hex
    incoming.hardlink_to(entry.path)
    return _judged(entry, replace(found, incoming=str(incoming)), writer)


def examined_files(places: Sequence[Path], terms: Terms) -> list[Examined]:
    """Return what each file is, in order, without judging or keeping any; one that ends its parser is refused."""
    found: list[Examined] = []
    with _arriving, parsers(PARSER_LIMITS, children=1) as sandbox:
        for start in range(0, len(places), BATCH_FILES):
            together = [Submitted(str(place), None) for place in places[start : start + BATCH_FILES]]
            try:
                found.extend(sandbox.call(examine, Batch(tuple(together), terms)))
            except ImagingError as error:
                _stop_if_ours(error)
                found.extend(_examined_alone(sandbox, one, terms) for one in together)
    return found


def _examined_alone(sandbox: Sandbox, file: Submitted, terms: Terms) -> Examined:
    try:
        return sandbox.call(examine, Batch((file,), terms))[0]
    except ImagingError as error:
        _stop_if_ours(error)
        return Examined("unknown", code=error.code, message=error.message)


def _stop_if_ours(error: ImagingError) -> None:
    if error.code == CANNOT_STORE:
        raise Unavailable(error.message, code=CANNOT_STORE)


def _looked_at(
    sandbox: Sandbox,
    function: Callable[[Batch], list[Examined]],
    batches: Iterator[tuple[list[Entry], Batch | Examined]],
) -> Iterator[tuple[list[Entry], list[Examined] | ImagingError]]:
    """Give each batch's entries with what was found, or with the error that ended it; unreadable ones as they come."""
    sent: deque[list[Entry]] = deque()
    unreadable: deque[tuple[list[Entry], list[Examined]]] = deque()

    def items() -> Iterator[Batch]:
        for together, batch in batches:
            if isinstance(batch, Examined):
                unreadable.append((together, [batch]))
            else:
                sent.append(together)
                yield batch

    with closing(sandbox.map(function, items())) as answers:
        for answer in answers:
            if answer.error is not None:
                _stop_if_ours(answer.error)
            yield sent.popleft(), answer.error if answer.error is not None else answer.result()
    yield from unreadable


def _batches(entries: Iterable[Entry], terms: Terms, most: int) -> Iterator[tuple[list[Entry], Batch | Examined]]:
    """Give files by the batch, of ``most`` files and ``BATCH_BYTES`` at most; alone what cannot be read at all."""
    together: list[Entry] = []
    files: list[Submitted] = []
    size = 0
    for entry in entries:
        try:
            submitted = _submitted(entry)
        except EntryUnreadable as error:
            yield [entry], Examined("unknown", code=error.code, message=error.message)
            continue
        together.append(entry)
        files.append(submitted)
        size += entry.size if submitted.data is None else len(submitted.data)
        if len(files) >= most or size >= BATCH_BYTES:
            yield together, Batch(tuple(files), terms)
            together, files, size = [], [], 0
    if files:
        yield together, Batch(tuple(files), terms)


def _submitted(entry: Entry) -> Submitted:
    if entry.path is not None:
        return Submitted(str(entry.path), None)
    return Submitted("", entry.read(None))


def _judged(entry: Entry, found: Examined, writer: BlobWriter | None) -> Judged:
    if found.kind == "other":
        return Judged(entry.name, "other", "", Outcome.IGNORED, found.code, found.message)
    blob = _blob(found, writer)
    judged = Judged(
        entry.name,
        found.kind,
        found.sha256,
        Outcome.STORED,
        uid=found.uid,
        header=found.header,
        blob=blob,
        original_sha256=found.original_sha256,
        pixel_fault=found.pixel_fault,
        identity_report=found.identity_report,
        crosswalk=found.crosswalk,
    )
    if found.code:
        return judged.refused(found.code, found.message)
    if found.kind == "dicom-image" and found.header is not None and found.header.modality != "CT":
        return judged.refused("wrong-modality", "an image of another modality; this service checks labels on CT")
    return judged


def _blob(found: Examined, writer: BlobWriter | None) -> BlobItem | None:
    media_type = media_type_of(found.kind)
    if writer is not None and found.incoming:
        return writer.adopt(incoming=Path(found.incoming), sha256=found.sha256, size=found.size, media_type=media_type)
    # Looked at and not kept: it is known by its digest all the same.
    return BlobItem(found.sha256, found.size, media_type) if writer is None and not found.code else None
