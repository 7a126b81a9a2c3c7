"""Facts of series as the service keeps them: measured from a case, stored beside its result, read for a whole run."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from imaging.checks.out_of_distribution import ABSTAINED_TAG
from imaging.checks.rules_subjects import DAYS_TAG
from imaging.facts.measure import series_facts
from imaging.facts.serialise import facts_as_json, facts_from_json
from imaging.facts.types import DatasetFacts, SeriesFacts
from imaging.types import Case
from qaservice.analysis.dataset_models import SeriesFactsRow
from qaservice.analysis.models import AnalysisRun
from qaservice.labels.models import AnnotationSet, Guideline
from qaservice.projects.models import Project
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import BlobItem, store_blobs, write_bytes
from qaservice.studies.models import Series, Study

FACTS_MEDIA_TYPE = "application/json"

KEPT_TAGS = (
    "manufacturer",
    "model",
    "kernel",
    "kvp",
    "exposure_mas",
    "tube_current_ma",
    "reconstruction_diameter_mm",
    "contrast_agent",
    "body_part",
    "patient_position",
    "lossy_compression",
)
"""What of a series' acquisition goes into its facts: how the image was made, and nothing of whom or when."""

ANONYMOUS_READERS = frozenset({"lidc-xml"})
"""Formats in which "reader 1" is another person on every scan: no habit of a reader shows there."""


def measured_facts(*, case: Case, series: Series, abstained_because: str) -> SeriesFacts:
    """Return the facts of an analysed case. ``abstained_because``: why the QA model, being asked, had no opinion.

    The patient's key is that of the patient's first study here, so that it tells nothing and stays; a study without a
    patient stands for itself. Dates of studies enter as days since the first. Labels are dated by their delivery, and
    stand under the guideline that was in force then.
    """
    tags: dict[str, str | float] = {
        name: series.acquisition[name] for name in KEPT_TAGS if series.acquisition.get(name)
    }
    if case.volume.slice_thickness_mm is not None:
        tags["slice_thickness_mm"] = case.volume.slice_thickness_mm
    if abstained_because:
        tags[ABSTAINED_TAG] = abstained_because[:200]
    studies = _studies_of_patient(series.study)
    days = _days_since_first(series.study, studies)
    if days is not None:
        tags[DAYS_TAG] = days
    rows = {str(row.pk): row for row in AnnotationSet.objects.filter(series=series).select_related("event")}
    facts = series_facts(
        case=case,
        patient=str(studies[0].pk),
        split="",
        acquisition=tags,
        guideline="",
        marked_on={set_id: row.event.occurred_at.date().isoformat() for set_id, row in rows.items()},
    )
    guidelines = _guidelines(series.project, rows)
    anonymous = {set_id for set_id, row in rows.items() if row.source_format in ANONYMOUS_READERS}
    return replace(
        facts,
        findings=tuple(
            replace(
                one,
                guideline=guidelines.get(one.set_id, ""),
                reader_label="" if one.set_id in anonymous else one.reader_label,
            )
            for one in facts.findings
        ),
    )


def written_facts(facts: SeriesFacts) -> BlobItem:
    """Put facts into the blob directory, before the transaction that records them."""
    return write_bytes(data=facts_as_json(facts), media_type=FACTS_MEDIA_TYPE)


def keep_facts(*, run: AnalysisRun, series: Series, written: BlobItem) -> SeriesFactsRow:
    """Record written facts as those of a series in a run; inside a running change."""
    [blob] = store_blobs(items=[written])
    row = SeriesFactsRow(run=run, series=series, facts=blob)
    row.save()
    return row


def facts_of_run(run: AnalysisRun) -> DatasetFacts:
    """Return the facts of every series that a run has looked at, in order of their UID."""
    rows = SeriesFactsRow.objects.filter(run=run).select_related("series")
    return _read(rows.order_by("series__series_instance_uid"))


def newest_facts(*, project: Project) -> DatasetFacts:
    """Return what is known of a project's series: the newest facts of each, from whichever run looked last at it."""
    rows = SeriesFactsRow.objects.filter(run__project=project).select_related("series").order_by("run__number")
    newest = {row.series_id: row for row in rows}
    return _read(sorted(newest.values(), key=lambda row: row.series.series_instance_uid))


def _read(rows: Iterable[SeriesFactsRow]) -> DatasetFacts:
    return DatasetFacts(tuple(facts_from_json(read_blob(row.facts_id)) for row in rows))


def _studies_of_patient(study: Study) -> list[Study]:
    """Return a patient's studies in the order of their arrival; a study without a patient alone."""
    if not study.patient_key:
        return [study]
    rows = Study.objects.filter(project_id=study.project_id, patient_key=study.patient_key)
    return list(rows.order_by("event__occurred_at", "pk"))


def _days_since_first(study: Study, studies: Sequence[Study]) -> float | None:
    taken = [_date(one) for one in studies]
    own, known = _date(study), [date for date in taken if date is not None]
    return None if own is None or not known else float((own - min(known)).days)


def _date(study: Study) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(study.study_date, "%Y%m%d").replace(tzinfo=datetime.UTC).date()
    except ValueError:
        return None


def _guidelines(project: Project, rows: Mapping[str, AnnotationSet]) -> dict[str, str]:
    versions = list(Guideline.objects.filter(project=project).select_related("event").order_by("number"))
    found = {}
    for set_id, row in rows.items():
        before = [one for one in versions if one.event.occurred_at <= row.event.occurred_at]
        if before:
            found[set_id] = str(before[-1].number)
    return found
