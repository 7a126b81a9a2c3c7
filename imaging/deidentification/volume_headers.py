"""De-identifying NIfTI and NRRD label volumes: their voxels and geometry stay, their free text goes."""

from __future__ import annotations

import bz2
import gzip
import math
import re
import struct

from imaging.deidentification.fields import FieldRules
from imaging.deidentification.report import Action
from imaging.errors import UnreadableFile
from imaging.readers.inflate import GZIP_MARK, inflate_bzip2, inflate_gzip
from imaging.readers.nrrd_header import parse_nrrd_header

# (name, first byte, length) of the texts of a header: nifti1.h and nifti2.h.
_Places = tuple[tuple[str, int, int], ...]
_NIFTI1_TEXTS: _Places = (("data_type", 4, 10), ("db_name", 14, 18), ("descrip", 148, 80), ("aux_file", 228, 24))
_NIFTI2_TEXTS: _Places = (("descrip", 240, 80), ("aux_file", 320, 24))
_NIFTI1_INTENT = ("intent_name", 328, 16)
_NIFTI2_INTENT = ("intent_name", 508, 16)
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540

# Fields of the NRRD definition that say how voxels are to be read, and nothing else.
_NRRD_FIELDS = frozenset(
    """
    dimension type blocksize encoding endian sizes spacings thicknesses axismins axismaxs centers centerings units
    kinds min max oldmin oldmax lineskip byteskip sampleunits space spacedimension spaceunits spaceorigin
    spacedirections measurementframe
    """.split()  # noqa: SIM905 - reads as a list of words
)
# What 3D Slicer says of a segment: which voxels it is, and what it is called.
_SEGMENT_KEY = re.compile(r"Segment\d+_(LabelValue|Layer|Name|ID|Color|Extent)|Segmentation_MasterRepresentation")
_NRRD_MARK = b"NRRD000"
_VOXEL = re.compile(rb"[-+]?[0-9.]{1,40}(?:[eE][-+]?[0-9]{1,3})?")
_TRAILING = "bytes behind the voxels"


def clean_nifti(data: bytes, rules: FieldRules, *, limit_bytes: int) -> bytes:
    """Return a NIfTI file (1 or 2, gzip or not) with its free texts and its extensions zeroed, all else in place.

    Extensions may hold a whole DICOM header (code 2) or a comment (code 6). Raises UnreadableFile ``malformed``, and
    what ``inflate_gzip`` raises.
    """
    packed = data.startswith(GZIP_MARK)
    content = bytearray(inflate_gzip(data, limit_bytes=limit_bytes) if packed else data)
    first = content[:4]
    if _NIFTI1_BYTES in (int.from_bytes(first, "little"), int.from_bytes(first, "big")):
        size, texts, intent = _NIFTI1_BYTES, _NIFTI1_TEXTS, _NIFTI1_INTENT
    elif _NIFTI2_BYTES in (int.from_bytes(first, "little"), int.from_bytes(first, "big")):
        size, texts, intent = _NIFTI2_BYTES, _NIFTI2_TEXTS, _NIFTI2_INTENT
    else:
        raise UnreadableFile("malformed", "The NIfTI header does not begin with its own size.")
    if len(content) < size + 4:
        raise UnreadableFile("truncated", "The file ends inside its NIfTI header.")
    for name, start, length in texts:
        if any(content[start : start + length]):
            content[start : start + length] = bytes(length)
            rules.tally.note(Action.EMPTIED, name)
    name, start, length = intent
    meaning = bytes(content[start : start + length]).split(b"\x00")[0].decode("latin-1")
    kept = rules.clean(meaning, name="label").encode("latin-1", "replace")[: length - 1]
    content[start : start + length] = kept.ljust(length, b"\x00")
    _drop_extensions(content, size, rules)
    end = _voxels_begin(content, size) + _voxel_bytes(content, size)
    if end < len(content):
        del content[end:]
        rules.tally.note(Action.REMOVED, _TRAILING)
    # No file name and no time in the gzip header, so that the same voxels give the same bytes.
    return gzip.compress(bytes(content), compresslevel=6, mtime=0) if packed else bytes(content)


def _drop_extensions(content: bytearray, size: int, rules: FieldRules) -> None:
    """Zero all that lies between the header and the first voxel; the voxels stay where the header says."""
    begin, end = size, _voxels_begin(content, size)
    if any(content[begin:end]):
        content[begin:end] = bytes(end - begin)
        rules.tally.note(Action.REMOVED, "extensions")


