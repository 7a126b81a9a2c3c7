"""Labels arrive, readers are identified, and guidelines, corrections and dataset versions are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from compliance.recording import Actor, change
from imaging.types import AnnotationImport, Grid, Rejection
from imaging.types import AnnotationSet as ImagingSet
from qaservice.accounts.models import User
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.common.transitions import amend
from qaservice.labels.models import AnnotationSet, ReaderIdentity, SetKind
from qaservice.labels.recording import NewFinding, Said, add_findings
from qaservice.labels.reference import correct_reference
from qaservice.labels.selectors import REFUSED_LABEL, is_refused
from qaservice.labels.shapes import stored_finding
from qaservice.labels.versions import fix_dataset_version, publish_guideline
from qaservice.projects.models import Project
from qaservice.storage.services import BlobItem, store_blobs
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of

__all__ = [
    "correct_reference",
    "fix_dataset_version",
    "identify_reader",
    "import_annotations",
    "prepare_import",
    "publish_guideline",
    "record_import",
    "without",
]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImport:
    """What one annotation file gave on one series, measured and with its masks on disk, ready to be recorded.

    ``source`` is what the labels came in, ``enclosed`` the files it lists where it is a list of several.
    """

    series: Series
    labels: AnnotationImport
    source: BlobItem
    enclosed: tuple[BlobItem, ...]
    findings: Mapping[str, list[NewFinding]]

    @property
    def count(self) -> int:
        """Number of findings over all sets."""
        return sum(len(findings) for findings in self.findings.values())


def without(prepared: PreparedImport, outlines: frozenset[str]) -> PreparedImport:
    """Return an import without the findings whose masks have one of these digests, and without sets of nothing else."""
    labels, findings = [], {}
    for one in prepared.labels.annotation_sets:
        pairs = [
            (finding, new)
            for finding, new in zip(one.findings, prepared.findings[one.set_id], strict=True)
            if new.shape.mask is None or new.shape.mask.sha256 not in outlines
        ]
        if pairs or not one.findings:
            labels.append(replace(one, findings=tuple(finding for finding, _ in pairs)))
            findings[one.set_id] = [new for _, new in pairs]
    return replace(prepared, labels=replace(prepared.labels, annotation_sets=tuple(labels)), findings=findings)


def prepare_import(
    *, series: Series, annotation_import: AnnotationImport, source: BlobItem, enclosed: tuple[BlobItem, ...] = ()
) -> PreparedImport:
    """Measure the findings of a file and write their masks to disk, before the transaction that records them.

    Raises Conflict ``series-refused`` where the series has no volume.
    """
    grid = grid_of(series)
    findings = {
        one.set_id: _prepare(one, annotation_import.source_format, grid) for one in annotation_import.annotation_sets
    }
    return PreparedImport(series, annotation_import, source, enclosed, findings)


def import_annotations(
    *,
    series: Series,
    annotation_import: AnnotationImport,
    source: BlobItem,
    simulated: bool,
    actor: Actor,
    reason: str,
) -> list[AnnotationSet]:
    """Measure and record what one annotation file gave on one series: ``prepare_import``, then ``record_import``."""
    prepared = prepare_import(series=series, annotation_import=annotation_import, source=source)
    return record_import(prepared=prepared, simulated=simulated, actor=actor, reason=reason)


def record_import(*, prepared: PreparedImport, simulated: bool, actor: Actor, reason: str) -> list[AnnotationSet]:
    """Write what one annotation file gave on one series, with the bytes it came in, in one change.

    A set that was read without findings becomes a row without findings. A file of which nothing could be taken
    becomes one row with ``read`` False that holds the reasons, so that the refusal itself can be looked into.
    Returns the rows; those of an earlier import of the same bytes where there was one.
    Raises NotPermitted for simulated labels in a regulated project.
    """
    series, annotation_import, source = prepared.series, prepared.labels, prepared.source
    if simulated and series.project.regulated:
        raise NotPermitted("labels of simulated readers are refused in a regulated project", code="simulated-refused")
    known = list(AnnotationSet.objects.filter(series=series, source_id=source.sha256).order_by("reader_label"))
    # A source that was refused may be tried again; refused once more, it keeps the row that it has.
    if any(not is_refused(row) for row in known) or (known and not annotation_import.annotation_sets):
        return known
    rows = {
        one.set_id: _set_row(series, one, annotation_import, source, simulated)
        for one in annotation_import.annotation_sets
    }
    _tell_apart(list(rows.values()))
    row_of_source = {set_id: str(row.pk) for set_id, row in rows.items()}
    for one in annotation_import.annotation_sets:
        for finding, new in zip(one.findings, prepared.findings[one.set_id], strict=True):
            row_of_source[finding.finding_id] = str(new.id)
    shares = _shares(annotation_import)
    with change(
        "annotations.imported",
        actor=actor,
        reason=reason,
        subject=("series", str(series.pk)),
        project_key=series.project.key,
        payload={
            "source_sha256": source.sha256,
            "source_format": annotation_import.source_format,
            "sets": len(annotation_import.annotation_sets),
            "findings": sum(len(findings) for findings in prepared.findings.values()),
            "rejections": [rejection.code for rejection in annotation_import.rejections],
        },
    ):
        store_blobs(items=[source, *prepared.enclosed])
        for one in annotation_import.annotation_sets:
            row = rows[one.set_id]
            row.rejections = [_rejection(item, row_of_source) for item in shares[one.set_id]]
            row.save()
            add_findings(annotation_set=row, findings=prepared.findings[one.set_id])
        return list(rows.values()) or [_refused(series, annotation_import, source, simulated)]


def identify_reader(*, project: Project, reader_label: str, user: User, actor: Actor, reason: str) -> ReaderIdentity:
    """Say which account a reader named in a source is, so that nobody judges their own label (REQ-16).

    Raises Conflict ``no-such-reader`` where no annotation set of the project names that reader.
    """
    if not AnnotationSet.objects.filter(project=project, reader_label=reader_label).exists():
        raise Conflict("no annotation set of this project names that reader", code="no-such-reader")
    known = ReaderIdentity.objects.filter(project=project, reader_label=reader_label).first()
    if known is not None and known.user_id == user.pk:
        return known
    with change(
        "reader.identified",
        actor=actor,
        reason=reason,
        subject=("user", str(user.pk)),
        project_key=project.key,
        payload={"reader_label": reader_label},
    ):
        if known is not None:
            return amend(known, expected_revision=known.revision, changes={"user_id": user.pk})
        identity = ReaderIdentity(project=project, reader_label=reader_label, user=user)
        identity.save()
    return identity


def _prepare(annotation_set: ImagingSet, source_format: str, grid: Grid) -> list[NewFinding]:
    return [
        NewFinding(
            category=finding.category.value,
            shape=stored_finding(finding, grid),
            origin=f"{annotation_set.reader_label} ({source_format})",
            source_label=finding.source_label,
            source_tracking_uid=finding.tracking_uid,
            said=Said(
                characteristics=finding.characteristics,
                attributes=finding.attributes,
                reported=finding.measurements,
                confidence=finding.confidence,
            ),
        )
        for finding in annotation_set.findings
    ]


def _set_row(
    series: Series, one: ImagingSet, annotation_import: AnnotationImport, source: BlobItem, simulated: bool
) -> AnnotationSet:
    return AnnotationSet(
        project=series.project,
        series=series,
        kind=one.kind.value,
        reader_label=one.reader_label[:200],
        simulated=simulated,
        read=one.read,
        source_format=annotation_import.source_format,
        source_id=source.sha256,
        algorithm=asdict(one.algorithm) if one.algorithm is not None else {},
        case_probabilities=dict(one.case_probabilities),
    )


def _tell_apart(rows: list[AnnotationSet]) -> None:
    """Number the readers of one file who go by one name: a set is known by its series, its source and its reader."""
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.reader_label] = seen.get(row.reader_label, 0) + 1
        if seen[row.reader_label] > 1:
            row.reader_label = f"{row.reader_label[:190]} ({seen[row.reader_label]})"


def _shares(annotation_import: AnnotationImport) -> dict[str, list[Rejection]]:
    """Give each rejection to the set whose finding it names; what concerns the whole file goes to the first set."""
    set_ids = [one.set_id for one in annotation_import.annotation_sets]
    shares: dict[str, list[Rejection]] = {set_id: [] for set_id in set_ids}
    for rejection in annotation_import.rejections:
        named = next(
            (
                set_id
                for set_id in set_ids
                if any(part == set_id or part.startswith(f"{set_id}/") for part in rejection.subjects)
            ),
            None,
        )
        if named is not None:
            shares[named].append(rejection)
        elif set_ids:
            shares[set_ids[0]].append(rejection)
    return shares


def _rejection(rejection: Rejection, row_of_source: dict[str, str]) -> dict[str, object]:
    subjects = [_row_name(subject, row_of_source) for subject in rejection.subjects]
    return {"code": rejection.code, "message": rejection.message, "subjects": subjects}


def _row_name(subject: str, row_of_source: dict[str, str]) -> str:
    """Name a set or finding by its row; one that was refused altogether has none, and keeps its name within its set."""
    if subject in row_of_source:
        return row_of_source[subject]
    set_id, slash, rest = subject.partition("/")
    return f"{row_of_source[set_id]}/{rest}" if slash and set_id in row_of_source else subject


def _refused(series: Series, annotation_import: AnnotationImport, source: BlobItem, simulated: bool) -> AnnotationSet:
    row = AnnotationSet(
        project=series.project,
        series=series,
        # Nobody's reading: the labels of this source were not taken, so they count for no reader.
        kind=SetKind.ALGORITHM,
        reader_label=f"{REFUSED_LABEL} ({annotation_import.source_format})",
        simulated=simulated,
        read=False,
        source_format=annotation_import.source_format,
        source_id=source.sha256,
        rejections=[_rejection(item, {}) for item in annotation_import.rejections],
    )
    row.save()
    return row
