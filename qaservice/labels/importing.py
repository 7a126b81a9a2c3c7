"""Bringing the label files of a delivery to the series that they describe; each file ends with its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from compliance.recording import SYSTEM, change
from imaging.errors import UnreadableFile
from imaging.geometry.header import SliceHeader
from imaging.readers.formats import ReadContext
from imaging.readers.label_files import is_dicom
from imaging.types import AnnotationImport
from qaservice.labels.combining import ONE_IMAGE_KINDS, FileLabels, combined, digests_held, list_of
from qaservice.labels.described import Described
from qaservice.labels.image_names import series_beside
from qaservice.labels.models import AnnotationSet
from qaservice.labels.reading import LabelReader
from qaservice.labels.selectors import is_refused
from qaservice.labels.services import PreparedImport, prepare_import, record_import, without
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem
from qaservice.studies.models import AnnotationFile, Ingest, Instance, Outcome, Series, Study
from qaservice.studies.reading import Judged
from qaservice.studies.storing import WORKER_REASON, record_items, store_annotation_instance

REASON = "annotation file of an announced delivery"

READ_FIRST = ("dicom-sr",)
"""Reports come before the segmentations that they measure, whose outlines they bring in with what is said of them."""

_READINGS_ONCE = frozenset({"lidc-xml"})
"""Formats of which one file holds all readings of a series: a second file would count every reader twice."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What one file turned out to be: labels for series, or an outcome without any."""

    outcome: Outcome
    code: str = ""
    message: str = ""
    uid: str = ""
    imports: tuple[PreparedImport, ...] = ()
    header: SliceHeader | None = None
    study: Study | None = None


def in_order(files: Sequence[AnnotationFile]) -> list[AnnotationFile]:
    """Return files in the order in which they are read: reports first, then by kind and name."""
    return sorted(files, key=lambda file: (file.kind not in READ_FIRST, file.kind, file.name))


def import_files(
    *, ingest: Ingest, files: Sequence[AnnotationFile], simulated: bool, fence: Callable[[], None]
) -> Iterator[int]:
    """Import the label files of a delivery and write their outcomes; give the number of files done after each step.

    One transaction a file, and for files of one image each one for all that describe a series. Running it again does
    nothing twice. ``fence`` is called inside each transaction and raises if another worker has taken over.
    """
    done = 0
    with LabelReader(ingest.project, waiting=files) as reader:
        for file in in_order(files):
            if file.kind not in ONE_IMAGE_KINDS:
                _finish(ingest, [(file, _read(reader, ingest, file))], simulated, fence)
                done += 1
                yield done
        for kind in sorted(ONE_IMAGE_KINDS):
            for group in _grouped(reader, [file for file in in_order(files) if file.kind == kind]):
                _finish(ingest, group, simulated, fence)
                done += len(group)
                yield done


def _finish(
    ingest: Ingest, files: Sequence[tuple[AnnotationFile, _Found]], simulated: bool, fence: Callable[[], None]
) -> None:
    """Write what files gave and what became of them, in one transaction."""
    with transaction.atomic():
        fence()
        with change(
            "ingest.files-judged",
            actor=SYSTEM,
            reason=WORKER_REASON,
            subject=("ingest", str(ingest.pk)),
            project_key=ingest.project.key,
            payload={"files": len(files)},
        ):
            for file, found in files:
                for prepared in found.imports:
                    record_import(prepared=prepared, simulated=simulated, actor=SYSTEM, reason=REASON)
                if found.header is not None and found.outcome == Outcome.STORED and found.study is not None:
                    _keep_instance(found.study, found.header, file)
            record_items(ingest=ingest, files=[_judged(file, found) for file, found in files])
        AnnotationFile.objects.filter(pk__in=[file.pk for file, _ in files]).delete()


def _judged(file: AnnotationFile, found: _Found) -> Judged:
    return Judged(
        file.name,
        file.kind,
        file.sha256,
        found.outcome,
        found.code,
        found.message,
        found.uid or file.uid,
        kept=_blob_of(file),
        original_sha256=file.original_sha256,
    )


