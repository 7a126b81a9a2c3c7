"""MONAI datalists (JSON) with boxes, such as the LUNA16 detection bundle's, onto a CT series.

An entry has ``image`` (a path that names the scan), ``box`` (n boxes of six numbers in world millimetres, DICOM's LPS
as in LUNA16), ``label`` (n class numbers) and, in predictions, ``label_scores``.

Box modes: ``cccwhd`` is the centre and the full widths, which the LUNA16 bundle uses; ``xyzxyz`` two opposite corners,
MONAI's own standard. A datalist does not say which. It is told, in this order, by a key ``box_mode`` (of the file or of
the entry); by the numbers, where only one of the two gives boxes with a positive size; by the boxes being cubes in
``cccwhd``, as all of LUNA16's are. What is left over is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.json_text import items_of, mapping_of, number_in, numbers_in, parse_json, text_in
from imaging.readers.naming import another_series, names_series, references_of, set_id_of
from imaging.readers.shapes import PASSES_EDGE, edge_rejection, images_of_box, in_plane_longest_mm, patient_box
from imaging.readers.sniff import DATALIST_PARTS
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Finding,
    PointMm,
    Rejection,
    SetKind,
)

SOURCE_FORMAT = "monai-datalist"
MODES = ("cccwhd", "xyzxyz")
_NODULE = "nodule"
_KNOWN = {"image", "box", "label", "label_scores", "box_mode", "fold"}


@dataclass(frozen=True, slots=True)
class DatalistEntry:
    """One scan of a datalist. ``part`` is the list that it stands in, ``number`` counts from 1 there."""

    part: str
    number: int
    image: str
    members: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Datalist:
    """One file. ``class_names`` by class number, empty where the file names none."""

    entries: tuple[DatalistEntry, ...]
    box_mode: str
    class_names: Mapping[str, str]


def parse_datalist(data: bytes) -> Datalist:
    """Return what a MONAI datalist says. Raises UnreadableFile: ``not-json``, ``not-a-datalist``, ``bad-value``."""
    holder = mapping_of(parse_json(data))
    entries = tuple(_entries(holder))
    if not entries:
        raise UnreadableFile("not-a-datalist", "The file is JSON, but holds no list of images for training or testing.")
    mode = text_in(holder, "box_mode")
    if mode and mode not in MODES:
        raise UnreadableFile("bad-value", f"The box_mode is neither {MODES[0]} nor {MODES[1]}.")
    names = mapping_of(holder.get("labels"))
    return Datalist(entries, mode, {key: text_in(names, key) for key in names})


def read_datalist(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a datalist's boxes of one CT series, one finding each.

    Boxes with scores are an algorithm's. A class without a name is ``class n``; class 0 of a file that names no classes
    is the LUNA16 bundle's only one, ``nodule``. Rejections: ``another-series``, ``ambiguous-box-mode`` (nothing is
    taken), and entry by entry: ``bad-number``, ``bad-confidence``, ``empty-box``, ``label-outside-image`` (its middle),
    ``passes-edge`` (taken), ``counts-disagree``, ``mask-named`` (a mask in another file, which is read on its own) and
    ``unknown-keys``.
    Raises UnreadableFile as ``parse_datalist`` does.
    """
    document = parse_datalist(data)
    of_this = [entry for entry in document.entries if names_series(entry.image, image, context)]
    if not of_this:
        rejection = another_series(entry.image for entry in document.entries)
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (rejection,))
    return _Reader(document, image, context, set_id_of("datalist", data)).read(of_this)


