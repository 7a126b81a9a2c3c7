"""Labels of a dataset version out to a file that others read (REQ-03): an export, and recorded as such."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydicom.dataset import Dataset

from compliance.recording import Actor, record_event
from imaging.errors import NotApplicable, UnreadableFile, WriteMismatch
from imaging.geometry.series import SeriesGeometry
from imaging.readers.dataset import open_dataset
from imaging.readers.limits import CT_READ_LIMITS
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import SetKind as ImagingKind
from imaging.writers.contract import LabelledSeries, LabelWriter, Loss, WriteContext, Written
from imaging.writers.identity import content_uid
from imaging.writers.names import WRITTEN_FORMATS
from imaging.writers.release import RELEASE_TOLERANCE, release
from qaservice.common.errors import Conflict, InvalidInput, NotFound
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision, SetKind
from qaservice.labels.selectors import algorithm_of, latest_version, manifest_of
from qaservice.labels.shapes import finding_of_revision
from qaservice.projects.models import Project
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Instance, Series
from qaservice.studies.selectors import grid_of, sop_instance_uids_of

EXPORT_FORMAT = "label-qa label export, version 1"
MANIFEST_NAME = "manifest.json"
MANUFACTURER, MODEL = "Label QA", "label-qa"

Sets = Literal["reference", "readers"]
SETS: Mapping[str, frozenset[str]] = {
    "reference": frozenset({SetKind.REFERENCE}),
    "readers": frozenset({SetKind.READER, SetKind.ALGORITHM}),
}
"""The derived reference standard, or the sets as they came: readers' and algorithms', each under its own name."""

# Bytes of an archive depend on what is in it, not on when it was packed.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class LabelExport:
    """What one export wrote. ``sha256`` is that of the archive, ``not_written`` the series that could not be."""

    path: Path
    sha256: str
    version: int
    series: int
    files: int
    findings: int
    losses: Mapping[str, int]
    not_written: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Labelled:
    """One series of the version with the sets to be written; ``simulated`` are ids of sets by simulated readers."""

    series: Series
    annotation_sets: tuple[ImagingSet, ...]
    simulated: frozenset[str]


def writer_named(name: str) -> LabelWriter:
    """Return a format's writer. Raises InvalidInput ``unknown-format``."""
    if name not in WRITTEN_FORMATS:
        known = ", ".join(WRITTEN_FORMATS)
        raise InvalidInput(f"labels are not written as {name!r}; the formats are {known}", code="unknown-format")
    # The writers' libraries take half a second to load, which no other use of the service should wait for.
    from imaging.writers.registry import LABEL_WRITERS

    return LABEL_WRITERS[name]


def version_numbered(*, project: Project, number: int | None) -> DatasetVersion:
    """Return a project's dataset version, the newest where no number is given. Raises NotFound, Conflict."""
    if number is None:
        version = latest_version(project)
        if version is None:
            raise Conflict("the project has no dataset version yet: bring labels in first", code="no-dataset-version")
        return version
    found = DatasetVersion.objects.filter(project=project, number=number).first()
    if found is None:
        raise NotFound(f"there is no dataset version {number} in this project", code="no-such-version")
    return found


