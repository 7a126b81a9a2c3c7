"""Looks at images, recorded whichever page or program shows them (REQ-40)."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from compliance.models import Event
from compliance.recording import Actor, record_event
from qaservice.common.clock import now
from qaservice.studies.models import Series
from qaservice.studies.selectors import image_number_at

VIEWED = "images.viewed"
ONE_LOOK = timedelta(minutes=15)
"""Slices that one person asks for within this time of the first are one look: a scroll through a chest is hundreds."""


def record_look(*, series: Series, slice_index: int, actor: Actor) -> None:
    """Record that a person looks at a series' images, unless that look is on record; call it before they are sent.

    The event names the image that was asked for first.
    """
    if _on_record(series, actor).exists():
        return
    with transaction.atomic():
        # A viewer asks for several slices at once: all but one of them find the look on record after the lock. SQLite
        # has no such lock, and may then record one look twice.
        Series.objects.select_for_update().get(pk=series.pk)
        if _on_record(series, actor).exists():
            return
        record_event(
            VIEWED,
            actor=actor,
            reason="opened the images",
            subject=("series", str(series.pk)),
            project_key=series.project.key,
            payload={"image": image_number_at(series=series, slice_index=slice_index)},
        )


def _on_record(series: Series, actor: Actor) -> QuerySet[Event]:
    rows: QuerySet[Event] = Event.objects.filter(subject_type="series", subject_id=str(series.pk), kind=VIEWED)
    return rows.filter(actor_id=actor.id, occurred_at__gt=now() - ONE_LOOK)
