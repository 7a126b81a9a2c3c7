"""Incomplete contour: an outline skips slices in its middle, or ends before the lesion does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.agreement.overlap import align, crop
from imaging.checks.base import CheckParameters
from imaging.checks.context import Mark, read_sets, structures_passed_over
from imaging.checks.deviation import length_judged, only_at_the_ends
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder, merged
from imaging.checks.outline_evidence import evidence_on
from imaging.checks.outline_parts import Extent, extent_beyond
from imaging.checks.outline_references import MODEL, OTHERS, Reference, nodule_marks, references_of
from imaging.checks.places import equivalent_diameter_mm
from imaging.checks.probability import BROKEN_RULE, beyond_tolerance, pool
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.measure import centroid
from imaging.types import Action, Case, Finding, LabelIssue, Mask, Proposal, Rejection

# Contours above and below a gap that do not meet in the plane may be two things under one name.
_APART = 0.5

_GOES_ON = 0.4
_SPREAD = 0.12
_IMAGE_WEIGHT = 0.6
"""Beyond a nodule's last slice little is as dense as its core, and that slice is small: the product of both shares is
0.1 to 0.3 at a careful outline's ends and near 0.8 where one was cut off."""

FEATURES = COMMON_FEATURES | {
    "kind_gap": "1 where slices are missing between outlined ones",
    "kind_poles": "1 where slices are missing at the ends",
    "missing_slices": "slices missing, in the middle or at the ends",
    "missing_mm": "their length",
    "contours_meet": "1 where the contours on both sides of every gap overlap",
    "slices": "slices that the outline is on",
    "model_missing_mm": "length of the model's outline beyond the ends of the label",
    "model_extra_mm": "length of the label beyond the ends of the model's outline",
    "model_weight": "how sure the model is of its outline",
    "others_missing_mm": "length of the other readers' outline beyond the ends of the label",
    "others_extra_mm": "length of the label beyond the ends of theirs",
    "other_outlines": "other readers' outlines in the majority",
    "end_area_share": "the larger of the label's two end slices over its largest slice: near 1 where it was cut off",
    "end_goes_on_share": "density beyond an end slice against that of the label's core: 1 where the lesion goes on",
    "goes_on": "that times the end slice's share of the largest slice",
    "agreed_missing_mm": "length beyond the ends of the label on which all references agree",
}


@dataclass(frozen=True, slots=True)
class IncompleteContour:
    """Issues of two kinds (``evidence["kind"]``).

    *gap*: empty slices between outlined ones. Score: a rule broken where the contours on both sides of every gap
    overlap in the plane, one half where they do not, since the label may then hold two things. The proposal fills the
    gap by shape-based interpolation (Raya and Udupa 1990): the signed in-plane distances on both sides, interpolated
    linearly.
    *poles*: a nodule's outline, alike in its other slices, ends before the model's outline of the same thing does, or
    the other readers'. Score: the probability that the missing length exceeds an outline's tolerance and half a slice,
    pooled over both as ``boundary`` does, with the image's own word: what lies beyond the end slice, over that slice's
    own area, may be as dense as the label's core. The proposal adds what they have on the missing slices.
    Features: ``FEATURES``.
    """

    name: str = "incomplete_contour"
    version: str = "3"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable where no label has an outline."""
        outlined = [(item, finding) for item in read_sets(case=case) for finding in item.findings if finding.mask]
        if not outlined:
            raise NotApplicable("no-outline", "no label on this case has an outline on its image")
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        issues = [_gap(item.set_id, finding, builder) for item, finding in outlined]
        for mark, others in nodule_marks(case=case):
            mask = mark.finding.mask
            if mask is not None and equivalent_diameter_mm(mask=mask) <= parameters.mass_limit_mm:
                references = references_of(case=case, mark=mark, others=others, parameters=parameters)
                issues.append(_poles(mark, mask, others, references, builder))
        return merged(issues=[issue for issue in issues if issue is not None and issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the outlines of other structures, which may have gaps by intent (a planning volume, a port)."""
        return structures_passed_over(case=case)


def _gap(set_id: str, finding: Finding, builder: IssueBuilder) -> LabelIssue | None:
    mask = finding.mask
    gaps = _gaps(mask) if mask is not None else []
    if mask is None or not gaps:
        return None
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
            "kind": "gap",
            "empty_slices": [mask.origin[0] + number for lower, upper in gaps for number in range(lower + 1, upper)],
            "contours_meet": meets,
        },
        features={
            "kind_gap": 1.0,
            "missing_slices": missing,
            "missing_mm": missing * mask.grid.spacing_mm[0],
            "contours_meet": meets,
            "slices": int(np.count_nonzero(mask.voxels.any(axis=(1, 2)))),
        },
        proposals=(
            Proposal(action=Action.REPLACE_OUTLINE, origin="interpolated between its own contours", mask=filled),
        ),
    )


