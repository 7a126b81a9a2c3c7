"""Jobs: one worker at a time, nothing twice, nothing lost, and a late worker's result refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from compliance.recording import SYSTEM, record_event
from qaservice.common import clock
from qaservice.common.errors import Conflict, InvalidInput, NotFound
from qaservice.jobs import dispatch, leases, reaper, registry
from qaservice.jobs.errors import LostLease
from qaservice.jobs.models import Attempt, Job, JobState
from qaservice.jobs.registry import JobContext, executor
from qaservice.jobs.runner import drain, run_job, wait_for_workers
from qaservice.jobs.selectors import ProjectProgress, progress_of
from qaservice.jobs.services import enqueue, request_cancel, retry
from qaservice.jobs.tasks import tick, work
from qaservice.projects.models import Project
from qaservice.projects.services import create_project

pytestmark = pytest.mark.django_db

Body = Callable[[JobContext], None]


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Body], str]]:
    """Register an executor for one test; its subject's end without a result is noted in ``stopped``."""
    monkeypatch.setattr(registry, "_executors", dict(registry._executors))

    def register(body: Body) -> str:
        name = f"test.{uuid.uuid4().hex}"
        executor(name)(body)
        return name

    yield register


def job_of(kind_name: str, *, dedupe: str = "once", project_key: str = "p") -> Job:
    return enqueue(kind=kind_name, subject_id="1", project_key=project_key, dedupe_key=dedupe)


def complete(context: JobContext) -> None:
    with transaction.atomic():
        context.complete()


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_expires_at=clock.now() - timedelta(seconds=1))


def test_a_step_asked_for_twice_is_one_job(kind: Callable[[Body], str]) -> None:
    name = kind(complete)
    assert job_of(name).pk == job_of(name).pk
    assert Job.objects.count() == 1


def test_a_job_run_twice_does_its_work_once(kind: Callable[[Body], str]) -> None:
    done: list[str] = []

    def body(context: JobContext) -> None:
        done.append(context.subject_id)
        complete(context)

    job = job_of(kind(body))
    assert work(str(job.pk)) == "done"
    assert work(str(job.pk)) == "not-claimed"
    job.refresh_from_db()
    assert done == ["1"] and job.state == JobState.DONE and job.attempt == 1
    assert [attempt.outcome for attempt in Attempt.objects.all()] == ["done"]


def test_of_two_workers_one_gets_the_job(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(complete))
    first = leases.claim(job_id=job.pk, owner="one")
    assert first is not None and first.token == 1
    assert leases.claim(job_id=job.pk, owner="two") is None


def test_a_message_for_a_job_that_is_gone_does_no_harm() -> None:
    assert run_job(uuid.uuid4(), "worker") == "not-claimed"


@pytest.mark.requirement("REQ-14")
def test_the_result_of_a_worker_given_up_for_dead_is_refused(kind: Callable[[Body], str]) -> None:
    project = create_project(key="late", title="before", actor=SYSTEM, reason="a test needs one")

    def body(context: JobContext) -> None:
        expire(context.job)
        assert reaper.reap() == (1, 0)
        second = leases.claim(job_id=context.job.pk, owner="successor")
        assert second is not None
        with transaction.atomic():
            create_project(key="written-late", title="x", actor=SYSTEM, reason="a late worker writes")
            context.complete()

    job = job_of(kind(body))
    assert run_job(job.pk, "slow") == "lost"
    job.refresh_from_db()
    assert job.state == JobState.RUNNING and job.lease_owner == "successor"
    assert list(Project.objects.values_list("key", flat=True)) == [project.key], "the late result rolled back"


def test_a_worker_whose_lease_was_taken_hears_of_it_at_its_next_report(kind: Callable[[Body], str]) -> None:
    def body(context: JobContext) -> None:
        expire(context.job)
        reaper.reap()
        context.progress(1, 2, "going on")
        pytest.fail("the report must stop the work")

    assert run_job(job_of(kind(body)).pk, "slow") == "lost"


def test_a_part_of_the_result_is_fenced_too(kind: Callable[[Body], str]) -> None:
    def body(context: JobContext) -> None:
        with transaction.atomic():
            context.fence()
        expire(context.job)
        reaper.reap()
        with pytest.raises(LostLease), transaction.atomic():
            context.fence()
        raise LostLease

    assert run_job(job_of(kind(body)).pk, "slow") == "lost"


