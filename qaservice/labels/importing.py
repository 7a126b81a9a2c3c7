"""Bringing the annotation files of a delivery to the series that they describe; each file ends with its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from compliance.recording import SYSTEM, change
from imaging.errors import UnreadableFile
from imaging.geometry.header import SliceHeader
from imaging.geometry.series import SeriesGeometry
from imaging.readers.lidc import SOURCE_FORMAT as LIDC_FORMAT
from imaging.readers.lidc import LidcDocument, parse_lidc_xml, place_lidc_document
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.segmentation import read_segmentation
from imaging.readers.series import read_header
from imaging.types import AnnotationImport
from qaservice.labels.models import AnnotationSet
from qaservice.labels.services import import_annotations
from qaservice.projects.models import Project
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, store_blobs
from qaservice.studies.models import AnnotationFile, Ingest, Instance, Outcome, Series, Study
from qaservice.studies.reading import Judged
from qaservice.studies.selectors import accepted_series, grid_of, sop_instance_uids_of
from qaservice.studies.storing import WORKER_REASON, record_items, store_annotation_instance

REASON = "annotation file of an announced delivery"


@dataclass(frozen=True, slots=True)
class _Found:
    """What one file turned out to be: labels for a series, or an outcome without any."""

    outcome: Outcome
    code: str = ""
    message: str = ""
    uid: str = ""
    series: Series | None = None
    labels: AnnotationImport | None = None
    header: SliceHeader | None = None
    keep_bytes: bool = False


def import_file(*, ingest: Ingest, file: AnnotationFile, simulated: bool, fence: Callable[[], None]) -> None:
    """Import one annotation file and write its outcome, in one transaction; running it again does nothing twice.

    ``fence`` is called inside the transaction and raises if another worker has taken over.
    """
    data = read_blob(file.sha256)
    found = _read_lidc(ingest.project, file, data) if file.kind == "lidc-xml" else _read_seg(ingest.project, file, data)
    blob = BlobItem(sha256=file.sha256, size=file.size, media_type=file.media_type)
    judged = Judged(file.name, file.kind, file.sha256, found.outcome, found.code, found.message, found.uid)
    with transaction.atomic():
        fence()
        with change(
            "ingest.files-judged",
            actor=SYSTEM,
            reason=WORKER_REASON,
            subject=("ingest", str(ingest.pk)),
            project_key=ingest.project.key,
            payload={"files": 1},
        ):
            if found.series is not None and found.labels is not None:
                import_annotations(
                    series=found.series,
                    annotation_import=found.labels,
                    source=blob,
                    simulated=simulated,
                    actor=SYSTEM,
                    reason=REASON,
                )
                if found.header is not None and found.outcome == Outcome.STORED:
                    _keep_instance(ingest.project, found.series.study, found.header, blob)
            elif found.keep_bytes:
                store_blobs(items=[blob])
            record_items(ingest=ingest, files=[judged])
        AnnotationFile.objects.filter(pk=file.pk).delete()


def _read_lidc(project: Project, file: AnnotationFile, data: bytes) -> _Found:
    try:
        document = parse_lidc_xml(data)
    except UnreadableFile as error:
        return _Found(Outcome.REFUSED, error.code, error.message)
    if document.modality == "chest-x-ray":
        return _Found(Outcome.IGNORED, "chest-x-ray", "readings of a chest X-ray; this service checks labels on CT")
    series = _series_of(project, document)
    if series is None:
        return _Found(
            Outcome.REFUSED,
            "images-not-held",
            f"the file describes a series that is not held here ({document.series_instance_uid or 'not named'}); "
            "ingest its images first",
        )
    if series.grid is None:
        return _Found(Outcome.REFUSED, "series-refused", "the geometry gate refused the series that the file describes")
    others = AnnotationSet.objects.filter(series=series, source_format=LIDC_FORMAT)
    other = others.exclude(source_id=file.sha256).first()
    if other is not None:
        return _Found(
            Outcome.QUARANTINED,
            "readings-already-held",
            f"the series already has readings from another file: held SHA-256 {other.source_id}, arrived SHA-256 "
            f"{file.sha256}; the held readings were not changed",
            keep_bytes=True,
        )
    if others.filter(source_id=file.sha256).exists():
        return _Found(Outcome.DUPLICATE, "already-held", "the same bytes are already held")
    return _taken(series, place_lidc_document(document, _geometry(series)), header=None)


def _series_of(project: Project, document: LidcDocument) -> Series | None:
    rows = Series.objects.select_related("project", "study").filter(project=project)
    named = rows.filter(series_instance_uid=document.series_instance_uid).first()
    if named is not None:
        return named
    # Some files name another series than the one whose images they mark; the images decide.
    uids = {
        roi.sop_instance_uid
        for session in document.sessions
        for nodule in (*session.nodules, *session.non_nodules)
        for roi in nodule.rois
    }
    instance = Instance.objects.filter(project=project, sop_instance_uid__in=sorted(uids)[:500]).first()
    return None if instance is None else rows.filter(series_instance_uid=instance.series_instance_uid).first()


def _read_seg(project: Project, file: AnnotationFile, data: bytes) -> _Found:
    try:
        header = read_header(data, CT_READ_LIMITS)
        known = Instance.objects.filter(project=project, sop_instance_uid=header.sop_instance_uid).first()
        if known is not None:
            return _already(known, file, header)
        candidates = [
            series
            for series in accepted_series(project).select_related("project")
            if series.study.study_instance_uid == header.study_instance_uid
        ]
        if not candidates:
            message = "no accepted series of the study that the segmentation describes is held here"
            return _Found(Outcome.REFUSED, "images-not-held", message, header.sop_instance_uid)
        results = [(series, read_segmentation(data, _geometry(series))) for series in candidates]
    except UnreadableFile as error:
        return _Found(Outcome.REFUSED, error.code, error.message, file.uid)
    # A study may hold several series; the label fits the one on which something of it could be placed.
    series, labels = next(((one, result) for one, result in results if result.annotation_sets), results[0])
    return _taken(series, labels, header=header)


def _already(known: Instance, file: AnnotationFile, header: SliceHeader) -> _Found:
    uid = header.sop_instance_uid
    if known.blob_id == file.sha256:
        return _Found(Outcome.DUPLICATE, "already-held", "the same bytes are already held", uid)
    message = (
        f"the same SOP Instance UID is already held with other bytes: held SHA-256 {known.blob_id}, arrived SHA-256 "
        f"{file.sha256}; the held instance was not changed"
    )
    return _Found(Outcome.QUARANTINED, "same-uid-other-bytes", message, uid, keep_bytes=True)


def _taken(series: Series, labels: AnnotationImport, *, header: SliceHeader | None) -> _Found:
    uid = "" if header is None else header.sop_instance_uid
    reasons = " ".join(rejection.message for rejection in labels.rejections)
    if not labels.annotation_sets:
        code = labels.rejections[0].code if labels.rejections else "no-labels"
        return _Found(Outcome.REFUSED, code, reasons or "the file holds no labels", uid, series, labels, header)
    findings = sum(len(one.findings) for one in labels.annotation_sets)
    message = f"{len(labels.annotation_sets)} annotation sets with {findings} findings"
    if not labels.rejections:
        return _Found(Outcome.STORED, "", message, uid, series, labels, header)
    message = f"{message}; not taken or remarked on ({len(labels.rejections)}): {reasons}"
    return _Found(Outcome.STORED, "taken-with-remarks", message, uid, series, labels, header)


def _keep_instance(project: Project, study: Study, header: SliceHeader, blob: BlobItem) -> None:
    store_annotation_instance(
        project=project,
        blob=blob,
        study=study,
        series_uid=header.series_instance_uid,
        uids=(header.sop_instance_uid, header.sop_class_uid),
        modality=header.modality[:16],
    )


def _geometry(series: Series) -> SeriesGeometry:
    return SeriesGeometry(grid_of(series), series.series_instance_uid, sop_instance_uids_of(series))
