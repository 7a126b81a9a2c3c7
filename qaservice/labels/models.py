"""Labels as records. A reader's own set is a source: written once, never changed. The reference standard is derived."""

from __future__ import annotations

from django.db import models

from compliance.base import VersionedModel, WriteOnceModel
from qaservice.accounts.models import User
from qaservice.projects.models import Project
from qaservice.storage.models import Blob
from qaservice.studies.models import Series


class SetKind(models.TextChoices):
    READER = "reader", "reader"
    ALGORITHM = "algorithm", "algorithm"
    REFERENCE = "reference", "reference standard"


class Guideline(WriteOnceModel):
    """One version of the instructions under which a project labels (REQ-20)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="guidelines")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    text = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="guideline_number_once")]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"


class ReaderIdentity(VersionedModel):
    """Who a reader named in a source file is, so that nobody votes on their own label (REQ-16)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="reader_identities")
    reader_label = models.CharField(max_length=200)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "reader_label"], name="reader_identity_once")]

    def __str__(self) -> str:
        return f"{self.reader_label} is {self.user_id}"


class AnnotationSet(WriteOnceModel):
    """All labels of one reader, or one source, on one series, with the bytes they came in."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="annotation_sets")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="annotation_sets")
    kind = models.CharField(max_length=16, choices=SetKind.choices)
    reader_label = models.CharField(max_length=200)
    simulated = models.BooleanField(default=False, help_text="made by a simulated reader")
    read = models.BooleanField(help_text='tells "read, nothing found" from "not read"')
    source_format = models.CharField(max_length=40)
    source = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+", null=True)
    rejections = models.JSONField(default=list, help_text="what the source said that could not be taken, and why")
    algorithm = models.JSONField(default=dict, help_text="name and version, where an algorithm made the set")
    case_probabilities = models.JSONField(default=dict, help_text="class to probability, for the scan as a whole")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "source", "reader_label"], name="annotation_set_once"),
            models.UniqueConstraint(
                fields=["series"], condition=models.Q(kind="reference"), name="one_reference_standard_a_series"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reader_label} on {self.series_id}"


class Finding(WriteOnceModel):
    """The identity of one labelled thing; what is known of it stands in its revisions."""

    annotation_set = models.ForeignKey(AnnotationSet, on_delete=models.PROTECT, related_name="findings")
    tracking_uid = models.CharField(max_length=64, unique=True)
    source_label = models.CharField(max_length=200, blank=True)
    source_tracking_uid = models.CharField(
        max_length=64, blank=True, help_text="the source's own identity of the lesion across objects"
    )

    def __str__(self) -> str:
        return self.source_label or self.tracking_uid


class FindingRevision(WriteOnceModel):
    """What a finding is, at one revision. Exactly one of mask, sphere, box, point says where; millimetres are LPS."""

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    present = models.BooleanField(default=True, help_text="False: taken out of the reference standard")
    category = models.CharField(max_length=40)
    shape = models.CharField(
        max_length=8, choices=[("mask", "mask"), ("sphere", "sphere"), ("box", "box"), ("point", "point")]
    )
    mask = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+", null=True)
    x_mm = models.FloatField()
    y_mm = models.FloatField()
    z_mm = models.FloatField()
    diameter_mm = models.FloatField(null=True, help_text="sphere's diameter, or the longest axis of the mask")
    box = models.JSONField(null=True, help_text="two opposite outer corners of a box, LPS millimetres")
    measurement = models.JSONField(default=dict)
    reported = models.JSONField(default=list, help_text="numbers that the source gives, as given: name, value, unit")
    characteristics = models.JSONField(default=dict)
    attributes = models.JSONField(default=dict, help_text="what the source says in words: concept to value")
    confidence = models.FloatField(null=True, help_text="a prediction's own score, 0 to 1")
    origin = models.CharField(max_length=300, help_text="where the shape comes from, in words")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["finding", "number"], name="finding_revision_number_once"),
            models.CheckConstraint(
                condition=models.Q(shape="mask", mask__isnull=False)
                | (models.Q(mask__isnull=True) & ~models.Q(shape="mask")),
                name="finding_mask_where_shape_says_so",
            ),
            models.CheckConstraint(
                condition=models.Q(shape="box", box__isnull=False)
                | (models.Q(box__isnull=True) & ~models.Q(shape="box")),
                name="finding_box_where_shape_says_so",
            ),
            models.CheckConstraint(
                condition=models.Q(confidence__isnull=True)
                | (models.Q(confidence__gte=0) & models.Q(confidence__lte=1)),
                name="finding_confidence_is_a_probability",
            ),
            models.CheckConstraint(
                condition=~models.Q(shape="sphere") | models.Q(diameter_mm__gt=0), name="finding_sphere_has_a_diameter"
            ),
        ]
        ordering = ["finding", "number"]

    def __str__(self) -> str:
        return f"{self.finding_id} revision {self.number}"


class DatasetVersion(WriteOnceModel):
    """An immutable snapshot: which finding revisions, under which guideline."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="dataset_versions")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="+")
    manifest = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    series_count = models.PositiveIntegerField()
    finding_count = models.PositiveIntegerField()
    note = models.CharField(max_length=300)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="dataset_version_number_once")]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"version {self.number}"
