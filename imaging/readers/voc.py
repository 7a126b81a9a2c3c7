"""Pascal-VOC boxes (XML, one file an image) onto the slice that they were drawn on.

Pixels: the VOC development kit counts from 1, and both ends belong to the box, so that ``xmin = xmax = 1`` is the first
column alone. A box therefore reaches from the outer edge of pixel ``xmin`` to the outer edge of pixel ``xmax``. Some
tools write edges counted from 0 instead; a file with a coordinate of 0 shows that it is one of theirs, and is read so.
The two conventions differ by one pixel at the left and upper edge and agree at the right and lower one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from imaging.errors import UnreadableFile
from imaging.geometry.affine import to_patient
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.naming import dangling, references_of, set_id_of, slice_named
from imaging.readers.shapes import box_reach_mm, in_plane_longest_mm, outside_message, pixel_box
from imaging.readers.xml_text import child_of, child_text, children_of, name_of, parse_xml
from imaging.types import AnnotationImport, AnnotationSet, Finding, Rejection, SetKind

SOURCE_FORMAT = "voc-xml"
_UNKNOWN = {"", "unknow", "unknown", "unspecified", "none"}
_ATTRIBUTES = ("pose", "truncated", "difficult", "occluded")


@dataclass(frozen=True, slots=True)
class VocBox:
    """One ``object``. ``edges`` are (xmin, ymin, xmax, ymax) as written; None where they are not four numbers."""

    name: str
    edges: tuple[float, float, float, float] | None
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class VocDocument:
    """One file. ``size`` is (columns, rows) of the image it was drawn on, None where it says none."""

    image_names: tuple[str, ...]
    size: tuple[int, int] | None
    boxes: tuple[VocBox, ...]


def parse_voc(data: bytes) -> VocDocument:
    """Return what a Pascal-VOC file says. Raises UnreadableFile: the codes of ``parse_xml``, and ``not-voc``."""
    root = parse_xml(data)
    if name_of(root) != "annotation":
        raise UnreadableFile("not-voc", "The file is XML, but not a Pascal-VOC annotation.")
    names = [child_text(root, part) for part in ("filename", "path")]
    size = child_of(root, "size")
    columns, rows = (_number(child_text(size, part)) for part in ("width", "height"))
    return VocDocument(
        image_names=tuple(name for name in names if name.lower() not in _UNKNOWN),
        size=(int(columns), int(rows)) if columns and rows else None,
        boxes=tuple(_box(one) for one in children_of(root, "object")),
    )


def read_voc(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return the boxes of a Pascal-VOC file on a CT series, one finding each, a slice step thick.

    The image is the one that ``filename`` or ``path`` names, else the one that the file's own name (a SOP Instance UID,
    say) means. Rejections: ``dangling-reference`` (that image is not in this series; nothing is taken),
    ``size-disagrees`` (drawn on an image of another size; nothing is taken), ``bad-number``, ``empty-box`` and
    ``label-outside-image`` (that box is left out), ``counts-from-zero`` (taken, with this remark).
    Raises UnreadableFile as ``parse_voc`` does.
    """
    document = parse_voc(data)
    names = (*document.image_names, context.file_name)
    index = slice_named(names, image, context)
    if index is None:
        rejection = dangling(_best(names), of=1)
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (rejection,))
    uid = image.sop_instance_uids[index]
    rows, columns = image.grid.shape[1:]
    if document.size is not None and document.size != (columns, rows):
        message = (
            f"The boxes were drawn on an image of {document.size[0]} x {document.size[1]} pixels; the image that they "
            f"name has {columns} x {rows}."
        )
        rejection = Rejection("size-disagrees", message, (uid,))
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (rejection,))
    return _place(document, index, image, context, set_id_of("voc", data))


def _place(
    document: VocDocument, index: int, image: PlacedSeries, context: ReadContext, set_id: str
) -> AnnotationImport:
    uid = image.sop_instance_uids[index]
    from_zero = any(one.edges is not None and min(one.edges) == 0 for one in document.boxes)
    rejections: list[Rejection] = []
    if from_zero:
        message = (
            "A coordinate of 0 shows that the boxes' edges are counted from 0 here, not from 1; they were read so."
        )
        rejections.append(Rejection("counts-from-zero", message, (uid,)))
    findings: list[Finding] = []
    for number, one in enumerate(document.boxes, start=1):
        finding_id = f"{set_id}/box-{number:03d}"
        if one.edges is None:
            message = f"Box {number} does not have four finite numbers."
            rejections.append(Rejection("bad-number", message, (finding_id, uid)))
            continue
        left, top, right, bottom = _edges(one.edges, from_zero)
        if not (left < right and top < bottom):
            message = f"Box {number} encloses nothing: its edges are {one.edges}."
            rejections.append(Rejection("empty-box", message, (finding_id, uid)))
            continue
        box, round_trip = pixel_box(image.grid, slice_index=index, left=left, top=top, right=right, bottom=bottom)
        reach = box_reach_mm(image.grid, box)
        if reach:
            centre = to_patient(image.grid, (index, (top + bottom) / 2, (left + right) / 2))
            message = outside_message(image.grid, f"Part of box {number}, whose centre", centre, reach)
            rejections.append(Rejection("label-outside-image", message, (finding_id, uid)))
            continue
        findings.append(
            Finding(
                finding_id,
                context.vocabulary.category(one.name, longest_mm=in_plane_longest_mm(image.grid, box)),
                box=box,
                source_label=one.name,
                sop_instance_uids=(uid,),
                attributes=dict(one.attributes),
                round_trip=round_trip,
            )
        )
    taken = AnnotationSet(set_id, "boxes of one reader (Pascal-VOC)", SetKind.READER, True, tuple(findings))
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (taken,), tuple(rejections))


def _edges(written: tuple[float, float, float, float], from_zero: bool) -> tuple[float, float, float, float]:
    """The outer edges with pixel centres at whole numbers from 0: (left, top, right, bottom)."""
    left, top, right, bottom = written
    first = 0.5 if from_zero else 1.5
    return (left - first, top - first, right - 0.5, bottom - 0.5)


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of((*parse_voc(data).image_names, context.file_name))


def _best(names: tuple[str, ...]) -> tuple[str, ...]:
    # The file's own name is what is left where it names no image.
    return names[:1]


def _box(element: Element) -> VocBox:
    frame = child_of(element, "bndbox")
    numbers = [_number(child_text(frame, part)) for part in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = numbers
    edges = None if left is None or top is None or right is None or bottom is None else (left, top, right, bottom)
    written = [(name, child_text(element, name)) for name in _ATTRIBUTES]
    return VocBox(
        name=child_text(element, "name"),
        edges=edges,
        attributes=tuple((name, text) for name, text in written if text.lower() not in _UNKNOWN),
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e9 else None


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="Pascal-VOC boxes (XML)",
    many_series=False,
    references=_references,
    read=read_voc,
)
