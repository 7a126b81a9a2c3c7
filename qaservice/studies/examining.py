"""What is done with the bytes of a file that nobody has vouched for: run in a child process, never in the service.

Nothing here knows of Django, the database or the settings: the children start without them.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from imaging.deidentification.receiving import KEEP_IDENTITIES, IdentityTerms, receive
from imaging.deidentification.report import CrosswalkEntry, Report
from imaging.errors import ImagingError, UnreadableFile
from imaging.geometry.gate import LUNG_CT_TOLERANCES
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import MILDEST_GATE_POLICY
from imaging.readers.limits import ReadLimits
from imaging.readers.series import InspectedInstance, inspect_instance, load_volume
from imaging.readers.sniff import HEAD_BYTES, kind_of, kind_of_whole, needs_whole
from imaging.readers.unread import why_unread

BLOB_MISSING = "blob-missing"
BLOB_ALTERED = "blob-altered"
CANNOT_STORE = "cannot-store"
"""Code of a fault that is no file's: it ends the whole call."""


SLICE_BYTES = 4 << 20
"""A slice of 1024 x 1024 and its header; most files are no larger."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """One file to look at: where it lies, or its bytes where it lies inside an archive."""

    path: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How files are looked at. ``folder`` is where kept bytes are put, None to keep nothing.

    ``file_bytes`` bounds one file; ``keep_refused`` tells whether the bytes of a DICOM file that cannot be read are
    kept as they are. ``identity`` is the project's policy, applied before anything else looks at a file or keeps it.
    ``own``: the files are the service's own and never change, so that a second name keeps their bytes without a copy.
    """

    limits: ReadLimits
    file_bytes: int
    folder: str | None
    keep_refused: bool
    identity: IdentityTerms = KEEP_IDENTITIES
    own: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Files looked at in one call, so that the way to the child and back is paid once."""

    files: tuple[Submitted, ...]
    terms: Terms


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file turned out to be. ``code`` is empty unless it was refused.

    ``sha256`` and ``size`` are of the bytes to be stored, ``original_sha256`` of the bytes that came where these are
    others. ``incoming`` is where the bytes to be stored lie, not yet synced; empty where none are kept. ``pixel_fault``
    is (code, message) where the pixels of a CT slice cannot be decoded. ``identity_report`` and ``crosswalk`` say what
    de-identification did, and what stands behind its pseudonyms.
    """

    kind: str
    sha256: str = ""
    size: int = 0
    original_sha256: str = ""
    incoming: str = ""
    code: str = ""
    message: str = ""
    uid: str = ""
    header: SliceHeader | None = None
    pixel_fault: tuple[str, str] | None = None
    identity_report: Report | None = None
    crosswalk: tuple[CrosswalkEntry, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored files looked at in one call, each (path, SHA-256)."""

    places: tuple[tuple[str, str], ...]
    limits: ReadLimits


def examine(batch: Batch) -> list[Examined]:
    """Look at each file of a batch. Never raises for what is in a file, only ``CANNOT_STORE``."""
    return [_examined(file, batch.terms) for file in batch.files]


def keep_unread(batch: Batch) -> list[Examined]:
    """Take the bytes of files without looking into them: of those that their parser did not survive."""
    kept = []
    for file in batch.files:
        try:
            data = _bytes_of(file, batch.terms)
        except UnreadableFile as error:
            kept.append(Examined("unknown", code=error.code, message=error.message))
            continue
        digest = hashlib.sha256(data).hexdigest()
        incoming = _put(data, batch.terms) if batch.terms.keep_refused else ""
        kept.append(Examined(kind_of(data[:HEAD_BYTES]), digest, len(data), incoming=incoming))
    return kept


def reexamine(stored: Stored) -> list[InspectedInstance]:
    """Return what stored instances say of themselves, each checked against its digest before it is parsed."""
    return [inspect_instance(_checked_bytes(path, sha256), stored.limits) for path, sha256 in stored.places]


def write_volume(stored: Mapping[str, tuple[str, str]], target: str, limits: ReadLimits) -> None:
    """Write the Hounsfield units of one series as a .npy file, (slices, rows, columns) int16.

    ``stored`` maps SOP Instance UID to (path, SHA-256). Whatever a project may let pass passes here: the series was
    accepted under the policy of its day, and a stricter one that came later does not take its volume away.
    Raises what ``load_volume`` raises, and UnreadableFile with one of the three codes above where the stored bytes
    are not there any more or the disk takes no more.
    """
    headers = [inspect_instance(_checked_bytes(*place), limits).header for place in stored.values()]
    volume = load_volume(
        slices=headers,
        open_bytes=lambda uid: _checked_bytes(*stored[uid]),
        tolerances=LUNG_CT_TOLERANCES,
        limits=limits,
        policy=MILDEST_GATE_POLICY,
    )
    try:
        with Path(target).open("xb") as stream:
            np.save(stream, volume.hounsfield, allow_pickle=False)
    except OSError as error:
        raise cannot_store(error) from error


def _unread(head: bytes) -> Examined:
    code, message = why_unread(head)
    return Examined("other", code=code, message=message)


def _examined(file: Submitted, terms: Terms) -> Examined:
    try:
        # One reading where the file is no larger than a slice; of a large one first what tells whether to go on.
        data = _read(file.path, SLICE_BYTES + 1) if file.data is None else file.data
        head = data[:HEAD_BYTES]
        kind: str = kind_of(head)
        if kind == "other" and not needs_whole(head):
            return _unread(head)
        if file.data is None and len(data) > SLICE_BYTES:
            data = _bytes_of(file, terms)
        _require_size(data, terms)
    except UnreadableFile as error:
        return Examined("unknown", code=error.code, message=error.message)
    kind = kind_of_whole(data)
    if kind == "other":
        return _unread(head)
    try:
        received = receive(data, kind, terms.identity, terms.limits)
    except ImagingError as error:
        # Without the UID that a reader may have found: nobody knows whether it is a pseudonym.
        return Examined(kind, original_sha256=hashlib.sha256(data).hexdigest(), code=error.code, message=error.message)
    unchanged = received.data is data or received.data == data
    examined = _as_received(kind, received.data, terms, file.path if terms.own and unchanged else "")
    return replace(
        examined,
        original_sha256=received.original_sha256,
        identity_report=received.report,
        crosswalk=received.crosswalk,
    )


def _as_received(kind: str, data: bytes, terms: Terms, source: str) -> Examined:
    """Look at the bytes that may be kept under the project's identity policy; ``source`` has them already, if any."""
    digest = hashlib.sha256(data).hexdigest()
    if not kind.startswith("dicom-"):
        return Examined(kind, digest, len(data), incoming=_put(data, terms, source))
    try:
        found = inspect_instance(data, terms.limits)
    except UnreadableFile as error:
        incoming = _put(data, terms, source) if terms.keep_refused else ""
        uid = error.subjects[0] if error.subjects else ""
        return Examined(kind, digest, len(data), "", incoming, error.code, error.message, uid)
    fault = found.pixel_fault
    return Examined(
        kind,
        digest,
        len(data),
        incoming=_put(data, terms, source),
        uid=found.header.sop_instance_uid,
        header=found.header,
        pixel_fault=None if fault is None else (fault.code, fault.message),
    )


def _bytes_of(file: Submitted, terms: Terms) -> bytes:
    data = file.data if file.data is not None else _read(file.path, terms.file_bytes + 1)
    _require_size(data, terms)
    return data


def _require_size(data: bytes, terms: Terms) -> None:
    if len(data) > terms.file_bytes:
        raise UnreadableFile("file-too-large", f"the file has more than {terms.file_bytes} bytes")


def _read(path: str, count: int) -> bytes:
    try:
        # The delivery was listed before: what has become a link since is not followed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            pieces = []
            while count > 0 and (piece := stream.read(min(count, os.fstat(descriptor).st_size + 1))):
                pieces.append(piece)
                count -= len(piece)
    except OSError as error:
        raise UnreadableFile("unreadable", f"the file cannot be read ({error.strerror})") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _checked_bytes(path: str, sha256: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableFile(BLOB_MISSING, f"the bytes {sha256} are missing from the blob directory") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadableFile(BLOB_ALTERED, f"the bytes stored as {sha256} are no longer those")
    return data


def _put(data: bytes, terms: Terms, source: str = "") -> str:
    if terms.folder is None:
        return ""
    place = Path(terms.folder) / uuid.uuid4().hex
    try:
        if source:
            place.hardlink_to(source)
            return str(place)
        with place.open("xb") as stream:
            stream.write(data)
    except OSError as error:
        raise cannot_store(error) from error
    return str(place)


def cannot_store(error: OSError) -> UnreadableFile:
    """Return what says that the disk, not the file, is at fault; its code is ``CANNOT_STORE``."""
    return UnreadableFile(CANNOT_STORE, f"the data folder cannot be written ({error.strerror})")