def export_labels(
    *,
    version: DatasetVersion,
    format_name: str,
    sets: Sets,
    path: Path,
    actor: Actor,
    reason: str,
    series_instance_uid: str | None = None,
    progress: Progress | None = None,
) -> LabelExport:
    """Write a dataset version's labels to a zip at ``path`` and record that they were handed out, with its SHA-256.

    Each series has a folder of its name; ``manifest.json`` says which file holds which sets, its digest, and what the
    format could not carry. Every file is read back and compared before it goes in. Timestamps and UIDs come from the
    version, so the same version gives the same bytes. A series without such labels, or that cannot be written, is
    named in the manifest. Not for use inside a transaction: it reads and writes files.
    Raises InvalidInput ``unknown-format``, NotFound ``no-such-series``, Conflict ``nothing-to-export`` or
    ``export-differs`` where something did not read back as it was meant; then nothing is left at ``path``.
    """
    writer = writer_named(format_name)
    entries = _chosen(version, series_instance_uid)
    written: list[dict[str, object]] = []
    refused: list[dict[str, str]] = []
    losses: Counter[str] = Counter()
    files = findings = 0
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for number, entry in enumerate(entries, start=1):
                if progress is not None:
                    progress(number - 1, len(entries), format_name)
                uid = str(entry["series_instance_uid"])
                result = _written(version, entry, sets, writer)
                if isinstance(result, str):
                    refused.append({"series_instance_uid": uid, "reason": result})
                    continue
                labelled, made = result
                for one in made.files:
                    _add(archive, f"{uid}/{one.name}", one.data)
                files += len(made.files)
                findings += sum(len(one.findings) for one in labelled.annotation_sets)
                losses.update(loss.kind.value for loss in made.losses)
                written.append(_series_entry(labelled, made))
            if not files:
                raise Conflict(
                    "nothing was written: no series of this version has such labels in a form that the format carries",
                    code="nothing-to-export",
                    details={"not_written": refused[:20]},
                )
            _add(archive, MANIFEST_NAME, _manifest(version, writer, sets, written, refused, losses))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if progress is not None:
        progress(len(entries), len(entries), format_name)
    export = LabelExport(
        path=path,
        sha256=_digest(path),
        version=version.number,
        series=len(written),
        files=files,
        findings=findings,
        losses=dict(sorted(losses.items())),
        not_written=tuple(refused),
    )
    record_event(
        "labels.exported",
        actor=actor,
        reason=reason,
        subject=("dataset-version", str(version.pk)),
        project_key=version.project.key,
        payload={
            "format": format_name,
            "sets": sets,
            "dataset_version": version.number,
            "series": export.series,
            "series_not_written": len(refused),
            "files": files,
            "findings": findings,
            "losses": dict(export.losses),
            "sha256": export.sha256,
        },
    )
    return export


def _chosen(version: DatasetVersion, series_instance_uid: str | None) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = manifest_of(version)["series"]
    if series_instance_uid is None:
        return entries
    chosen = [entry for entry in entries if entry["series_instance_uid"] == series_instance_uid]
    if not chosen:
        raise NotFound("this dataset version holds no labels of such a series", code="no-such-series")
    return chosen


def _written(
    version: DatasetVersion, entry: Mapping[str, Any], sets: Sets, writer: LabelWriter
) -> tuple[_Labelled, Written] | str:
    """What the writer made of one series, or the reason why it made nothing."""
    labelled = _labelled(version, entry, sets)
    if not labelled.annotation_sets:
        return "no such label sets"
    series = labelled.series
    uids = sop_instance_uids_of(series)
    context = WriteContext(
        manufacturer=MANUFACTURER,
        model_name=MODEL,
        software_version=_software_version(),
        device_serial_number=version.project.key,
        written_at=version.created_at,
        new_uid=content_uid,
    )
    try:
        made = release(
            writer=writer,
            labelled=LabelledSeries(
                image=SeriesGeometry(grid_of(series), series.series_instance_uid, uids),
                annotation_sets=labelled.annotation_sets,
                header=_header(series, uids[0]) if writer.needs_header else None,
            ),
            context=context,
            limits=CT_READ_LIMITS,
            tolerance=RELEASE_TOLERANCE,
        )
    except NotApplicable as error:
        return error.message
    except WriteMismatch as error:
        raise Conflict(
            f"nothing was released: {error.message}",
            code="export-differs",
            details={"series_instance_uid": series.series_instance_uid, "difference": error.code}
            | {"findings": list(error.subjects)},
        ) from error
    if not made.files:
        return "the format carries nothing of these labels"
    return labelled, made


