"""Geometry mismatch: a label does not lie where its image, the body or the other outlines say that it can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imaging.checks.base import CheckParameters
from imaging.checks.context import candidates_of, is_nodule, read_sets, structures_passed_over
from imaging.checks.displacement import BetterFit, find_better_fit
from imaging.checks.elsewhere import elsewhere
from imaging.checks.geometry_features import FEATURES
from imaging.checks.image_fit import fit_abstentions, misfits
from imaging.checks.issues import IssueBuilder, merged
from imaging.checks.lungs import COARSE_STEPS_MM, lung_distance_mm, lungs_found
from imaging.checks.places import centre_of, finding_diameter_mm, lies_inside, on_image, radius_of
from imaging.checks.probability import BROKEN_RULE, beyond_tolerance
from imaging.checks.words import millimetres
from imaging.errors import NotApplicable
from imaging.geometry.affine import to_patient
from imaging.types import (
    Action,
    AnnotationSet,
    Case,
    Finding,
    LabelIssue,
    Mask,
    PointMm,
    Proposal,
    Rejection,
)

_ABOUT_GEOMETRY = frozenset(
    {"affine", "direction", "disagrees", "flipped", "frame", "geometry", "grid", "orientation", "outside", "place"}
    | {"plane", "position", "positions", "reference", "series", "shifted", "slices", "spacing"}
)
"""Words in the code of an importer's rejection that tell of geometry."""


@dataclass(frozen=True, slots=True)
class GeometryMismatch:
    """Issues of seven kinds (``evidence["kind"]``).

    *import*: what an importer objected to for its geometry; *outside-image*: a label outside the image or on another
    grid; *unknown-slice*: a label that names slices which the series has not. All three are broken rules.
    *outside-lungs*: a nodule label farther from the lungs than a lung nodule can lie; score: the probability that its
    distance exceeds the tolerance. *displaced*: all outlines of a set fit the other readers' and the model's far better
    moved by whole slices or mirrored; score: the share of the possible improvement in overlap that this brings.
    *misfit*: the same told from the image's own edges (``geometry.label_fit``), with nobody else's outlines needed;
    score: that share of agreement with the image. Silent where others' outlines lie at the same place.
    *elsewhere*: not one of several labels of a set lies on anything that the image, the model or another reader shows,
    and no displacement explains it: the set may belong to another image; score ``probability.all_elsewhere``.
    Other structures must lie on the image too; only nodules are looked for in the lungs, at other outlines and at
    edges. A label without a place cannot be compared with anything and is left to the importer's own report.
    Features: ``geometry_features.FEATURES``.
    """

    name: str = "geometry_mismatch"
    version: str = "4"

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues. Raises NotApplicable when there is neither a label nor a refusal to look at."""
        read = tuple(item for item in case.annotation_sets if item.read)
        if not any(item.findings for item in read) and not case.import_rejections:
            raise NotApplicable("no-labels", "there is no label whose geometry could be checked")
        builder = IssueBuilder(check=self, case=case, parameters=parameters, names=FEATURES)
        issues = list(_refused(builder))
        for item in sorted(read, key=lambda entry: entry.set_id):
            for finding in item.findings:
                issues.extend(_off_image(item, finding, builder))
                issues.extend(_unknown_slices(item, finding, builder))
        sets = _nodule_sets(case)
        issues.extend(_outside_lungs(sets, builder))
        for item in sets:
            references = _references(item, sets, case)
            told = [
                *_displaced(item, references, builder),
                *misfits(item=item, references=references, builder=builder),
            ]
            issues.extend(told or elsewhere(item=item, references=references, builder=builder))
        return merged(issues=[issue for issue in issues if issue.score >= parameters.report_from])

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return refusals that name no label here, and what was not compared with the lungs or other outlines."""
        found = [
            Rejection("refusal-without-label", f"a label set was refused for its geometry: {rejection.message}")
            for owner, rejections in _refusals(case).items()
            if owner is None
            for rejection in rejections
        ]
        labelled = any(item.findings for item in case.annotation_sets if item.read)
        if labelled and not lungs_found(case=case, closing_mm=parameters.lung_closing_mm):
            message = "no lungs were found on the image; labels were not compared with them"
            found.append(Rejection("lungs-not-found", message))
        sets = _nodule_sets(case)
        references = {item.set_id: _references(item, sets, case) for item in sets}
        fits = fit_abstentions(case=case, sets=sets, references=references, overlap=parameters.shift_overlap)
        return (*found, *fits, *structures_passed_over(case=case))


