"""What models said of a series: an opinion, an abstention, or nothing found and what that silence is worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from imaging.inference.applicability import read_applicability, validated_for
from imaging.inference.detectability import Detectability, Row, read_detectability, rows_at, silence_in_words
from qaservice.analysis.models import QAModel, SeriesResult
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of

ELSEWHERE = "Its predictions were made elsewhere; what it misses is not known here, so its silence says nothing."


@dataclass(frozen=True)
class ModelSaid:
    """What one model said of one series in its newest run over it.

    ``abstained_because`` is empty where it gave an opinion. ``reported``: candidates at or above its operating point,
    of ``candidates`` in all. ``silence``: what it means where it reports nothing. ``rows``: what it found of what was
    there, on known scans with a slice step of ``slice_step_mm``.
    """

    model: str
    run: int
    abstained_because: str
    reported: int
    candidates: int
    threshold: float | None
    backend: str
    backend_refusals: tuple[str, ...]
    validated_for: str
    silence: str
    slice_step_mm: float | None
    rows: tuple[Row, ...]


def said_of(*, series: Series) -> tuple[ModelSaid, ...]:
    """Return what each model said of a series, the newest run first, of each model only its newest."""
    results = SeriesResult.objects.filter(series=series).select_related("run__model").order_by("-run__number")
    newest: dict[object, SeriesResult] = {}
    for result in results:
        newest.setdefault(result.run.model_id, result)
    step = grid_of(series).spacing_mm[0] if series.grid else None
    return tuple(_said(result, step) for result in newest.values())


def silence_of(*, model: QAModel, slice_step_mm: float | None) -> str:
    """Return what it means that a model reports nothing, on scans of a slice step in mm or on any."""
    if model.external:
        return ELSEWHERE
    return silence_in_words(detectability=_detectability(model), slice_step_mm=slice_step_mm)


def scope_of(*, model: QAModel) -> str:
    """Return in one sentence which scans a model was validated for, or that it does not say."""
    try:
        return validated_for(read_applicability(_metadata(model).get("applicability")))
    except (ValueError, TypeError):
        return validated_for(None)


def _said(result: SeriesResult, step: float | None) -> ModelSaid:
    model = result.run.model
    content = json.loads(read_blob(result.prediction_id))
    threshold = content.get("threshold")
    candidates = content.get("candidates", [])
    table = None if model.external else _detectability(model)
    at, rows = (None, ()) if table is None or step is None else rows_at(detectability=table, slice_step_mm=step)
    return ModelSaid(
        model=str(model),
        run=result.run.number,
        abstained_because=str(content.get("abstained_because", "")),
        reported=sum(one["probability"] >= threshold for one in candidates) if threshold is not None else 0,
        candidates=len(candidates),
        threshold=threshold,
        backend=str(content.get("backend", "")),
        backend_refusals=tuple(map(str, content.get("backend_refusals", ()))),
        validated_for=scope_of(model=model),
        silence=silence_of(model=model, slice_step_mm=step),
        slice_step_mm=at,
        rows=rows,
    )


def _detectability(model: QAModel) -> Detectability | None:
    try:
        return read_detectability(_metadata(model).get("detectability"))
    except (ValueError, TypeError, KeyError):
        # Another project's bundle may mean something else by the word: then it states nothing that is understood.
        return None


def _metadata(model: QAModel) -> Mapping[str, object]:
    return model.metadata if isinstance(model.metadata, dict) else {}
