"""Jobs: the truth about long work. Operational, outside history; a job is never evidence."""

from __future__ import annotations

import uuid

from django.db import models

from compliance.base import OperationalModel


class JobState(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


class Job(OperationalModel):
    """One step of work. Whoever holds the lease and the current fencing token may write its result."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60, help_text="name in the registry of executors")
    subject_id = models.CharField(max_length=100, help_text="key of the row that the job works on")
    project_key = models.CharField(max_length=40, blank=True)
    dedupe_key = models.CharField(max_length=200, unique=True, help_text="a step is inserted once, however often asked")
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    fencing_token = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    woken_at = models.DateTimeField(null=True, help_text="when a message last told the workers of it")
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_note = models.CharField(max_length=200, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "created_at"], name="job_queue")]
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id} ({self.state})"


class Attempt(OperationalModel):
    """One try at a job by one worker, kept for the operator."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=40, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"