def _read(reader: LabelReader, ingest: Ingest, file: AnnotationFile) -> _Found:
    """Read one file for every series that it describes. No transaction is open here."""
    data = read_blob(file.sha256)
    header: SliceHeader | None = None
    try:
        if is_dicom(file.kind):
            header = reader.header(data)
            known = Instance.objects.filter(project=ingest.project, sop_instance_uid=header.sop_instance_uid).first()
            if known is not None:
                return _already(known, file, header)
        other = reader.other_subject(file, data)
        if other:
            return _Found(Outcome.IGNORED, "chest-x-ray", other, file.uid)
        described, context = reader.described(file, data)
        series = [one for one in described.series if one.grid is not None]
        if not series:
            return _nowhere(described, header)
        held = [one for one in series if _is_held(one, file.sha256)]
        if held and (len(held) == len(series) or not described.certain):
            return _Found(Outcome.DUPLICATE, "already-held", "the same bytes are already held", file.uid)
        twice = next((found for one in series if (found := _second_readings(one, file)) is not None), None)
        if twice is not None:
            return twice
        imports = [
            prepare_import(series=one, annotation_import=labels, source=_blob_of(file))
            for one, labels in _labels(reader, file, data, described, context)
            if one not in held
        ]
        if file.kind == "dicom-seg" and header is not None:
            return _beside_reports(reader, imports, described, header)
    except UnreadableFile as error:
        return _Found(Outcome.REFUSED, error.code, error.message, file.uid)
    return _taken(imports, described, header)


def _beside_reports(
    reader: LabelReader, imports: Sequence[PreparedImport], described: Described, header: SliceHeader
) -> _Found:
    """Leave out of a segmentation what reports brought in from it: else each of its readers would count twice."""
    left: list[PreparedImport] = []
    known = 0
    for one in imports:
        rest = without(one, reader.outlines_in_reports(one.series, header.sop_instance_uid))
        known += one.count - rest.count
        if rest.labels.annotation_sets or not one.labels.annotation_sets:
            left.append(rest)
    if not known:
        return _taken(imports, described, header)
    message = f"{_counted(known, 'finding')} came in with the report that measures this segmentation"
    study = imports[0].series.study
    if not left:
        return _Found(Outcome.STORED, "", message, header.sop_instance_uid, (), header, study)
    rest_found = _taken(left, described, header)
    return replace(rest_found, message=f"{rest_found.message}; {message}", study=study)


def _labels(
    reader: LabelReader, file: AnnotationFile, data: bytes, described: Described, context: ReadContext
) -> list[tuple[Series, AnnotationImport]]:
    """Return what a file says of each series it names; of those it merely may mean, the one on which it fits."""
    series = [one for one in described.series if one.grid is not None]
    if described.certain and described.several:
        return [(one, reader.labels(file, data, one, context)) for one in series]
    read = [(one, reader.labels(file, data, one, context)) for one in series]
    fitting = [(one, labels) for one, labels in read if labels.annotation_sets]
    if len(fitting) > 1 and not described.certain:
        # Phases of one scan share their grid: a mask that names no image fits all of them, and belongs to one.
        beside = series_beside(file, [one for one, _ in fitting])
        if beside is None:
            named = ", ".join(one.series_instance_uid for one, _ in fitting[:3])
            raise UnreadableFile(
                "several-series-fit",
                f"The label names no image and fits {len(fitting)} series alike ({named}): put it into the folder of "
                "the one that it was drawn on, or name that series in its file name, and send it again.",
            )
        fitting = [(one, labels) for one, labels in fitting if one == beside]
    return fitting[:1] or read[:1]


def _nowhere(described: Described, header: SliceHeader | None) -> _Found:
    uid = "" if header is None else header.sop_instance_uid
    if described.series:
        message = "the geometry gate refused the series that the file describes, so there is no volume to place it in"
        return _Found(Outcome.REFUSED, "series-refused", message, uid)
    what = described.unknown or "images that it does not name"
    message = f"the file describes images that are not held here ({what}); send the images, then try it again"
    return _Found(Outcome.REFUSED, "images-not-held", message, uid)


def _already(known: Instance, file: AnnotationFile, header: SliceHeader) -> _Found:
    uid = header.sop_instance_uid
    if known.blob_id == file.sha256:
        return _Found(Outcome.DUPLICATE, "already-held", "the same bytes are already held", uid)
    message = (
        f"the same SOP Instance UID is already held with other bytes: held SHA-256 {known.blob_id}, arrived SHA-256 "
        f"{file.sha256}; the held instance was not changed"
    )
    return _Found(Outcome.QUARANTINED, "same-uid-other-bytes", message, uid)


def _is_held(series: Series, sha256: str) -> bool:
    """Return whether a series has labels from these bytes; a source that was refused may be tried again."""
    return any(not is_refused(row) for row in AnnotationSet.objects.filter(series=series, source_id=sha256))


