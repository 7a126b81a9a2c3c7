"""People and machines that act. A username is never issued again, and no account is ever deleted (REQ-25)."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

from compliance.base import OperationalModel, VersionedModel
from compliance.recording import Actor
from qaservice.accounts.managers import UserManager


class UserKind(models.TextChoices):
    PERSON = "person", "person"
    SIMULATED = "simulated", "simulated actor"
    SERVICE = "service", "integration"


class AttemptKind(models.TextChoices):
    LOGIN = "login", "log in"
    SIGNING = "signing", "sign"


class DocumentKind(models.TextChoices):
    PASSPORT = "passport", "passport"
    IDENTITY_CARD = "identity-card", "identity card"
    STAFF_RECORD = "staff-record", "staff record of the employer"
    PROFESSIONAL_REGISTER = "professional-register", "professional register"
    ELECTRONIC_IDENTITY = "electronic-identity", "electronic identity of a state or a hospital"


class User(AbstractBaseUser, VersionedModel):
    """An account. A simulated actor votes in demos and tests, is marked so everywhere, and cannot sign."""

    operational_fields: ClassVar[frozenset[str]] = frozenset({"password", "last_login"})

    username = models.CharField(max_length=150, unique=True)
    display_name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    kind = models.CharField(max_length=16, choices=UserKind.choices, default=UserKind.PERSON)
    credentials = models.CharField(max_length=200, blank=True, help_text="qualifications, as the report prints them")
    is_active = models.BooleanField(default=True)
    is_administrator = models.BooleanField(default=False, help_text="runs the site; has no review rights (REQ-15)")
    # The hash itself is left out of history; who set it last, and when, is not (REQ-28).
    password_by_another = models.BooleanField(default=True, help_text="somebody else knows, or set, this password")
    password_must_change = models.BooleanField(default=False, help_text="nothing else may be done before it is changed")
    password_changed_at = models.DateTimeField(null=True)

    # Django fills the model in; the stubs take the base's manager for a class variable and this one for another kind.
    objects = UserManager()  # type: ignore[misc]

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["display_name"]

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind="simulated", is_administrator=True), name="user_simulated_never_administers"
            ),
            models.CheckConstraint(condition=~models.Q(display_name=""), name="user_has_a_name"),
        ]

    def __str__(self) -> str:
        return f"{self.display_name} (simulated)" if self.is_simulated else self.display_name

    @property
    def is_simulated(self) -> bool:
        return self.kind == UserKind.SIMULATED

    def as_actor(self, *, role: str) -> Actor:
        """Return this person as the record names them, acting in ``role``."""
        return Actor(id=str(self.pk), name=self.display_name, role=role, simulated=self.is_simulated)


class ApiToken(OperationalModel):
    """A bearer token of one account; only its SHA-256 is kept."""

    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tokens")
    label = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True, help_text="to the minute")

    def __str__(self) -> str:
        return f"{self.label} of {self.user_id}"

    @property
    def handle(self) -> str:
        """Return what pages and the record call it: no part of the token itself can be found from this."""
        return self.digest[:16]


class UsedPassword(OperationalModel):
    """The hash of a password that an account had; the last few may not come back."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="used_passwords")
    encoded = models.CharField(max_length=128)
    set_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"password of {self.user_id} until {self.set_at}"


class AttemptCounter(OperationalModel):
    """Failures in a row, in the database so that a restart forgives nothing.

    ``key`` is a keyed digest: what was typed as a name may be a password, and an address is a person's.
    """

    key = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=8, choices=AttemptKind.choices)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="attempt_counters")
    failures = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField(help_text="when the first of these failures was")
    locked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.failures} failures to {self.kind}"


class LoginSession(OperationalModel):
    """One login by session, so that a person sees where they are logged in and can end it."""

    session_key = models.CharField(max_length=40, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="login_sessions")
    browser = models.CharField(max_length=200, blank=True, help_text="as the browser names itself")
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="last time the person did something; what a page fetches by itself is not")

    def __str__(self) -> str:
        return f"session of {self.user_id} since {self.opened_at}"

    @property
    def handle(self) -> str:
        """Return what pages call it: the key itself would open it."""
        return hashlib.sha256(self.session_key.encode()).hexdigest()[:16]


class Alert(VersionedModel):
    """Something an administrator has to look at. Open until one says, with a reason, that it was looked at."""

    operational_fields: ClassVar[frozenset[str]] = frozenset({"mailed_at", "mail_tried_at"})

    kind = models.CharField(max_length=60)
    about_type = models.CharField(max_length=60)
    about_id = models.CharField(max_length=200)
    words = models.TextField()
    times = models.PositiveIntegerField(default=1, help_text="how often it happened before it was acknowledged")
    raised_at = models.DateTimeField()
    last_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    mail_tried_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["acknowledged_at", "last_at"], name="alert_open")]

    def __str__(self) -> str:
        return f"{self.kind} about {self.about_type} {self.about_id}"


class IdentityCheck(VersionedModel):
    """That a person's identity was verified before they may sign (REQ-26). Names the evidence, never its number."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="identity_checks")
    verified_by = models.CharField(max_length=200, help_text="who looked at the document")
    document_kind = models.CharField(max_length=24, choices=DocumentKind.choices)
    document_reference = models.CharField(max_length=200, help_text="where the evidence is filed")
    verified_on = models.DateField()
    valid_until = models.DateField(null=True)
    certification = models.CharField(max_length=200, help_text="the site's certification to FDA, 21 CFR 11.100(c)")
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(user=models.F("recorded_by")), name="identity_is_recorded_by_another"
            ),
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(withdrawn_at=None), name="identity_one_stands_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"identity of {self.user_id}, verified {self.verified_on}"
