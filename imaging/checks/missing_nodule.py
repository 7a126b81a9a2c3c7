"""Missing nodule: the model sees one, and a reader's set has nothing there."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    addition_from_others,
    candidate_reach_mm,
    candidates_at,
    candidates_of,
    findings_at,
    is_nodule,
    model_weight,
    nearby_place,
    opinion_places,
    prediction_of,
    read_sets,
    speaker,
    structures_passed_over,
)
from imaging.checks.image_evidence import image_evidence
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder
from imaging.checks.lungs import lung_distance_mm
from imaging.checks.once import once
from imaging.checks.places import candidate_touches_finding, finding_diameter_mm, lies_inside
from imaging.checks.probability import majority_would_mark
from imaging.checks.words import counted, millimetres, percent, who_marked
from imaging.masks.overlap import shared_voxels
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    LabelIssue,
    Prediction,
    Proposal,
    Rejection,
    Sphere,
)

FEATURES = COMMON_FEATURES | {
    "model_probability": "the model's calibrated probability of a nodule here",
    "model_rank": "place of the candidate among the scan's, 1 for the most probable",
    "place_probability": "the model's probability when asked about this very place; absent where it was not",
    "candidates": "candidates of the model on the scan that are not below the floor",
    "touching": "1 where the label set has a finding that touches the place at its edge, else 0",
    "touching_diameter_mm": "size of the largest finding that touches it",
    "marking_readers": "readers who marked a nodule here",
    "silent_readers": "readers who marked nothing here, this one among them",
    "readers_against": "readers who marked the place, but as no nodule",
    "contrast_hu": "mean inside the candidate's outline less the lung around it",
    "running_on": "share of the dense thing here that lies outside the candidate's outline: a vessel, the chest wall",
    "below_validated_mm": "how much smaller the candidate measures than the sizes that the model is validated for",
    "lung_distance_mm": "how far the candidate lies from the lungs, 0 inside",
    "outlined": "1 where the model outlines the candidate, 0 where it is a bare place",
}


@dataclass(frozen=True, slots=True)
class MissingNodule:
    """One issue for each candidate and each reader who read the case and marked nothing there.

    A candidate that touches a label only at its edge is unmatched, and so is one of two in one label that fits it
    worse and lies for the most part outside it. A reader who marked the place as a non-nodule saw
    it and is no suspect here; so is one who drew a box around it. Score: ``majority_would_mark`` with the model as
    prior, worth one reader where nobody states the sizes that it is validated for (predictions made elsewhere). The
    check abstains for candidates outside the model's validated sizes and for masses, and passes over candidates below
    the floor. Features: ``FEATURES``.
    """

    name: str = "missing_nodule"
    version: str = "4"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable without a prediction or without anyone who read the case."""
        sets = read_sets(case=case)
        issues = []
        for candidate in self._candidates(case, parameters):
            if _abstention(candidate, case, parameters) is None:
                issues.extend(self._issues(candidate, case, sets, parameters))
        return tuple(issues)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the candidates that were not judged because of their size or place, and what was not asked at all."""
        found = [_abstention(candidate, case, parameters) for candidate in self._candidates(case, parameters)]
        if prediction_of(case=case).validated_diameters_mm is None:
            message = (
                "the imported algorithm states no sizes for which it is validated, and no calibration: its reports "
                "counted as one reader's marks, its silence as nothing"
            )
            found.append(Rejection("validated-sizes-not-stated", message))
        return (*(rejection for rejection in found if rejection is not None), *structures_passed_over(case=case))

    def _candidates(self, case: Case, parameters: CheckParameters) -> tuple[Candidate, ...]:
        every = candidates_of(case=case)
        return tuple(candidate for candidate in every if candidate.probability >= parameters.candidate_floor)

    def _issues(
        self, candidate: Candidate, case: Case, sets: tuple[AnnotationSet, ...], parameters: CheckParameters
    ) -> list[LabelIssue]:
        marks, against, silent = _sort_readers(candidate, case, sets, parameters)
        if not silent:
            return []
        prediction = prediction_of(case=case)
        markers = sorted({mark.set_id for mark in marks})
        score = majority_would_mark(
            marked=len(markers),
            silent=len(sets) - len(markers),
            model_probability=candidate.probability,
            model_weight=model_weight(prediction=prediction, parameters=parameters),
        )
        if score < parameters.report_from:
            return []
        proposals = _from_model(candidate, prediction, parameters)
        if marks:
            others = addition_from_others(marks=marks, place_mm=candidate.centre_mm, parameters=parameters)
            proposals = (*proposals, others)
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        shared = {
            **_shared_features(candidate, case, parameters),
            "marking_readers": len(markers),
            "silent_readers": len(silent),
            "readers_against": against,
        }
        where = builder.where(candidate.centre_mm)
        issues = []
        for suspect in silent:
            touched = _touching(candidate, suspect, case)
            touching = sorted(finding.finding_id for finding in touched)
            sizes = [finding_diameter_mm(finding=finding) for finding in touched]
            issues.append(
                builder.issue(
                    set_id=suspect.set_id,
                    finding_id=None,
                    place_mm=candidate.centre_mm,
                    diameter_mm=candidate.diameter_mm,
                    score=score,
                    reason=_reason(candidate, prediction, where, len(markers), len(sets), touching),
                    implicated=tuple(item.set_id for item in sets),
                    evidence={
                        "model_probability": candidate.probability,
                        "model_diameter_mm": candidate.diameter_mm,
                        "marked_by": markers,
                        "readers": len(sets),
                        "touches_findings": touching,
                    },
                    features={
                        **shared,
                        "touching": bool(touched),
                        "touching_diameter_mm": max((size for size in sizes if size is not None), default=None),
                    },
                    proposals=proposals,
                )
            )
        return issues


def _sort_readers(
    candidate: Candidate, case: Case, sets: tuple[AnnotationSet, ...], parameters: CheckParameters
) -> tuple[tuple[Mark, ...], int, tuple[AnnotationSet, ...]]:
    """Return the nodule marks here, how many readers marked it as something else, and who marked nothing."""
    marks: list[Mark] = []
    silent: list[AnnotationSet] = []
    against = 0
    own = findings_at(case=case, candidate=candidate, margin_mm=parameters.match_margin_mm)
    for item in sets:
        near = nearby_place(
            case=case,
            place_mm=candidate.centre_mm,
            reach_mm=candidate_reach_mm(candidate=candidate) + parameters.match_margin_mm,
            item=item,
        )
        here = [finding for finding in near if finding in own and _is_of(candidate, finding, case, parameters)]
        nodules = [Mark(item.set_id, finding) for finding in here if is_nodule(finding=finding)]
        marks.extend(nodules)
        against += bool(here and not nodules)
        if not here:
            silent.append(item)
    return tuple(marks), against, tuple(silent)


def _is_of(candidate: Candidate, finding: Finding, case: Case, parameters: CheckParameters) -> bool:
    """Say whether a candidate is what a finding marks: one label marks one thing, and the better fitting is it."""
    here = candidates_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm)
    if len(here) == 1 or finding.mask is None or candidate.mask is None:
        return True
    shares = {other: _shared(other, finding) for other in here}
    best = max(here, key=lambda other: (shares[other], other.probability))
    return candidate is best or shares[candidate] * 2 >= candidate.mask.count


def _shared(candidate: Candidate, finding: Finding) -> int:
    return 0 if candidate.mask is None or finding.mask is None else shared_voxels(candidate.mask, finding.mask)


def _shared_features(candidate: Candidate, case: Case, parameters: CheckParameters) -> dict[str, float | None]:
    # Negated, so that the most probable come first.
    every = once(
        case=case,
        key="candidates_by_rank",
        compute=lambda: sorted(-other.probability for other in candidates_of(case=case)),
    )
    outlines = prediction_of(case=case).outlines
    near = opinion_places(case=case).within(place_mm=candidate.centre_mm, mm=parameters.match_margin_mm)
    drawn = Finding("", Category.NODULE_GE_3MM, mask=candidate.mask)
    image = None if candidate.mask is None else image_evidence(case=case, finding=drawn)
    here = [
        (math.dist(outlines[number].place_mm, candidate.centre_mm), outlines[number].nodule_probability)
        for number in near
        if outlines[number].nodule_probability is not None
    ]
    apart, asked = min(here, default=(math.inf, None), key=lambda entry: entry[0])
    return {
        "model_probability": candidate.probability,
        "model_rank": 1.0 + bisect_left(every, -candidate.probability),
        "place_probability": asked if apart < parameters.match_margin_mm else None,
        "candidates": float(bisect_right(every, -parameters.candidate_floor)),
        "contrast_hu": None if image is None else image.contrast_hu,
        "running_on": None if image is None else image.running_on,
        "lung_distance_mm": lung_distance_mm(
            case=case, place_mm=candidate.centre_mm, closing_mm=parameters.lung_closing_mm
        ),
        "outlined": float(candidate.mask is not None),
        "below_validated_mm": _below(candidate, prediction_of(case=case)),
    }


def _below(candidate: Candidate, prediction: Prediction) -> float | None:
    validated = prediction.validated_diameters_mm
    if validated is None or candidate.diameter_mm is None:
        return None
    return max(0.0, validated[0] - candidate.diameter_mm)


def _abstention(candidate: Candidate, case: Case, parameters: CheckParameters) -> Rejection | None:
    if not lies_inside(grid=case.volume.grid, place_mm=candidate.centre_mm):
        return Rejection("candidate-outside-image", "the model's candidate lies outside the image; it was not judged")
    if candidate.diameter_mm is None:
        return None
    validated = prediction_of(case=case).validated_diameters_mm
    if validated is None:
        if candidate.diameter_mm <= parameters.mass_limit_mm:
            return None
        message = f"a candidate larger than {parameters.mass_limit_mm:g} mm is a mass; it was not judged"
        return Rejection("mass", message)
    # A candidate's own size is measured no better than an outline is drawn.
    lower, upper = validated[0] - parameters.boundary_tolerance_mm, min(validated[1], parameters.mass_limit_mm)
    if not lower <= candidate.diameter_mm <= upper:
        return Rejection(
            "candidate-size-not-validated",
            f"a candidate of {candidate.diameter_mm:.1f} mm lies outside the {validated[0]:g}-{upper:g} mm for "
            "which the model is validated, by more than measuring explains; it was not judged",
        )
    return None


def _touching(candidate: Candidate, suspect: AnnotationSet, case: Case) -> list[Finding]:
    # What lies against an outline is a voxel beyond it.
    reach = candidate_reach_mm(candidate=candidate) + 2 * math.hypot(*case.volume.grid.spacing_mm)
    near = nearby_place(case=case, place_mm=candidate.centre_mm, reach_mm=reach, item=suspect)
    return [item for item in near if candidate_touches_finding(candidate=candidate, finding=item)]


def _from_model(candidate: Candidate, prediction: Prediction, parameters: CheckParameters) -> tuple[Proposal, ...]:
    if candidate.diameter_mm is None:
        # A point without a size leaves nothing to add; whoever agrees with it draws the nodule.
        return ()
    small = candidate.diameter_mm < parameters.nodule_limit_mm
    category = Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM
    name = "model" if prediction.validated_diameters_mm is not None else "imported algorithm's"
    if candidate.mask is not None and candidate.mask.count:
        return (Proposal(action=Action.ADD, origin=f"{name} outline", mask=candidate.mask, category=category),)
    sketch = Sphere(centre_mm=candidate.centre_mm, diameter_mm=candidate.diameter_mm)
    return (Proposal(action=Action.ADD, origin=f"{name} place and size", sphere=sketch, category=category),)


def _reason(
    candidate: Candidate, prediction: Prediction, where: str, marked: int, total: int, touching: list[str]
) -> str:
    size = millimetres(value=candidate.diameter_mm) if candidate.diameter_mm is not None else ""
    thing = f"a {size} nodule" if size else "a nodule"
    sentences = [
        f"{speaker(prediction=prediction).capitalize()} gives {percent(probability=candidate.probability)} for {thing} "
        f"here ({where}); {who_marked(marked=marked, total=total)}."
    ]
    if touching:
        sentences.append(
            f"This label set has {counted(number=len(touching), noun='finding')} touching the place, "
            "but only at its edge."
        )
    elif marked:
        sentences.append("This label set has nothing at the place.")
    about = f"a nodule of about {size}" if size else "a nodule"
    sentences.append(f"A nodule may have been overlooked; the right label may be {about}.")
    return " ".join(sentences)
