"""Stray pieces and holes of an outline, as parts of the boundary check."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imaging.checks.context import Mark
from imaging.checks.issues import IssueBuilder
from imaging.checks.outline_parts import Fragments, fragments, holes
from imaging.checks.outline_references import Reference
from imaging.checks.probability import beyond_tolerance
from imaging.checks.words import counted
from imaging.masks.measure import centroid
from imaging.masks.overlap import shared_voxels
from imaging.types import Action, LabelIssue, Proposal

_STRAY = 0.9
_STRAY_IN_DOUBT = 0.5
_SUPPORTED = 0.25
_CAVITY_HU = -200.0
_HOLE_SPREAD_HU = 75.0
_MOST_STRAY = 0.35
"""Pieces that make up more than this of a label are another lesion rather than strays: for ``merged_lesions``."""


def judge_fragments(*, mark: Mark, references: tuple[Reference, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue where stray pieces lie beside an outline.

    Score: 0.9 where no reference has anything there, one half where one has (a second lesion, then), or where there is
    no reference and the pieces are as near as a neighbouring voxel's width.
    """
    mask = mark.finding.mask
    found = fragments(mask=mask) if mask is not None else None
    if mask is None or found is None or found.share > _MOST_STRAY:
        return
    supported = any(shared_voxels(found.strays, one.mask) >= _SUPPORTED * found.voxels for one in references)
    score = _STRAY_IN_DOUBT if supported else _STRAY
    pieces = "a stray piece" if found.pieces == 1 else f"{counted(number=found.pieces, noun='stray piece')}"
    centre = centroid(mask)
    yield builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=score,
        reason=(
            f"This outline ({builder.where(centre)}) has {pieces} up to {found.apart_mm:.1f} mm from its body, "
            f"{counted(number=found.voxels, noun='voxel')} in all. It may be a slip of the tool; the outline without "
            "it may be right."
        ),
        evidence={"kind": "fragments", "pieces": found.pieces, "voxels": found.voxels, "supported": supported},
        features={
            "kind_fragments": 1.0,
            "pieces": found.pieces,
            "piece_voxels": found.voxels,
            "piece_share": found.share,
            "piece_distance_mm": found.apart_mm,
            "piece_probability": _mean_probability(found, references),
        },
        proposals=(
            Proposal(action=Action.REPLACE_OUTLINE, origin="its own outline without the stray pieces", mask=found.rest),
        ),
    )


def judge_holes(*, mark: Mark, references: tuple[Reference, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue where an outline leaves out voxels in its middle that are no cavity.

    Score: the probability that the hole is denser than 200 HU below the rest, where cavities and bubbles begin.
    """
    mask = mark.finding.mask
    found = holes(mask=mask, volume=builder.case.volume) if mask is not None else None
    if mask is None or found is None:
        return
    centre = centroid(mask)
    yield builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=min(
            beyond_tolerance(deviation=found.hounsfield_gap, tolerance=_CAVITY_HU, spread=_HOLE_SPREAD_HU), _STRAY
        ),
        reason=(
            f"This outline ({builder.where(centre)}) leaves out {counted(number=found.voxels, noun='voxel')} in its "
            "middle that look like the rest of it. They may belong to the nodule; the outline with them may be right."
        ),
        evidence={"kind": "holes", "voxels": found.voxels, "gap_hu": found.hounsfield_gap},
        features={
            "kind_holes": 1.0,
            "hole_voxels": found.voxels,
            "hole_share": found.share,
            "hole_gap_hu": found.hounsfield_gap,
        },
        proposals=(
            Proposal(action=Action.REPLACE_OUTLINE, origin="its own outline with the holes filled", mask=found.filled),
        ),
    )


def _mean_probability(found: Fragments, references: tuple[Reference, ...]) -> float | None:
    for reference in references:
        if reference.probability is None:
            continue
        places = np.argwhere(found.strays.voxels) + np.array(found.strays.origin) - reference.probability.origin
        shape = reference.probability.values.shape
        held = np.all((places >= 0) & (places < shape), axis=1)
        total = float(reference.probability.values[tuple(places[held].T)].sum())
        return total / len(places)
    return None