def _nodule_sets(case: Case) -> tuple[AnnotationSet, ...]:
    try:
        return read_sets(case=case)
    except NotApplicable:
        return ()


def _refused(builder: IssueBuilder) -> Iterator[LabelIssue]:
    case = builder.case
    shape = case.volume.grid.shape
    middle = to_patient(case.volume.grid, ((shape[0] - 1) / 2, (shape[1] - 1) / 2, (shape[2] - 1) / 2))
    sets = {item.set_id: item for item in case.annotation_sets if item.read}
    for owner, rejections in _refusals(case).items():
        if owner is None:
            continue
        set_id, finding_id = owner
        here = [finding for finding in sets[set_id].findings if finding.finding_id == finding_id]
        yield builder.issue(
            set_id=set_id,
            finding_id=finding_id,
            place_mm=_place_of(here[0]) or middle if here else middle,
            diameter_mm=finding_diameter_mm(finding=here[0]) if here else None,
            score=BROKEN_RULE,
            reason=(
                "The import of this label had an objection: "
                f"{' '.join(f'{rejection.message.rstrip(chr(46))}.' for rejection in rejections)} It may belong to "
                f"another series, or its file may state the wrong place; a corrected file may be right."
            ),
            implicated=(set_id,),
            evidence={
                "kind": "import",
                "codes": [rejection.code for rejection in rejections],
                "subjects": sorted({subject for rejection in rejections for subject in rejection.subjects}),
            },
            features={"kind_import": 1.0},
        )


def _off_image(item: AnnotationSet, finding: Finding, builder: IssueBuilder) -> Iterator[LabelIssue]:
    volume = builder.case.volume
    place = _place_of(finding)
    if place is None or on_image(finding=finding, volume=volume):
        return
    centre_inside = lies_inside(grid=volume.grid, place_mm=place)
    what = "lies outside the image"
    if centre_inside:
        boxed = finding.box is not None
        what = "reaches beyond the image" if boxed else "was drawn on another grid than this image's"
    yield builder.about(
        set_id=item.set_id,
        finding=finding,
        score=BROKEN_RULE,
        reason=(
            f"This label {what}. It cannot show what was meant; it may belong to another series, or its positions "
            f"may be shifted."
        ),
        evidence={"kind": "outside-image", "centre_on_image": centre_inside},
        features={"kind_outside_image": 1.0},
    )


def _unknown_slices(item: AnnotationSet, finding: Finding, builder: IssueBuilder) -> Iterator[LabelIssue]:
    known = set(builder.case.volume.sop_instance_uids)
    unknown = sorted(set(finding.sop_instance_uids) - known)
    if not unknown or _place_of(finding) is None:
        return
    yield builder.about(
        set_id=item.set_id,
        finding=finding,
        score=BROKEN_RULE,
        reason=(
            f"This label names {len(unknown)} of {len(finding.sop_instance_uids)} slices that this series does not "
            f"have. It may belong to another series of the patient."
        ),
        evidence={"kind": "unknown-slice", "unknown_sop_instance_uids": unknown},
        features={"kind_unknown_slice": 1.0},
    )


