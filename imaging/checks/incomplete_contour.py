"""Incomplete contour: an outline skips slices in its middle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import crop
from imaging.checks.base import CheckParameters
from imaging.checks.context import read_sets, structures_passed_over
from imaging.checks.issues import IssueBuilder
from imaging.checks.places import equivalent_diameter_mm
from imaging.checks.probability import BROKEN_RULE
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.measure import centroid
from imaging.types import Action, Case, Finding, LabelIssue, Mask, Proposal, Rejection

# Contours above and below a gap that do not meet in the plane may be two things under one name.
_APART = 0.5


@dataclass(frozen=True, slots=True)
class IncompleteContour:
    """One issue for each outline with empty slices between outlined ones.

    Score: a rule broken where the contours on both sides of every gap overlap in the plane, one half where they do
    not, since the label may then hold two things. The proposal fills the gap by shape-based interpolation (Raya and
    Udupa 1990): the signed in-plane distances on both sides, interpolated linearly.
    """

    name: str = "incomplete_contour"
    version: str = "1"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where no label has an outline."""
        outlined = [(item, finding) for item in read_sets(case=case) for finding in item.findings if finding.mask]
        if not outlined:
            raise NotApplicable("no-outline", "no label on this case has an outline on its image")
        issues = (self._issue(item.set_id, finding, case, parameters) for item, finding in outlined)
        return tuple(issue for issue in issues if issue is not None)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the outlines of other structures, which may have gaps by intent (a planning volume, a port)."""
        return structures_passed_over(case=case)

    def _issue(self, set_id: str, finding: Finding, case: Case, parameters: CheckParameters) -> LabelIssue | None:
        mask = finding.mask
        gaps = _gaps(mask) if mask is not None else []
        if mask is None or not gaps:
            return None
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        filled, meets = _interpolated(mask, gaps)
        missing = sum(upper - lower - 1 for lower, upper in gaps)
        centre = centroid(mask)
        explanation = (
            "The lesion seems to go on through the gap, and the right outline may include it."
            if meets
            else "The parts do not meet, so they may be two lesions under one name, or a gap to fill."
        )
        return builder.issue(
            set_id=set_id,
            finding_id=finding.finding_id,
            place_mm=centre,
            diameter_mm=equivalent_diameter_mm(mask=filled),
            score=BROKEN_RULE if meets else _APART,
            reason=(
                f"This outline ({builder.where(centre)}) leaves out {counted(number=missing, noun='slice')} between "
                f"outlined ones. {explanation}"
            ),
            implicated=(set_id,),
            evidence={
                "empty_slices": [
                    mask.origin[0] + number for lower, upper in gaps for number in range(lower + 1, upper)
                ],
                "contours_meet": meets,
            },
            proposals=(
                Proposal(action=Action.REPLACE_OUTLINE, origin="interpolated between its own contours", mask=filled),
            ),
        )


def _gaps(mask: Mask) -> list[tuple[int, int]]:
    """Return (last filled, next filled) slice of the box for each run of empty slices between filled ones."""
    filled = np.flatnonzero(mask.voxels.any(axis=(1, 2)))
    return [(int(lower), int(upper)) for lower, upper in pairwise(filled) if upper - lower > 1]


def _interpolated(mask: Mask, gaps: list[tuple[int, int]]) -> tuple[Mask, bool]:
    voxels = mask.voxels.copy()
    spacing = mask.grid.spacing_mm[1:]
    meets = True
    for lower, upper in gaps:
        below, above = _signed(voxels[lower], spacing), _signed(voxels[upper], spacing)
        meets = meets and bool(np.any(voxels[lower] & voxels[upper]))
        for number in range(lower + 1, upper):
            share = (number - lower) / (upper - lower)
            voxels[number] = (1 - share) * below + share * above > 0
    return crop(grid=mask.grid, origin=mask.origin, voxels=voxels), meets


def _signed(plane: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    # One voxel of margin, or a contour that fills its box would have no outside to measure from.
    padded = np.pad(plane, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=spacing)
    outside = ndimage.distance_transform_edt(~padded, sampling=spacing)
    return np.asarray((inside - outside)[1:-1, 1:-1], dtype=np.float64)
