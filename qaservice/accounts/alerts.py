"""Alerts: on the record, open until an administrator has looked at them, and mailed where mail is set up (REQ-29)."""

from __future__ import annotations

import logging
from datetime import timedelta
from smtplib import SMTPException
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q, QuerySet

from compliance.recording import SYSTEM, change
from qaservice.accounts.models import Alert, User
from qaservice.common.clock import iso, now
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.common.transitions import amend

logger = logging.getLogger(__name__)

MAIL_AGAIN = timedelta(minutes=5)


def raise_alert(*, kind: str, about: tuple[str, str], words: str) -> None:
    """Raise an alert about a thing, named by type and id. ``words`` hold nothing personal: they go out by mail.

    While an alert of this kind about this thing is open it is counted up instead, and not mailed again.
    """
    moment = now()
    with change("alert.raised", actor=SYSTEM, reason=words, subject=about, payload={"alert": kind}) as running:
        standing = open_alerts().select_for_update().filter(kind=kind, about_type=about[0], about_id=about[1]).first()
        if standing is None:
            Alert(
                kind=kind, about_type=about[0], about_id=about[1], words=words, raised_at=moment, last_at=moment
            ).save()
        else:
            running.payload["times"] = standing.times + 1
            amend(
                standing,
                expected_revision=standing.revision,
                changes={"times": standing.times + 1, "last_at": moment, "words": words},
            )


def open_alerts() -> QuerySet[Alert]:
    """Return the alerts that nobody has acknowledged, newest first."""
    return Alert.objects.filter(acknowledged_at=None).order_by("-last_at", "pk")


def acknowledge(*, alert: Alert, by: User, reason: str) -> Alert:
    """Record that an administrator looked at an alert, and what came of it.

    Raises NotPermitted for anybody else, Conflict where it was acknowledged before.
    """
    if not by.is_administrator:
        raise NotPermitted("alerts are acknowledged by an administrator", code="administrators-only")
    if alert.acknowledged_at is not None:
        raise Conflict("this alert was acknowledged before", code="already-acknowledged")
    with change(
        "alert.acknowledged",
        actor=by.as_actor(role="administrator"),
        reason=reason,
        subject=("alert", str(alert.pk)),
        payload={"alert": alert.kind, "about": [alert.about_type, alert.about_id]},
    ):
        return amend(alert, expected_revision=alert.revision, changes={"acknowledged_at": now()})


def mail_waiting() -> int:
    """Mail the alerts that no mail told of yet to the administrators; return how many went out.

    Called by the housekeeping, so that no login waits for a mail server. A mail that fails is tried again later.
    """
    addresses = sorted(
        User.objects.filter(is_administrator=True, is_active=True).exclude(email="").values_list("email", flat=True)
    )
    if not settings.MAIL_CONFIGURED or not addresses:
        return 0
    sent = 0
    for key in list(_waiting().values_list("pk", flat=True)):
        alert = _claimed(key)
        if alert is not None and _mailed(alert, addresses):
            alert.mailed_at = now()
            alert.save(update_fields=["mailed_at"])
            sent += 1
    return sent


def _waiting() -> QuerySet[Alert]:
    free = Q(mail_tried_at=None) | Q(mail_tried_at__lt=now() - MAIL_AGAIN)
    return Alert.objects.filter(free, acknowledged_at=None, mailed_at=None)


def _claimed(key: UUID) -> Alert | None:
    """Return the alert if no other worker is mailing it."""
    with transaction.atomic():
        alert = _waiting().select_for_update().filter(pk=key).first()
        if alert is not None:
            alert.mail_tried_at = now()
            alert.save(update_fields=["mail_tried_at"])
    return alert


def _mailed(alert: Alert, addresses: list[str]) -> bool:
    text = (
        f"{alert.words}\n\nRaised {iso(alert.raised_at)}; kind {alert.kind}; "
        f"about {alert.about_type} {alert.about_id}.\n"
        "Log in to the service, look at Administration, Alerts, and say what came of it.\n"
    )
    try:
        send_mail(f"[Label QA] {alert.kind}", text, None, addresses)
    except (OSError, SMTPException) as error:
        logger.warning("alert %s was not mailed: %s; tried again later", alert.pk, type(error).__name__)
        return False
    return True
