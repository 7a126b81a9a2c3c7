"""Which table belongs to which class. Checks, triggers, grants and verification all ask here."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from compliance.models import LedgerTable
from compliance.recorded_history import HistoryRow

# Tables that others define and that never hold evidence; whatever else is installed has to declare its class.
DECLARED_APPS = frozenset({"admin", "auth", "contenttypes", "sessions"})


class TableClass(enum.Enum):
    """What a table is to the record."""

    VERSIONED = "versioned"
    WRITE_ONCE = "write-once"
    OPERATIONAL = "operational"
    LEDGER = "ledger"
    HISTORY = "history"
    DECLARED = "declared elsewhere"


_BASES: tuple[tuple[type[models.Model], TableClass], ...] = (
    (VersionedModel, TableClass.VERSIONED),
    (WriteOnceModel, TableClass.WRITE_ONCE),
    (OperationalModel, TableClass.OPERATIONAL),
    (LedgerTable, TableClass.LEDGER),
    (HistoryRow, TableClass.HISTORY),
)


def concrete_models() -> Iterator[type[models.Model]]:
    """Yield every model that has a table of its own, many-to-many tables included, in order of their tables."""
    installed = (one for one in apps.get_models(include_auto_created=True) if one._meta.managed and not one._meta.proxy)
    yield from sorted(installed, key=lambda one: one._meta.db_table)


def classes_of(model: type[models.Model]) -> tuple[TableClass, ...]:
    """Return the classes that a model declares; anything but exactly one is an error that a system check reports."""
    found = tuple(kind for base, kind in _BASES if issubclass(model, base))
    if not found and model._meta.app_label in DECLARED_APPS:
        return (TableClass.DECLARED,)
    return found


def models_of(*kinds: TableClass) -> list[type[models.Model]]:
    """Return the models of these classes, in order of their tables."""
    return [model for model in concrete_models() if set(classes_of(model)) & set(kinds)]


def recorded_models() -> list[type[models.Model]]:
    """Return the models whose every row belongs to an event."""
    return models_of(TableClass.HISTORY, TableClass.WRITE_ONCE)


def history_model(model: type[models.Model]) -> type[models.Model]:
    """Return the history model of a versioned model."""
    versioned: Any = model
    found: type[models.Model] = versioned.history.model
    return found


def subject_model(history: type[models.Model]) -> type[models.Model]:
    """Return the versioned model that a history model belongs to."""
    subject: type[models.Model] = history.instance_type  # type: ignore[attr-defined]  # set by the history package
    return subject


def operational_columns(model: type[models.Model]) -> tuple[str, ...]:
    """Return the columns of a versioned model that history leaves out, in order."""
    versioned: Any = model
    return tuple(sorted(str(model._meta.get_field(name).column) for name in versioned.operational_fields))  # type: ignore[union-attr]  # concrete fields only


def tracked_columns(model: type[models.Model]) -> tuple[str, ...]:
    """Return the columns of a versioned model that history keeps, in the model's order."""
    left_out = set(operational_columns(model))
    columns = (str(field.column) for field in model._meta.concrete_fields)
    return tuple(column for column in columns if column not in left_out)


def key_column(model: type[models.Model]) -> str:
    """Return the column of a model's primary key."""
    return str(model._meta.pk.column)
