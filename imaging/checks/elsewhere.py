"""Whether a whole set of labels belongs to another image, as a part of the geometry check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imaging.checks.context import candidates_at, is_nodule, nodule_probability_at
from imaging.checks.displacement import best_overlaps
from imaging.checks.image_evidence import ImageEvidence, image_evidence
from imaging.checks.issues import IssueBuilder
from imaging.checks.probability import all_elsewhere
from imaging.checks.words import counted
from imaging.types import AnnotationSet, Finding, LabelIssue, Mask

_LEAST_LABELS = 2
"""One label on nothing is a spurious label; only several on nothing tell of their set."""

_UNHEARD = 0.3
"""A model that gives the place more than this has not said that nothing is there."""


def elsewhere(*, item: AnnotationSet, references: Sequence[Mask], builder: IssueBuilder) -> Iterator[LabelIssue]:
    """Yield an issue for each nodule outline of a set of which not one lies on anything.

    On nothing lies what is no denser than the lung around it, what no outline of ``references`` meets, and where the
    model has no candidate and, if it was asked, gives a nodule little. Score: ``probability.all_elsewhere``.
    """
    outlined = {
        finding: finding.mask for finding in item.findings if is_nodule(finding=finding) and finding.mask is not None
    }
    if len(outlined) < _LEAST_LABELS:
        return
    if any(best_overlaps(outlines=tuple(outlined.values()), references=references)):
        return
    shown = {}
    for finding in outlined:
        image = _on_nothing(finding, builder)
        if image is None:
            return
        shown[finding] = image
    score = all_elsewhere(
        labels=len(shown), prior_one=builder.parameters.prior_spurious, prior_set=builder.parameters.prior_elsewhere
    )
    for finding, image in shown.items():
        yield builder.about(
            set_id=item.set_id,
            finding=finding,
            score=score,
            reason=(
                f"None of the {counted(number=len(shown), noun='outline')} of this label set lies on anything that the "
                "image shows there, or that anybody else sees. The label set may belong to another series; the right "
                "labels may be those of its own."
            ),
            evidence={"kind": "elsewhere", "outlines_of_the_set": len(shown)},
            features={
                "kind_elsewhere": 1.0,
                "outlines": len(shown),
                "present_overlap": 0.0 if references else None,
                "contrast_hu": image.contrast_hu,
            },
        )


def _on_nothing(finding: Finding, builder: IssueBuilder) -> ImageEvidence | None:
    """Return what the image shows at a label that lies on nothing; None where it lies on something."""
    case, margin = builder.case, builder.parameters.match_margin_mm
    if candidates_at(case=case, finding=finding, margin_mm=margin):
        return None
    if (nodule_probability_at(case=case, finding=finding, margin_mm=margin) or 0.0) > _UNHEARD:
        return None
    image = image_evidence(case=case, finding=finding)
    return image if image is not None and image.contrast_hu < builder.parameters.least_contrast_hu else None
