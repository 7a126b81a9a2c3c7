"""What kind of file this is, from its first bytes."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal[
    "dicom-image",
    "dicom-seg",
    "dicom-rtstruct",
    "dicom-sr",
    "lidc-xml",
    "nifti",
    "nrrd",
    "luna16-csv",
    "coco-json",
    "voc-xml",
    "monai-datalist",
    "predictions-csv",
    "predictions-json",
    "other",
]

HEAD_BYTES = 4096
"""How much of a file ``kind_of`` needs: the DICOM preamble with its file meta group, or an XML root element."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_SEGMENTATION = (_STORAGE + "66.4", _STORAGE + "66.7")
_STRUCTURE_SET = _STORAGE + "481.3"
_REPORT = _STORAGE + "88."
# Stored objects without an image of their own; anything else that claims to be DICOM is given to the header reader,
# which says what is wrong with it.
_NOT_IMAGES = (
    "1.2.840.10008.1.3.10",  # DICOMDIR
    _STORAGE + "9.",  # waveforms
    _STORAGE + "11.",  # presentation states
    _STORAGE + "66",  # raw data, registrations, fiducials, surfaces
    _STORAGE + "67",  # real-world value mapping
    _STORAGE + "91.",  # annotations of microscopy
    _STORAGE + "104.",  # encapsulated documents
    _STORAGE + "481.",  # radiotherapy
)
_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?(?:LidcReadMessage|IdriReadMessage)[\s>/]")
_LONG_LENGTH = {b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"OD", b"OL", b"UC", b"UR"}


def kind_of(data: bytes) -> Kind:
    """Return what the first ``HEAD_BYTES`` of a file (or all of it) say that it is; file names are not asked.

    A DICOM file is judged by the Media Storage SOP Class UID of its file meta group (PS3.10 7.1). ``"dicom-image"``
    means worth reading as an image, not that it is a good one. Never raises.
    """
    if data[128:132] == b"DICM":
        return _dicom_kind(_media_storage_class(data))
    if _ROOT.search(data[:HEAD_BYTES].replace(b"\x00", b"")):  # the zero bytes of UTF-16
        return "lidc-xml"
    return "other"


def _dicom_kind(sop_class: str) -> Kind:
    if sop_class in _SEGMENTATION:
        return "dicom-seg"
    if sop_class == _STRUCTURE_SET:
        return "dicom-rtstruct"
    if sop_class.startswith(_REPORT):
        return "dicom-sr"
    if sop_class.startswith(_NOT_IMAGES) and sop_class != _STORAGE + "481.1":
        return "other"
    return "dicom-image"


def _media_storage_class(data: bytes) -> str:
    # The meta group is Explicit VR Little Endian whatever follows it (PS3.10 7.1).
    at = 132
    while at + 8 <= len(data) and data[at : at + 2] == b"\x02\x00":
        element = int.from_bytes(data[at + 2 : at + 4], "little")
        if data[at + 4 : at + 6] in _LONG_LENGTH:
            length, start = int.from_bytes(data[at + 8 : at + 12], "little"), at + 12
        else:
            length, start = int.from_bytes(data[at + 6 : at + 8], "little"), at + 8
        if element == 0x0002:
            return data[start : start + length].decode("ascii", "replace").strip("\x00 ")
        at = start + length
    return ""
