"""Turning an analysed case into facts: numbers that outlive the image's stay in memory."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.errors import NotApplicable
from imaging.facts.appearance import EMBEDDING_VERSION, appearance
from imaging.facts.finding_features import finding_features
from imaging.facts.lungs import CoarseLungs, coarse_lungs
from imaging.facts.slice_hash import slice_hashes
from imaging.facts.types import FindingFacts, SeriesFacts
from imaging.masks.place import centre_of, radius_of
from imaging.types import AnnotationSet, Case, Finding

SLICES_COUNT = "slices_count"
SLICE_SPACING_MM = "slice_spacing_mm"
ROW_SPACING_MM = "row_spacing_mm"


def series_facts(
    *,
    case: Case,
    patient: str,
    split: str,
    acquisition: Mapping[str, str | float],
    guideline: str,
    marked_on: Mapping[str, str],
) -> SeriesFacts:
    """Return what is remembered of a case: its appearance, its slices' hashes, and every finding as numbers.

    ``patient`` is a pseudonym; ``acquisition`` what is known of how the image was made, to which the number of slices
    and the spacings are added; ``marked_on`` gives each set's date by its id. Findings of sets that read the case are
    taken, whatever their category; one without a place (nothing drawn) is left out. The result depends on the
    arguments alone. Cost does not grow with in-plane resolution beyond reading every voxel's slice once for its hash.
    """
    volume = case.volume
    lungs = coarse_lungs(volume)
    slices, rows, _columns = volume.grid.spacing_mm
    measured: dict[str, str | float] = {
        SLICES_COUNT: float(volume.grid.shape[0]),
        SLICE_SPACING_MM: round(slices, 4),
        ROW_SPACING_MM: round(rows, 4),
    }
    found = [
        _finding_facts(finding=finding, owner=owner, case=case, lungs=lungs, guideline=guideline, marked_on=marked_on)
        for owner in sorted(case.annotation_sets, key=lambda one: one.set_id)
        if owner.read
        for finding in owner.findings
    ]
    return SeriesFacts(
        series_instance_uid=volume.series_instance_uid,
        study_instance_uid=volume.study_instance_uid,
        patient=patient,
        split=split,
        acquisition={**acquisition, **measured},
        embedding_version=EMBEDDING_VERSION,
        embedding=appearance(volume=volume, lungs=lungs),
        slice_hashes=slice_hashes(volume.hounsfield),
        findings=tuple(one for one in found if one is not None),
    )


def _finding_facts(
    *,
    finding: Finding,
    owner: AnnotationSet,
    case: Case,
    lungs: CoarseLungs,
    guideline: str,
    marked_on: Mapping[str, str],
) -> FindingFacts | None:
    try:
        place = centre_of(finding)
    except NotApplicable:
        return None
    diameter = 2.0 * radius_of(finding)
    return FindingFacts(
        set_id=owner.set_id,
        reader_label=owner.reader_label,
        finding_id=finding.finding_id,
        category=finding.category,
        place_mm=(round(place[0], 3), round(place[1], 3), round(place[2], 3)),
        diameter_mm=round(diameter, 4) if diameter > 0 else None,
        features=finding_features(finding=finding, case=case, lungs=lungs),
        characteristics=dict(sorted(finding.characteristics.items())),
        guideline=guideline,
        marked_on=marked_on.get(owner.set_id, ""),
        tracking_uid=finding.tracking_uid,
    )
