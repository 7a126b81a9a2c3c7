"""Signatures and what they rest on: second factors, attestations, single-use intents (21 CFR 11.50, 11.70, 11.200)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from qaservice.accounts.models import User
from qaservice.projects.models import Project


class FactorState(models.TextChoices):
    PENDING = "pending", "handed out, not confirmed"
    CONFIRMED = "confirmed", "confirmed"
    REVOKED = "revoked", "revoked"


class SecondFactor(VersionedModel):
    """One authenticator of one person. Its secret is sealed under a key apart from the database."""

    operational_fields: ClassVar[frozenset[str]] = frozenset({"sealed_secret"})

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="second_factors")
    state = models.CharField(max_length=16, choices=FactorState.choices, default=FactorState.PENDING)
    sealed_secret = models.TextField(blank=True, help_text="emptied when the factor is revoked")
    begun_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=~models.Q(state="revoked"), name="one_living_second_factor_a_person"
            ),
        ]

    def __str__(self) -> str:
        return f"second factor of {self.user_id} ({self.state})"


class UsedCode(OperationalModel):
    """A time step whose code was taken. The row itself is the refusal of the second one (RFC 6238 section 5.2)."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.PROTECT, related_name="+")
    step = models.PositiveBigIntegerField(help_text="30-second steps since 1970")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["factor", "step"], name="code_used_once")]

    def __str__(self) -> str:
        return f"step {self.step} of {self.factor_id}"


class Attestation(WriteOnceModel):
    """A person's word, given with both factors, that they answer for what they sign (REQ-19)."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="attestations")
    second_factor = models.ForeignKey(SecondFactor, on_delete=models.PROTECT, related_name="+")
    version = models.CharField(max_length=20)
    text = models.TextField()
    attested_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"attestation {self.version} of {self.user_id}"


class Certification(WriteOnceModel):
    """The site's letter to FDA that its electronic signatures are meant as binding (21 CFR 11.100(c))."""

    reference = models.CharField(max_length=200, help_text="how the letter is found: file number, or FDA's receipt")
    sent_on = models.DateField()
    noted_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(reference=""), name="certification_has_a_reference")]

    def __str__(self) -> str:
        return self.reference


class SigningIntent(WriteOnceModel):
    """One record put before one person to be signed with one meaning, for a short time. Used up by its signature."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="signing_intents")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    subject_type = models.CharField(max_length=100)
    subject_id = models.CharField(max_length=200)
    subject_version = models.CharField(max_length=100)
    record_sha256 = models.CharField(max_length=64, help_text="of the record's canonical content")
    meaning = models.CharField(max_length=40)
    prepared_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("prepared_at")), name="signing_intent_expires_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meaning} of {self.subject_type} {self.subject_id}"


class Signature(WriteOnceModel):
    """An electronic signature: who, as what, meaning what, when, and over exactly which record."""

    signer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="signatures")
    printed_name = models.CharField(max_length=200, help_text="as it was when the record was signed")
    role = models.CharField(max_length=100)
    meaning = models.CharField(max_length=40)
    meaning_words = models.CharField(max_length=100)
    signed_at = models.DateTimeField()
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="signatures")
    subject_type = models.CharField(max_length=100)
    subject_id = models.CharField(max_length=200)
    subject_version = models.CharField(max_length=100)
    subject_title = models.CharField(max_length=300)
    record_sha256 = models.CharField(max_length=64)
    # One row an intent: of two requests that use it at the same moment, the database refuses one.
    intent = models.OneToOneField(SigningIntent, on_delete=models.PROTECT, related_name="signature")
    factors = models.JSONField(help_text="what was shown for it: password, totp")
    second_factor = models.ForeignKey(SecondFactor, on_delete=models.PROTECT, related_name="+")
    attestation = models.ForeignKey(Attestation, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["signed_at", "id"]
        constraints = [
            # Who has said a thing of a record need not say it again; of a changed record it is another thing.
            models.UniqueConstraint(
                fields=["signer", "subject_type", "subject_id", "record_sha256", "meaning"], name="signature_once"
            ),
        ]
        indexes = [models.Index(fields=["subject_type", "subject_id"], name="signature_by_subject")]

    def __str__(self) -> str:
        return f"{self.meaning_words}: {self.printed_name}"
