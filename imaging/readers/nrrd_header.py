"""The header of an NRRD file: fields and key/value pairs, nothing opened that it names.

The format: https://teem.sourceforge.net/nrrd/format.html. A header may name other files for its voxels ("detached");
such a header is refused, whatever it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imaging.errors import UnreadableFile

HEADER_BYTES = 1 << 20
"""Slicer writes some hundred bytes a segment; a longer header is none."""

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names}


@dataclass(frozen=True, slots=True)
class NrrdFields:
    """A header as written. ``fields`` by lower-case name, ``keys`` the file's own key/value pairs.

    ``data_at`` is where the voxels begin in the file.
    """

    fields: Mapping[str, str]
    keys: Mapping[str, str]
    dtype: np.dtype[np.generic]
    sizes: tuple[int, ...]
    encoding: str
    data_at: int


def parse_nrrd_header(data: bytes) -> NrrdFields:
    """Return the header of an NRRD file.

    Raises UnreadableFile: ``not-nrrd``, ``truncated`` (no end of the header), ``detached-data``, ``bad-value``,
    ``unsupported-nrrd`` (an encoding or a value type that labels do not use).
    """
    if not re.match(rb"NRRD000[1-9]\r?\n", data):
        raise UnreadableFile("not-nrrd", "The file does not begin with the mark of NRRD.")
    end = re.search(rb"\r?\n\r?\n", data[:HEADER_BYTES])
    head = data[:HEADER_BYTES] if end is None else data[: end.start()]
    fields, keys = _pairs(head.decode("utf-8", "replace"))
    if "data file" in fields or "datafile" in fields:
        raise UnreadableFile(
            "detached-data",
            "An NRRD header whose voxels lie in another file; a file that a header names is never opened.",
        )
    if end is None:
        raise UnreadableFile("truncated", "The NRRD header has no end.")
    return NrrdFields(fields, keys, _dtype(fields), _sizes(fields), _encoding(fields), end.end())


def _pairs(head: str) -> tuple[dict[str, str], dict[str, str]]:
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for line in head.splitlines()[1:]:
        if line.startswith("#"):
            continue
        field = re.match(r"([^:=]+): (.*)", line) or re.match(r"([^:=]+):()$", line)
        key = re.match(r"([^:=]+):=(.*)", line)
        if key:
            keys[key.group(1).strip()] = key.group(2).strip()
        elif field:
            fields[field.group(1).strip().lower()] = field.group(2).strip()
    return fields, keys


def _dtype(fields: Mapping[str, str]) -> np.dtype[np.generic]:
    written = fields.get("type", "").lower()
    code = _TYPE_OF.get(written)
    if code is None:
        what = "blocks of bytes" if written == "block" else "a type that the format does not know"
        raise UnreadableFile("unsupported-nrrd", f"The voxels are {what}, not numbers.")
    endian = fields.get("endian", "").lower()
    if not endian and np.dtype(code).itemsize > 1 and _encoding(fields) not in {"ascii", "text", "txt"}:
        raise UnreadableFile("bad-value", "The NRRD header does not say the byte order of its voxels.")
    if endian not in {"", "little", "big"}:
        raise UnreadableFile("bad-value", "The NRRD header's byte order is neither little nor big.")
    return np.dtype((">" if endian == "big" else "<") + code)


def _sizes(fields: Mapping[str, str]) -> tuple[int, ...]:
    try:
        sizes = tuple(int(text) for text in fields.get("sizes", "").split())
        dimension = int(fields.get("dimension", ""))
    except ValueError as error:
        raise UnreadableFile("bad-value", "The NRRD header's sizes are not whole numbers.") from error
    if len(sizes) != dimension or not 1 <= dimension <= 16 or any(not 1 <= size < 1 << 31 for size in sizes):
        raise UnreadableFile("bad-value", "The NRRD header does not give one positive size for each axis.")
    return sizes


def _encoding(fields: Mapping[str, str]) -> str:
    encoding = fields.get("encoding", "").lower()
    known = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
    known |= dict.fromkeys(("ascii", "text", "txt"), "ascii")
    if encoding not in known:
        raise UnreadableFile("unsupported-nrrd", "The voxels are stored in an encoding that is not read here.")
    for skip in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(skip, "0").strip() not in {"0", ""}:
            raise UnreadableFile("unsupported-nrrd", "The voxels begin behind other content, which is not read here.")
    return known[encoding]
