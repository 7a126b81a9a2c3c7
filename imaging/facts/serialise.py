"""Facts as JSON and back: what a service stores beside a result."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imaging.errors import UnreadableFile
from imaging.facts.types import FindingFacts, SeriesFacts
from imaging.types import Category, PointMm

FORMAT = "series-facts-1"


def facts_as_json(facts: SeriesFacts) -> bytes:
    """Return the facts as canonical UTF-8 JSON (sorted keys, no blanks): equal facts give equal bytes."""
    document = {"format": FORMAT, **asdict(facts)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def facts_from_json(data: bytes) -> SeriesFacts:
    """Return the facts that ``facts_as_json`` wrote. Raises UnreadableFile ``unreadable-facts`` for anything else."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"the format is {str(document['format'])[:40]!r}, not {FORMAT!r}")
        return SeriesFacts(
            series_instance_uid=str(document["series_instance_uid"]),
            study_instance_uid=str(document["study_instance_uid"]),
            patient=str(document["patient"]),
            split=str(document["split"]),
            acquisition={str(name): _tag(value) for name, value in document["acquisition"].items()},
            embedding_version=str(document["embedding_version"]),
            embedding=tuple(_number(value) for value in document["embedding"]),
            slice_hashes=tuple(str(one) for one in document["slice_hashes"]),
            findings=tuple(_finding(one) for one in document["findings"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableFile(
            "unreadable-facts", f"These are no facts of a series: {type(error).__name__}, {str(error)[:120]}."
        ) from error


def _finding(row: Mapping[str, Any]) -> FindingFacts:
    x, y, z = row["place_mm"]
    place: PointMm = (_number(x), _number(y), _number(z))
    return FindingFacts(
        set_id=str(row["set_id"]),
        reader_label=str(row["reader_label"]),
        finding_id=str(row["finding_id"]),
        category=Category(row["category"]),
        place_mm=place,
        diameter_mm=None if row["diameter_mm"] is None else _number(row["diameter_mm"]),
        features={str(name): _number(value) for name, value in row["features"].items()},
        characteristics={str(name): int(value) for name, value in row["characteristics"].items()},
        guideline=str(row["guideline"]),
        marked_on=str(row["marked_on"]),
        tracking_uid=str(row["tracking_uid"]),
    )


def _tag(value: object) -> str | float:
    return value if isinstance(value, str) else _number(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is not a finite number")
    return float(value)
