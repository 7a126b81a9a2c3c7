"""Predictions made elsewhere, put in the terms in which the shipped model speaks, so that the same checks hear them."""

from __future__ import annotations

from imaging.errors import NotApplicable
from imaging.masks.measure import measure
from imaging.masks.place import centre_of, radius_of
from imaging.types import AnnotationSet, Candidate, Finding, ModelIdentity, Prediction, SetKind

IMPORTED_BACKEND = "imported"


def external_prediction(*, annotation_set: AnnotationSet, source_sha256: str, threshold: float) -> Prediction:
    """Return an algorithm's annotation set as a model's opinion.

    Its nodules are candidates, most confident first: outlines and spheres with their size (an outline's is that of
    the ball of its volume), boxes with the size of ``masks.boxes.box_diameter_mm``, points with none. A finding without
    a confidence stands at ``threshold``, the operating point in [0, 1] from which the caller counts a candidate as
    reported: it was reported, and no more is known. Non-nodules and other structures are no candidates.

    Nothing is claimed that the source does not say: no validated sizes and no sensitivity, so that checks take its
    reports as one reader's marks and draw nothing from its silence. ``source_sha256`` (hex) is the digest of the file
    that it came in, which is what repeats it: it stands as ``input_sha256``, while ``bundle_sha256`` is empty, for the
    weights were never seen. The algorithm's own words, or the set's label, name the model.

    A case that hears this opinion must not hold the same set among its ``annotation_sets``: it would confirm itself.
    Raises NotApplicable ``not-an-algorithm`` for a reader's set, ``not-read`` for one that says it looked at nothing,
    ValueError for a threshold or a confidence outside [0, 1].
    """
    if annotation_set.kind is not SetKind.ALGORITHM:
        raise NotApplicable(
            "not-an-algorithm",
            "Only an algorithm's labels can be taken as a model's opinion; these are a reader's.",
            subjects=(annotation_set.set_id,),
        )
    if not annotation_set.read:
        raise NotApplicable("not-read", "The algorithm was not run on this series.", subjects=(annotation_set.set_id,))
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"a threshold lies between 0 and 1, not at {threshold}")
    algorithm = annotation_set.algorithm
    candidates = [
        _candidate(finding, threshold)
        for finding in sorted(annotation_set.findings, key=lambda finding: finding.finding_id)
        if finding.category.is_nodule and _says_where(finding)
    ]
    return Prediction(
        model=ModelIdentity(
            name=(algorithm.name if algorithm is not None else "") or annotation_set.reader_label,
            version=algorithm.version if algorithm is not None else "",
            bundle_sha256="",
        ),
        input_sha256=source_sha256,
        backend=IMPORTED_BACKEND,
        threshold=threshold,
        candidates=tuple(sorted(candidates, key=lambda candidate: -candidate.probability)),
        outlines=(),
        validated_diameters_mm=None,
        sensitivity_by_diameter=(),
        seconds=0.0,
    )


def _says_where(finding: Finding) -> bool:
    try:
        centre_of(finding)
    except NotApplicable:
        return False
    return True


def _candidate(finding: Finding, threshold: float) -> Candidate:
    confidence = threshold if finding.confidence is None else finding.confidence
    if not 0.0 <= confidence <= 1.0:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
    if finding.mask is not None:
        diameter: float | None = measure(finding.mask).equivalent_diameter_mm
    else:
        diameter = 2.0 * radius_of(finding) or None
    return Candidate(centre_mm=centre_of(finding), diameter_mm=diameter, probability=confidence, mask=finding.mask)
