"""Predictions made elsewhere as a table (CSV), one row a prediction.

Columns: ``series_instance_uid``, ``shape`` (point, sphere, box, case, none), ``confidence``, ``label``,
``algorithm_name``, ``algorithm_version``, ``x_mm``, ``y_mm``, ``z_mm``, ``diameter_mm``, ``x2_mm``, ``y2_mm``,
``z2_mm``, ``tracking_uid``. A ``case`` row gives the probability (``confidence``) of a class (``label``) for the scan
as a whole; a ``none`` row says that the algorithm looked at the scan and found nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.naming import references_of, set_id_of
from imaging.readers.predictions import CasePredictions, PredictedShape, checked_shape, place_predictions
from imaging.readers.sniff import PREDICTIONS_COLUMNS
from imaging.readers.tables import Table, TableRow, parse_table, series_named
from imaging.types import Algorithm, AnnotationImport, Rejection

SOURCE_FORMAT = "predictions-csv"
_PLACE = ("x_mm", "y_mm", "z_mm")
_OPPOSITE = ("x2_mm", "y2_mm", "z2_mm")
NEEDED = PREDICTIONS_COLUMNS | {"algorithm_name"}
KNOWN = NEEDED | {"label", "algorithm_version", "diameter_mm", "tracking_uid", *_PLACE, *_OPPOSITE}


def parse_predictions_csv(data: bytes) -> Table:
    """Return the table. Raises UnreadableFile as ``parse_table`` does, with the four columns of ``NEEDED``."""
    return parse_table(data, needs=NEEDED)


def read_predictions_csv(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a table's predictions for one CT series, one set for each algorithm.

    Rejections: ``empty-table``, ``another-series`` (no row is of this series), ``unknown-columns``, and row by row, by
    line: ``no-series``, ``no-algorithm``, ``bad-shape``, ``bad-number``, ``bad-confidence``, ``bad-tracking-uid``,
    ``label-outside-image``, ``passes-edge``. Raises UnreadableFile as ``parse_predictions_csv`` does.
    """
    table = parse_predictions_csv(data)
    own, refusal = series_named(table, column="series_instance_uid", image=image, context=context)
    if refusal is not None:
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (refusal,))
    rows = [row for row in table.rows if row.text("series_instance_uid") in own]
    case = _case(rows, _remarks(table))
    return place_predictions(SOURCE_FORMAT, set_id_of("predictions", data), (case,), image, context)


def _case(rows: Sequence[TableRow], rejections: list[Rejection]) -> CasePredictions:
    algorithms: dict[Algorithm, None] = {}
    shapes: list[PredictedShape] = []
    probabilities: dict[Algorithm, dict[str, float]] = {}
    for row in rows:
        where = f"line {row.number}"
        algorithm = Algorithm(row.text("algorithm_name"), row.text("algorithm_version"))
        if not algorithm.name:
            rejections.append(Rejection("no-algorithm", f"In {where}, no algorithm is named.", (where,)))
            continue
        shape = row.text("shape").lower()
        confidence = row.number_in("confidence")
        if shape == "none":
            algorithms.setdefault(algorithm)
        elif shape == "case":
            if not row.text("label") or confidence is None or not 0.0 <= confidence <= 1.0:
                message = f"In {where}, a class and its probability from 0 to 1 are not both given."
                rejections.append(Rejection("bad-confidence", message, (where,)))
                continue
            algorithms.setdefault(algorithm)
            probabilities.setdefault(algorithm, {})[row.text("label")] = confidence
        else:
            one = checked_shape(
                where=where,
                key=f"line-{row.number}",
                algorithm=algorithm,
                shape=shape,
                place=[row.number_in(column) for column in _PLACE],
                opposite=[row.number_in(column) for column in _OPPOSITE],
                diameter_mm=row.number_in("diameter_mm"),
                label=row.text("label"),
                confidence=confidence,
                tracking_uid=row.text("tracking_uid"),
            )
            if isinstance(one, Rejection):
                rejections.append(one)
                continue
            algorithms.setdefault(algorithm)
            shapes.append(one)
    return CasePredictions(tuple(algorithms), tuple(shapes), probabilities, tuple(rejections))


def _remarks(table: Table) -> list[Rejection]:
    rejections: list[Rejection] = []
    unknown = [name for name in table.columns if name.lower() not in KNOWN]
    if unknown:
        message = f"{len(unknown)} columns are not of this layout and were not read."
        rejections.append(Rejection("unknown-columns", message, tuple(unknown[:20])))
    nameless = [row.number for row in table.rows if not row.text("series_instance_uid")]
    if nameless:
        message = f"{len(nameless)} rows name no series, the first in line {nameless[0]}."
        rejections.append(Rejection("no-series", message))
    return rejections


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of({row.text("series_instance_uid") for row in parse_predictions_csv(data).rows})


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="Predictions made elsewhere (CSV)",
    many_series=True,
    references=_references,
    read=read_predictions_csv,
)
