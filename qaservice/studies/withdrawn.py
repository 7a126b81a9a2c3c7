"""Studies whose pixel data may not be read any more: consent was withdrawn, or the time of keeping is over."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from qaservice.common.clock import iso
from qaservice.common.errors import Gone
from qaservice.projects.models import Project
from qaservice.studies.models import Instance, PixelRemoval, RemovalCause, Series, Study

TURNED_AWAY = "study-withdrawn"
WORDS = {
    RemovalCause.WITHDRAWN: "withdrawn: consent to the use of this study was withdrawn on {day}, and its images are "
    "held no more; what was found on them stays on the record",
    RemovalCause.DISPOSED: "disposed of: the time of keeping the images of this study is over, and since {day} they "
    "are held no more; what was found on them stays on the record",
}


def removal_words(study: Study) -> str:
    """Return why a study has no pixel data any more, in a sentence; empty where it has them."""
    removal = PixelRemoval.objects.select_related("event").filter(study=study).first()
    if removal is None:
        return ""
    return WORDS[RemovalCause(removal.cause)].format(day=iso(removal.event.occurred_at)[:10])


def require_pixels(series: Series) -> None:
    """Raise Gone, with the cause as its code, where the pixel data of a series may not be read any more."""
    removal = PixelRemoval.objects.select_related("event").filter(study_id=series.study_id).first()
    if removal is not None:
        words = WORDS[RemovalCause(removal.cause)].format(day=iso(removal.event.occurred_at)[:10])
        raise Gone(words, code=f"study-{removal.cause}")


def removed_uids(*, project: Project, study_uids: Iterable[str]) -> set[str]:
    """Return those of some studies, by UID, whose pixel data a project may not hold any more."""
    rows = PixelRemoval.objects.filter(study__project=project, study__study_instance_uid__in=set(study_uids))
    return set(rows.values_list("study__study_instance_uid", flat=True))


def image_instances(study: Study) -> QuerySet[Instance]:
    """Return the instances of a study that carry its pixel data; its label objects are no part of them."""
    series = Series.objects.filter(study=study).values("series_instance_uid")
    return Instance.objects.filter(study=study, series_instance_uid__in=series)
