"""What a reason says of an outline that lies elsewhere than its references."""

from __future__ import annotations

import math
from collections.abc import Mapping

from imaging.checks.base import CheckParameters
from imaging.checks.deviation import Deviation
from imaging.checks.image_edge import ImageEdge
from imaging.checks.outline_references import Reference
from imaging.types import PointMm


def outline_reason(
    *,
    deviations: Mapping[str, Deviation],
    edge: ImageEdge | None,
    kind: str,
    references: tuple[Reference, ...],
    where: str,
    parameters: CheckParameters,
) -> str:
    """Return how an outline lies to its references and to the image's edge, and what may be right instead."""
    names = {reference.source: reference.named for reference in references}
    parts = [f"{_said(deviation)} {names[name]}" for name, deviation in deviations.items()]
    if edge is not None:
        parts.append(f"{_said_of_edge(edge)} the edge that the image shows")
    meaning = {
        "over": "It may hold tissue that is not part of the nodule; a tighter outline may be right.",
        "under": "It may leave out a part of the nodule; a wider outline may be right.",
        "shift": "It may lie beside the nodule; an outline at the other place may be right.",
        "shape": "Its shape differs on several sides; one of the other outlines may be right.",
        "within": "Each difference alone is one that careful readers have; together they may deserve a look.",
    }[kind]
    margin = parameters.boundary_convention.margin_mm
    asked = f" The margin of {margin:g} mm that the guideline asks for is allowed for." if margin else ""
    return f"This outline ({where}) {', and '.join(parts)}.{asked} {meaning}"


def _said_of_edge(edge: ImageEdge) -> str:
    if edge.shift_mm > abs(edge.bias_mm):
        return f"lies {edge.shift_mm:.1f} mm beside"
    side = "outside" if edge.bias_mm > 0 else "inside"
    return f"runs on average {abs(edge.bias_mm):.1f} mm {side}"


def _said(deviation: Deviation) -> str:
    if deviation.kind == "over":
        return f"runs on average {deviation.bias_mm:.1f} mm outside"
    if deviation.kind == "under":
        return f"runs on average {-deviation.bias_mm:.1f} mm inside"
    if deviation.kind == "shift":
        return f"lies {math.hypot(*deviation.shift_mm):.1f} mm {_direction(deviation.shift_mm)} from"
    if deviation.kind == "shape":
        return f"lies on average {deviation.mean_mm:.1f} mm away from"
    return f"agrees to {deviation.mean_mm:.1f} mm with"


def _direction(shift_mm: PointMm) -> str:
    axis = max(range(3), key=lambda number: abs(shift_mm[number]))
    towards = (("the patient's right", "the patient's left"), ("the front", "the back"), ("the feet", "the head"))
    return f"towards {towards[axis][shift_mm[axis] > 0]}"
