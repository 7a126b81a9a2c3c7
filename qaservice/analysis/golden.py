"""The golden set: accepted series whose truth a project vouches for, on which models are measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from compliance.recording import Actor, change
from imaging.evaluation.froc import Truth
from imaging.masks.boxes import box_diameter_mm
from imaging.types import Category
from qaservice.analysis.models import GoldenCase
from qaservice.common.errors import Conflict, InvalidInput, NotFound, Unavailable
from qaservice.common.transitions import amend
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision, SetKind
from qaservice.labels.selectors import manifest_of
from qaservice.labels.services import fix_dataset_version
from qaservice.labels.shapes import box_of_revision
from qaservice.projects.models import Project
from qaservice.studies.models import Series, SeriesState

SYNTHETIC_MANUFACTURER = "SYNTHETIC"


def golden_cases(*, project: Project) -> QuerySet[GoldenCase]:
    """Return the cases of a project's golden set as it stands, by series."""
    return (
        GoldenCase.objects.filter(project=project, active=True)
        .select_related("series__study", "series__project", "dataset_version", "annotation_set")
        .order_by("series__series_instance_uid")
    )


def golden_digest(cases: Sequence[GoldenCase]) -> str:
    """Return SHA-256 (hex) over a golden set: the series, the digest of its images and of its truth, case by case."""
    rows = sorted([one.series.series_instance_uid, one.series.input_digest, one.truth_sha256] for one in cases)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def truths_of(case: GoldenCase) -> tuple[Truth, ...]:
    """Return the truth of a golden case as it was frozen.

    Nodules of 3 mm and more are to be found; smaller ones and non-nodules are excluded findings, on which a hit is
    neither right nor wrong (LUNA16); other structures are nothing. Diameters are those of the ball of equal volume.
    Raises Unavailable ``golden-altered`` where what is stored is not what was frozen.
    """
    truths = _truths(_frozen(version=case.dataset_version, annotation_set=case.annotation_set))
    if _digest(truths) != case.truth_sha256:
        raise Unavailable("the truth of a golden case is not what it was when it was frozen", code="golden-altered")
    return truths


def add_golden_case(
    *,
    series: Series,
    annotation_set: AnnotationSet,
    synthetic: bool,
    actor: Actor,
    reason: str,
    version: DatasetVersion | None = None,
) -> GoldenCase:
    """Mark an accepted series as a golden case with one of its annotation sets as the truth.

    The truth is frozen in ``version``, the dataset as it stands where none is given. ``synthetic`` says that it is a
    phantom; one that says so itself is marked in any case. Raises InvalidInput for a refused series, a set that is not
    the series', that read nothing or that an algorithm made, a nodule without a size; Conflict ``golden-already``
    where the series is in the golden set.
    """
    project = series.project
    if series.state == SeriesState.REFUSED:
        raise InvalidInput("the geometry gate refused this series; a golden case needs a volume", code="series-refused")
    if annotation_set.series_id != series.pk:
        raise InvalidInput("these labels belong to another series", code="set-of-another-series")
    if annotation_set.kind == SetKind.ALGORITHM or not annotation_set.read:
        raise InvalidInput(
            "the truth is a reader's set or the reference standard, and one that was read", code="unusable-truth"
        )
    if golden_cases(project=project).filter(series=series).exists():
        raise Conflict("this series is a golden case already; withdraw it first", code="golden-already")
    frozen = version or fix_dataset_version(project=project, note="golden set", actor=actor, reason=reason)
    if frozen.project_id != project.pk:
        raise InvalidInput("that dataset version is another project's", code="version-of-another-project")
    revisions = _frozen(version=frozen, annotation_set=annotation_set)
    truths = _truths(revisions)
    case = GoldenCase(
        project=project,
        series=series,
        dataset_version=frozen,
        annotation_set=annotation_set,
        truth_sha256=_digest(truths),
        nodules=sum(truth.included for truth in truths),
        synthetic=synthetic or series.acquisition.get("manufacturer") == SYNTHETIC_MANUFACTURER,
    )
    with change(
        "golden.added",
        actor=actor,
        reason=reason,
        subject=("series", str(series.pk)),
        project_key=project.key,
        payload={
            "dataset_version": frozen.number,
            "annotation_set": str(annotation_set.pk),
            "truth_sha256": case.truth_sha256,
            "nodules": case.nodules,
            "synthetic": case.synthetic,
        },
    ):
        case.save()
    return case


