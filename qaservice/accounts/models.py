"""People and machines that act. A username is never issued again, and no account is ever deleted (REQ-25)."""

from __future__ import annotations

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
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.label} of {self.user_id}"
