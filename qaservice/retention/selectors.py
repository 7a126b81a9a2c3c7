"""Reading schedules, holds, uses and what was destroyed."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

from django.db.models import Q, QuerySet

from qaservice.common.errors import NotFound
from qaservice.projects.models import Project
from qaservice.retention.models import (
    DataUse,
    Destruction,
    Disposition,
    LegalHold,
    RecordClass,
    RetentionSchedule,
)
from qaservice.studies.models import Study


def current_schedule(project: Project) -> RetentionSchedule | None:
    """Return the newest version of a project's schedule."""
    return RetentionSchedule.objects.filter(project=project).order_by("-number").first()


def standing_holds(project: Project) -> QuerySet[LegalHold]:
    """Return the legal holds of a project that were not lifted."""
    return LegalHold.objects.filter(project=project, lifted_at=None).select_related("study").order_by("matter", "pk")


def holds_on(study: Study) -> QuerySet[LegalHold]:
    """Return the legal holds that stand on a study, by itself or with its project."""
    of_it = Q(study=study) | Q(study=None, project_id=study.project_id)
    return LegalHold.objects.filter(of_it, lifted_at=None).order_by("matter", "pk")


def kept_until(study: Study, schedule: RetentionSchedule) -> date:
    """Return the last day on which a study's images have to be kept: so many years from the day it arrived."""
    arrived = study.event.occurred_at.date()
    years = int(schedule.entries[RecordClass.IMAGES]["years"])
    try:
        return arrived.replace(year=arrived.year + years)
    except ValueError:
        # 29 February: the day after, never the day before.
        return arrived.replace(year=arrived.year + years, day=28) + timedelta(days=1)


def studies_of(project: Project) -> QuerySet[Study]:
    """Return a project's studies with their use and what was destroyed, by UID."""
    rows = Study.objects.filter(project=project).select_related("event", "data_use", "destruction", "pixel_removal")
    return rows.order_by("study_instance_uid")


def study_for(*, project: Project, study_id: uuid.UUID | str) -> Study:
    """Return a study of a project. Raises NotFound."""
    study = studies_of(project).filter(pk=study_id).first()
    if study is None:
        raise NotFound("there is no such study in this project", code="no-such-study")
    return study


def dispositions_of(project: Project) -> QuerySet[Disposition]:
    """Return a project's dispositions with their studies, the open ones first."""
    rows = Disposition.objects.filter(project=project).select_related("schedule", "proposed_by", "approved_by")
    return rows.prefetch_related("studies__study").order_by("-state", "pk")


def destructions_of(project: Project) -> QuerySet[Destruction]:
    """Return what was destroyed in a project, newest first."""
    return Destruction.objects.filter(project=project).select_related("study").order_by("-done_at", "pk")


def use_of(study: Study) -> DataUse | None:
    """Return what is recorded of a study's use."""
    return DataUse.objects.filter(study=study).first()
