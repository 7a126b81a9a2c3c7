"""Spurious label: a reader marked a nodule where the model, able to see that size, sees none."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    candidates_at,
    is_nodule,
    nearby,
    nodule_probability_at,
    opinion_at,
    prediction_of,
    read_sets,
    structures_passed_over,
)
from imaging.checks.image_evidence import ImageEvidence, image_evidence
from imaging.checks.issues import COMMON_FEATURES, IssueBuilder
from imaging.checks.lungs import lung_distance_mm
from imaging.checks.places import centre_of, finding_diameter_mm, share_a_place
from imaging.checks.probability import spurious
from imaging.checks.words import counted, millimetres, percent
from imaging.errors import NotApplicable
from imaging.types import Action, AnnotationSet, Case, Finding, LabelIssue, Prediction, Proposal, Rejection

FEATURES = COMMON_FEATURES | {
    "place_probability": "the model's probability of a nodule at this very place; absent from models that do not say",
    "candidate_probability": "probability of the best of the model's candidates here; absent where it reported none",
    "model_threshold": "from which probability the model counts as reporting",
    "model_sensitivity": "share of nodules of this size that the model finds; absent where none is stated",
    "confirming_readers": "other readers who marked a nodule here",
    "silent_readers": "other readers who read the case and did not",
    "outline_share": "voxels that the model would outline here over the label's",
    "contrast_hu": "mean inside the label less the lung around it",
    "core_hu": "upper quartile inside the label",
    "bright_share": "share of the label that is denser than midway between inside and lung",
    "running_on": "share of the dense thing here that lies outside the label: a vessel, the chest wall",
    "lung_distance_mm": "how far the label's centre lies from the lungs, 0 inside",
}


@dataclass(frozen=True, slots=True)
class SpuriousLabel:
    """One issue for each nodule label that probably marks nothing real.

    Score: ``probability.spurious``, from the model asked at the very place, the model's search of the scan, the other
    readers and the image. Silence of the search is worth what the model's sensitivity at the label's size makes it
    worth; labels outside the validated sizes, masses, and point marks without a size are passed over, since there
    the model means nothing. Where it was not asked at the place, a label that it reports is not looked at, and a mark
    which one of several readers made and nothing but silence speaks against is disagreement: it never scores above
    ``sole_mark_ceiling``. A model that was asked there and says no, or a label on plain lung, lifts that ceiling.
    Features: ``FEATURES``.
    """

    name: str = "spurious_label"
    version: str = "3"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues.

        Raises NotApplicable without a prediction, without readers, when the model states neither a sensitivity nor
        what it makes of the places that it was asked about, or when the check would abstain on every label.
        """
        prediction = prediction_of(case=case)
        sets = read_sets(case=case)
        validated = prediction.validated_diameters_mm
        asked = any(opinion.nodule_probability is not None for opinion in prediction.outlines)
        if validated is None or not (prediction.sensitivity_by_diameter or asked):
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
        seen = _see(item, finding, case, sets, parameters)
        threshold = prediction_of(case=case).threshold
        if seen.place is None and seen.candidate is not None and seen.candidate >= threshold:
            return None
        score = _score(seen, parameters)
        if score < parameters.report_from:
            return None
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        centre = centre_of(finding)
        others = len(sets) - 1
        origin = "model sees nothing here" if seen.place is None else "model gives a nodule here little chance"
        return builder.issue(
            set_id=item.set_id,
            finding_id=finding.finding_id,
            place_mm=centre,
            diameter_mm=seen.diameter_mm,
            score=score,
            reason=_reason(builder.where(centre), seen, others, parameters),
            implicated=tuple(entry.set_id for entry in sets),
            evidence={
                "model_probability_at_place": seen.place,
                "model_sensitivity_at_size": seen.sensitivity,
                "model_threshold": threshold,
                "model_probability_of_candidate": seen.candidate,
                "label_diameter_mm": seen.diameter_mm,
                "confirmed_by": list(seen.confirming),
                "readers": len(sets),
                "sole_mark_among_several": bool(others and not seen.confirming),
            },
            features={
                "place_probability": seen.place,
                "candidate_probability": seen.candidate,
                "model_threshold": threshold,
                "model_sensitivity": seen.sensitivity,
                "confirming_readers": len(seen.confirming),
                "silent_readers": others - len(seen.confirming),
                "lung_distance_mm": lung_distance_mm(case=case, place_mm=centre, closing_mm=parameters.lung_closing_mm),
                "contrast_hu": None if seen.image is None else seen.image.contrast_hu,
                "core_hu": None if seen.image is None else seen.image.core_hu,
                "bright_share": None if seen.image is None else seen.image.bright_share,
                "running_on": None if seen.image is None else seen.image.running_on,
                "outline_share": _outline_share(finding, case, parameters),
            },
            proposals=(Proposal(action=Action.REMOVE, origin=origin),),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Everything that bears on one label. Probabilities in [0, 1]; None where a witness has not spoken."""

    diameter_mm: float
    small: bool
    place: float | None
    candidate: float | None
    sensitivity: float | None
    confirming: tuple[str, ...]
    silent: int
    image: ImageEvidence | None


def _see(
    item: AnnotationSet, finding: Finding, case: Case, sets: tuple[AnnotationSet, ...], parameters: CheckParameters
) -> _Seen:
    prediction = prediction_of(case=case)
    diameter = finding_diameter_mm(finding=finding) or 0.0
    here = candidates_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm)
    confirming = tuple(
        other.set_id for other in sets if other.set_id != item.set_id and _confirms(other, finding, case, parameters)
    )
    return _Seen(
        diameter_mm=diameter,
        small=diameter < parameters.nodule_limit_mm,
        place=nodule_probability_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm),
        candidate=here[0].probability if here else None,
        sensitivity=_sensitivity(prediction, diameter),
        confirming=confirming,
        silent=len(sets) - 1 - len(confirming),
        image=image_evidence(case=case, finding=finding),
    )


def _score(seen: _Seen, parameters: CheckParameters) -> float:
    contrast = None if seen.image is None else seen.image.contrast_hu
    score = spurious(
        prior=parameters.prior_spurious,
        place_probability=seen.place,
        model_sensitivity=seen.sensitivity,
        candidate_probability=seen.candidate,
        contrast_hu=contrast,
        least_contrast_hu=parameters.least_contrast_hu,
        nothing_there_odds=parameters.nothing_there_odds,
        confirming_readers=len(seen.confirming),
        silent_readers=seen.silent,
        silence_weight=parameters.small_mark_weight if seen.small else 1.0,
        reader_sensitivity=parameters.reader_sensitivity,
        reader_share_spread=parameters.reader_share_spread,
        reader_false_mark=parameters.reader_false_mark,
    )
    contradicted = seen.place is not None or (contrast is not None and contrast < parameters.least_contrast_hu)
    if seen.silent and not seen.confirming and not contradicted:
        return min(score, parameters.sole_mark_ceiling)
    return score


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
    # The limit holds for the lesion; a label's own size differs from it by as much as outlines are drawn apart.
    if not lower - parameters.boundary_tolerance_mm <= diameter <= upper:
        message = (
            f"a label of {diameter:.1f} mm lies outside the {lower:g}-{upper:g} mm for which the model is validated; "
            "its silence there means nothing, and the label was not judged"
        )
        return Rejection("label-size-not-validated", message, (finding.finding_id,))
    return None


def _confirms(other: AnnotationSet, finding: Finding, case: Case, parameters: CheckParameters) -> bool:
    margin = parameters.match_margin_mm
    return any(
        share_a_place(first=finding, second=mark, grid=case.volume.grid, margin_mm=margin)
        for mark in nearby(case=case, finding=finding, item=other, margin_mm=margin)
        if is_nodule(finding=mark)
    )


def _sensitivity(prediction: Prediction, diameter_mm: float) -> float | None:
    if not prediction.sensitivity_by_diameter:
        return None
    # The table gives lower bounds; a size below the first one is one at which nothing was shown: no sensitivity.
    value = 0.0
    for lower, sensitivity in sorted(prediction.sensitivity_by_diameter):
        if diameter_mm >= lower:
            value = sensitivity
    return value


def _outline_share(finding: Finding, case: Case, parameters: CheckParameters) -> float | None:
    opinion = opinion_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm)
    if opinion is None or finding.mask is None:
        return None
    return 0.0 if opinion.mask is None else opinion.mask.count / finding.mask.count


def _reason(where: str, seen: _Seen, others: int, parameters: CheckParameters) -> str:
    sentences = [f"This label marks a {millimetres(value=seen.diameter_mm)} nodule here ({where}); {_said(seen)}."]
    if seen.image is not None and seen.image.contrast_hu < parameters.least_contrast_hu:
        sentences.append("The image shows little there that differs from the lung around it.")
    if others == 0:
        sentences.append("No other reader has read this case.")
    elif seen.confirming:
        readers = counted(number=len(seen.confirming), noun="other reader")
        sentences.append(f"{readers.capitalize()} marked it as well.")
    elif others == 1:
        sentences.append("The other reader did not mark it; one reader alone may still be right.")
    else:
        readers = counted(number=others, noun="other reader")
        sentences.append(f"None of the {readers} marked it; one reader alone may still be right.")
    sentences.append("It may be something else than a nodule, and the right label may be none.")
    return " ".join(sentences)


def _said(seen: _Seen) -> str:
    if seen.place is not None:
        return f"the model, asked about this very place, gives a nodule {percent(probability=seen.place)}"
    if seen.candidate is not None:
        return f"the model gives it only {percent(probability=seen.candidate)}"
    found = percent(probability=seen.sensitivity or 0.0)
    return f"the model sees nothing there, though it finds {found} of nodules of this size"
