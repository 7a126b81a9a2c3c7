"""Shapes of labels and proposals as the viewer takes them: packed voxels, a ball, or a box, in voxel indices."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from imaging.geometry.affine import to_index
from imaging.masks.boxes import box_spans
from imaging.masks.canonical import read_mask
from imaging.types import Box, Category, Grid, Mask
from qaservice.labels.models import FindingRevision
from qaservice.labels.selectors import mask_of
from qaservice.labels.shapes import box_of_revision
from qaservice.review.blinding import overlay_sources, proposal_sources, proposal_text
from qaservice.review.models import Assignment
from qaservice.storage.selectors import read_blob
from qaservice.studies.selectors import grid_of


def overlays_of(*, assignment: Assignment) -> list[dict[str, Any]]:
    """Return the overlays that the assignment's reader may see now; what that is, ``review.blinding`` decides."""
    grid = grid_of(assignment.flag.series)
    found = [
        revision_overlay(revision=revision, grid=grid, role=role, title=title)
        for role, title, revision in overlay_sources(assignment=assignment)
    ]
    found += [
        overlay
        for proposal in proposal_sources(assignment=assignment)
        if (overlay := _proposal_overlay(proposal=proposal, grid=grid)) is not None
    ]
    return found


def revision_overlay(*, revision: FindingRevision, grid: Grid, role: str, title: str) -> dict[str, Any]:
    """Return one finding revision as an overlay.

    Its title says whose it is and, after the last colon, what: structures go by the source's own name for them.
    """
    common = {
        "id": str(revision.pk),
        "role": role,
        "title": f"{title}: {_what(revision)}",
        "structure": revision.category == Category.STRUCTURE,
    }
    if revision.shape == "mask":
        return common | _mask(mask_of(revision))
    box = box_of_revision(revision)
    if box is not None:
        return common | _box(box, grid)
    radius = revision.diameter_mm / 2 if revision.shape == "sphere" and revision.diameter_mm else None
    place = (revision.x_mm, revision.y_mm, revision.z_mm)
    return common | _ball(shape=revision.shape, place=place, radius_mm=radius, grid=grid)


def _what(revision: FindingRevision) -> str:
    name = revision.finding.source_label.replace(": ", " · ")
    what = f"{name} ({revision.category})" if revision.category == Category.STRUCTURE and name else revision.category
    if revision.confidence is None:
        return what
    return f"{what}, {revision.confidence * 100:.0f} % by its own account"


def _proposal_overlay(*, proposal: dict[str, object], grid: Grid) -> dict[str, Any] | None:
    common = {"id": str(proposal["id"]), "role": "proposal", "title": proposal_text(proposal), "structure": False}
    if proposal.get("mask"):
        return common | _mask(read_mask(read_blob(str(proposal["mask"])), grid))
    centre, diameter = proposal.get("centre_mm"), proposal.get("diameter_mm")
    if isinstance(centre, list) and isinstance(diameter, int | float):
        x, y, z = (float(part) for part in centre)
        return common | _ball(shape="sphere", place=(x, y, z), radius_mm=diameter / 2, grid=grid)
    return None


NO_SHAPE: dict[str, Any] = {
    "origin": None,
    "size": None,
    "bits": None,
    "centre": None,
    "radius_mm": None,
    "corners": None,
}


def _mask(mask: Mask) -> dict[str, Any]:
    return NO_SHAPE | {
        "shape": "mask",
        "origin": [int(part) for part in mask.origin],
        "size": [int(part) for part in mask.voxels.shape],
        "bits": base64.b64encode(np.packbits(mask.voxels, axis=None).tobytes()).decode("ascii"),
    }


def _box(box: Box, grid: Grid) -> dict[str, Any]:
    """Outer faces, so that a box around voxel 3 alone reaches from 2.5 to 3.5 along each axis."""
    spans = box_spans(box=box, grid=grid)
    corners = [[float(low) for low, _ in spans], [float(high) for _, high in spans]]
    return NO_SHAPE | {"shape": "box", "corners": corners}


def _ball(*, shape: str, place: tuple[float, float, float], radius_mm: float | None, grid: Grid) -> dict[str, Any]:
    return NO_SHAPE | {
        "shape": shape,
        "centre": [float(part) for part in to_index(grid, place)],
        "radius_mm": radius_mm,
    }
