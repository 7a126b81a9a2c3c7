"""Projects: the frame in which labels are checked, and who may do what there."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from compliance.base import VersionedModel, WriteOnceModel
from qaservice.accounts.models import User


class ProjectState(models.TextChoices):
    ACTIVE = "active", "active"
    CLOSED = "closed", "closed"


class Role(models.TextChoices):
    READER = "reader", "reader"
    ADJUDICATOR = "adjudicator", "adjudicator"
    QA_LEAD = "qa_lead", "QA lead"
    INTEGRATOR = "integrator", "integrator"
    AUDITOR = "auditor", "auditor"


class IdentityPolicy(models.TextChoices):
    KEEP = "keep", "keep identities as received"
    DEIDENTIFY = "de-identify", "de-identify what arrives (PS3.15 Annex E basic profile)"
    REFUSE = "refuse", "refuse files that identify a person"


class CrosswalkPolicy(models.TextChoices):
    NOT_KEPT = "not-kept", "do not keep what stands behind pseudonyms"
    KEPT = "kept", "keep it encrypted, for manage.py reidentify"


class LeakagePolicy(models.TextChoices):
    REFUSE = "refuse", "do not let a model look at data of its training"
    MARK = "mark", "let it look, and mark what it says as not independent wherever it is shown"


class Project(VersionedModel):
    """One quality-assurance project with its protocol."""

    key = models.CharField(max_length=40, unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")])
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=ProjectState.choices, default=ProjectState.ACTIVE)
    regulated = models.BooleanField(default=False, help_text="refuses simulated actors and SQLite")
    required_votes = models.PositiveSmallIntegerField(help_text="readers asked for each flag")
    agreeing_votes = models.PositiveSmallIntegerField(help_text="agreeing final verdicts that settle a flag")
    size_convention = models.CharField(
        max_length=40, default="LIDC: longest axis", help_text="convention by which size classes are named"
    )
    identity_policy = models.CharField(max_length=16, choices=IdentityPolicy.choices, default=IdentityPolicy.KEEP)
    crosswalk_policy = models.CharField(
        max_length=8,
        choices=CrosswalkPolicy.choices,
        default=CrosswalkPolicy.NOT_KEPT,
        help_text="whether what stands behind pseudonyms is kept, where the project de-identifies",
    )
    gate_policy = models.JSONField(
        default=dict,
        blank=True,
        help_text="geometry finding to 'accept', 'warn' or 'quarantine', where not the default",
    )
    label_terms = models.JSONField(
        default=dict, blank=True, help_text="a source's label name to the category it means, where not the default"
    )

    fitness_threshold = models.JSONField(
        default=dict,
        blank=True,
        help_text="what a QA model must reach on the golden set; until it is set every model is unproven",
    )
    leakage_policy = models.CharField(
        max_length=8,
        choices=LeakagePolicy.choices,
        default=LeakagePolicy.REFUSE,
        help_text="what becomes of data that a QA model was trained on",
    )

    training_policy = models.JSONField(
        default=dict,
        blank=True,
        help_text="a role to the trainings without which it sleeps; a regulated project asks for one of every role",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                # A majority: otherwise two opposite outcomes could both settle.
                condition=models.Q(agreeing_votes__lte=models.F("required_votes"))
                & models.Q(required_votes__lt=models.F("agreeing_votes") * 2),
                name="project_agreement_is_a_majority",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Membership(VersionedModel):
    """A person's role in a project. Its history is the access register (REQ-06)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user", "role"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} in {self.project_id}"


class TrainingRecord(VersionedModel):
    """That a person was trained for a project, by which document, and until when that holds (REQ-18)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="training_records")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="training_records")
    training = models.CharField(max_length=100, help_text="as the project's training policy names it")
    document = models.CharField(max_length=200, help_text="title of what was taught")
    document_version = models.CharField(max_length=40)
    document_sha256 = models.CharField(max_length=64, help_text="of the document's bytes")
    completed_on = models.DateField()
    valid_until = models.DateField(help_text="the last day on which it holds")
    recorded_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(completed_on__lte=models.F("valid_until")), name="training_ends_after_it_began"
            )
        ]
        indexes = [models.Index(fields=["project", "user"], name="training_by_person")]

    def __str__(self) -> str:
        return f"{self.training} of {self.user_id} until {self.valid_until}"


class MembershipReview(WriteOnceModel):
    """That somebody looked whether a person still needs a role; the event says who and why (REQ-29)."""

    membership = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="reviews")
    reviewed_at = models.DateTimeField()
    kept = models.BooleanField()

    def __str__(self) -> str:
        return f"{self.membership_id} {'kept' if self.kept else 'withdrawn'}"


class LabelRules(WriteOnceModel):
    """One version of a project's own rules for its labels, as a document; its event says who set them and why."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="label_rules")
    number = models.PositiveIntegerField()
    document = models.JSONField(help_text="the rules as plain values")
    text = models.TextField(help_text="the rules as they were written, JSON or YAML")
    sha256 = models.CharField(max_length=64, help_text="of the text")
    rule_count = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="label_rules_number_once")]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"rules, version {self.number}"
