"""NRRD label maps (.nrrd, Slicer's .seg.nrrd): where they lie, their segments' names, and their voxels.

The header says in which space its vectors are: left-posterior-superior is DICOM's; of right- and left-anterior-superior
the signs are turned. Slicer keeps overlapping segments in layers, the first axis of a volume of four, and names each in
``Segment0_Name``, ``Segment0_LabelValue`` and ``Segment0_Layer``.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.inflate import inflate_bzip2, inflate_gzip
from imaging.readers.label_array import LabelArray, LabelHeader, NamedSegment
from imaging.readers.label_volumes import label_references, read_label_volume
from imaging.readers.limits import ReadLimits
from imaging.readers.nrrd_header import NrrdFields, parse_nrrd_header
from imaging.types import AnnotationImport, Rejection

SOURCE_FORMAT = "nrrd"
_SIGNS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
_LISTS = {"list", "vector", "none", "point", "???"}


def nrrd_label_header(data: bytes) -> LabelHeader:
    """Return where an NRRD file's volume lies. Reads no voxels. Raises UnreadableFile as ``parse_nrrd_header`` does."""
    return _described(parse_nrrd_header(data))


def read_nrrd_array(data: bytes, limits: ReadLimits) -> LabelArray:
    """Return an NRRD file's volume.

    Raises UnreadableFile: those of ``parse_nrrd_header``, ``pixel-claim-too-large``, ``inflates-too-large``,
    ``truncated``, ``damaged-compression``, ``bad-value``.
    """
    fields = parse_nrrd_header(data)
    header = _described(fields)
    count = 1
    for size in fields.sizes:
        count *= size
    claimed = count * header.dtype.itemsize
    if claimed > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large",
            f"The label claims {claimed} bytes of voxels; at most {limits.pixel_bytes} are read.",
        )
    if header.refusals:
        return LabelArray(header, np.zeros((0, 0, 0, 0), dtype=header.dtype))
    values = _values(data[fields.data_at :], fields, count, claimed)
    if header.layers > 1 or len(fields.sizes) == 4:
        return LabelArray(header, values.reshape((header.layers, *header.shape), order="F"))
    return LabelArray(header, values.reshape(header.shape, order="F")[None])


def _values(content: bytes, fields: NrrdFields, count: int, claimed: int) -> NDArray[np.generic]:
    if fields.encoding == "ascii":
        numbers = content.split(maxsplit=count)[:count]
        if len(numbers) < count:
            raise UnreadableFile("truncated", f"The label claims {count} voxels but holds {len(numbers)}.")
        try:
            return np.array([float(one) for one in numbers]).astype(fields.dtype)
        except (ValueError, OverflowError) as error:
            raise UnreadableFile("bad-value", "A voxel is not a number.") from error
    if fields.encoding == "gzip":
        content = inflate_gzip(content, limit_bytes=claimed + 4096)
    elif fields.encoding == "bzip2":
        content = inflate_bzip2(content, limit_bytes=claimed + 4096)
    if len(content) < claimed:
        raise UnreadableFile("truncated", f"The label claims {claimed} bytes of voxels but holds {len(content)}.")
    return np.frombuffer(content, dtype=fields.dtype, count=count)


def _described(parsed: NrrdFields) -> LabelHeader:
    segments = _segments(parsed)
    sizes = parsed.sizes
    layered = len(sizes) == 4 and bool(segments) and _kinds(parsed)[:1] == ["list"]
    refusals: list[Rejection] = []
    if not layered and len(sizes) != 3:
        shape = " x ".join(str(size) for size in sizes)
        message = f"The volume has {shape} values: a label map has three axes, without time points or components."
        refusals.append(Rejection("not-three-dimensional", message))
    if len(sizes) == 3 and any(kind in _LISTS - {"???"} for kind in _kinds(parsed)):
        message = "One of the volume's three axes is not of space: these are slices of vectors, not a label map."
        refusals.append(Rejection("not-three-dimensional", message))
    units = {unit.lower() for unit in re.findall(r'"([^"]*)"', parsed.fields.get("space units", ""))}
    if units - {"mm", "millimeter", "millimeters", "millimetre", ""}:
        refusals.append(Rejection("unknown-units", "The header's lengths are not in millimetres."))
    spatial = sizes[1:] if layered else (*sizes, 1, 1)[:3]
    return LabelHeader(
        shape=(spatial[0], spatial[1], spatial[2]),
        affine=_affine(parsed, layered),
        layers=sizes[0] if layered else 1,
        dtype=parsed.dtype,
        segments=segments,
        refusals=tuple(refusals),
    )


def _kinds(parsed: NrrdFields) -> list[str]:
    return [kind.lower() for kind in parsed.fields.get("kinds", "").split()]


def _affine(parsed: NrrdFields, layered: bool) -> NDArray[np.float64] | None:
    """Index in the array's axis order to LPS, None where the header does not place the volume in a patient."""
    signs = _SIGNS.get(parsed.fields.get("space", "").strip().strip('"').lower())
    directions = _vectors(parsed.fields.get("space directions", ""))
    origin = _vectors(parsed.fields.get("space origin", ""))
    if signs is None or len(origin) != 1:
        return None
    if layered:
        directions = directions[1:] if len(directions) == 4 and directions[0] is None else directions
    spatial = [one for one in directions if one is not None]
    if len(directions) != 3 or len(spatial) != 3 or origin[0] is None:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(spatial).T
    matrix[:3, 3] = origin[0]
    if not np.all(np.isfinite(matrix)):
        raise UnreadableFile("bad-value", "The NRRD header's directions or origin are not finite numbers.")
    return np.diag([*signs, 1.0]) @ matrix


def _vectors(text: str) -> list[tuple[float, float, float] | None]:
    found: list[tuple[float, float, float] | None] = []
    for part in re.findall(r"none|\([^()]*\)", text):
        numbers: list[float] = []
        if part != "none":
            try:
                numbers = [float(one) for one in part.strip("()").split(",")]
            except ValueError as error:
                raise UnreadableFile("bad-value", "A vector in the NRRD header is not of numbers.") from error
            if len(numbers) != 3:
                return []
        found.append((numbers[0], numbers[1], numbers[2]) if numbers else None)
    return found


def _segments(parsed: NrrdFields) -> tuple[NamedSegment, ...]:
    found: list[NamedSegment] = []
    names = (re.fullmatch(r"Segment(\d{1,6})_Name", key) for key in parsed.keys)
    for number in sorted(int(match.group(1)) for match in names if match):
        prefix = f"Segment{number}_"
        value = _whole(parsed.keys.get(prefix + "LabelValue", "1"))
        layer = _whole(parsed.keys.get(prefix + "Layer", "0"))
        if value is not None and layer is not None:
            found.append(NamedSegment(parsed.keys[prefix + "Name"], layer, value))
    return tuple(found)


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text.strip()) else None


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return label_references(nrrd_label_header(data), context)


def read_nrrd(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return an NRRD label map's findings on a CT series; see ``label_volumes.read_label_volume``.

    Raises UnreadableFile as ``read_nrrd_array`` does.
    """
    return read_label_volume(SOURCE_FORMAT, data, read_nrrd_array(data, context.limits), image, context)


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="NRRD label map or Slicer segmentation",
    many_series=False,
    references=_references,
    read=read_nrrd,
)
