"""Missing nodule: the model sees one, and a reader's set has nothing there."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    addition_from_others,
    build_issue,
    candidates_of,
    described,
    is_nodule,
    prediction_of,
    read_sets,
)
from imaging.checks.places import candidate_is_finding, candidate_touches_finding, lies_inside
from imaging.checks.probability import majority_would_mark
from imaging.checks.words import CLOSING, counted, millimetres, percent, who_marked
from imaging.types import (
    Action,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    LabelIssue,
    Proposal,
    Rejection,
    Sphere,
)


@dataclass(frozen=True, slots=True)
class MissingNodule:
    """One issue for each candidate and each reader who read the case and marked nothing there.

    A candidate that touches a label only at its edge is unmatched. A reader who marked the place as a non-nodule saw
    it and is no suspect here. Score: ``majority_would_mark`` with the model as prior. The check abstains for
    candidates outside the model's validated sizes and for masses, and passes over candidates below the floor.
    """

    name: str = "missing_nodule"
    version: str = "1"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable without a prediction or without anyone who read the case."""
        sets = read_sets(case=case)
        issues = []
        for candidate in self._candidates(case, parameters):
            if _abstention(candidate, case, parameters) is None:
                issues.extend(self._issues(candidate, case, sets, parameters))
        return tuple(issues)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the candidates that were not judged because of their size or place."""
        found = (_abstention(candidate, case, parameters) for candidate in self._candidates(case, parameters))
        return tuple(rejection for rejection in found if rejection is not None)

    def _candidates(self, case: Case, parameters: CheckParameters) -> tuple[Candidate, ...]:
        every = candidates_of(case=case)
        return tuple(candidate for candidate in every if candidate.probability >= parameters.candidate_floor)

    def _issues(
        self, candidate: Candidate, case: Case, sets: tuple[AnnotationSet, ...], parameters: CheckParameters
    ) -> list[LabelIssue]:
        marks, silent = _sort_readers(candidate, sets, parameters)
        if not silent:
            return []
        markers = sorted({mark.set_id for mark in marks})
        score = majority_would_mark(
            marked=len(markers),
            silent=len(sets) - len(markers),
            model_probability=candidate.probability,
            model_weight=parameters.model_weight_in_readers,
        )
        if score < parameters.report_from:
            return []
        proposals = [_from_model(candidate, parameters)]
        if marks:
            proposals.append(addition_from_others(marks=marks, place_mm=candidate.centre_mm, parameters=parameters))
        return [
            build_issue(
                check=self.name,
                version=self.version,
                case=case,
                parameters=parameters,
                set_id=suspect.set_id,
                finding_id=None,
                place_mm=candidate.centre_mm,
                diameter_mm=candidate.diameter_mm,
                score=score,
                reason=_reason(candidate, case, len(markers), len(sets), touching, parameters),
                implicated=tuple(item.set_id for item in sets),
                evidence={
                    "model_probability": candidate.probability,
                    "model_diameter_mm": candidate.diameter_mm,
                    "marked_by": markers,
                    "readers": len(sets),
                    "touches_findings": touching,
                },
                proposals=tuple(proposals),
            )
            for suspect in silent
            for touching in [_touching(candidate, suspect)]
        ]


def _sort_readers(
    candidate: Candidate, sets: tuple[AnnotationSet, ...], parameters: CheckParameters
) -> tuple[tuple[Mark, ...], tuple[AnnotationSet, ...]]:
    marks: list[Mark] = []
    silent: list[AnnotationSet] = []
    for item in sets:
        here = [
            finding
            for finding in item.findings
            if candidate_is_finding(candidate=candidate, finding=finding, margin_mm=parameters.match_margin_mm)
        ]
        marks.extend(Mark(item.set_id, finding) for finding in here if is_nodule(finding=finding))
        if not here:
            silent.append(item)
    return tuple(marks), tuple(silent)


def _abstention(candidate: Candidate, case: Case, parameters: CheckParameters) -> Rejection | None:
    lower, upper = prediction_of(case=case).validated_diameters_mm
    upper = min(upper, parameters.mass_limit_mm)
    if not lies_inside(grid=case.volume.grid, place_mm=candidate.centre_mm):
        return Rejection("candidate-outside-image", "the model's candidate lies outside the image; it was not judged")
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


def _from_model(candidate: Candidate, parameters: CheckParameters) -> Proposal:
    small = candidate.diameter_mm < parameters.nodule_limit_mm
    category = Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM
    if candidate.mask is not None and candidate.mask.count:
        return Proposal(action=Action.ADD, origin="model outline", mask=candidate.mask, category=category)
    sketch = Sphere(centre_mm=candidate.centre_mm, diameter_mm=candidate.diameter_mm)
    return Proposal(action=Action.ADD, origin="model place and size", sphere=sketch, category=category)


def _reason(
    candidate: Candidate, case: Case, marked: int, total: int, touching: list[str], parameters: CheckParameters
) -> str:
    where = described(case=case, place_mm=candidate.centre_mm, parameters=parameters)
    size = millimetres(value=candidate.diameter_mm)
    sentences = [
        f"The model gives {percent(probability=candidate.probability)} for a {size} nodule here ({where}); "
        f"{who_marked(marked=marked, total=total)}."
    ]
    if touching:
        sentences.append(
            f"This label set has {counted(number=len(touching), noun='finding')} touching the place, "
            "but only at its edge."
        )
    elif marked:
        sentences.append("This label set has nothing at the place.")
    sentences.append(f"A nodule may have been overlooked; the right label may be a nodule of about {size}. {CLOSING}")
    return " ".join(sentences)
