"""What an outline is held against: the model's outline of the same thing, and the other readers'."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import (
    Mark,
    candidates_at,
    consensus_outline,
    is_nodule,
    lesions_of,
    marks_of,
    opinion_at,
    speaker,
)
from imaging.checks.deviation import grown
from imaging.checks.once import once
from imaging.checks.places import equivalent_diameter_mm, finding_diameter_mm
from imaging.checks.words import counted
from imaging.types import Case, Finding, Mask, ProbabilityMap

_ONE_READER = 0.5
"""What the outline of one other reader weighs, 1 - 1 / (1 + 1)."""

MODEL = "model"
OTHERS = "others"


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One outline to compare with. ``source`` is MODEL or OTHERS, ``weight`` how much its opinion counts, in [0, 1].

    ``mask`` is drawn as the guideline asks (``BoundaryConvention``), ``probability`` the model's map, which knows
    nothing of the guideline, None where there is none. ``origin`` says in words where a proposal of it comes from,
    ``named`` how a reason calls it. ``voters``: readers whose outlines it is made of. ``slices``: lowest and highest
    slice that any of these outlines is on, which two readers' majority, what both hold, may fall short of.
    """

    source: str
    mask: Mask
    weight: float
    origin: str
    named: str
    voters: int
    slices: tuple[int, int]
    probability: ProbabilityMap | None = None


def nodule_marks(*, case: Case) -> tuple[tuple[Mark, tuple[Mark, ...]], ...]:
    """Return every nodule mark of the case with the other sets' nodule marks of the same lesion."""

    def compute() -> tuple[tuple[Mark, tuple[Mark, ...]], ...]:
        found: list[tuple[Mark, tuple[Mark, ...]]] = []
        for lesion in lesions_of(case=case):
            marks = tuple(mark for mark in marks_of(case=case, lesion=lesion) if is_nodule(finding=mark.finding))
            found.extend((mark, tuple(other for other in marks if other.set_id != mark.set_id)) for mark in marks)
        return tuple(found)

    return once(case=case, key="nodule_marks", compute=compute)


def references_of(
    *, case: Case, mark: Mark, others: tuple[Mark, ...], parameters: CheckParameters
) -> tuple[Reference, ...]:
    """Return what a nodule's outline or box can be compared with, the model first.

    The model's is what it outlines when asked about the place, or the outline of its candidate there; it has none for
    sizes that it is not validated for (a label too small for that may be one drawn too tight: there the size of the
    model's own outline counts), and one that states no validated sizes weighs no more than one reader. The
    others' is the majority of their outlines, weighing 1 - 1 / (1 + their number).
    """
    return once(
        case=case,
        key=("references_of", mark.finding, parameters),
        compute=lambda: tuple(
            reference
            for reference in (_model(mark.finding, case, parameters), _others(others))
            if reference is not None
        ),
    )


def _model(finding: Finding, case: Case, parameters: CheckParameters) -> Reference | None:
    prediction, diameter = case.prediction, finding_diameter_mm(finding=finding)
    if prediction is None or diameter is None:
        return None
    validated = prediction.validated_diameters_mm
    if validated is not None and diameter > validated[1]:
        return None
    least = 0.0 if validated is None else validated[0]
    offset = parameters.boundary_convention.offset_mm(grid=case.volume.grid)
    origin = "imported algorithm's outline" if validated is None else "model outline"
    named = f"{speaker(prediction=prediction)}'s outline"
    opinion = opinion_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm)
    if opinion is not None and opinion.mask is not None and _within(opinion.mask, least, diameter):
        certainty = min(max(opinion.mean_probability, 0.0), 1.0)
        outline = grown(mask=opinion.mask, by_mm=offset)
        probability = opinion.probability
        if probability is not None and probability.grid.digest != case.volume.grid.digest:
            probability = None
        return Reference(MODEL, outline, certainty, origin, named, 0, _reach((outline,)), probability)
    for candidate in candidates_at(case=case, finding=finding, margin_mm=parameters.match_margin_mm):
        if candidate.probability < prediction.threshold or candidate.mask is None:
            continue
        if _within(candidate.mask, least, diameter):
            certainty = candidate.probability
            weight = certainty if validated is not None else min(certainty, _ONE_READER)
            outline = grown(mask=candidate.mask, by_mm=offset)
            return Reference(MODEL, outline, weight, origin, named, 0, _reach((outline,)))
    return None


def _within(outline: Mask, least_mm: float, label_mm: float) -> bool:
    """Say whether the model's outline or the label is of a size from which on the model was validated."""
    return max(equivalent_diameter_mm(mask=outline), label_mm) >= least_mm


def _others(others: tuple[Mark, ...]) -> Reference | None:
    consensus = consensus_outline(marks=others)
    if consensus is None:
        return None
    mask, voters = consensus
    origin = "outline of the one other reader" if voters == 1 else f"majority outline of {voters} other readers"
    named = f"the outline of {counted(number=voters, noun='other reader')}"
    outlines = tuple(other.finding.mask for other in others if other.finding.mask is not None)
    return Reference(OTHERS, mask, 1 - 1 / (1 + voters), origin, named, voters, _reach(outlines))


def _reach(masks: tuple[Mask, ...]) -> tuple[int, int]:
    return min(mask.origin[0] for mask in masks), max(mask.origin[0] + mask.voxels.shape[0] - 1 for mask in masks)
