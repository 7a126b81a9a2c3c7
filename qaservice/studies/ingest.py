"""Reading one delivery, in steps that may be repeated: judge every file, store series by series, hand on the labels."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from imaging.geometry.header import SliceHeader
from imaging.readers.limits import CT_READ_LIMITS
from qaservice.projects.models import Project
from qaservice.storage.services import BlobWriter, discard_unrecorded
from qaservice.studies import identity, looked_at, services, uploads
from qaservice.studies.ahead import run_ahead
from qaservice.studies.arrivals import Arrival, Held, sort_out
from qaservice.studies.assessment import SeriesAssessment, assess_series, gate_policy_of
from qaservice.studies.examining import Terms
from qaservice.studies.gathering import Gathering, in_order, likely_series
from qaservice.studies.kept import open_delivery
from qaservice.studies.models import AnnotationFile, Ingest, IngestItem, Instance, Series, SeriesState
from qaservice.studies.reading import Judged, judge_files, judge_seen
from qaservice.studies.sources import DELIVERY_LIMITS, Entry
from qaservice.studies.stored import inspect_stored
from qaservice.studies.storing import keeps_bytes, store_series
from qaservice.studies.withdrawn import TURNED_AWAY, removed_uids

Report = Callable[[int, int, str], None]

QUERY_CHUNK = 500
AWAY_WORDS = "the images of this study are held here no more, by withdrawal or disposition; its bytes were not kept"


def take_delivery(*, ingest: Ingest, report: Report, fence: Callable[[], None], complete: Callable[[], None]) -> None:
    """Read a delivery to the point where only its annotations are left. Running it again does nothing twice.

    A series is stored in one transaction with the outcomes of its files, so that a worker that dies leaves whole
    series behind, and its successor goes on with the others. While one is stored the next are being read. ``report``
    takes (done, total, note).
    """
    known = set(IngestItem.objects.filter(ingest=ingest).values_list("name", flat=True))
    known |= set(AnnotationFile.objects.filter(ingest=ingest).values_list("name", flat=True))
    with open_delivery(ingest) as entries, BlobWriter() as writer:
        report(0, len(entries), "reading files")
        new = [entry for entry in entries if entry.name not in known]
        likely = {entry.name: likely_series(entry) for entry in new}
        gathering = Gathering(likely)
        done = len(entries) - len(new)

        def store(series_uid: str, files: Sequence[Judged]) -> None:
            writer.settle()
            arrival, assessment = consider(ingest.project, series_uid, files)
            discard_unrecorded(file.sha256 for file in arrival.quarantined if file.code == TURNED_AWAY)
            store_series(
                ingest=ingest, series_instance_uid=series_uid, arrival=arrival, assessment=assessment, fence=fence
            )

        with closing(run_ahead(_judged(ingest, in_order(likely, new), writer))) as files:
            for file in files:
                done += 1
                report(done, len(entries), "reading files")
                for series_uid, together in gathering.add(file):
                    store(series_uid, together)
        for series_uid, together in gathering.remaining():
            report(done, len(entries), "checking geometry")
            store(series_uid, together)
    services.store_rest(ingest=ingest, files=gathering.rest, complete=complete)


def _judged(ingest: Ingest, entries: Sequence[Entry], writer: BlobWriter) -> Generator[Judged, None, None]:
    """Return a generator of judged files; what it needs of the database is read now, before it runs elsewhere."""
    own = uploads.is_pushed(ingest.source_path)
    terms = replace(terms_of(ingest.project, folder=writer.folder), own=own)
    seen = looked_at.recall(Path(ingest.source_path), terms) if own else {}

    def judged() -> Generator[Judged, None, None]:
        for entry in entries:
            if entry.name in seen:
                yield judge_seen(entry, seen[entry.name], writer)
        unseen = [entry for entry in entries if entry.name not in seen]
        with closing(judge_files(entries=unseen, terms=terms, writer=writer)) as files:
            yield from files

    return judged()


def terms_of(project: Project, *, folder: Path | None) -> Terms:
    """Return how the files of a project's deliveries are looked at; ``folder`` takes their bytes, None keeps none."""
    return Terms(
        limits=CT_READ_LIMITS,
        file_bytes=DELIVERY_LIMITS.file_bytes,
        folder=None if folder is None else str(folder),
        keep_refused=keeps_bytes(project),
        identity=identity.terms_for_a_trial(project) if folder is None else identity.terms_of(project),
    )


def of_series(files: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Return slices by the Series Instance UID that they give, in the order in which they came."""
    groups: dict[str, list[Judged]] = {}
    for file in files:
        if file.header is not None:
            groups.setdefault(file.header.series_instance_uid, []).append(file)
    return groups


def consider(project: Project, series_uid: str, files: Sequence[Judged]) -> tuple[Arrival, SeriesAssessment | None]:
    """Sort out what arrived of one series and judge it together with what is held. No transaction is open here."""
    series = Series.objects.select_related("study").filter(project=project, series_instance_uid=series_uid).first()
    removed = removed_uids(
        project=project, study_uids=[file.header.study_instance_uid for file in files if file.header]
    )
    wanted = [file for file in files if file.header is None or file.header.study_instance_uid not in removed]
    arrival = sort_out(
        files=wanted,
        held=_held(project, wanted),
        study_of_series=None if series is None else series.study.study_instance_uid,
    )
    if removed:
        away = [file.turned_away(TURNED_AWAY, AWAY_WORDS) for file in files if file not in wanted]
        arrival = replace(arrival, quarantined=(*arrival.quarantined, *away))
    if not arrival.new and (series is None or series.state != SeriesState.REFUSED or removed):
        return arrival, None
    headers: list[SliceHeader] = [file.header for file in arrival.new if file.header is not None]
    digests = {file.uid: file.sha256 for file in arrival.new}
    faults = {file.uid: file.pixel_fault for file in arrival.new if file.pixel_fault is not None}
    older = Instance.objects.filter(project=project, series_instance_uid=series_uid)
    held = dict(older.values_list("sop_instance_uid", "blob_id"))
    for uid, found in inspect_stored(held).items():
        headers.append(found.header)
        if found.pixel_fault is not None:
            faults[uid] = (found.pixel_fault.code, found.pixel_fault.message)
    return arrival, assess_series(
        headers=headers, digests=digests | held, pixel_faults=faults, policy=gate_policy_of(project)
    )


def _held(project: Project, files: Sequence[Judged]) -> dict[str, Held]:
    held: dict[str, Held] = {}
    for uids in _chunks([file.uid for file in files]):
        rows = Instance.objects.filter(project=project, sop_instance_uid__in=uids)
        for uid, sha256, study_uid, series_uid in rows.values_list(
            "sop_instance_uid", "blob_id", "study__study_instance_uid", "series_instance_uid"
        ):
            held[uid] = Held(sha256, study_uid, series_uid)
    return held


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, QUERY_CHUNK)):
        yield chunk