def test_an_expired_lease_goes_back_to_the_queue_until_the_attempts_are_used_up(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(complete))
    for attempt in (1, 2, 3):
        lease = leases.claim(job_id=job.pk, owner=f"dies-{attempt}")
        assert lease is not None
        assert reaper.reap() == (0, 0), "a living lease is left alone"
        expire(job)
        assert reaper.reap() == ((1, 0) if attempt < 3 else (0, 1))
    job.refresh_from_db()
    assert job.state == JobState.FAILED and job.error_code == "lease-expired"
    assert {attempt.outcome for attempt in Attempt.objects.all()} == {"lease expired"}


def test_the_subject_is_told_when_its_job_ends_without_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_executors", dict(registry._executors))
    told: list[tuple[str, str]] = []

    def note(job: Job) -> None:
        told.append((job.state, job.error))

    @executor("test.told", on_stopped=note)
    def body(context: JobContext) -> None:
        raise InvalidInput("this cannot be read", code="unreadable")

    job = job_of("test.told")
    assert run_job(job.pk, "worker") == "failed"
    job.refresh_from_db()
    assert told == [("failed", "this cannot be read")] and job.error_code == "unreadable"
    assert job.attempt == 1, "what was said on purpose is not tried again"


def test_a_subject_that_cannot_be_told_does_not_keep_its_job_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_executors", dict(registry._executors))

    def broken(job: Job) -> None:
        raise RuntimeError("no")

    @executor("test.broken", on_stopped=broken)
    def body(context: JobContext) -> None:
        raise InvalidInput("this cannot be read")

    job = job_of("test.broken")
    assert run_job(job.pk, "worker") == "failed"
    job.refresh_from_db()
    assert job.state == JobState.FAILED


def test_an_accident_is_tried_again_and_its_text_is_not_kept(
    kind: Callable[[Body], str], caplog: pytest.LogCaptureFixture
) -> None:
    name = "^".join(["Doe", "Jane"])  # so that the source line in a traceback does not hold it

    def body(context: JobContext) -> None:
        raise KeyError(name)

    job = job_of(kind(body))
    assert [run_job(job.pk, "worker") for _ in range(3)] == ["requeued", "requeued", "failed"]
    job.refresh_from_db()
    assert job.state == JobState.FAILED and "unexpected KeyError in test_jobs.py" in job.error
    assert name not in job.error and name not in caplog.text


def test_an_executor_that_stores_nothing_is_an_error(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(lambda context: None))
    assert run_job(job.pk, "worker") == "failed"
    job.refresh_from_db()
    assert job.error_code == "never-completed"


def test_a_job_of_an_unknown_kind_fails_in_the_end() -> None:
    job = job_of("test.nobody-does-this")
    assert [run_job(job.pk, "worker") for _ in range(3)][-1] == "failed"


def test_a_queued_job_is_cancelled_at_once(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(complete))
    assert request_cancel(job_id=job.pk).state == JobState.CANCELLED
    assert run_job(job.pk, "worker") == "not-claimed"
    assert retry(job_id=job.pk).state == JobState.QUEUED
    assert run_job(job.pk, "worker") == "done"


def test_a_running_job_is_cancelled_at_its_next_report(kind: Callable[[Body], str]) -> None:
    def body(context: JobContext) -> None:
        request_cancel(job_id=context.job.pk)
        context.progress(1, 2, "going on")

    job = job_of(kind(body))
    assert run_job(job.pk, "worker") == "cancelled"
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_a_dead_workers_job_that_was_to_be_cancelled_is_not_run_again(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(complete))
    leases.claim(job_id=job.pk, owner="dies")
    request_cancel(job_id=job.pk)
    expire(job)
    assert reaper.reap() == (0, 0)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_only_an_ended_job_can_be_asked_for_again(kind: Callable[[Body], str]) -> None:
    job = job_of(kind(complete))
    with pytest.raises(Conflict):
        retry(job_id=job.pk)
    run_job(job.pk, "worker")
    with pytest.raises(Conflict):
        retry(job_id=job.pk)
    with pytest.raises(NotFound):
        retry(job_id=uuid.uuid4())
    assert request_cancel(job_id=job.pk).state == JobState.DONE


def test_a_worker_told_to_stop_hands_its_job_back_without_using_up_an_attempt(kind: Callable[[Body], str]) -> None:
    seen: list[int] = []

    def body(context: JobContext) -> None:
        seen.append(context.job.attempt)
        if len(seen) == 1:
            registry.stopping.set()
            context.progress(1, 2, "going on")
        complete(context)

    job = job_of(kind(body))
    try:
        assert run_job(job.pk, "stopped") == "requeued"
    finally:
        registry.stopping.clear()
    assert run_job(job.pk, "successor") == "done"
    assert seen == [1, 1]
    assert [attempt.number for attempt in Attempt.objects.order_by("number")] == [1, 2]


