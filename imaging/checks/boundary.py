"""Boundary: an outline lies elsewhere than the model, or the other readers, draw it; in millimetres, with the sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.boundary_boxes import judge_box
from imaging.checks.boundary_features import FEATURES, deviation_features
from imaging.checks.boundary_parts import judge_fragments, judge_holes
from imaging.checks.boundary_words import outline_reason
from imaging.checks.context import Mark, structures_passed_over
from imaging.checks.deviation import (
    CertainDifference,
    Deviation,
    certain_difference,
    length_judged,
    only_at_the_ends,
    tolerance_mm,
)
from imaging.checks.image_edge import ImageEdge
from imaging.checks.issues import IssueBuilder, merged
from imaging.checks.near import Others
from imaging.checks.outline_evidence import OutlineEvidence, beyond_habit, evidence_on, habit_of
from imaging.checks.outline_parts import extent_beyond
from imaging.checks.outline_references import MODEL, Reference, nodule_marks, references_of
from imaging.checks.places import equivalent_diameter_mm
from imaging.checks.probability import beyond_tolerance, pool
from imaging.checks.words import counted
from imaging.errors import NotApplicable
from imaging.masks.measure import centroid
from imaging.types import Action, Case, Finding, LabelIssue, Mask, Proposal, Rejection

_EDGE_WEIGHT = 0.5
"""What the image's edge counts beside another reader's outline where it is found all around."""

_WITHIN = 0.19
"""What a reasoned score is held down to where no difference exceeds its tolerance: only a calibration may make more of
such numbers."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Issues of five families (``evidence["kind"]``), all on nodules.

    *outline* (``over``, ``under``, ``shift``, ``shape``, ``within``): the outline lies beyond the tolerance of its
    references: what the model outlines when asked about the place (or its candidate's outline), and the majority
    outline of the other readers. The guideline's own margin is allowed for (``BoundaryConvention``). The deviation is
    the mean symmetric surface distance or the distance of the centroids, whichever is larger; its score the probability
    that it exceeds the tolerance, given careful readers' spread. The references' scores are pooled as weighted
    log-odds: the model weighs as much as it is sure of its own outline and, where it gives its probability voxel by
    voxel, of just those voxels that differ; the others 1 - 1 / (1 + their number). So readers who support a label speak
    against a model that does not. The edge that the image itself shows (``image_edge``) is pooled with them, with half
    a reader's weight. Where no difference exceeds its tolerance the kind is ``within``, and the score stays below what
    is reported. An imported algorithm that states no validated sizes weighs no more than one other reader.
    *extra-slices*: the outline, alike in its other slices, goes on beyond the ends of its references; missing slices
    are for ``incomplete_contour``.
    *fragments* and *holes*: stray pieces that touch the outline nowhere, and voxels left out in its middle that are as
    dense as the rest. They need no reference.
    *loose-box*, *tight-box*, *shifted-box*: a box against the extents of the model's outline. A box is filled to its
    corners by no nodule, so its faces are compared with extents alone, never with an outline, nor its volume.
    Masses and, for the model, sizes it is not validated for are passed over. Features: ``boundary_features.FEATURES``.
    """

    name: str = "boundary"
    version: str = "4"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable when no nodule has an outline, or a box with a model to compare."""
        marks = nodule_marks(case=case)
        judged = [
            (mark, others)
            for mark, others in marks
            if mark.finding.mask is not None
            or (mark.finding.box is not None and _boxed_reference(mark, case, parameters))
        ]
        if not judged:
            raise NotApplicable("no-outline", "no label on this case has an outline on its image")
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        seen = _look(judged, case, parameters)
        issues: list[LabelIssue] = []
        for mark, others in judged:
            references = references_of(case=case, mark=mark, others=others, parameters=parameters)
            if mark.finding.mask is None:
                issues.extend(judge_box(mark=mark, references=references, builder=builder))
            elif mark.finding in seen.evidence:
                issues.extend(_outline(mark, mark.finding.mask, others, references, seen, builder))
                issues.extend(_extra_slices(mark, mark.finding.mask, references, builder))
                issues.extend(judge_fragments(mark=mark, references=references, builder=builder))
                issues.extend(judge_holes(mark=mark, references=references, builder=builder))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return the outlines that are masses or had nothing to be compared with, the boxes, and what is no nodule."""
        found = []
        alone = []
        for mark, others in nodule_marks(case=case):
            finding = mark.finding
            if finding.box is not None and not _boxed_reference(mark, case, parameters):
                message = "a box is no outline; its edge was not judged"
                found.append(Rejection("box-without-outline", message, (finding.finding_id,)))
            if finding.mask is None:
                continue
            if equivalent_diameter_mm(mask=finding.mask) > parameters.mass_limit_mm:
                message = f"larger than {parameters.mass_limit_mm:g} mm is a mass; its outline was not judged"
                found.append(Rejection("mass", message, (finding.finding_id,)))
            elif not references_of(case=case, mark=mark, others=others, parameters=parameters):
                alone.append(finding.finding_id)
        if alone:
            outlines = counted(number=len(alone), noun="outline")
            message = f"{outlines} had no second outline to be compared with, neither the model's nor another reader's"
            found.append(Rejection("no-second-outline", message, tuple(sorted(alone))))
        return (*sorted(found, key=lambda one: one.subjects), *structures_passed_over(case=case))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The evidence on every outline, and how each set's reader draws."""

    evidence: Mapping[Finding, OutlineEvidence]
    habits: Mapping[str, Others]

    def beyond_habit(self, mark: Mark) -> float | None:
        return beyond_habit(evidence=self.evidence[mark.finding], habit=self.habits[mark.set_id])


def _look(judged: Sequence[tuple[Mark, tuple[Mark, ...]]], case: Case, parameters: CheckParameters) -> _Seen:
    evidence: dict[Finding, OutlineEvidence] = {}
    by_set: dict[str, list[OutlineEvidence]] = {}
    for mark, others in judged:
        mask = mark.finding.mask
        if mask is None or equivalent_diameter_mm(mask=mask) > parameters.mass_limit_mm:
            continue
        references = references_of(case=case, mark=mark, others=others, parameters=parameters)
        evidence[mark.finding] = evidence_on(
            case=case, finding=mark.finding, mask=mask, references=references, parameters=parameters
        )
        by_set.setdefault(mark.set_id, []).append(evidence[mark.finding])
    return _Seen(evidence, {set_id: habit_of(own) for set_id, own in by_set.items()})


def _boxed_reference(mark: Mark, case: Case, parameters: CheckParameters) -> bool:
    if mark.finding.box is None:
        return False
    references = references_of(case=case, mark=mark, others=(), parameters=parameters)
    return any(reference.source == MODEL for reference in references)


def _outline(
    mark: Mark,
    mask: Mask,
    others: tuple[Mark, ...],
    references: tuple[Reference, ...],
    seen: _Seen,
    builder: IssueBuilder,
) -> Iterator[LabelIssue]:
    parameters = builder.parameters
    evidence = seen.evidence[mark.finding]
    deviations, edge = evidence.deviations, evidence.edge
    certain = _certain(mask, references, builder)
    opinions = []
    for reference in references:
        weight = reference.weight
        if reference.source == MODEL and certain is not None:
            # Half of its say it has by its outline, the other half by being sure of the voxels that differ.
            weight *= 0.5 + 0.5 * certain.certain_share
        opinions.append((deviations[reference.source].score, weight))
    if edge is not None:
        opinions.append((_beyond_edge(edge, mask, parameters), _EDGE_WEIGHT * edge.found_share))
    score = pool(opinions=tuple(opinions)) if opinions else 0.0
    kind = _kind(deviations, edge, mask, parameters)
    if kind == "within":
        score *= _WITHIN
    if score < parameters.report_from:
        return
    centre = centroid(mask)
    voters = max((reference.voters for reference in references), default=0)
    step = builder.case.volume.grid.spacing_mm[0]
    lengths: dict[str, float | None] = {}
    for reference in references:
        extent = extent_beyond(label=mask, reference=reference.mask, slices=reference.slices)
        prefix = "model" if reference.source == MODEL else "others"
        lengths |= {
            f"{prefix}_short_mm": extent.missing_slices * step,
            f"{prefix}_long_mm": extent.extra_slices * step,
        }
    yield builder.issue(
        set_id=mark.set_id,
        finding_id=mark.finding.finding_id,
        place_mm=centre,
        diameter_mm=equivalent_diameter_mm(mask=mask),
        score=score,
        reason=outline_reason(
            deviations=deviations,
            edge=edge,
            kind=kind,
            references=references,
            where=builder.where(centre),
            parameters=parameters,
        ),
        implicated=(mark.set_id, *(other.set_id for other in others)),
        evidence={
            "kind": kind,
            "compared_with": {name: _as_evidence(deviation) for name, deviation in deviations.items()},
            "image_edge": None if edge is None else {"signed_mean_mm": edge.bias_mm, "shift_mm": edge.shift_mm},
            "other_outlines": voters,
        },
        features={
            **deviation_features(
                deviations=deviations, references=references, certain=certain, kind=kind, voters=voters
            ),
            **evidence.features,
            **lengths,
            "beyond_habit_mm": seen.beyond_habit(mark),
        },
        proposals=tuple(
            Proposal(action=Action.REPLACE_OUTLINE, origin=reference.origin, mask=reference.mask)
            for reference in references
        ),
    )


def _beyond_edge(edge: ImageEdge, mask: Mask, parameters: CheckParameters) -> float:
    return beyond_tolerance(
        deviation=max(abs(edge.bias_mm), edge.shift_mm),
        tolerance=tolerance_mm(reference=mask, parameters=parameters),
        spread=parameters.reader_spread_mm,
    )


def _kind(deviations: Mapping[str, Deviation], edge: ImageEdge | None, mask: Mask, parameters: CheckParameters) -> str:
    beyond = [deviation for deviation in deviations.values() if deviation.kind != "within"]
    if beyond:
        return max(beyond, key=lambda deviation: deviation.score).kind
    if deviations or edge is None or _beyond_edge(edge, mask, parameters) < 0.5:
        return "within"
    if edge.shift_mm > abs(edge.bias_mm):
        return "shift"
    return "over" if edge.bias_mm > 0 else "under"


def _certain(mask: Mask, references: tuple[Reference, ...], builder: IssueBuilder) -> CertainDifference | None:
    offset = builder.parameters.boundary_convention.offset_mm(grid=builder.case.volume.grid)
    for reference in references:
        if reference.probability is not None:
            return certain_difference(label=mask, probability=reference.probability, offset_mm=offset)
    return None


def _extra_slices(
    mark: Mark, mask: Mask, references: tuple[Reference, ...], builder: IssueBuilder
) -> Iterator[LabelIssue]:
    parameters, step = builder.parameters, builder.case.volume.grid.spacing_mm[0]
    found: list[tuple[Reference, int, float]] = []
    beyond = False
    for reference in references:
        extent = extent_beyond(label=mask, reference=reference.mask, slices=reference.slices)
        # What is missing at the other end by as much is a shift along the slices.
        extra = max(0, extent.extra_slices - extent.missing_slices)
        tolerance, score = length_judged(length_mm=extra * step, reference=reference.mask, parameters=parameters)
        beyond = beyond or (
            extra * step > tolerance
            and only_at_the_ends(label=mask, reference=reference.mask, length_mm=extra * step, parameters=parameters)
        )
        found.append((reference, extra, score))
    if not beyond:
        return
    most = max(extra for _, extra, _ in found)
    going_on = [reference for reference, extra, _ in found if extra]
    places = " and ".join(reference.named for reference in going_on)
    verb = "ends" if len(going_on) == 1 else "end"
    yield builder.about(
        set_id=mark.set_id,
        finding=mark.finding,
        score=pool(opinions=tuple((score, reference.weight) for reference, _, score in found)),
        reason=(
            f"This outline ({builder.where(centroid(mask))}) goes on for {counted(number=most, noun='slice')} "
            f"({most * step:.1f} mm) on which {places} {verb}. It may have been carried on beyond the nodule; an "
            "outline on fewer slices may be right."
        ),
        evidence={"kind": "extra-slices", "extra_slices": most},
        features={
            "kind_extra_slices": 1.0,
            "extra_slices_mm": most * step,
            "reference_weight": max(reference.weight for reference, _, _ in found),
        },
        proposals=tuple(
            Proposal(action=Action.REPLACE_OUTLINE, origin=reference.origin, mask=reference.mask)
            for reference, extra, _ in found
            if extra
        ),
    )


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
