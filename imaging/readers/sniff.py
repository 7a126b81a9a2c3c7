"""What kind of file this is, from its first bytes, or for JSON from the whole of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import Literal, get_args

from imaging.errors import UnreadableFile
from imaging.readers.inflate import GZIP_MARK, inflated_head
from imaging.readers.json_text import parse_json

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

KINDS: tuple[Kind, ...] = get_args(Kind)

HEAD_BYTES = 4096
"""How much of a file ``kind_of`` needs: the DICOM preamble with its file meta group, or an XML root element."""

JSON_BYTES = 256 << 20
"""A JSON file larger than this is not looked into: a hundred thousand outlines take some tens of megabytes."""

PREDICTIONS_FORMAT = "label-qa-predictions"
"""What the ``format`` key of a predictions file (JSON) says."""

LUNA16_COLUMNS = frozenset({"seriesuid", "coordx", "coordy", "coordz"})
PREDICTIONS_COLUMNS = frozenset({"series_instance_uid", "shape", "confidence"})
DATALIST_PARTS = ("training", "validation", "testing", "test", "inference")
"""The lists that a MONAI datalist may hold."""

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
_LIDC_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?(?:LidcReadMessage|IdriReadMessage)[\s>/]")
# The root element alone: other formats have an <annotation> further in.
# Each repetition is possessive: a comment that could end at several places would be tried at all of them.
_VOC_ROOT = re.compile(rb"\A\s*+(?:<\?[^>]*+>\s*+|<!--.*?-->\s*+|<!DOCTYPE[^>\[]*+>\s*+)*+<annotation[\s>]", re.DOTALL)
_VOC_PARTS = (b"<folder", b"<filename", b"<path", b"<size", b"<object", b"<bndbox", b"<segmented")
_LONG_LENGTH = {b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"OD", b"OL", b"UC", b"UR"}
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def kind_of(data: bytes) -> Kind:
    """Return what the first ``HEAD_BYTES`` of a file (or all of it) say that it is; file names are not asked.

    A DICOM file is judged by the Media Storage SOP Class UID of its file meta group (PS3.10 7.1). ``"dicom-image"``
    means worth reading as an image, not that it is a good one. JSON kinds are told by the keys that stand in the head,
    which may not be enough: where ``needs_whole`` says so, ``kind_of_whole`` has the answer. Never raises.
    """
    if data[128:132] == b"DICM":
        return _dicom_kind(_media_storage_class(data))
    head = data[:HEAD_BYTES]
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if _is_nifti(inflated_head(head, length=1024) if head.startswith(GZIP_MARK) else head):
        return "nifti"
    plain = _without_mark(head).replace(b"\x00", b"")  # the zero bytes of UTF-16
    if _LIDC_ROOT.search(plain):
        return "lidc-xml"
    if _VOC_ROOT.search(plain) and any(part in plain for part in _VOC_PARTS):
        return "voc-xml"
    if plain.lstrip()[:1] in (b"{", b"["):
        return _json_kind_of_head(plain)
    return _table_kind(plain)


def needs_whole(head: bytes) -> bool:
    """Tell whether the head is JSON of a kind that only ``kind_of_whole`` can be sure of."""
    plain = _without_mark(head[:HEAD_BYTES]).replace(b"\x00", b"").lstrip()
    return re.match(rb'[{\[]\s*(?:["{\[}\]]|\Z)', plain) is not None


def kind_of_whole(data: bytes) -> Kind:
    """Return what a whole file says that it is: as ``kind_of``, but JSON by its top-level keys.

    JSON that cannot be parsed, or is larger than ``JSON_BYTES``, is judged by its head. Never raises.
    """
    if not needs_whole(data) or len(data) > JSON_BYTES:
        return kind_of(data)
    try:
        return _json_kind(parse_json(data))
    except UnreadableFile:
        return kind_of(data)


def _is_nifti(head: bytes) -> bool:
    # sizeof_hdr in either byte order, then the magic: "ni1" is a header whose voxels lie in another file.
    if head[344:348] in (b"n+1\x00", b"ni1\x00"):
        return head[:4] in ((348).to_bytes(4, "little"), (348).to_bytes(4, "big"))
    return head[4:8] in (b"n+2\x00", b"ni2\x00") and head[:4] in (
        (540).to_bytes(4, "little"),
        (540).to_bytes(4, "big"),
    )


def _json_kind_of_head(head: bytes) -> Kind:
    if re.search(rb'"format"\s*:\s*"' + PREDICTIONS_FORMAT.encode() + rb'"', head):
        return "predictions-json"
    keys = set(re.findall(rb'"([A-Za-z_]+)"\s*:', head))
    if keys & {b"training", b"validation"} and re.search(rb'"(?:training|validation)"\s*:\s*\[', head):
        return "monai-datalist"
    if keys & {b"images", b"annotations", b"categories"} and keys & {b"file_name", b"image_id", b"bbox", b"info"}:
        return "coco-json"
    if head.lstrip().startswith(b"[") and {b"image_id", b"category_id"} <= keys:
        return "coco-json"
    return "other"


def _json_kind(document: object) -> Kind:
    if isinstance(document, list):
        first = document[0] if document else None
        results = isinstance(first, Mapping) and {"image_id", "category_id"} <= set(first)
        return "coco-json" if results else "other"
    if not isinstance(document, Mapping):
        return "other"
    if document.get("format") == PREDICTIONS_FORMAT:
        return "predictions-json"
    if isinstance(document.get("images"), list) and isinstance(document.get("annotations"), list):
        return "coco-json"
    if any(_is_datalist_part(document.get(part)) for part in DATALIST_PARTS):
        return "monai-datalist"
    return "other"


def _is_datalist_part(part: object) -> bool:
    return isinstance(part, list) and bool(part) and all(isinstance(one, (Mapping, str)) for one in part[:10])


def _table_kind(head: bytes) -> Kind:
    line = head.splitlines()[0] if head.strip() else b""
    try:
        names = next(csv.reader([line.decode("utf-8")]), [])
    except (UnicodeDecodeError, csv.Error):
        return "other"
    columns = {name.strip().lower() for name in names}
    if columns >= LUNA16_COLUMNS:
        return "luna16-csv"
    return "predictions-csv" if columns >= PREDICTIONS_COLUMNS else "other"


def _without_mark(head: bytes) -> bytes:
    for mark in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return head[len(mark) :]
    return head


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