def test_progress_is_reported_but_not_at_every_call(kind: Callable[[Body], str]) -> None:
    def body(context: JobContext) -> None:
        for number in range(50):
            context.progress(number, 50, "counting")
        shown.append(progress_of("p"))
        complete(context)

    shown: list[ProjectProgress] = []
    job = job_of(kind(body))
    run_job(job.pk, "worker")
    [progress] = shown
    assert progress.active == 1 and progress.running[0].done == 0 and progress.note == "counting (0/50)"
    job.refresh_from_db()
    assert job.progress_done == job.progress_total == 50


def test_parts_of_a_result_are_stored_only_inside_a_transaction(
    kind: Callable[[Body], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(kind(complete))
    lease = leases.claim(job_id=job.pk, owner="worker")
    assert lease is not None
    context = JobContext(job=job, lease=lease, on_progress=None)
    monkeypatch.setattr(registry, "connection", type("Autocommit", (), {"in_atomic_block": False}))
    for call in (context.complete, context.fence):
        with pytest.raises(RuntimeError, match="inside the transaction"):
            call()


def test_draining_does_all_work_and_what_that_work_asks_for(kind: Callable[[Body], str]) -> None:
    second = kind(complete)

    def body(context: JobContext) -> None:
        with transaction.atomic():
            job_of(second, dedupe="second")
            context.complete()

    job_of(kind(body), dedupe="first")
    job_of(kind(complete), dedupe="elsewhere", project_key="another")
    reports: list[ProjectProgress] = []
    drain(project_key="p", on_progress=reports.append)
    assert reports[-1].done == 2 and reports[-1].open == 0 and reports[-1].total == 2
    assert progress_of("another").queued == 1
    wait_for_workers(project_key="p", on_progress=reports.append)


def test_draining_takes_over_from_a_worker_that_died(
    kind: Callable[[Body], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qaservice.jobs.runner.SECONDS_BETWEEN_TICKS", 0.0)
    job = job_of(kind(complete))
    leases.claim(job_id=job.pk, owner="dies")
    expire(job)
    drain(project_key="p", on_progress=lambda progress: None)
    job.refresh_from_db()
    assert job.state == JobState.DONE and job.attempt == 2


def test_a_wake_up_is_sent_when_the_transaction_commits_and_not_before(
    kind: Callable[[Body], str],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(dispatch.app, "send_task", lambda name, args, **options: sent.append([name, *args]))
    with django_capture_on_commit_callbacks(execute=True):
        job = job_of(kind(complete))
        assert sent == []
    assert sent == [[dispatch.WORK, str(job.pk)]]
    job.refresh_from_db()
    assert job.woken_at is not None


def test_a_lost_wake_up_is_sent_again_by_the_tick(kind: Callable[[Body], str], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def send(name: str, args: list[str], **options: object) -> None:
        sent.append(args[0])
        if len(sent) == 1:
            raise ConnectionError("the broker is away")

    monkeypatch.setattr(dispatch.app, "send_task", send)
    job = job_of(kind(complete))
    assert dispatch.wake(job_id=job.pk) is False
    assert reaper.tick().woken == 1
    assert reaper.tick().woken == 0, "a fresh wake-up is given time"
    Job.objects.filter(pk=job.pk).update(woken_at=clock.now() - reaper.WAKE_UP_PATIENCE - timedelta(seconds=1))
    tick()
    assert sent == [str(job.pk)] * 3


def test_a_round_seals_and_publishes_and_goes_on_where_the_ledger_cannot_be_signed(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    record_event("storage.derived-cleared", actor=SYSTEM, reason="a test", subject=("storage", "derived"))
    assert reaper.tick().sealed >= 1
    (checkpoint,) = Path(settings.CHECKPOINT_DIR).glob("*.checkpoint")
    settings.CHECKPOINT_SECONDS = 0
    record_event("storage.derived-cleared", actor=SYSTEM, reason="a test", subject=("storage", "derived"))
    Path(settings.LEDGER_KEY_FILE).unlink()
    assert reaper.tick().sealed == 1
    assert "could not be sealed and published" in caplog.text
    assert list(Path(settings.CHECKPOINT_DIR).glob("*.checkpoint")) == [checkpoint]


def test_two_executors_cannot_claim_one_kind(kind: Callable[[Body], str]) -> None:
    name = kind(complete)
    with pytest.raises(ValueError, match="two executors"):
        executor(name)(lambda context: None)
