"""Boundary: an outline lies elsewhere than the model, or the other readers, draw it; in millimetres, with the sign."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imaging.agreement.surface import surface_distances
from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    candidates_of,
    consensus_outline,
    is_nodule,
    marks_of,
    read_sets,
    speaker,
    structures_passed_over,
)
from imaging.checks.issues import IssueBuilder
from imaging.checks.places import candidate_is_finding, equivalent_diameter_mm, mask_fits
from imaging.checks.probability import beyond_tolerance, pool
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.matching import match_lesions
from imaging.masks.measure import centroid
from imaging.masks.place import mask_holds
from imaging.types import Action, Case, Finding, LabelIssue, Mask, PointMm, Prediction, Proposal, Rejection

_ONE_READER = 0.5
"""What the outline of one other reader weighs, 1 - 1 / (1 + 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Deviation:
    """How one outline differs from one reference outline. ``shift_mm`` is the vector (x, y, z) from reference to label.

    ``kind``: ``over`` (drawn too wide), ``under`` (too tight), ``shift``, ``shape``, or ``within`` the tolerance.
    """

    kind: str
    bias_mm: float
    mean_mm: float
    hd95_mm: float
    shift_mm: PointMm
    tolerance_mm: float
    score: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """One issue for each nodule outline that lies beyond the tolerance of its references.

    References are the model's outline asked for at that place (or its candidate's), and the majority outline of the
    other readers who marked the lesion. The deviation is the mean symmetric surface distance or the distance of the
    centroids, whichever is larger; its score the probability that it exceeds the tolerance, given careful readers'
    spread. The references' scores are pooled as weighted log-odds: the model weighs as much as it is sure of its own
    outline, the others 1 - 1 / (1 + their number); so readers who support a label speak against a model that does not.
    An imported algorithm that states no validated sizes weighs no more than one other reader. Masses and, for the
    model, sizes it is not validated for are passed over, and so are boxes: a box is filled to its corners by no
    nodule, so its faces are not compared with an outline, nor its volume.
    """

    name: str = "boundary"
    version: str = "2"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable when there is no outline, or no model and no second reader."""
        sets = read_sets(case=case)
        if case.prediction is None and len(sets) < 2:
            raise NotApplicable("no-reference", "one reader and no model: there is no second outline to compare with")
        outlined = [finding for item in sets for finding in item.findings if _outline(finding) is not None]
        if not outlined:
            raise NotApplicable("no-outline", "no label on this case has an outline on its image")
        issues = []
        for lesion in match_lesions(sets):
            marks = marks_of(lesion=lesion, sets=sets)
            for mark in marks:
                others = tuple(
                    other for other in marks if other.set_id != mark.set_id and is_nodule(finding=other.finding)
                )
                issue = self._issue(mark, others, case, parameters)
                if issue is not None:
                    issues.append(issue)
        return tuple(issues)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the outlines that are masses, the boxes, and what is no nodule."""
        found = []
        for item in read_sets(case=case):
            for finding in item.findings:
                if finding.box is not None and is_nodule(finding=finding):
                    message = "a box is no outline; its edge was not judged"
                    found.append(Rejection("box-without-outline", message, (finding.finding_id,)))
                mask = _outline(finding)
                if mask is not None and equivalent_diameter_mm(mask=mask) > parameters.mass_limit_mm:
                    message = f"larger than {parameters.mass_limit_mm:g} mm is a mass; its outline was not judged"
                    found.append(Rejection("mass", message, (finding.finding_id,)))
        return (*found, *structures_passed_over(case=case))

    def _issue(
        self, mark: Mark, others: tuple[Mark, ...], case: Case, parameters: CheckParameters
    ) -> LabelIssue | None:
        mask = _outline(mark.finding)
        if mask is None:
            return None
        diameter = equivalent_diameter_mm(mask=mask)
        if diameter > parameters.mass_limit_mm:
            return None
        opinions: list[tuple[float, float]] = []
        deviations: dict[str, Deviation] = {}
        proposals: list[Proposal] = []
        voters = 0
        model = _model_outline(mark.finding, mask, diameter, case, parameters)
        if model is not None:
            outline, certainty = model
            deviations["model"] = measure_deviation(label=mask, reference=outline, parameters=parameters)
            opinions.append((deviations["model"].score, certainty))
            own = case.prediction is None or case.prediction.validated_diameters_mm is not None
            origin = "model outline" if own else "imported algorithm's outline"
            proposals.append(Proposal(action=Action.REPLACE_OUTLINE, origin=origin, mask=outline))
        consensus = consensus_outline(marks=others)
        if consensus is not None:
            outline, voters = consensus
            deviations["others"] = measure_deviation(label=mask, reference=outline, parameters=parameters)
            opinions.append((deviations["others"].score, 1 - 1 / (1 + voters)))
            origin = "outline of the one other reader" if voters == 1 else f"majority outline of {voters} other readers"
            proposals.append(Proposal(action=Action.REPLACE_OUTLINE, origin=origin, mask=outline))
        if all(deviation.kind == "within" for deviation in deviations.values()):
            return None
        score = pool(opinions=tuple(opinions))
        if score < parameters.report_from:
            return None
        centre = centroid(mask)
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        model_name = "the model" if case.prediction is None else speaker(prediction=case.prediction)
        return builder.issue(
            set_id=mark.set_id,
            finding_id=mark.finding.finding_id,
            place_mm=centre,
            diameter_mm=diameter,
            score=score,
            reason=_reason(deviations, voters, builder.where(centre), model_name),
            implicated=(mark.set_id, *(other.set_id for other in others)),
            evidence={
                "compared_with": {name: _as_evidence(deviation) for name, deviation in deviations.items()},
                "other_outlines": voters,
            },
            proposals=tuple(proposals),
        )


def measure_deviation(*, label: Mask, reference: Mask, parameters: CheckParameters) -> Deviation:
    """Return how far a label's outline lies from a reference outline on the same grid, and in which way.

    Raises NotApplicable for an empty mask, GeometryError for different grids.
    """
    distances = surface_distances(first=label, second=reference)
    centre, wanted = centroid(label), centroid(reference)
    shift = (centre[0] - wanted[0], centre[1] - wanted[1], centre[2] - wanted[2])
    moved = math.hypot(*shift)
    tolerance = parameters.boundary_tolerance_mm + parameters.boundary_tolerance_share * equivalent_diameter_mm(
        mask=reference
    )
    deviation = max(distances.mean_mm, moved)
    if deviation <= tolerance:
        kind = "within"
    elif moved > tolerance and moved >= abs(distances.bias_mm):
        kind = "shift"
    elif abs(distances.bias_mm) >= distances.mean_mm / 2:
        kind = "over" if distances.bias_mm > 0 else "under"
    else:
        kind = "shape"
    return Deviation(
        kind=kind,
        bias_mm=distances.bias_mm,
        mean_mm=distances.mean_mm,
        hd95_mm=distances.hd95_mm,
        shift_mm=shift,
        tolerance_mm=tolerance,
        score=beyond_tolerance(deviation=deviation, tolerance=tolerance, spread=parameters.reader_spread_mm),
    )


def _outline(finding: Finding) -> Mask | None:
    return finding.mask if is_nodule(finding=finding) else None


def _model_outline(
    finding: Finding, mask: Mask, diameter_mm: float, case: Case, parameters: CheckParameters
) -> tuple[Mask, float] | None:
    prediction = case.prediction
    if prediction is None:
        return None
    validated = prediction.validated_diameters_mm
    if validated is not None and not validated[0] <= diameter_mm <= validated[1]:
        return None
    asked = _asked_for(mask, diameter_mm, prediction, case, parameters)
    if asked is not None:
        return asked
    found = [
        candidate
        for candidate in candidates_of(case=case)
        if candidate.probability >= prediction.threshold
        and candidate.mask is not None
        and candidate_is_finding(
            candidate=candidate, finding=finding, grid=case.volume.grid, margin_mm=parameters.match_margin_mm
        )
    ]
    if not found:
        return None
    best = max(found, key=lambda candidate: candidate.probability)
    certainty = best.probability if validated is not None else min(best.probability, _ONE_READER)
    return (best.mask, certainty) if best.mask is not None else None


def _asked_for(
    mask: Mask, diameter_mm: float, prediction: Prediction, case: Case, parameters: CheckParameters
) -> tuple[Mask, float] | None:
    centre = centroid(mask)
    reach = max(parameters.match_margin_mm, diameter_mm / 2)
    near = [
        opinion
        for opinion in prediction.outlines
        if opinion.mask is not None
        and mask_fits(mask=opinion.mask, volume=case.volume)
        and (mask_holds(mask, opinion.place_mm) or math.dist(opinion.place_mm, centre) < reach)
    ]
    if not near:
        return None
    best = min(near, key=lambda opinion: math.dist(opinion.place_mm, centre))
    return (best.mask, min(max(best.mean_probability, 0.0), 1.0)) if best.mask is not None else None


def _as_evidence(deviation: Deviation) -> dict[str, object]:
    return {
        "kind": deviation.kind,
        "signed_mean_mm": deviation.bias_mm,
        "mean_surface_distance_mm": deviation.mean_mm,
        "hd95_mm": deviation.hd95_mm,
        "shift_mm": list(deviation.shift_mm),
        "tolerance_mm": deviation.tolerance_mm,
        "score": deviation.score,
    }


def _reason(deviations: dict[str, Deviation], voters: int, where: str, model_name: str) -> str:
    others = counted(number=voters, noun="other reader")
    names = {"model": f"{model_name}'s outline", "others": f"the outline of {others}"}
    parts = [f"{_said(deviation)} {names[name]}" for name, deviation in deviations.items()]
    worst = max(deviations.values(), key=lambda deviation: deviation.score)
    meaning = {
        "over": "It may hold tissue that is not part of the nodule; a tighter outline may be right.",
        "under": "It may leave out a part of the nodule; a wider outline may be right.",
        "shift": "It may lie beside the nodule; an outline at the other place may be right.",
        "shape": "Its shape differs on several sides; one of the other outlines may be right.",
        "within": "",
    }[worst.kind]
    return f"This outline ({where}) {', and '.join(parts)}. {meaning}"


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
