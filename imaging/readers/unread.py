"""Why a file that is no study file is left alone, told from its first bytes: what it is, and what can be done."""

from __future__ import annotations

from imaging.readers.inflate import GZIP_MARK

_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OTHER_ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
"""How a data set begins: group 0002 or 0008 in either byte order."""


def why_unread(head: bytes) -> tuple[str, str]:
    """Return (code, message) for a file whose kind is ``other``, from its first bytes. Never raises.

    Codes: ``dicom-not-read-here``, ``archive-inside``, ``dicom-without-preamble``, ``not-a-study-file``.
    """
    if head[128:132] == b"DICM":
        return (
            "dicom-not-read-here",
            "a DICOM object that is neither an image nor a label (an index of files, a dose or plan, a waveform, a "
            "presentation state or the like); nothing of it was taken",
        )
    if head[:4] in _ZIP_MARKS or head[257:262] == b"ustar" or head.startswith((GZIP_MARK, *_OTHER_ARCHIVES)):
        return (
            "archive-inside",
            "an archive or a compressed file inside the delivery; it was not opened: unpack it and send what it holds",
        )
    if head[:2] in _FIRST_GROUPS and len(head) > 8:
        return (
            "dicom-without-preamble",
            "this begins as a DICOM data set does, but without preamble and the mark DICM at byte 128, so how it is "
            "written would be a guess; save it as a DICOM file (PS3.10) and send it again",
        )
    return (
        "not-a-study-file",
        "neither DICOM (the mark DICM is missing at byte 128) nor a kind of annotation file that is read here",
    )