def _labelled(version: DatasetVersion, entry: Mapping[str, Any], sets: Sets) -> _Labelled:
    series = Series.objects.select_related("study", "project").get(
        project_id=version.project_id, series_instance_uid=entry["series_instance_uid"]
    )
    grid, uids = grid_of(series), sop_instance_uids_of(series)
    chosen = [one for one in entry["sets"] if one["kind"] in SETS[sets]]
    rows = AnnotationSet.objects.in_bulk([one["id"] for one in chosen])
    by_id = {str(pk): row for pk, row in rows.items()}
    present = [finding["revision_id"] for one in chosen for finding in one["findings"] if finding["present"]]
    revisions = {
        str(row.pk): row
        for row in FindingRevision.objects.filter(pk__in=present).select_related("finding__annotation_set")
    }
    made = []
    for one in chosen:
        row = by_id[one["id"]]
        findings = []
        for stated in one["findings"]:
            revision = revisions.get(stated["revision_id"]) if stated["present"] else None
            if revision is not None:
                finding = finding_of_revision(revision, grid, uids)
                own = finding.tracking_uid or revision.finding.tracking_uid
                findings.append(replace(finding, tracking_uid=own))
        made.append(
            ImagingSet(
                set_id=one["id"],
                reader_label=f"{row.reader_label} (simulated)" if row.simulated else row.reader_label,
                kind=ImagingKind(row.kind),
                read=row.read,
                findings=tuple(findings),
                algorithm=algorithm_of(row),
                case_probabilities={name: float(value) for name, value in row.case_probabilities.items()},
            )
        )
    return _Labelled(series, tuple(made), frozenset(one["id"] for one in chosen if one["simulated"]))


def _header(series: Series, sop_instance_uid: str) -> Dataset:
    row = Instance.objects.get(project_id=series.project_id, sop_instance_uid=sop_instance_uid)
    try:
        return open_dataset(read_blob(row.blob_id), CT_READ_LIMITS, with_pixels=False).dataset
    except UnreadableFile as error:
        raise Conflict(f"an image of the series cannot be read again: {error.message}", code=error.code) from error


def _series_entry(labelled: _Labelled, made: Written) -> dict[str, object]:
    return {
        "series_instance_uid": labelled.series.series_instance_uid,
        "study_instance_uid": labelled.series.study.study_instance_uid,
        "sets": [
            {
                "id": one.set_id,
                "kind": one.kind.value,
                "reader": one.reader_label,
                "simulated": one.set_id in labelled.simulated,
                "findings": len(one.findings),
            }
            for one in labelled.annotation_sets
        ],
        "files": [
            {
                "name": f"{labelled.series.series_instance_uid}/{one.name}",
                "media_type": one.media_type,
                "sha256": hashlib.sha256(one.data).hexdigest(),
                "sets": list(one.set_ids),
                "findings": len(one.content),
                "read_back": one.read_as is not None,
            }
            for one in made.files
        ],
        "losses": [_loss_entry(loss) for loss in made.losses],
    }


def _loss_entry(loss: Loss) -> dict[str, str]:
    return {"kind": loss.kind.value, "set": loss.set_id, "finding": loss.finding_id, "message": loss.message}


def _manifest(
    version: DatasetVersion,
    writer: LabelWriter,
    sets: Sets,
    written: list[dict[str, object]],
    refused: list[dict[str, str]],
    losses: Counter[str],
) -> bytes:
    manifest = {
        "format": EXPORT_FORMAT,
        "labels": {"format": writer.name, "title": writer.title, "sets": sets},
        "project": version.project.key,
        "dataset_version": {
            "number": version.number,
            "manifest_sha256": version.manifest_id,
            "guideline": version.guideline.number,
        },
        "written_by": {"model": MODEL, "version": _software_version()},
        "losses": dict(sorted(losses.items())),
        "series": written,
        "not_written": refused,
    }
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _software_version() -> str:
    try:
        return metadata.version("label-qa")
    except metadata.PackageNotFoundError:
        return "unknown"