def _voxels_begin(content: bytearray, size: int) -> int:
    """Return where the voxels begin: vox_offset, or right after the header where that lies outside the file."""
    little = int.from_bytes(content[:4], "little") == size
    mark = "<" if little else ">"
    if size == _NIFTI1_BYTES:
        offset = float(struct.unpack_from(f"{mark}f", content, 108)[0])
        return int(offset) if size <= offset <= len(content) else size + 4
    whole = int(struct.unpack_from(f"{mark}q", content, 168)[0])
    return whole if size <= whole <= len(content) else size + 4


def _voxel_bytes(content: bytearray, size: int) -> int:
    """Return how many bytes of voxels the header claims; a header that claims nonsense claims everything."""
    mark = "<" if int.from_bytes(content[:4], "little") == size else ">"
    form, dims_at, bits_at = ("h", 40, 72) if size == _NIFTI1_BYTES else ("q", 16, 14)
    rank, *sizes = struct.unpack_from(f"{mark}8{form}", content, dims_at)
    bits = int(struct.unpack_from(f"{mark}h", content, bits_at)[0])
    if not 1 <= rank <= 7 or min(sizes[:rank]) < 1 or bits < 1:
        return len(content)
    return -(-math.prod(int(one) for one in sizes[:rank]) * bits // 8)


def clean_nrrd(data: bytes, rules: FieldRules, *, limit_bytes: int) -> bytes:
    """Return a NRRD file whose header keeps what says how its voxels are to be read, and the names of segments.

    Comments, ``content``, dates and all other keys are left out, and whatever stands behind the voxels; compressed
    voxels are compressed anew, since gzip keeps the name of a file. Raises UnreadableFile: ``malformed``, and
    ``detached-data`` where the voxels lie in another file.
    """
    head, mark, rest = _nrrd_parts(data)
    lines = head.split(b"\n")
    if not lines[0].startswith(_NRRD_MARK):
        raise UnreadableFile("malformed", "The file does not begin as a NRRD file does.")
    kept = [lines[0].strip()]
    for line in lines[1:]:
        cleaned = _nrrd_line(line.strip(b"\r").decode("utf-8", "replace"), rules)
        if cleaned is not None:
            kept.append(cleaned.encode())
    return b"\n".join(kept) + mark + _nrrd_voxels(data, rest, rules, limit_bytes)


def _nrrd_voxels(data: bytes, rest: bytes, rules: FieldRules, limit_bytes: int) -> bytes:
    fields = parse_nrrd_header(data)
    claimed = math.prod(fields.sizes) * fields.dtype.itemsize
    if fields.encoding == "ascii":
        return b" ".join(one if _VOXEL.fullmatch(one) else b"nan" for one in rest.split()) + b"\n"
    if fields.encoding == "gzip":
        rest = inflate_gzip(rest, limit_bytes=limit_bytes)
    elif fields.encoding == "bzip2":
        rest = inflate_bzip2(rest, limit_bytes=limit_bytes)
    if len(rest) > claimed:
        rules.tally.note(Action.REMOVED, _TRAILING)
    voxels = rest[:claimed]
    if fields.encoding == "gzip":
        return gzip.compress(voxels, compresslevel=6, mtime=0)
    return bz2.compress(voxels) if fields.encoding == "bzip2" else voxels


def _nrrd_parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    ends = [(data.find(mark), mark) for mark in (b"\n\n", b"\r\n\r\n") if mark in data]
    if not ends:
        raise UnreadableFile("malformed", "The NRRD header does not end with an empty line.")
    at, mark = min(ends)
    return data[:at], b"\n\n", data[at + len(mark) :]


def _nrrd_line(line: str, rules: FieldRules) -> str | None:
    if line.startswith("#"):
        rules.tally.note(Action.REMOVED, "comments")
        return None
    key, separator, value = line.partition(":=")
    if separator:
        if not _SEGMENT_KEY.fullmatch(key):
            rules.tally.note(Action.REMOVED, "other keys")
            return None
        text = key.rpartition("_")[2] in ("Name", "ID")
        return f"{key}:={rules.clean(value, name='label') if text else _figures(value)}"
    key, separator, value = line.partition(":")
    plain = re.sub(r"[^a-z]", "", key.lower())
    if plain in ("datafile",):
        raise UnreadableFile("detached-data", "The voxels of the NRRD header lie in another file; give them as one.")
    if not separator or plain not in _NRRD_FIELDS:
        rules.tally.note(Action.REMOVED, "content" if plain == "content" else "other fields")
        return None
    return f"{key}:{value}"


def _figures(value: str) -> str:
    return value if re.fullmatch(r"[\d\s.+-]*", value) else ""