def _second_readings(series: Series, file: AnnotationFile) -> _Found | None:
    if file.kind not in _READINGS_ONCE:
        return None
    rows = AnnotationSet.objects.filter(series=series, source_format=file.kind).exclude(source_id=file.sha256)
    other = next((row for row in rows if not is_refused(row)), None)
    if other is None:
        return None
    return _Found(
        Outcome.QUARANTINED,
        "readings-already-held",
        f"the series already has readings from another file: held SHA-256 {other.source_id}, arrived SHA-256 "
        f"{file.sha256}; the held readings were not changed",
    )


def _taken(imports: Sequence[PreparedImport], described: Described, header: SliceHeader | None) -> _Found:
    """Say in one sentence what a file gave and what was not taken of it."""
    uid = "" if header is None else header.sop_instance_uid
    rejections = [rejection for one in imports for rejection in one.labels.rejections]
    reasons = " ".join(dict.fromkeys(rejection.message for rejection in rejections))
    sets = [annotation_set for one in imports for annotation_set in one.labels.annotation_sets]
    if not sets:
        code = rejections[0].code if rejections else "no-labels"
        return _Found(Outcome.REFUSED, code, reasons or "the file holds no labels", uid, tuple(imports), header)
    study = imports[0].series.study
    findings = sum(len(one.findings) for one in sets)
    message = f"{_counted(len(sets), 'annotation set')} with {_counted(findings, 'finding')}"
    if len(imports) > 1:
        message += f" on {len(imports)} series"
    if described.unknown:
        message += f"; not held here: {described.unknown}"
    if not rejections:
        code = "part-not-held" if described.unknown else ""
        return _Found(Outcome.STORED, code, message, uid, tuple(imports), header, study)
    message = f"{message}; not taken or remarked on ({len(rejections)}): {reasons}"
    return _Found(Outcome.STORED, "taken-with-remarks", message, uid, tuple(imports), header, study)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _grouped(reader: LabelReader, files: Sequence[AnnotationFile]) -> Iterator[list[tuple[AnnotationFile, _Found]]]:
    """Give files of one image each in groups: those that describe a series together, the others alone."""
    of_series: dict[Series, list[FileLabels]] = {}
    held: dict[Series, frozenset[str]] = {}
    for file in files:
        data = read_blob(file.sha256)
        try:
            described, context = reader.described(file, data)
            series = next((one for one in described.series if one.grid is not None), None)
            if series is None:
                yield [(file, _nowhere(described, None))]
                continue
            if series not in held:
                held[series] = digests_held(series)
            if file.sha256 in held[series]:
                yield [(file, _Found(Outcome.DUPLICATE, "already-held", "the same bytes are already held"))]
                continue
            labels = reader.labels(file, data, series, context)
        except UnreadableFile as error:
            yield [(file, _Found(Outcome.REFUSED, error.code, error.message))]
            continue
        if not labels.annotation_sets:
            code = labels.rejections[0].code if labels.rejections else "no-labels"
            reasons = " ".join(rejection.message for rejection in labels.rejections)
            yield [(file, _Found(Outcome.REFUSED, code, reasons or "the file holds no labels"))]
            continue
        of_series.setdefault(series, []).append(FileLabels(file, labels))
    for series, together in of_series.items():
        prepared = prepare_import(
            series=series,
            annotation_import=combined(together),
            source=list_of(together),
            enclosed=tuple(_blob_of(one.file) for one in together),
        )
        everything = Described((series,), True)
        # The set is written with the first of its files; each of the others says what it gave to it.
        found = [_taken([replace(prepared, labels=one.labels)], everything, None) for one in together]
        yield [
            (one.file, replace(what, imports=(prepared,) if number == 0 else ()))
            for number, (one, what) in enumerate(zip(together, found, strict=True))
        ]


def _blob_of(file: AnnotationFile) -> BlobItem:
    return BlobItem(sha256=file.sha256, size=file.size, media_type=file.media_type)


def _keep_instance(study: Study, header: SliceHeader, file: AnnotationFile) -> None:
    store_annotation_instance(
        project=study.project,
        blob=_blob_of(file),
        study=study,
        series_uid=header.series_instance_uid,
        uids=(header.sop_instance_uid, header.sop_class_uid),
        modality=header.modality[:16],
        original_sha256=file.original_sha256,
    )
