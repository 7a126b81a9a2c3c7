"""Whose identity was verified, by whom and by what evidence, before they may sign (REQ-26)."""

from __future__ import annotations

import re
from datetime import date

from django.db.models import Q

from compliance.recording import change
from qaservice.accounts.models import DocumentKind, IdentityCheck, User, UserKind
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import amend

# The numbers of passports and identity cards have more digits in a row than the name of a file has.
PERSONAL_NUMBER = re.compile(r"(?:\d[ ./-]?){7,}|\d{6,}")


def current_identity(*, user: User) -> IdentityCheck | None:
    """Return the verification of ``user`` that stands today, or None: then nothing may be signed."""
    if not user.is_active or user.kind != UserKind.PERSON:
        return None
    current = Q(valid_until=None) | Q(valid_until__gte=now().date())
    rows = IdentityCheck.objects.filter(current, withdrawn_at=None, user=user)
    return rows.select_related("recorded_by", "user").first()


def record_identity(
    *,
    user: User,
    verified_by: str,
    document_kind: str,
    document_reference: str,
    verified_on: date,
    certification: str,
    by: User,
    reason: str,
    valid_until: date | None = None,
) -> IdentityCheck:
    """Record that a person's identity was verified; an earlier verification is withdrawn with it.

    ``document_reference`` says where the evidence is filed, never the document's own number. Raises NotPermitted for
    anybody but another administrator, and for an account that is no person; InvalidInput for what cannot be.
    """
    _require_another_administrator(user=user, by=by)
    if user.kind != UserKind.PERSON or not user.is_active:
        raise NotPermitted("only the account of a person, and an open one, has an identity", code="not-a-person")
    if document_kind not in DocumentKind.values:
        raise InvalidInput(f"a document is one of: {', '.join(DocumentKind.values)}", code="no-such-document")
    texts = {"verified_by": verified_by, "document_reference": document_reference, "certification": certification}
    for name, text in texts.items():
        if not 0 < len(text.strip()) <= 200:
            raise InvalidInput(f"{name.replace('_', ' ')} takes 1 to 200 characters", code="identity-incomplete")
    if PERSONAL_NUMBER.search(document_reference):
        raise InvalidInput(
            "say where the evidence is filed, not the document's number: that is personal", code="personal-number"
        )
    today = now().date()
    if verified_on > today or (valid_until is not None and valid_until < today):
        raise InvalidInput("it was verified in the past, and is valid until a day to come", code="impossible-date")
    check = IdentityCheck(
        user=user,
        verified_by=verified_by.strip(),
        document_kind=document_kind,
        document_reference=document_reference.strip(),
        verified_on=verified_on,
        valid_until=valid_until,
        certification=certification.strip(),
        recorded_by=by,
        recorded_at=now(),
    )
    with change(
        "identity.recorded",
        actor=by.as_actor(role="administrator"),
        reason=reason,
        subject=("user", str(user.pk)),
        payload={"check": str(check.pk), "document": document_kind},
    ) as running:
        standing = IdentityCheck.objects.select_for_update().filter(user=user, withdrawn_at=None).first()
        if standing is not None:
            running.payload["replaces"] = str(standing.pk)
            amend(standing, expected_revision=standing.revision, changes={"withdrawn_at": now()})
        check.save()
    return check


def withdraw_identity(*, check: IdentityCheck, by: User, reason: str) -> IdentityCheck:
    """Take a verification back, at once: the person can sign nothing until it was done anew.

    Raises NotPermitted for anybody but another administrator, Conflict where it was withdrawn before.
    """
    _require_another_administrator(user=check.user, by=by)
    if check.withdrawn_at is not None:
        raise Conflict("this verification was withdrawn before", code="already-withdrawn")
    with change(
        "identity.withdrawn",
        actor=by.as_actor(role="administrator"),
        reason=reason,
        subject=("user", str(check.user_id)),
        payload={"check": str(check.pk)},
    ):
        return amend(check, expected_revision=check.revision, changes={"withdrawn_at": now()})


def _require_another_administrator(*, user: User, by: User) -> None:
    if not by.is_administrator or by.pk == user.pk:
        raise NotPermitted(
            "identity is recorded and withdrawn by an administrator, and by none of themself",
            code="administrators-only",
        )
