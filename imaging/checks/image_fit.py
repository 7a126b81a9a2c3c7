"""Whether a set's outlines fit what the image shows where they lie, as a part of the geometry check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imaging.checks.context import is_nodule
from imaging.checks.displacement import best_overlaps
from imaging.checks.issues import IssueBuilder
from imaging.checks.once import once
from imaging.errors import GeometryError
from imaging.geometry.label_fit import NODULE_FIT, Agreement, FitStatus, LabelFit, label_fit
from imaging.geometry.placements import Displacement
from imaging.masks.build import mask_from_voxels
from imaging.types import Action, AnnotationSet, Case, Finding, LabelIssue, Mask, Proposal, Rejection, Volume


def misfits(*, item: AnnotationSet, references: Sequence[Mask], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue for each nodule outline of a set that would fit the image far better displaced.

    All outlines of the set are moved together (``label_fit`` with ``NODULE_FIT``). Where the outlines of others or of
    the model (``references``) lie at the same place, nothing is said: they saw it there too. Score: the share of the
    possible improvement in agreement with the image that the displacement brings.
    """
    outlined = _outlines(item, builder.case.volume)
    if not outlined or _confirmed(outlined, references, builder.parameters.shift_overlap):
        return
    fit = _fit(builder.case, item)
    if fit.status is not FitStatus.DISPLACED or fit.suggestion is None or fit.present is None or fit.best is None:
        return
    for finding, mask in outlined:
        yield _issue(item, finding, mask, fit.suggestion, fit.present, fit.best, builder, len(outlined))


def fit_abstentions(
    *, case: Case, sets: Sequence[AnnotationSet], references: Mapping[str, Sequence[Mask]], overlap: float
) -> tuple[Rejection, ...]:
    """Return the sets whose fit to the image could not be told, and why.

    Sets whose outlines lie where others' do (``references`` of each set by its id, mean IoU of at least ``overlap``)
    were not asked about.
    """
    found = []
    for item in sets:
        outlined = _outlines(item, case.volume)
        if not outlined or _confirmed(outlined, references[item.set_id], overlap):
            continue
        fit = _fit(case, item)
        if fit.status is FitStatus.ABSTAINED:
            message = f"whether outlines fit the image could not be told: {fit.message}"
            found.append(Rejection("fit-not-told", message, (item.set_id,)))
    return tuple(found)


def _fit(case: Case, item: AnnotationSet) -> LabelFit:
    # Some thirty places a set are compared with the image: asked for twice, computed once.
    masks = [mask for _, mask in _outlines(item, case.volume)]
    return once(
        case=case,
        key=("label_fit", item),
        compute=lambda: label_fit(volume=case.volume, masks=masks, search=NODULE_FIT),
    )


def _outlines(item: AnnotationSet, volume: Volume) -> list[tuple[Finding, Mask]]:
    # Grids that agree to the micrometre are one grid, though their numbers may differ in the last digit.
    return [
        (finding, replace(finding.mask, grid=volume.grid))
        for finding in item.findings
        if is_nodule(finding=finding) and finding.mask is not None
    ]


def _confirmed(outlined: Sequence[tuple[Finding, Mask]], references: Sequence[Mask], overlap: float) -> bool:
    if not references:
        return False
    return float(np.mean(best_overlaps(outlines=[mask for _, mask in outlined], references=references))) >= overlap


def _issue(
    item: AnnotationSet,
    finding: Finding,
    mask: Mask,
    way: Displacement,
    present: Agreement,
    best: Agreement,
    builder: IssueBuilder,
    outlines: int,
) -> LabelIssue:
    words = way.words()
    moved = _moved(mask, way)
    origin = f"its own outline after: {words[0].lower()}{words[1:]}"
    proposals = () if moved is None else (Proposal(action=Action.REPLACE_OUTLINE, origin=origin, mask=moved),)
    return builder.about(
        set_id=item.set_id,
        finding=finding,
        score=(best.correlation - present.correlation) / (1 - present.correlation),
        reason=(
            f"The outlines of this label set do not fit what the image shows where they lie. {words} would fit: "
            f"agreement with the image {best.correlation:.2f} instead of {present.correlation:.2f}. The label may have "
            "been displaced on its way."
        ),
        evidence={
            "kind": "misfit",
            "suggestion": words,
            "suggested_shift_slices": way.slices,
            "suggested_shift_mm": list(way.shift_mm),
            "suggested_mirroring": [mirror.name for mirror in way.mirrors],
            "present_agreement": present.correlation,
            "displaced_agreement": best.correlation,
            "in_air_now": present.air_share,
            "in_air_displaced": best.air_share,
            "searched_slices": NODULE_FIT.slices,
        },
        features={
            "kind_misfit": 1.0,
            "present_agreement": present.correlation,
            "displaced_agreement": best.correlation,
            "outlines": outlines,
            "mirrored": bool(way.mirrors),
            "shift_mm": way.distance_mm,
        },
        proposals=proposals,
    )


def _moved(mask: Mask, way: Displacement) -> Mask | None:
    """Return the mask displaced on its own grid, None where that would push a part of it out of the image."""
    voxels = mask.voxels
    origin = []
    for axis, (start, size) in enumerate(zip(mask.origin, voxels.shape, strict=True)):
        slots = way.moved(start + np.arange(size), axis=axis)
        if size > 1 and slots[0] > slots[-1]:
            voxels = np.flip(voxels, axis=axis)
        origin.append(int(slots.min()))
    try:
        return mask_from_voxels(grid=mask.grid, voxels=voxels, origin=(origin[0], origin[1], origin[2]))
    except GeometryError:
        return None
