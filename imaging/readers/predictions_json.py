"""Predictions made elsewhere as a document (JSON), one entry a scan.

``{"format": "label-qa-predictions", "version": 1, "algorithm": {"name", "version"}, "cases": [...]}``; a case has
``series_instance_uid``, ``predictions`` (a list, empty where nothing was found) and ``class_probabilities``. A
prediction has ``shape`` (point, sphere, box), ``position_mm`` or, of a box, ``corner_mm`` and ``opposite_corner_mm``,
``diameter_mm`` of a sphere, ``label``, ``confidence`` and ``tracking_uid``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.json_text import items_of, mapping_of, number_in, parse_json, text_in
from imaging.readers.naming import another_series, names_series, references_of, set_id_of
from imaging.readers.predictions import CasePredictions, PredictedShape, checked_shape, place_predictions
from imaging.readers.sniff import PREDICTIONS_FORMAT
from imaging.types import Algorithm, AnnotationImport, Rejection

SOURCE_FORMAT = "predictions-json"
VERSION = 1
_FILE_KEYS = {"format", "version", "algorithm", "cases"}
_CASE_KEYS = {"series_instance_uid", "predictions", "class_probabilities"}
_SHAPE_KEYS = {
    "shape",
    "position_mm",
    "corner_mm",
    "opposite_corner_mm",
    "diameter_mm",
    "label",
    "confidence",
    "tracking_uid",
}


@dataclass(frozen=True, slots=True)
class PredictionsDocument:
    """One file: whose predictions, and its cases as written with the keys of the file that are not known."""

    algorithm: Algorithm
    cases: tuple[Mapping[str, object], ...]
    unknown_keys: tuple[str, ...]


def parse_predictions_json(data: bytes) -> PredictionsDocument:
    """Return what a predictions file says.

    Raises UnreadableFile: ``not-json``, ``not-predictions`` (another document, another version of the layout, or no
    list of cases), ``no-algorithm``.
    """
    holder = mapping_of(parse_json(data))
    if holder.get("format") != PREDICTIONS_FORMAT:
        raise UnreadableFile("not-predictions", f"The file is JSON, but its format is not {PREDICTIONS_FORMAT!r}.")
    if number_in(holder.get("version")) != VERSION:
        raise UnreadableFile("not-predictions", f"Version {VERSION} of the predictions' layout is read, no other.")
    if not isinstance(holder.get("cases"), list):
        raise UnreadableFile("not-predictions", "The file holds no list of cases.")
    model = mapping_of(holder.get("algorithm"))
    algorithm = Algorithm(text_in(model, "name"), text_in(model, "version"))
    if not algorithm.name:
        raise UnreadableFile("no-algorithm", "The file does not name the algorithm that made its predictions.")
    cases = tuple(mapping_of(one) for one in items_of(holder.get("cases")))
    return PredictionsDocument(algorithm, cases, tuple(sorted(set(holder) - _FILE_KEYS)))


def read_predictions_json(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a document's predictions for one CT series, as the one set of its algorithm.

    Rejections: ``another-series`` (no case is of this series), ``no-series``, ``unknown-keys``, and prediction by
    prediction, by its number: ``bad-shape``, ``bad-number``, ``bad-confidence``, ``bad-tracking-uid``,
    ``label-outside-image``. Raises UnreadableFile as ``parse_predictions_json`` does.
    """
    document = parse_predictions_json(data)
    names = [text_in(case, "series_instance_uid") for case in document.cases]
    chosen = [
        _case(case, number, document.algorithm)
        for number, (case, name) in enumerate(zip(document.cases, names, strict=True), start=1)
        if name and names_series(name, image, context)
    ]
    if not chosen:
        rejection = another_series(name for name in names if name)
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (rejection,))
    remarks = _unknown("the file", document.unknown_keys)
    nameless = [number for number, name in enumerate(names, start=1) if not name]
    if nameless:
        message = f"{len(nameless)} cases name no series, the first is case {nameless[0]}."
        remarks = (*remarks, Rejection("no-series", message))
    whole = CasePredictions((document.algorithm,), (), {}, remarks)
    return place_predictions(SOURCE_FORMAT, set_id_of("predictions", data), (whole, *chosen), image, context)


def _case(case: Mapping[str, object], number: int, algorithm: Algorithm) -> CasePredictions:
    rejections = list(_unknown(f"case {number}", sorted(set(case) - _CASE_KEYS)))
    shapes: list[PredictedShape] = []
    for ordinal, one in enumerate(items_of(case.get("predictions")), start=1):
        members = mapping_of(one)
        where = f"prediction {ordinal} of case {number}"
        rejections.extend(_unknown(where, sorted(set(members) - _SHAPE_KEYS)))
        shape = text_in(members, "shape").lower()
        checked = checked_shape(
            where=where,
            key=f"case-{number}/prediction-{ordinal:04d}",
            algorithm=algorithm,
            shape=shape,
            place=_numbers(members.get("corner_mm" if shape == "box" else "position_mm")),
            opposite=_numbers(members.get("opposite_corner_mm")),
            diameter_mm=number_in(members.get("diameter_mm")),
            label=text_in(members, "label"),
            confidence=number_in(members.get("confidence")),
            tracking_uid=text_in(members, "tracking_uid"),
        )
        if isinstance(checked, Rejection):
            rejections.append(checked)
        else:
            shapes.append(checked)
    probabilities: dict[str, float] = {}
    for name, value in mapping_of(case.get("class_probabilities")).items():
        probability = number_in(value)
        if probability is None or not 0.0 <= probability <= 1.0:
            message = f"In case {number}, the probability of a class is not a number from 0 to 1."
            rejections.append(Rejection("bad-confidence", message, (f"case {number}", name)))
        else:
            probabilities[name] = probability
    return CasePredictions((algorithm,), tuple(shapes), {algorithm: probabilities}, tuple(rejections))


def _numbers(value: object) -> Sequence[float | None]:
    return [number_in(one) for one in items_of(value)]


def _unknown(where: str, keys: Sequence[str]) -> tuple[Rejection, ...]:
    if not keys:
        return ()
    message = f"In {where}, {len(keys)} keys are not of this layout and were not read."
    return (Rejection("unknown-keys", message, tuple(keys[:20])),)


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of(text_in(case, "series_instance_uid") for case in parse_predictions_json(data).cases)


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="Predictions made elsewhere (JSON)",
    many_series=True,
    references=_references,
    read=read_predictions_json,
)