def _outside_lungs(sets: tuple[AnnotationSet, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    case, parameters = builder.case, builder.parameters
    nodules = [(item, finding) for item in sets for finding in item.findings if is_nodule(finding=finding)]
    for item, finding in nodules:
        apart = lung_distance_mm(case=case, place_mm=centre_of(finding), closing_mm=parameters.lung_closing_mm)
        if apart is None:
            return
        # The nearest edge of the label counts, so that a large lesion on the chest wall stays a lung lesion.
        distance = apart - radius_of(finding)
        if distance <= parameters.lung_distance_mm:
            continue
        where = builder.where(centre_of(finding))
        yield builder.about(
            set_id=item.set_id,
            finding=finding,
            score=beyond_tolerance(
                deviation=distance, tolerance=parameters.lung_distance_mm, spread=max(COARSE_STEPS_MM)
            ),
            reason=(
                f"This label ({where}) lies {millimetres(value=distance)} from the nearest lung on this image. A "
                f"lung nodule is not expected there; the label may have been shifted, or belong to another series."
            ),
            evidence={"kind": "outside-lungs", "distance_to_lung_mm": distance},
            features={"kind_outside_lungs": 1.0, "lung_distance_mm": distance},
        )


def _references(item: AnnotationSet, sets: tuple[AnnotationSet, ...], case: Case) -> tuple[Mask, ...]:
    """Return the other readers' outlines of nodules, and those that the model reports."""
    others = [
        finding.mask
        for other in sets
        if other.set_id != item.set_id
        for finding in other.findings
        if finding.mask is not None and is_nodule(finding=finding)
    ]
    if case.prediction is None:
        return tuple(others)
    threshold = case.prediction.threshold
    reported = [candidate for candidate in candidates_of(case=case) if candidate.probability >= threshold]
    return (*others, *(candidate.mask for candidate in reported if candidate.mask is not None))


def _displaced(item: AnnotationSet, references: tuple[Mask, ...], builder: IssueBuilder) -> Iterator[LabelIssue]:
    pairs = [
        (finding, finding.mask) for finding in item.findings if is_nodule(finding=finding) and finding.mask is not None
    ]
    fit = find_better_fit(outlines=[mask for _, mask in pairs], references=references, parameters=builder.parameters)
    if fit is not None:
        for (finding, _), moved, overlap in zip(pairs, fit.moved, fit.overlaps, strict=True):
            yield _displaced_issue(item, finding, moved, overlap, fit, builder)


def _displaced_issue(
    item: AnnotationSet,
    finding: Finding,
    moved: Mask | None,
    overlap: float,
    fit: BetterFit,
    builder: IssueBuilder,
) -> LabelIssue:
    where = builder.where(centre_of(finding))
    proposals: tuple[Proposal, ...] = ()
    words = fit.displacement.words()
    if moved is not None and overlap >= builder.parameters.shift_overlap:
        proposals = (Proposal(action=Action.REPLACE_OUTLINE, origin=f"its own outline {words}", mask=moved),)
    return builder.about(
        set_id=item.set_id,
        finding=finding,
        score=(fit.displaced_overlap - fit.present_overlap) / (1 - fit.present_overlap),
        reason=(
            f"This outline ({where}) hardly meets what the model or the other readers outlined; {words}, the "
            f"outlines of this label set would meet it ({round(100 * fit.displaced_overlap)} % overlap instead of "
            f"{round(100 * fit.present_overlap)} %). The label may have been displaced on its way."
        ),
        evidence={
            "kind": "displaced",
            "suggested_shift_slices": fit.displacement.slices,
            "suggested_mirroring": fit.displacement.mirrored,
            "present_overlap": fit.present_overlap,
            "displaced_overlap": fit.displaced_overlap,
            "outlines_of_the_set": len(fit.moved),
        },
        features={
            "kind_displaced": 1.0,
            "present_overlap": fit.present_overlap,
            "displaced_overlap": fit.displaced_overlap,
            "outlines": len(fit.moved),
            "mirrored": fit.displacement.mirrored is not None,
            "shift_mm": abs(fit.displacement.slices) * builder.case.volume.grid.spacing_mm[0],
        },
        proposals=proposals,
    )


def _refusals(case: Case) -> dict[tuple[str, str | None] | None, list[Rejection]]:
    """Return the importer's refusals about geometry by the set and finding they name; under None those that name none.

    One issue for each subject: several objections to one label are one question to its reader.
    """
    owners: dict[str, tuple[str, str | None]] = {}
    for item in case.annotation_sets:
        if item.read:
            owners[item.set_id] = (item.set_id, None)
            owners.update({finding.finding_id: (item.set_id, finding.finding_id) for finding in item.findings})
    found: dict[tuple[str, str | None] | None, list[Rejection]] = {}
    for rejection in dict.fromkeys(case.import_rejections):
        if not _ABOUT_GEOMETRY.intersection(rejection.code.split("-")):
            continue
        named = [owners[subject] for subject in rejection.subjects if subject in owners]
        # A finding that was refused altogether is not in its set; its id begins with the set's.
        named += [
            owner
            for set_id, owner in owners.items()
            for subject in rejection.subjects
            if subject.startswith(f"{set_id}/")
        ]
        precise = [owner for owner in named if owner[1] is not None]
        owner = next(iter(precise or named), None)
        found.setdefault(owner, []).append(rejection)
    return found


def _place_of(finding: Finding) -> PointMm | None:
    try:
        return centre_of(finding)
    except NotApplicable:
        return None
