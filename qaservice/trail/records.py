"""Records by table and key: which there are, to which project each belongs, and its rows in order."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import models

from compliance.models import Event
from compliance.recorded_history import HistoryRow
from compliance.registry import TableClass, classes_of, history_model, models_of
from qaservice.accounts.models import User
from qaservice.analysis.dataset_models import Concern
from qaservice.analysis.models import AnalysisRun, Flag, ModelApproval, QAModel
from qaservice.common.errors import NotFound
from qaservice.labels.models import DatasetVersion, Guideline
from qaservice.projects.models import Project
from qaservice.reports.models import ValidationReport
from qaservice.studies.models import Ingest, Series, Study

# What events call their subjects.
SUBJECTS: dict[str, type[models.Model]] = {
    "concern": Concern,
    "dataset-version": DatasetVersion,
    "flag": Flag,
    "guideline": Guideline,
    "ingest": Ingest,
    "model": QAModel,
    "project": Project,
    "report": ValidationReport,
    "run": AnalysisRun,
    "series": Series,
    "study": Study,
}
# Contents that are secret: their rows are named, never shown.
WITHHELD = frozenset({"studies_identitykey", "studies_crosswalkpage", "signatures_secondfactor"})


@dataclass(frozen=True, slots=True)
class RecordName:
    """How a record is named: its table and key, what kind of thing it is, and its title; ``title`` may be empty."""

    table: str
    key: str
    kind: str
    title: str


@functools.cache
def tables() -> dict[str, type[models.Model]]:
    """Return the versioned and write-once models by table."""
    return {model._meta.db_table: model for model in models_of(TableClass.VERSIONED, TableClass.WRITE_ONCE)}


def model_named(name: str) -> type[models.Model] | None:
    """Return the model of a table, or of what events call a subject; None where nothing is called so."""
    return tables().get(name) or SUBJECTS.get(name)


def subject_of(table: str) -> str:
    """Return what events call a record of a table: a word where there is one, else the table."""
    return next((name for name, model in SUBJECTS.items() if model._meta.db_table == table), table)


def is_versioned(model: type[models.Model]) -> bool:
    """Return whether a model's rows change state and have history."""
    return TableClass.VERSIONED in classes_of(model)


def rows_of(model: type[models.Model], key: str) -> list[Any]:
    """Return a record's rows in the order in which they were written: its history, or the one row itself."""
    if not _fits(model, key):
        return []
    if is_versioned(model):
        states: models.QuerySet[Any] = models.QuerySet(history_model(model))
        return list(states.filter(**{model._meta.pk.attname: key}).order_by("history_id"))
    rows: models.QuerySet[Any] = models.QuerySet(model)
    return list(rows.filter(pk=key))


def events_of_record(model: type[models.Model], key: str) -> list[uuid.UUID]:
    """Return the ids of the events that wrote a row of a record."""
    return [row.event_id for row in rows_of(model, key)]


def record_in_project(*, table: str, key: str, project: Project) -> tuple[type[models.Model], list[Any]]:
    """Return a record's model and its rows. Raises NotFound where the project has no such record."""
    model = tables().get(table)
    rows = [] if model is None else rows_of(model, key)
    if model is None or not rows or not _belongs(model, rows, key, project):
        raise NotFound("there is no such record in this project", code="no-such-record")
    return model, rows


def kind_of(model: type[models.Model]) -> str:
    """Return in words what kind of thing a model's rows are."""
    return str(model._meta.verbose_name).replace("qa model", "QA model")


def title_of(row: models.Model) -> str:
    """Return what a row calls itself, keys left out: a row that has no better name than one goes without."""
    model: Any = row.instance_type if isinstance(row, HistoryRow) else type(row)  # type: ignore[attr-defined]  # set by the history package
    own = _NAMES.get(model._meta.db_table)
    if own is not None:
        return str(getattr(row, own))
    shown = str(row.instance if isinstance(row, HistoryRow) else row)  # type: ignore[attr-defined]  # as above
    return "" if any(is_uuid(word.strip(":(),")) for word in shown.split()) else shown


def name_of(row: models.Model) -> RecordName:
    """Return how the record of a row is named."""
    model: Any = row.instance_type if isinstance(row, HistoryRow) else type(row)  # type: ignore[attr-defined]  # set by the history package
    return RecordName(
        table=model._meta.db_table,
        key=str(getattr(row, model._meta.pk.attname)),
        kind=kind_of(model),
        title=title_of(row),
    )


def accounts_of(events: Iterable[Event]) -> dict[str, str]:
    """Return the accounts that events are about, by id, as people call them."""
    ids = {event.subject_id for event in events if event.subject_type == "user" and is_uuid(event.subject_id)}
    return {str(one.pk): f"{one.display_name} ({one.username})" for one in User.objects.filter(pk__in=ids)}


@functools.cache
def path_to_project(model: type[models.Model]) -> str | None:
    """Return the shortest way from a model to its project along keys that are never empty; None where there is none."""
    reached: list[tuple[type[models.Model], str]] = [(model, "")]
    seen = {model}
    for one, path in reached:
        if one is Project:
            return path or "pk"
        for field in one._meta.concrete_fields:
            target: Any = field.related_model
            if field.name == "event" or field.null or target is None or target in seen:
                continue
            seen.add(target)
            reached.append((target, f"{path}__{field.name}" if path else field.name))
    return None


_NAMES = {
    "accounts_user": "display_name",
    "labels_annotationset": "reader_label",
    "labels_findingrevision": "category",
    "projects_membership": "role",
    "review_assignment": "state",
    "review_consensus": "outcome",
    "review_correction": "action",
    "analysis_flagobservation": "check_name",
}


def _belongs(model: type[models.Model], rows: list[Any], key: str, project: Project) -> bool:
    path = path_to_project(model)
    if path is not None:
        found: models.QuerySet[Any] = models.QuerySet(model)
        return found.filter(pk=key).filter(**{path: project.pk}).exists()
    if model is QAModel:
        asked = (AnalysisRun.objects.filter(project=project), ModelApproval.objects.filter(project=project))
        return any(one.filter(model=uuid.UUID(key)).exists() for one in asked)
    # Other things that belong to no project of themselves (bytes) are a project's where they entered by its event.
    said = Event.objects.filter(pk__in=[row.event_id for row in rows], project_key=project.key)
    return said.exists()


def _fits(model: type[models.Model], key: str) -> bool:
    if "\x00" in key:
        return False
    return is_uuid(key) if isinstance(model._meta.pk, models.UUIDField) else bool(key)


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
