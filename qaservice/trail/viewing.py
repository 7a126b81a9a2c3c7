"""Looks at identifying data, recorded whichever page or program shows it: who, what, when (REQ-40)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import models

from compliance.models import Event
from compliance.recording import record_event
from qaservice.accounts.models import User
from qaservice.analysis.models import AnalysisRun, Flag
from qaservice.common.clock import now
from qaservice.projects.models import Project
from qaservice.projects.selectors import roles_of
from qaservice.reports.models import ValidationReport
from qaservice.review.models import Assignment
from qaservice.studies import looks
from qaservice.studies.models import Ingest, Series
from qaservice.trail.events import DATA_VIEWED
from qaservice.trail.records import path_to_project, subject_of

# What the arguments of an address name.
NAMED: Mapping[str, type[models.Model]] = {
    "assignment_id": Assignment,
    "flag_id": Flag,
    "ingest_id": Ingest,
    "report_id": ValidationReport,
    "run_id": AnalysisRun,
    "series_id": Series,
}


def record_viewing(*, user: User, page: str, arguments: Mapping[str, object], projects: Sequence[Project] = ()) -> None:
    """Record that ``user`` was shown a page, unless that look is on record; call it before the page is sent.

    ``arguments`` are those of its address: they name the record that it shows, and its project. ``projects`` are those
    whose data a page of several projects shows. What belongs to no project is recorded as a page of the site.
    """
    subject, found = _subject(arguments), [*projects]
    key = arguments.get("key")
    if key is not None:
        found = list(Project.objects.filter(key=str(key)))
    elif not found:
        found = _projects_of(arguments)
    for project in found:
        _record(user, page, subject or ("project", str(project.pk)), project)
    if not found:
        _record(user, page, subject or ("page", page), None)


def _record(user: User, page: str, subject: tuple[str, str], project: Project | None) -> None:
    key = "" if project is None else project.key
    known = Event.objects.filter(
        project_key=key,
        kind=DATA_VIEWED,
        actor_id=str(user.pk),
        subject_type=subject[0],
        subject_id=subject[1],
        payload__page=page,
        occurred_at__gt=now() - looks.ONE_LOOK,
    )
    if known.exists():
        return
    record_event(
        DATA_VIEWED,
        actor=user.as_actor(role=_role(user, project)),
        reason="opened the page" if page.startswith("portal:") else "asked for the data",
        subject=subject,
        project_key=key,
        payload={"page": page},
    )


def _role(user: User, project: Project | None) -> str:
    held = frozenset[str]() if project is None else roles_of(user=user, project=project)
    return sorted(held)[0] if held else "administrator" if user.is_administrator else "account"


def _subject(arguments: Mapping[str, object]) -> tuple[str, str] | None:
    if "table" in arguments and "record_id" in arguments:
        return subject_of(str(arguments["table"])), str(arguments["record_id"])
    if "subject_type" in arguments and "subject_id" in arguments:
        return str(arguments["subject_type"]), str(arguments["subject_id"])
    for name, model in NAMED.items():
        if name in arguments:
            return subject_of(model._meta.db_table), str(arguments[name])
    return None


def _projects_of(arguments: Mapping[str, object]) -> list[Project]:
    for name, model in NAMED.items():
        path = path_to_project(model)
        if name in arguments and path is not None:
            rows: models.QuerySet[models.Model] = models.QuerySet(model)
            named = rows.filter(pk=UUID(str(arguments[name]))).values(path)
            return list(Project.objects.filter(pk__in=named))
    return []
