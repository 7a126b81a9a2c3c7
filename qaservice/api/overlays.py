"""Shapes of labels and proposals as the viewer takes them: packed voxels of a box, or a ball, in voxel indices."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from imaging.geometry.affine import to_index
from imaging.masks.canonical import read_mask
from imaging.types import Grid, Mask
from qaservice.labels.models import FindingRevision
from qaservice.labels.selectors import mask_of
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
    """Return one finding revision as an overlay."""
    common = {"id": str(revision.pk), "role": role, "title": f"{title}: {revision.category}"}
    if revision.shape == "mask":
        return common | _mask(mask_of(revision))
    radius = revision.diameter_mm / 2 if revision.shape == "sphere" and revision.diameter_mm else None
    place = (revision.x_mm, revision.y_mm, revision.z_mm)
    return common | _ball(shape=revision.shape, place=place, radius_mm=radius, grid=grid)


def _proposal_overlay(*, proposal: dict[str, object], grid: Grid) -> dict[str, Any] | None:
    common = {"id": str(proposal["id"]), "role": "proposal", "title": proposal_text(proposal)}
    if proposal.get("mask"):
        return common | _mask(read_mask(read_blob(str(proposal["mask"])), grid))
    centre, diameter = proposal.get("centre_mm"), proposal.get("diameter_mm")
    if isinstance(centre, list) and isinstance(diameter, int | float):
        x, y, z = (float(part) for part in centre)
        return common | _ball(shape="sphere", place=(x, y, z), radius_mm=diameter / 2, grid=grid)
    return None


def _mask(mask: Mask) -> dict[str, Any]:
    return {
        "shape": "mask",
        "origin": [int(part) for part in mask.origin],
        "size": [int(part) for part in mask.voxels.shape],
        "bits": base64.b64encode(np.packbits(mask.voxels, axis=None).tobytes()).decode("ascii"),
        "centre": None,
        "radius_mm": None,
    }


def _ball(*, shape: str, place: tuple[float, float, float], radius_mm: float | None, grid: Grid) -> dict[str, Any]:
    return {
        "shape": shape,
        "origin": None,
        "size": None,
        "bits": None,
        "centre": [float(part) for part in to_index(grid, place)],
        "radius_mm": radius_mm,
    }
