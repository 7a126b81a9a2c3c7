"""The register of looks: who was shown which images and identifying data, and who took either out (REQ-40)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from compliance.models import Event
from qaservice.analysis.models import Flag
from qaservice.common.errors import InvalidInput
from qaservice.studies.models import Series
from qaservice.trail.events import DATA_VIEWED
from qaservice.trail.records import is_uuid
from qaservice.trail.search import Search, events_found

VIEWED = ("images.viewed", "read.opened", DATA_VIEWED)
TAKEN_OUT = (
    "labels.exported",
    "kit.exported",
    "proof.exported",
    "report.exported",
    "trail.exported",
    "record.exported",
    "identity.revealed",
)


@dataclass(frozen=True, slots=True)
class Look:
    """One entry of the register; ``series`` is None where the event is of no single series."""

    event: Event
    series: Series | None


def looks_found(search: Search, *, series: str, what: str) -> QuerySet[Event]:
    """Return the events of the register that a search finds: ``what`` is viewed, taken-out or blank for both.

    ``series`` is the id of a series: looks at its images, and reads of flags on it. Raises InvalidInput where it is
    no id.
    """
    kinds = {"viewed": VIEWED, "taken-out": TAKEN_OUT}.get(what, (*VIEWED, *TAKEN_OUT))
    rows = events_found(search).filter(kind__in=kinds)
    if not series:
        return rows
    if not is_uuid(series):
        raise InvalidInput("a series is named by its id", code="no-such-series")
    flags = [str(pk) for pk in Flag.objects.filter(series=UUID(series)).values_list("pk", flat=True)]
    return rows.filter(Q(subject_type="series", subject_id=series) | Q(subject_type="flag", subject_id__in=flags))


def with_series(events: Sequence[Event]) -> list[Look]:
    """Return events of the register with the series whose images they are about."""
    named = {event.subject_id for event in events if event.subject_type == "series"}
    read = [event.subject_id for event in events if event.subject_type == "flag"]
    of_flag = {str(pk): str(one) for pk, one in Flag.objects.filter(pk__in=read).values_list("pk", "series_id")}
    known: Mapping[str, Series] = {
        str(one.pk): one
        for one in Series.objects.filter(pk__in={*named, *of_flag.values()}).select_related("study", "project")
    }
    return [Look(event, known.get(of_flag.get(event.subject_id, event.subject_id))) for event in events]
