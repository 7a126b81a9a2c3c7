"""A box against the extents of the model's outline, as a part of the boundary check."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from imaging.checks.context import Mark
from imaging.checks.deviation import tolerance_mm
from imaging.checks.issues import IssueBuilder
from imaging.checks.outline_references import MODEL, Reference
from imaging.checks.places import finding_diameter_mm
from imaging.checks.probability import beyond_tolerance, pool
from imaging.masks.boxes import box_centre, box_spans, mask_share_in_box
from imaging.types import Action, LabelIssue, Mask, Proposal


def judge_box(*, mark: Mark, references: tuple[Reference, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue where a box fits the model's outline badly.

    *loose-box*: its faces lie farther outside the outline on average than careful boxes do; *tight-box*: they cut the
    outline off; *shifted-box*: its centre lies elsewhere. Tolerance is an outline's, and one voxel, which people who
    draw boxes leave on either side. Score: the probability that the distance exceeds the tolerance, held back by how
    sure the model is of its outline. Boxes on a single slice are compared in their slice alone.
    """
    box, parameters = mark.finding.box, builder.parameters
    reference = next((one for one in references if one.source == MODEL), None)
    diameter = finding_diameter_mm(finding=mark.finding)
    if box is None or reference is None or (diameter or 0.0) > parameters.mass_limit_mm:
        return
    grid = builder.case.volume.grid
    spans = box_spans(box=box, grid=grid)
    axes = (1, 2) if spans[0][1] - spans[0][0] < 1.5 else (0, 1, 2)
    outward, shift = _faces(spans, reference.mask, axes)
    excess, worst = float(np.mean(outward)), float(max(outward, key=abs))
    moved = math.hypot(*shift)
    tolerance = tolerance_mm(reference=reference.mask, parameters=parameters) + max(grid.spacing_mm[1:])
    deviation = max(abs(excess), moved)
    kind = "shifted-box" if moved >= abs(excess) else "loose-box" if excess > 0 else "tight-box"
    score = pool(
        opinions=(
            (
                beyond_tolerance(deviation=deviation, tolerance=tolerance, spread=parameters.reader_spread_mm),
                reference.weight,
            ),
        )
    )
    if deviation <= tolerance:
        return
    said = {
        "shifted-box": f"lies {moved:.1f} mm beside",
        "loose-box": f"reaches on average {excess:.1f} mm beyond",
        "tight-box": f"ends on average {-excess:.1f} mm within",
    }[kind]
    yield builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=score,
        reason=(
            f"This box ({builder.where(box_centre(box))}) {said} the extents of {reference.named}. The box around "
            "that outline may be right."
        ),
        evidence={"kind": kind, "excess_mm": excess, "shift_mm": moved, "tolerance_mm": tolerance},
        features={
            f"kind_{kind.replace('-', '_')}": 1.0,
            "box_excess_mm": excess,
            "box_worst_mm": worst,
            "box_shift_mm": moved,
            "box_held_share": mask_share_in_box(mask=reference.mask, box=box),
            "model_tolerance_mm": tolerance,
            "model_weight": reference.weight,
        },
        proposals=(Proposal(action=Action.REPLACE_OUTLINE, origin=reference.origin, mask=reference.mask),),
    )


def _faces(
    spans: tuple[tuple[float, float], ...], outline: Mask, axes: tuple[int, ...]
) -> tuple[list[float], list[float]]:
    """Return how far each face lies outside the outline's own box and how the centres differ, along ``axes``, in mm."""
    outward, shift = [], []
    for axis in axes:
        step = outline.grid.spacing_mm[axis]
        low, high = outline.origin[axis] - 0.5, outline.origin[axis] + outline.voxels.shape[axis] - 0.5
        outward += [(low - spans[axis][0]) * step, (spans[axis][1] - high) * step]
        shift.append((sum(spans[axis]) - low - high) / 2 * step)
    return outward, shift
