"""Missing nodule: the model sees one, and a reader's set has nothing there."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    addition_from_others,
    candidates_of,
    is_nodule,
    model_weight,
    prediction_of,
    read_sets,
    speaker,
    structures_passed_over,
)
from imaging.checks.issues import IssueBuilder
from imaging.checks.places import candidate_is_finding, candidate_touches_finding, lies_inside
from imaging.checks.probability import majority_would_mark
from imaging.checks.words import counted, millimetres, percent, who_marked
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Grid,
    LabelIssue,
    Prediction,
    Proposal,
    Rejection,
    Sphere,
)


@dataclass(frozen=True, slots=True)
class MissingNodule:
    """One issue for each candidate and each reader who read the case and marked nothing there.

    A candidate that touches a label only at its edge is unmatched. A reader who marked the place as a non-nodule saw
    it and is no suspect here; so is one who drew a box around it. Score: ``majority_would_mark`` with the model as
    prior, worth one reader where nobody states the sizes that it is validated for (predictions made elsewhere). The
    check abstains for candidates outside the model's validated sizes and for masses, and passes over candidates below
    the floor.
    """

    name: str = "missing_nodule"
    version: str = "2"

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
        marks, silent = _sort_readers(candidate, sets, case.volume.grid, parameters)
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
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        where = builder.where(candidate.centre_mm)
        issues = []
        for suspect in silent:
            touching = _touching(candidate, suspect)
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
                    proposals=proposals,
                )
            )
        return issues


def _sort_readers(
    candidate: Candidate, sets: tuple[AnnotationSet, ...], grid: Grid, parameters: CheckParameters
) -> tuple[tuple[Mark, ...], tuple[AnnotationSet, ...]]:
    marks: list[Mark] = []
    silent: list[AnnotationSet] = []
    for item in sets:
        here = [
            finding
            for finding in item.findings
            if candidate_is_finding(
                candidate=candidate, finding=finding, grid=grid, margin_mm=parameters.match_margin_mm
            )
        ]
        marks.extend(Mark(item.set_id, finding) for finding in here if is_nodule(finding=finding))
        if not here:
            silent.append(item)
    return tuple(marks), tuple(silent)


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
    lower, upper = validated[0], min(validated[1], parameters.mass_limit_mm)
    if not lower <= candidate.diameter_mm <= upper:
        return Rejection(
            "candidate-size-not-validated",
            f"a candidate of {candidate.diameter_mm:.1f} mm lies outside the {lower:g}-{upper:g} mm for which the "
            "model is validated; it was not judged",
        )
    return None


def _touching(candidate: Candidate, suspect: AnnotationSet) -> list[str]:
    touched = (item for item in suspect.findings if candidate_touches_finding(candidate=candidate, finding=item))
    return sorted(finding.finding_id for finding in touched)


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