class _Reader:
    def __init__(self, document: Datalist, image: PlacedSeries, context: ReadContext, set_id: str) -> None:
        self._document, self._image, self._context, self._set_id = document, image, context, set_id
        self._rejections: list[Rejection] = []
        self._read = False

    def read(self, entries: Sequence[DatalistEntry]) -> AnnotationImport:
        drawn: list[Finding] = []
        predicted: list[Finding] = []
        for entry in entries:
            for finding in self._entry(entry):
                (drawn if finding.confidence is None else predicted).append(finding)
        sets: list[AnnotationSet] = []
        if drawn or (self._read and not predicted):
            sets.append(AnnotationSet(self._set_id, "MONAI datalist", SetKind.READER, True, tuple(drawn)))
        if predicted:
            set_id = f"{self._set_id}-predicted"
            label = "MONAI datalist with scores"
            sets.append(AnnotationSet(set_id, label, SetKind.ALGORITHM, True, tuple(predicted), Algorithm("", "")))
        return AnnotationImport(SOURCE_FORMAT, self._image.series_instance_uid, tuple(sets), tuple(self._rejections))

    def _entry(self, entry: DatalistEntry) -> Iterator[Finding]:
        where = f"entry {entry.number} of {entry.part}"
        unknown = sorted(set(entry.members) - _KNOWN)
        if unknown:
            message = f"In {where}, {len(unknown)} keys are not a detection list's and were not read."
            self._reject("unknown-keys", message, *unknown[:20])
        if "box" not in entry.members:
            if isinstance(entry.members.get("label"), str):
                message = f"In {where}, the label is a mask in another file, which is read as a file of its own."
                self._reject("mask-named", message, where)
            return
        boxes = [numbers_in(one, 6) for one in items_of(entry.members.get("box"))]
        labels, scores = items_of(entry.members.get("label")), items_of(entry.members.get("label_scores"))
        for name, given in (("label", labels), ("label_scores", scores)):
            if name in entry.members and len(given) != len(boxes):
                message = f"In {where}, there are {len(boxes)} boxes but {len(given)} values of {name}."
                self._reject("counts-disagree", message, where)
                return
        mode = self._mode(entry, [one for one in boxes if one is not None])
        if mode is None:
            message = (
                f"In {where}, the boxes can be both centres with widths ({MODES[0]}) and corners ({MODES[1]}); a key "
                "box_mode in the file would say which."
            )
            self._reject("ambiguous-box-mode", message, where)
            return
        self._read = True
        for number, numbers in enumerate(boxes, start=1):
            what = f"box {number} of {where}"
            label = labels[number - 1] if labels else None
            score = scores[number - 1] if scores else None
            finding = self._finding(numbers, mode, label, score, what, f"{entry.part}-{entry.number}/box-{number:03d}")
            if finding is not None:
                yield finding

    def _mode(self, entry: DatalistEntry, boxes: Sequence[tuple[float, ...]]) -> str | None:
        said = text_in(entry.members, "box_mode") or self._document.box_mode
        if said in MODES:
            return said
        possible = [mode for mode in MODES if all(_has_size(one, mode) for one in boxes)]
        if len(possible) == 1 or not boxes:
            return possible[0]
        if "cccwhd" in possible and all(max(one[3:]) - min(one[3:]) <= 1e-6 * max(one[3:]) for one in boxes):
            return "cccwhd"
        return None

    def _finding(
        self, numbers: tuple[float, ...] | None, mode: str, label: object, score: object, what: str, suffix: str
    ) -> Finding | None:
        grid = self._image.grid
        finding_id = f"{self._set_id}/{suffix}"
        if numbers is None:
            self._reject("bad-number", f"{what} is not six finite numbers.", finding_id)
            return None
        if not _has_size(numbers, mode):
            self._reject("empty-box", f"{what} encloses nothing.", finding_id)
            return None
        confidence = number_in(score)
        if score is not None and (confidence is None or not 0.0 <= confidence <= 1.0):
            self._reject("bad-confidence", f"The score of {what} is not a number from 0 to 1.", finding_id)
            return None
        low, high = _corners(numbers, mode)
        box, round_trip = patient_box(grid, corner_mm=low, opposite_corner_mm=high)
        middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
        beyond = edge_rejection(grid, f"the middle of {what}", finding_id, box, middle)
        if beyond is not None:
            self._rejections.append(beyond)
            if beyond.code != PASSES_EDGE:
                return None
        name = self._class_name(label)
        return Finding(
            finding_id,
            self._context.vocabulary.category(name, longest_mm=in_plane_longest_mm(grid, box)),
            box=box,
            source_label=name,
            sop_instance_uids=images_of_box(self._image, box),
            confidence=confidence,
            round_trip=round_trip,
        )

    def _class_name(self, label: object) -> str:
        number = number_in(label)
        text = label if isinstance(label, str) else "" if number is None else f"{number:g}"
        named = self._document.class_names.get(text, "")
        if named or isinstance(label, str):
            return named or text
        return _NODULE if not self._document.class_names and text in ("", "0") else f"class {text}"

    def _reject(self, code: str, message: str, *subjects: str) -> None:
        self._rejections.append(Rejection(code, message[:1].upper() + message[1:], subjects))


def _entries(holder: Mapping[str, object]) -> Iterator[DatalistEntry]:
    for part in DATALIST_PARTS:
        for number, one in enumerate(items_of(holder.get(part)), start=1):
            members = mapping_of(one)
            image = members.get("image", one)
            if isinstance(image, list) and image:
                image = image[0]
            if isinstance(image, str) and image.strip():
                yield DatalistEntry(part, number, image.strip(), members)


def _has_size(numbers: Sequence[float], mode: str) -> bool:
    low, high = _corners(numbers, mode)
    return all(first < second for first, second in zip(low, high, strict=True))


def _corners(numbers: Sequence[float], mode: str) -> tuple[PointMm, PointMm]:
    first, second, third, fourth, fifth, sixth = numbers
    if mode == "xyzxyz":
        return (first, second, third), (fourth, fifth, sixth)
    return (
        (first - fourth / 2, second - fifth / 2, third - sixth / 2),
        (first + fourth / 2, second + fifth / 2, third + sixth / 2),
    )


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of({entry.image for entry in parse_datalist(data).entries})


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="MONAI datalist with boxes (JSON)",
    many_series=True,
    references=_references,
    read=read_datalist,
)
