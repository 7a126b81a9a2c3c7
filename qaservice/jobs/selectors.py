"""What is going on: jobs of a project and how far they are."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, QuerySet

from qaservice.jobs.models import Job, JobState


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One job as a progress bar shows it."""

    job_id: str
    kind: str
    subject_id: str
    state: str
    done: int
    total: int
    note: str
    error_code: str
    error: str


@dataclass(frozen=True, slots=True)
class ProjectProgress:
    """How far a project's work is. ``running`` and ``failed_jobs`` list those jobs; the rest are counted."""

    queued: int
    active: int
    done: int
    failed: int
    cancelled: int
    running: tuple[JobProgress, ...]
    failed_jobs: tuple[JobProgress, ...]

    @property
    def total(self) -> int:
        return self.queued + self.active + self.done + self.failed + self.cancelled

    @property
    def note(self) -> str:
        """What the first running job says that it is doing, with its counts; empty where none is running."""
        if not self.running:
            return ""
        first = self.running[0]
        return f"{first.note} ({first.done}/{first.total})" if first.total else first.note

    @property
    def ended(self) -> int:
        """Jobs that are at an end, however they ended."""
        return self.done + self.failed + self.cancelled

    @property
    def underway(self) -> float:
        """How much of the running jobs is done, in jobs."""
        return sum(job.done / job.total for job in self.running if job.total)

    @property
    def open(self) -> int:
        """Jobs that are not yet at an end."""
        return self.queued + self.active


def jobs_of(project_key: str) -> QuerySet[Job]:
    """Return a project's jobs, oldest first."""
    return Job.objects.filter(project_key=project_key).order_by("created_at", "id")


def progress_of(project_key: str) -> ProjectProgress:
    """Return how far a project's jobs are."""
    jobs = jobs_of(project_key)
    count = dict.fromkeys(JobState.values, 0)
    for row in jobs.order_by().values("state").annotate(number=Count("pk")):
        count[row["state"]] = row["number"]
    running = [_progress(job) for job in jobs.filter(state=JobState.RUNNING)]
    failed = [_progress(job) for job in jobs.filter(state=JobState.FAILED)]
    return ProjectProgress(
        queued=count[JobState.QUEUED],
        active=count[JobState.RUNNING],
        done=count[JobState.DONE],
        failed=count[JobState.FAILED],
        cancelled=count[JobState.CANCELLED],
        running=tuple(running),
        failed_jobs=tuple(failed),
    )


def _progress(job: Job) -> JobProgress:
    return JobProgress(
        job_id=str(job.pk),
        kind=job.kind,
        subject_id=job.subject_id,
        state=job.state,
        done=job.progress_done,
        total=job.progress_total,
        note=job.progress_note,
        error_code=job.error_code,
        error=job.error,
    )
