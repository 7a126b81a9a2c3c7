"""A delivery whose worker is stopped between two series, or loses its lease: what is stored stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance.recording import SYSTEM
from qaservice.jobs.errors import LostLease
from qaservice.jobs.models import Job
from qaservice.jobs.registry import JobContext
from qaservice.jobs.runner import drain, run_job
from qaservice.projects.models import Project
from qaservice.studies.models import AnnotationFile, Ingest, IngestItem, Instance, Series, Study
from qaservice.studies.services import announce_ingest
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import series_files, written_to

UIDS = [f"{SERIES}.{number}" for number in (101, 102, 103)]


@pytest.fixture
def announced(project: Project, tmp_path: Path) -> Ingest:
    folder = tmp_path / "in"
    for uid in UIDS:
        written_to(folder, series_files(series=uid))
    written_to(folder, {"readings.xml": b"<LidcReadMessage>", "notes.txt": b"hello"})
    return announce_ingest(
        project=project, source_path=folder, source_name="in", actor=SYSTEM, reason="a test hands it in"
    )


def counts() -> tuple[int, int, int]:
    return Series.objects.count(), Instance.objects.count(), IngestItem.objects.count()


@pytest.mark.parametrize("accident", [RuntimeError, LostLease])
def test_whole_series_stay_and_the_successor_goes_on_with_the_others(
    announced: Ingest, monkeypatch: pytest.MonkeyPatch, accident: type[Exception]
) -> None:
    calls: list[int] = []
    fence = JobContext.fence

    def failing(self: JobContext) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise accident
        fence(self)

    monkeypatch.setattr(JobContext, "fence", failing)
    job = Job.objects.get(kind="studies.ingest")
    assert run_job(job.pk, "first") == ("requeued" if accident is RuntimeError else "lost")
    assert counts() == (1, 5, 5), "one whole series with its outcomes, and nothing of the second"
    if accident is LostLease:
        Job.objects.filter(pk=job.pk).update(state="queued")
    drain(project_key="lung-1", on_progress=lambda progress: None)
    announced.refresh_from_db()
    assert announced.state == "completed"
    assert counts() == (3, 15, 17) and Study.objects.count() == 1 and not AnnotationFile.objects.exists()
    assert announced.summary == {"stored": 15, "duplicate": 0, "quarantined": 0, "refused": 1, "ignored": 1}
    assert list(Series.objects.values_list("revision", flat=True)) == [1, 1, 1]


def test_the_end_of_a_delivery_is_reached_once(announced: Ingest) -> None:
    drain(project_key="lung-1", on_progress=lambda progress: None)
    announced.refresh_from_db()
    before, revision = counts(), announced.revision
    Job.objects.update(state="queued")
    drain(project_key="lung-1", on_progress=lambda progress: None)
    announced.refresh_from_db()
    assert (counts(), announced.revision) == (before, revision)
    assert set(Job.objects.values_list("state", flat=True)) == {"done"}
