"""LUNA16 tables (CSV) onto a CT series: nodules as spheres, candidates as points, predictions with a probability.

``coordX``, ``coordY``, ``coordZ`` are world millimetres of the MetaImage files, which are DICOM's LPS; a row is a ball
of ``diameter_mm`` about them (Setio et al., Med Image Anal 42:1, 2017). ``annotations.csv`` has a diameter,
``candidates.csv`` a ``class`` (1 a nodule, 0 none) and no diameter, a submission a ``probability``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging.geometry.affine import to_index
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.naming import references_of, set_id_of
from imaging.readers.shapes import NOTHING_MOVED, images_between, outside_message, point_reach_mm
from imaging.readers.sniff import LUNA16_COLUMNS
from imaging.readers.tables import Table, TableRow, parse_table, series_named
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Category,
    Finding,
    PointMm,
    Rejection,
    SetKind,
    Sphere,
)

SOURCE_FORMAT = "luna16-csv"
_KNOWN = LUNA16_COLUMNS | {"diameter_mm", "class", "probability"}


@dataclass(frozen=True, slots=True)
class _Row:
    place: PointMm
    diameter_mm: float | None
    is_nodule: bool | None
    probability: float | None


def parse_luna16(data: bytes) -> Table:
    """Return the table. Raises UnreadableFile as ``parse_table`` does, with LUNA16's four columns needed."""
    return parse_table(data, needs=LUNA16_COLUMNS)


def read_luna16(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a LUNA16 table's rows of one CT series, one finding each.

    A row with a diameter is a sphere, one without a point. Rows with a probability are an algorithm's, the others a
    reference reading's. Rejections: ``empty-table``, ``another-series`` (no row is of this series), and row by row, by
    line: ``bad-number``, ``bad-confidence``, ``bad-class``, ``label-outside-image``, ``no-series`` (a row that names
    none).
    Raises UnreadableFile as ``parse_luna16`` does.
    """
    table = parse_luna16(data)
    own, refusal = series_named(table, column="seriesuid", image=image, context=context)
    if refusal is not None:
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (refusal,))
    return _taken(table, own, image, context, set_id_of("luna16", data))


def _taken(
    table: Table, own: frozenset[str], image: PlacedSeries, context: ReadContext, set_id: str
) -> AnnotationImport:
    rejections = _remarks(table)
    read: list[Finding] = []
    predicted: list[Finding] = []
    for row in table.rows:
        if row.text("seriesuid") not in own:
            continue
        finding_id = f"{set_id}/line-{row.number}"
        values = _values(row)
        if isinstance(values, Rejection):
            rejections.append(values)
            continue
        reach = point_reach_mm(image.grid, values.place)
        if reach:
            message = outside_message(image.grid, f"The row in line {row.number}", values.place, reach)
            rejections.append(Rejection("label-outside-image", message, (finding_id,)))
            continue
        finding = _finding(values, finding_id, image, context)
        (read if values.probability is None else predicted).append(finding)
    sets: list[AnnotationSet] = []
    if read or not predicted:
        sets.append(AnnotationSet(set_id, "table in LUNA16's layout", SetKind.READER, True, tuple(read)))
    if predicted:
        label = "predictions in LUNA16's layout"
        algorithm = Algorithm("", "")
        sets.append(AnnotationSet(f"{set_id}-predicted", label, SetKind.ALGORITHM, True, tuple(predicted), algorithm))
    return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, tuple(sets), tuple(rejections))


def _remarks(table: Table) -> list[Rejection]:
    rejections: list[Rejection] = []
    unknown = [name for name in table.columns if name.lower() not in _KNOWN]
    if unknown:
        message = f"{len(unknown)} columns are not LUNA16's and were not read."
        rejections.append(Rejection("unknown-columns", message, tuple(unknown[:20])))
    nameless = [row.number for row in table.rows if not row.text("seriesuid")]
    if nameless:
        message = f"{len(nameless)} rows name no series, the first in line {nameless[0]}."
        rejections.append(Rejection("no-series", message))
    return rejections


def _values(row: TableRow) -> _Row | Rejection:
    line = f"line {row.number}"

    def wrong(code: str, what: str) -> Rejection:
        return Rejection(code, f"In {line}, {what}.", (line,))

    x, y, z = (row.number_in(column) for column in ("coordx", "coordy", "coordz"))
    if x is None or y is None or z is None:
        return wrong("bad-number", "a coordinate is not a finite number of millimetres")
    diameter = row.number_in("diameter_mm")
    if row.text("diameter_mm") and (diameter is None or diameter <= 0):
        return wrong("bad-number", "the diameter is not a positive number of millimetres")
    probability = row.number_in("probability")
    if row.text("probability") and (probability is None or not 0.0 <= probability <= 1.0):
        return wrong("bad-confidence", "the probability is not a number from 0 to 1")
    kinds: Mapping[str, bool | None] = {"": None, "0": False, "1": True}
    if row.text("class") not in kinds:
        return wrong("bad-class", "the class is neither 0 nor 1")
    return _Row((x, y, z), diameter, kinds[row.text("class")], probability)


def _finding(row: _Row, finding_id: str, image: PlacedSeries, context: ReadContext) -> Finding:
    name = "non-nodule" if row.is_nodule is False else "nodule"
    category = (
        Category.NON_NODULE if row.is_nodule is False else context.vocabulary.category(name, longest_mm=row.diameter_mm)
    )
    return Finding(
        finding_id,
        category,
        sphere=None if row.diameter_mm is None else Sphere(row.place, row.diameter_mm),
        point_mm=row.place if row.diameter_mm is None else None,
        source_label=name,
        sop_instance_uids=_slices(row, image),
        confidence=row.probability,
        round_trip=NOTHING_MOVED,
    )


def _slices(row: _Row, image: PlacedSeries) -> tuple[str, ...]:
    """The images that the ball meets, the one of its centre at least."""
    centre = to_index(image.grid, row.place)[0]
    reach = (row.diameter_mm or 0.0) / 2 / image.grid.spacing_mm[0]
    return images_between(centre - reach, centre + reach, image)


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of({row.text("seriesuid") for row in parse_luna16(data).rows})


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="LUNA16 table (CSV)",
    many_series=True,
    references=_references,
    read=read_luna16,
)
