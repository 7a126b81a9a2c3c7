"""Studies as they arrived: every file's outcome, every instance's bytes, every series' geometry verdict."""

from __future__ import annotations

from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from qaservice.projects.models import Project
from qaservice.storage.models import Blob


class IngestState(models.TextChoices):
    OPEN = "open", "open for instances"
    RECEIVED = "received", "received"
    RUNNING = "running", "running"
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"


class Outcome(models.TextChoices):
    STORED = "stored", "stored"
    DUPLICATE = "duplicate", "already held, same bytes"
    QUARANTINED = "quarantined", "kept apart"
    REFUSED = "refused", "refused"
    IGNORED = "ignored", "not a study file"


class SeriesState(models.TextChoices):
    ACCEPTED = "accepted", "accepted"
    WARNED = "accepted-with-warning", "accepted with warning"
    REFUSED = "refused", "refused by the geometry gate"


class Ingest(VersionedModel):
    """One delivery: a directory, an archive or an upload."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="ingests")
    source_name = models.CharField(max_length=200, help_text="name of the folder or file, without its path")
    source_path = models.CharField(max_length=1000, blank=True, help_text="where the worker reads it; empty when done")
    state = models.CharField(max_length=16, choices=IngestState.choices, default=IngestState.RECEIVED)
    simulated = models.BooleanField(default=False, help_text="its labels were made by simulated readers")
    summary = models.JSONField(default=dict, help_text="number of files by outcome")
    failure = models.CharField(max_length=500, blank=True)
    retry_of = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="retries", help_text="whose kept files it tries again"
    )

    def __str__(self) -> str:
        return f"{self.source_name} ({self.state})"


class IngestItem(WriteOnceModel):
    """What became of one file of a delivery."""

    ingest = models.ForeignKey(Ingest, on_delete=models.PROTECT, related_name="items")
    name = models.CharField(max_length=500, help_text="path inside the delivery")
    sha256 = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=30, help_text="what the file turned out to be")
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    code = models.CharField(max_length=60, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    uid = models.CharField(max_length=64, blank=True, help_text="SOP Instance UID where one was read")
    original_sha256 = models.CharField(
        max_length=64, blank=True, help_text="digest of the file as it arrived, where it was de-identified"
    )
    kept = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="+", null=True, help_text="the bytes of a file kept apart"
    )
    retry_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="retries")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ingest", "name"], name="ingest_item_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"


class AnnotationFile(OperationalModel):
    """An annotation file of a delivery that waits for its images; gone once its item says what became of it."""

    ingest = models.ForeignKey(Ingest, on_delete=models.PROTECT, related_name="annotation_files")
    name = models.CharField(max_length=500)
    kind = models.CharField(max_length=30)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100)
    uid = models.CharField(max_length=64, blank=True, help_text="SOP Instance UID where one was read")
    original_sha256 = models.CharField(
        max_length=64, blank=True, help_text="digest of the file as it arrived, where it was de-identified"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ingest", "name"], name="annotation_file_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Study(WriteOnceModel):
    """A DICOM study within a project."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="studies")
    study_instance_uid = models.CharField(max_length=64)
    patient_key = models.CharField(max_length=64, help_text="Patient ID as received; groups a patient's studies")
    study_date = models.CharField(max_length=8, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "study_instance_uid"], name="study_once")]

    def __str__(self) -> str:
        return self.study_instance_uid


class RemovalCause(models.TextChoices):
    WITHDRAWN = "withdrawn", "consent was withdrawn"
    DISPOSED = "disposed", "the time of keeping is over"


class PixelRemoval(WriteOnceModel):
    """From this event on nobody reads the pixel data of a study; what else is known of it stays."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="pixel_removal")
    cause = models.CharField(max_length=16, choices=RemovalCause.choices)

    def __str__(self) -> str:
        return f"pixel data of {self.study_id}: {self.cause}"


class IdentityKey(WriteOnceModel):
    """The secret by which one project replaces identities, encrypted under the site's key; never changed, or files
    that arrive again would come out otherwise."""

    project = models.OneToOneField(Project, on_delete=models.PROTECT, related_name="+")
    sealed = models.CharField(max_length=200)
    site_key = models.CharField(max_length=16, help_text="which site key opens it: the beginning of that key's SHA-256")

    class Meta:
        verbose_name = "identity key"

    def __str__(self) -> str:
        return f"identity key of {self.project_id}"


class CrosswalkPage(WriteOnceModel):
    """What stands behind the pseudonyms that one step of an ingest gave, encrypted under the site's key."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    ingest = models.ForeignKey(Ingest, on_delete=models.PROTECT, related_name="+")
    entries = models.PositiveIntegerField()
    sealed = models.TextField()
    site_key = models.CharField(max_length=16, help_text="which site key opens it: the beginning of that key's SHA-256")

    def __str__(self) -> str:
        return f"{self.entries} crosswalk entries of {self.project_id}"


class Series(VersionedModel):
    """A DICOM series with the geometry gate's verdict on it."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="series")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="series")
    series_instance_uid = models.CharField(max_length=64)
    modality = models.CharField(max_length=16)
    frame_of_reference_uid = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=24, choices=SeriesState.choices)
    verdict = models.JSONField(default=list, help_text="the gate's findings: code, message, SOP Instance UIDs")
    instance_count = models.PositiveIntegerField()
    grid = models.JSONField(
        null=True, help_text="shape, affine and slices in order, numbers as strings, where the gate accepted a volume"
    )
    input_digest = models.CharField(max_length=64, help_text="Merkle root over (SOP Instance UID, SHA-256)")
    acquisition = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "series_instance_uid"], name="series_once")]
        verbose_name_plural = "series"

    def __str__(self) -> str:
        return self.series_instance_uid


class Instance(WriteOnceModel):
    """One DICOM instance: its identity and its bytes."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="instances")
    series_instance_uid = models.CharField(max_length=64, db_index=True)
    sop_instance_uid = models.CharField(max_length=64)
    sop_class_uid = models.CharField(max_length=64)
    modality = models.CharField(max_length=16)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    original_sha256 = models.CharField(
        max_length=64, blank=True, help_text="digest of the file as it arrived, where it was de-identified"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "sop_instance_uid"], name="instance_once")]

    def __str__(self) -> str:
        return self.sop_instance_uid
