"""Spurious label: a reader marked a nodule where the model, able to see that size, sees none."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import candidates_of, is_nodule, prediction_of, read_sets, structures_passed_over
from imaging.checks.issues import IssueBuilder
from imaging.checks.places import candidate_is_finding, finding_diameter_mm, share_a_place
from imaging.checks.probability import spurious
from imaging.checks.words import counted, millimetres, percent
from imaging.errors import NotApplicable
from imaging.masks.place import centre_of
from imaging.types import Action, AnnotationSet, Case, Finding, Grid, LabelIssue, Prediction, Proposal, Rejection


@dataclass(frozen=True, slots=True)
class SpuriousLabel:
    """One issue for each nodule label at which the model is silent.

    Score: ``probability.spurious``. Silence is worth what the model's sensitivity at the label's size makes it worth;
    labels outside the validated sizes, masses, and point marks without a size are passed over, since there silence
    means nothing. A mark that only one of several readers made is disagreement and never scores above
    ``sole_mark_ceiling``.
    """

    name: str = "spurious_label"
    version: str = "1"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues.

        Raises NotApplicable without a prediction, without readers, when the model states no sensitivity, or when the
        check would abstain on every label.
        """
        prediction = prediction_of(case=case)
        sets = read_sets(case=case)
        validated = prediction.validated_diameters_mm
        if not prediction.sensitivity_by_diameter or validated is None:
            raise NotApplicable(
                "sensitivity-not-stated", "the model states no sensitivity, so its silence cannot be weighed"
            )
        labels = [(item, finding) for item in sets for finding in item.findings if is_nodule(finding=finding)]
        judged = [(item, finding) for item, finding in labels if _abstention(finding, prediction, parameters) is None]
        if labels and not judged:
            lower, upper = validated
            raise NotApplicable(
                "no-label-in-validated-sizes",
                f"no label has a size of {lower:g}-{min(upper, parameters.mass_limit_mm):g} mm, where the model's "
                "silence would mean something",
                subjects=tuple(finding.finding_id for _, finding in labels),
            )
        issues = (self._issue(item, finding, case, sets, parameters) for item, finding in judged)
        return tuple(issue for issue in issues if issue is not None)

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the labels whose size the model is not validated for, and what is no nodule."""
        prediction = prediction_of(case=case)
        nodules = [finding for item in read_sets(case=case) for finding in item.findings if is_nodule(finding=finding)]
        found = (_abstention(finding, prediction, parameters) for finding in nodules)
        return (*(rejection for rejection in found if rejection is not None), *structures_passed_over(case=case))

    def _issue(
        self,
        item: AnnotationSet,
        finding: Finding,
        case: Case,
        sets: tuple[AnnotationSet, ...],
        parameters: CheckParameters,
    ) -> LabelIssue | None:
        prediction = prediction_of(case=case)
        diameter = finding_diameter_mm(finding=finding)
        if diameter is None:
            return None
        centre = centre_of(finding)
        whisper = _loudest(finding, case, parameters)
        if whisper is not None and whisper >= prediction.threshold:
            return None
        grid = case.volume.grid
        confirming = [
            other.set_id
            for other in sets
            if other.set_id != item.set_id and _confirms(other, finding, grid, parameters)
        ]
        sensitivity = _sensitivity(prediction, diameter)
        score = spurious(
            prior=parameters.prior_spurious,
            model_sensitivity=sensitivity,
            whisper=whisper,
            confirming_readers=len(confirming),
            reader_sensitivity=parameters.reader_sensitivity,
            reader_false_mark=parameters.reader_false_mark,
        )
        others = len(sets) - 1
        if others and not confirming:
            score = min(score, parameters.sole_mark_ceiling)
        if score < parameters.report_from:
            return None
        builder = IssueBuilder(check=self, case=case, parameters=parameters)
        where = builder.where(centre)
        return builder.issue(
            set_id=item.set_id,
            finding_id=finding.finding_id,
            place_mm=centre,
            diameter_mm=diameter,
            score=score,
            reason=_reason(where, diameter, sensitivity, whisper, len(confirming), others),
            implicated=tuple(entry.set_id for entry in sets),
            evidence={
                "model_sensitivity_at_size": sensitivity,
                "model_threshold": prediction.threshold,
                "model_probability_below_threshold": whisper,
                "label_diameter_mm": diameter,
                "confirmed_by": sorted(confirming),
                "readers": len(sets),
                "sole_mark_among_several": bool(others and not confirming),
            },
            proposals=(Proposal(action=Action.REMOVE, origin="model sees nothing here"),),
        )


def _abstention(finding: Finding, prediction: Prediction, parameters: CheckParameters) -> Rejection | None:
    diameter = finding_diameter_mm(finding=finding)
    if diameter is None:
        message = "a point mark has no size, so the model's silence cannot be weighed; it was not judged"
        return Rejection("label-without-size", message, (finding.finding_id,))
    if prediction.validated_diameters_mm is None:
        message = "nobody states the sizes for which the model is validated, so its silence was not weighed"
        return Rejection("validated-sizes-not-stated", message, (finding.finding_id,))
    lower, upper = prediction.validated_diameters_mm
    upper = min(upper, parameters.mass_limit_mm)
    if not lower <= diameter <= upper:
        message = (
            f"a label of {diameter:.1f} mm lies outside the {lower:g}-{upper:g} mm for which the model is validated; "
            "its silence there means nothing, and the label was not judged"
        )
        return Rejection("label-size-not-validated", message, (finding.finding_id,))
    return None


def _loudest(finding: Finding, case: Case, parameters: CheckParameters) -> float | None:
    here = [
        candidate.probability
        for candidate in candidates_of(case=case)
        if candidate_is_finding(
            candidate=candidate, finding=finding, grid=case.volume.grid, margin_mm=parameters.match_margin_mm
        )
    ]
    return max(here, default=None)


def _confirms(other: AnnotationSet, finding: Finding, grid: Grid, parameters: CheckParameters) -> bool:
    return any(
        is_nodule(finding=mark)
        and share_a_place(first=finding, second=mark, grid=grid, margin_mm=parameters.match_margin_mm)
        for mark in other.findings
    )


def _sensitivity(prediction: Prediction, diameter_mm: float) -> float:
    # The table gives lower bounds; a size below the first one is one at which nothing was shown: no sensitivity.
    value = 0.0
    for lower, sensitivity in sorted(prediction.sensitivity_by_diameter):
        if diameter_mm >= lower:
            value = sensitivity
    return value


def _reason(
    where: str, diameter: float, sensitivity: float, whisper: float | None, confirming: int, others: int
) -> str:
    size = millimetres(value=diameter)
    said = (
        f"gives it only {percent(probability=whisper)}"
        if whisper is not None
        else f"sees nothing there, though it finds {percent(probability=sensitivity)} of nodules of this size"
    )
    sentences = [f"This label marks a {size} nodule here ({where}); the model {said}."]
    if others == 0:
        sentences.append("No other reader has read this case.")
    elif confirming:
        sentences.append(f"{counted(number=confirming, noun='other reader').capitalize()} marked it as well.")
    elif others == 1:
        sentences.append("The other reader did not mark it; one reader alone may still be right.")
    else:
        readers = counted(number=others, noun="other reader")
        sentences.append(f"None of the {readers} marked it; one reader alone may still be right.")
    sentences.append("It may be something else than a nodule, and the right label may be none.")
    return " ".join(sentences)
