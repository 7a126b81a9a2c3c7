"""Signatures, factors and attestations as they stand in the record."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from qaservice.accounts.models import User
from qaservice.projects.models import Project
from qaservice.signatures.models import (
    Attestation,
    Certification,
    FactorState,
    SecondFactor,
    Signature,
    SigningIntent,
)


def living_factor(*, user: User) -> SecondFactor | None:
    """Return the person's second factor that is not revoked, confirmed or not."""
    return SecondFactor.objects.filter(user=user).exclude(state=FactorState.REVOKED).first()


def confirmed_factor(*, user: User) -> SecondFactor | None:
    """Return the person's second factor with which they sign."""
    return SecondFactor.objects.filter(user=user, state=FactorState.CONFIRMED).first()


def last_attestation(*, user: User) -> Attestation | None:
    """Return what the person attested last."""
    return Attestation.objects.filter(user=user).select_related("event").order_by("-event__occurred_at", "-id").first()


def certification() -> Certification | None:
    """Return the site's certification to FDA that was noted last."""
    return Certification.objects.select_related("event").order_by("-noted_at", "-id").first()


def intent_of(*, user: User, intent_id: uuid.UUID) -> SigningIntent | None:
    """Return an intent of this very person; anybody else's does not exist for them."""
    return SigningIntent.objects.select_related("project").filter(pk=intent_id, user=user).first()


def signatures_on(*, subject_type: str, subject_id: str) -> QuerySet[Signature]:
    """Return the signatures on one record, oldest first."""
    return Signature.objects.filter(subject_type=subject_type, subject_id=subject_id).select_related("event", "project")


def signatures_in(*, project: Project) -> QuerySet[Signature]:
    """Return a project's signatures, newest first."""
    return Signature.objects.filter(project=project).select_related("event", "project").order_by("-signed_at", "-id")
