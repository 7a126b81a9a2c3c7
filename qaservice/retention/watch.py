"""Looking outside once a minute: copies and time-stamps of checkpoints, clocks; what is wrong becomes an alert."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from compliance.clock import clock_findings
from compliance.outside import Finding, carry_out
from qaservice.accounts.alerts import raise_alert
from qaservice.common.clock import now
from qaservice.retention.models import Told, Watch

EVERY = timedelta(minutes=1)
TOLD_AGAIN = timedelta(hours=1)
NAME = "outside"


def watch_outside() -> list[Finding]:
    """Look outside unless another worker did within the last minute; return what was found.

    An alert is raised for each finding, and again after an hour while it lasts.
    """
    return look() if _claimed() else []


def look() -> list[Finding]:
    """Send what waits to the places outside, compare the clocks, alert, and return what was found."""
    found = [*carry_out(), *clock_findings()]
    for finding in found:
        _tell(finding)
    return found


def _claimed() -> bool:
    oldest = now() - EVERY
    if Watch.objects.filter(name=NAME, looked_at__gte=oldest).exists():
        return False
    with transaction.atomic():
        Watch.objects.get_or_create(name=NAME, defaults={"looked_at": oldest - EVERY})
        watch = Watch.objects.select_for_update().get(name=NAME)
        if watch.looked_at >= oldest:
            # Another worker was first.
            return False
        watch.looked_at = now()
        watch.save(update_fields=["looked_at"])
    return True


def _tell(finding: Finding) -> None:
    moment, key = now(), f"{finding.kind} {finding.about[0]} {finding.about[1]}"[:200]
    if Told.objects.filter(key=key, told_at__gte=moment - TOLD_AGAIN).exists():
        return
    Told.objects.update_or_create(key=key, defaults={"told_at": moment})
    raise_alert(kind=finding.kind, about=finding.about, words=finding.words)