def _poles(
    mark: Mark, mask: Mask, others: tuple[Mark, ...], references: tuple[Reference, ...], builder: IssueBuilder
) -> LabelIssue | None:
    parameters, step = builder.parameters, mask.grid.spacing_mm[0]
    extents = {
        reference: extent_beyond(label=mask, reference=reference.mask, slices=reference.slices)
        for reference in references
    }
    # A label that goes on at the other end by as much lies elsewhere, which is for the boundary check.
    missing = {one: max(0, extent.missing_slices - extent.extra_slices) for one, extent in extents.items()}
    most = max(missing.values(), default=0)
    opinions = []
    beyond = False
    for reference, count in missing.items():
        tolerance, score = length_judged(length_mm=count * step, reference=reference.mask, parameters=parameters)
        beyond = beyond or (
            count * step > tolerance
            and only_at_the_ends(label=mask, reference=reference.mask, length_mm=count * step, parameters=parameters)
        )
        opinions.append((score, reference.weight))
    seen = evidence_on(case=builder.case, finding=mark.finding, mask=mask, references=references, parameters=parameters)
    if not beyond and seen.goes_on < _GOES_ON:
        return None
    opinions.append((beyond_tolerance(deviation=seen.goes_on, tolerance=_GOES_ON, spread=_SPREAD), _IMAGE_WEIGHT))
    centre = centroid(mask)
    going_on = [reference for reference, count in missing.items() if count]
    witnesses = [
        *(reference.named for reference in going_on),
        *(["the density in the image"] if seen.goes_on >= _GOES_ON else []),
    ]
    where = " and ".join(witnesses)
    verb = "goes" if len(witnesses) == 1 else "go"
    length = f" for {counted(number=most, noun='slice')} ({most * step:.1f} mm)" if most else ""
    return builder.issue(
        set_id=mark.set_id,
        finding_id=mark.finding.finding_id,
        place_mm=centre,
        diameter_mm=equivalent_diameter_mm(mask=mask),
        score=pool(opinions=tuple(opinions)),
        reason=(
            f"This outline ({builder.where(centre)}) ends where {where} {verb} on{length}. The nodule "
            "may go on as well, and an outline with these slices may be right."
        ),
        implicated=(mark.set_id, *(other.set_id for other in others)),
        evidence={"kind": "poles", "missing_slices": most},
        features={
            "kind_poles": 1.0,
            "missing_slices": most,
            "missing_mm": most * step,
            "slices": int(np.count_nonzero(mask.voxels.any(axis=(1, 2)))),
            "end_area_share": _end_area_share(mask),
            "end_goes_on_share": seen.features["end_goes_on_share"],
            "goes_on": seen.goes_on,
            "agreed_missing_mm": min(missing.values(), default=0) * step,
            **_against(extents, step),
        },
        proposals=tuple(
            Proposal(
                action=Action.REPLACE_OUTLINE,
                origin=f"its own outline, with the {reference.origin} on the missing slices",
                mask=_completed(mask, reference.mask),
            )
            for reference in going_on
        ),
    )


def _against(extents: dict[Reference, Extent], step_mm: float) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for reference, extent in extents.items():
        prefix = {MODEL: "model", OTHERS: "others"}[reference.source]
        found[f"{prefix}_missing_mm"] = extent.missing_slices * step_mm
        found[f"{prefix}_extra_mm"] = extent.extra_slices * step_mm
        if reference.source == MODEL:
            found["model_weight"] = reference.weight
        else:
            found["other_outlines"] = float(reference.voters)
    return found


def _end_area_share(mask: Mask) -> float:
    areas = np.count_nonzero(mask.voxels, axis=(1, 2))
    return float(max(areas[0], areas[-1])) / float(areas.max())


def _completed(mask: Mask, reference: Mask) -> Mask:
    aligned = align(masks=(mask, reference), margin_voxels=0)
    own, other = aligned.voxels
    filled = np.flatnonzero(own.any(axis=(1, 2)))
    whole = own.copy()
    whole[: filled[0]] |= other[: filled[0]]
    whole[filled[-1] + 1 :] |= other[filled[-1] + 1 :]
    return crop(grid=aligned.grid, origin=aligned.origin, voxels=whole)


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