def withdraw_golden_case(*, case: GoldenCase, actor: Actor, reason: str) -> GoldenCase:
    """Take a case out of the golden set; what was measured on it stays, and models have to be measured anew."""
    if not case.active:
        raise Conflict("this case was withdrawn before", code="golden-withdrawn")
    with change(
        "golden.withdrawn",
        actor=actor,
        reason=reason,
        subject=("series", str(case.series_id)),
        project_key=case.project.key,
        payload={"truth_sha256": case.truth_sha256},
    ):
        return amend(case, expected_revision=case.revision, changes={"active": False})


def golden_case(*, project: Project, case_id: UUID | str) -> GoldenCase:
    """Return one case of a project's golden set. Raises NotFound."""
    case = golden_cases(project=project).filter(pk=case_id).first()
    if case is None:
        raise NotFound("there is no such golden case", code="no-such-golden-case")
    return case


def truth_set(*, series: Series, reader: str) -> AnnotationSet:
    """Return the annotation set of a series that ``reader`` names: a reader's label, or the reference standard.

    Raises NotFound ``no-such-set``, naming those there are, and InvalidInput ``set-ambiguous`` for several of a name.
    """
    rows = AnnotationSet.objects.filter(series=series, read=True).exclude(kind=SetKind.ALGORITHM)
    found = list(rows.filter(reader_label=reader))
    if not found:
        names = ", ".join(sorted(set(rows.values_list("reader_label", flat=True)))) or "none"
        raise NotFound(f"the series has no labels of that name; there are: {names}", code="no-such-set")
    if len(found) > 1:
        raise InvalidInput("several sources of that name labelled the series", code="set-ambiguous")
    return found[0]


def _frozen(*, version: DatasetVersion, annotation_set: AnnotationSet) -> list[FindingRevision]:
    """Return the revisions of a set's findings that stood in a dataset version."""
    wanted = str(annotation_set.pk)
    for series in manifest_of(version)["series"]:
        for entry in series["sets"]:
            if entry["id"] == wanted:
                return _revisions(entry["findings"])
    raise InvalidInput(f"{version} of the dataset does not hold these labels", code="set-not-in-version")


def _revisions(entries: Sequence[Mapping[str, Any]]) -> list[FindingRevision]:
    ids = [entry["revision_id"] for entry in entries if entry["present"]]
    rows = {str(row.pk): row for row in FindingRevision.objects.filter(pk__in=ids)}
    return [rows[str(key)] for key in ids]


def _truths(revisions: Sequence[FindingRevision]) -> tuple[Truth, ...]:
    truths = [_truth(one) for one in revisions if one.category != Category.STRUCTURE.value]
    return tuple(sorted(truths, key=lambda truth: (truth.centre_mm, truth.diameter_mm or 0.0)))


def _truth(revision: FindingRevision) -> Truth:
    included = revision.category == Category.NODULE_GE_3MM.value
    diameter = _diameter_mm(revision)
    if included and not diameter:
        raise InvalidInput(
            "a nodule of the truth is a point without a size, so that nothing could hit it", code="truth-without-size"
        )
    place = (revision.x_mm, revision.y_mm, revision.z_mm)
    return Truth(centre_mm=place, diameter_mm=diameter or None, included=included)


def _diameter_mm(revision: FindingRevision) -> float | None:
    box = box_of_revision(revision)
    if box is not None:
        return box_diameter_mm(box)
    volume_diameter = revision.measurement.get("equivalent_diameter_mm")
    return revision.diameter_mm if volume_diameter is None else float(volume_diameter)


def _digest(truths: Sequence[Truth]) -> str:
    rows = [
        [
            *(repr(part) for part in one.centre_mm),
            None if one.diameter_mm is None else repr(one.diameter_mm),
            one.included,
        ]
        for one in truths
    ]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
