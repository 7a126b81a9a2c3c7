"""Predictions made elsewhere onto a CT series: shapes with a confidence, and class probabilities of a scan.

Two small layouts say the same, a table (CSV) and a document (JSON); the guide to formats defines both. Coordinates are
DICOM's LPS in millimetres. A prediction that names no algorithm is refused, since nobody could say whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imaging.geometry.affine import to_index
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ReadContext
from imaging.readers.shapes import (
    NOTHING_MOVED,
    PASSES_EDGE,
    edge_rejection,
    images_between,
    images_of_box,
    in_plane_longest_mm,
    patient_box,
)
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Finding,
    PointMm,
    Rejection,
    SetKind,
    Sphere,
)

SHAPES = ("point", "sphere", "box")
_TRACKING_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class PredictedShape:
    """One prediction as written. ``where`` names it for people ("line 7"), ``key`` within its set.

    ``place`` is a point or a centre, or a box's lower corner; ``opposite`` a box's other corner.
    """

    where: str
    key: str
    algorithm: Algorithm
    shape: str
    place: PointMm
    opposite: PointMm | None
    diameter_mm: float | None
    label: str
    confidence: float
    tracking_uid: str


@dataclass(frozen=True, slots=True)
class CasePredictions:
    """What a file predicts for one series. ``algorithms`` are all that looked at it, also those that found nothing."""

    algorithms: tuple[Algorithm, ...]
    shapes: tuple[PredictedShape, ...]
    probabilities: Mapping[Algorithm, Mapping[str, float]] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()


def place_predictions(
    source_format: str, set_id: str, cases: Iterable[CasePredictions], image: PlacedSeries, context: ReadContext
) -> AnnotationImport:
    """Return predictions for one CT series: one set for each algorithm, read even where it found nothing.

    Rejections, besides those that the cases bring: ``label-outside-image`` (its middle lies outside; left out) and
    ``passes-edge`` (taken).
    """
    rejections: list[Rejection] = []
    found: dict[Algorithm, list[Finding]] = {}
    probabilities: dict[Algorithm, dict[str, float]] = {}
    for case in cases:
        rejections.extend(case.rejections)
        for algorithm in case.algorithms:
            found.setdefault(algorithm, [])
            probabilities.setdefault(algorithm, {}).update(case.probabilities.get(algorithm, {}))
        for one in case.shapes:
            finding, remark = _placed(one, set_id, image, context)
            if remark is not None:
                rejections.append(remark)
            if finding is not None:
                found[one.algorithm].append(finding)
    sets = tuple(
        AnnotationSet(
            set_id=f"{set_id}-{number}",
            reader_label=f"{algorithm.name} {algorithm.version}".strip(),
            kind=SetKind.ALGORITHM,
            read=True,
            findings=tuple(found[algorithm]),
            algorithm=algorithm,
            case_probabilities=probabilities[algorithm],
        )
        for number, algorithm in enumerate(found, start=1)
    )
    return AnnotationImport(source_format, image.series_instance_uid, sets, tuple(rejections))


def checked_shape(
    *,
    where: str,
    key: str,
    algorithm: Algorithm,
    shape: str,
    place: Sequence[float | None],
    opposite: Sequence[float | None],
    diameter_mm: float | None,
    label: str,
    confidence: float | None,
    tracking_uid: str,
) -> PredictedShape | Rejection:
    """Return a prediction if its numbers make sense, else why not: ``bad-shape``, ``bad-number``, ``bad-confidence``.

    Numbers that were missing or unreadable come as None. ``place`` and ``opposite`` are (x, y, z), LPS millimetres.
    """

    def wrong(code: str, what: str) -> Rejection:
        return Rejection(code, f"In {where}, {what}.", (where,))

    if shape not in SHAPES:
        return wrong("bad-shape", f"the shape is none of {', '.join(SHAPES)}")
    at = _point(place)
    if at is None:
        return wrong("bad-number", "a coordinate is not a finite number of millimetres")
    other = _point(opposite) if shape == "box" else None
    if shape == "box" and other is None:
        return wrong("bad-number", "a coordinate of the opposite corner is not a finite number of millimetres")
    if other is not None and not all(first < second for first, second in zip(at, other, strict=True)):
        return wrong("bad-number", "the second corner must be the greater in x, y and z")
    if shape == "sphere" and (diameter_mm is None or diameter_mm <= 0):
        return wrong("bad-number", "the diameter is not a positive number of millimetres")
    if confidence is None or not 0.0 <= confidence <= 1.0:
        return wrong("bad-confidence", "the confidence is not a number from 0 to 1")
    if tracking_uid and (len(tracking_uid) > 64 or not _TRACKING_UID.fullmatch(tracking_uid)):
        return wrong("bad-tracking-uid", "the tracking UID is not a UID (digits and points, at most 64 characters)")
    return PredictedShape(
        where,
        key,
        algorithm,
        shape,
        at,
        other,
        diameter_mm if shape == "sphere" else None,
        label,
        confidence,
        tracking_uid,
    )


def _point(values: Sequence[float | None]) -> PointMm | None:
    kept = [value for value in values if value is not None]
    return (kept[0], kept[1], kept[2]) if len(kept) == len(values) == 3 else None


def _placed(
    one: PredictedShape, set_id: str, image: PlacedSeries, context: ReadContext
) -> tuple[Finding | None, Rejection | None]:
    grid = image.grid
    box, round_trip = None, NOTHING_MOVED
    longest = one.diameter_mm
    if one.opposite is not None:
        box, round_trip = patient_box(grid, corner_mm=one.place, opposite_corner_mm=one.opposite)
        middle = [(first + second) / 2 for first, second in zip(one.place, one.opposite, strict=True)]
        centre = (middle[0], middle[1], middle[2])
        longest = in_plane_longest_mm(grid, box)
        images = images_of_box(image, box)
    else:
        centre = one.place
        along = to_index(grid, one.place)[0]
        radius = (one.diameter_mm or 0.0) / 2 / grid.spacing_mm[0]
        images = images_between(along - radius, along + radius, image)
    beyond = edge_rejection(grid, f"the prediction in {one.where}", one.where, box, centre)
    if beyond is not None and beyond.code != PASSES_EDGE:
        return None, beyond
    finding = Finding(
        f"{set_id}/{one.key}",
        context.vocabulary.category(one.label, longest_mm=longest),
        sphere=Sphere(one.place, one.diameter_mm) if one.diameter_mm is not None else None,
        point_mm=one.place if box is None and one.diameter_mm is None else None,
        box=box,
        source_label=one.label,
        sop_instance_uids=images,
        tracking_uid=one.tracking_uid,
        confidence=one.confidence,
        round_trip=round_trip,
    )
    return finding, beyond
