"""The three classes of table. Every concrete model of the project derives from exactly one of them.

``VersionedModel`` changes state and has history, ``WriteOnceModel`` is its own history, ``OperationalModel`` is never
evidence. The refusals here keep honest code honest; the database triggers (``compliance.history``) and verification
catch what goes around them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, Never, TypeVar

from django.db import models
from django.db.models.base import ModelBase

from compliance.errors import UnrecordedChange
from compliance.recorded_history import (
    HISTORY_ID,
    Fields,
    HistoryRow,
    RecordedHistory,
    append_only,
    insert,
    insert_and_hold,
    operational_only,
)
from compliance.running import Change, current_change

__all__ = [
    "HistoryRow",
    "OperationalModel",
    "VersionedManager",
    "VersionedModel",
    "VersionedQuerySet",
    "WriteOnceManager",
    "WriteOnceModel",
    "WriteOnceQuerySet",
]

BULK_BATCH = 500

Row = TypeVar("Row", bound="VersionedModel")
Record = TypeVar("Record", bound="WriteOnceModel")


class VersionedQuerySet(models.QuerySet[Row]):
    """Reads freely; every write that would leave no faithful history is refused."""

    def update(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(_name_the_way(self.model))

    def delete(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(f"{self.model.__name__} rows are never deleted: close or supersede them by a change")

    def bulk_create(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(f"{self.model.__name__} rows are created one by one, each with its history row")

    def bulk_update(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(_name_the_way(self.model))


class VersionedManager(models.Manager[Row]):
    """Default manager of versioned models; derive from it where a model needs a manager of its own."""

    def get_queryset(self) -> VersionedQuerySet[Row]:
        return VersionedQuerySet(self.model, using=self._db)


class VersionedModel(models.Model):
    """A row that changes state. Each state it ever had stands in its history, with who, when, why and the event.

    ``operational_fields`` (a password, a last login) are left out of history and may be saved alone, outside a change.
    """

    operational_fields: ClassVar[frozenset[str]] = frozenset()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    revision = models.PositiveIntegerField(default=1, editable=False)

    objects = VersionedManager()
    history = RecordedHistory(inherit=True, bases=[HistoryRow], history_id_field=HISTORY_ID)

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert a new row with its first history row; for a stored row, save operational fields alone.

        Raises UnrecordedChange outside a running change, or for any other save of a stored row.
        """
        if self._state.adding:
            current_change()
            super().save(force_insert=True, using=using)
            return
        if not operational_only(self, update_fields):
            raise UnrecordedChange(_name_the_way(type(self)))
        super().save(using=using, update_fields=update_fields)

    def _do_insert(
        self, manager: models.Manager[Any], using: str, fields: Fields, returning_fields: Fields, raw: bool
    ) -> list[tuple[Any, ...]]:
        """Insert the row as Django does, without compiling the statement anew."""
        return [insert(self, fields=fields, returning=returning_fields, using=using)]

    def delete(self, using: Any = None, keep_parents: bool = False) -> Never:
        raise UnrecordedChange(f"{type(self).__name__} rows are never deleted: close or supersede them by a change")


class WriteOnceQuerySet(models.QuerySet[Record]):
    """Reads freely and writes once; ``record_many`` is the one bulk write."""

    def update(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)

    def delete(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)

    def bulk_create(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(f"write {self.model.__name__} rows with record_many, inside a running change")

    def bulk_update(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)

    def record_many(self, rows: Iterable[Record], change: Change, *, root_label: str) -> list[Record]:
        """Insert ``rows`` under one Merkle root in the event of ``change``, and return them.

        Raises UnrecordedChange if ``change`` is not the one running now; AppendOnly if a row is stored already.
        """
        if change is not current_change():
            raise UnrecordedChange("record_many writes into the change that is running now, and this is another one")
        new = list(rows)
        for row in new:
            if not row._state.adding:
                raise append_only(self.model)
            row.event_id = change.event_id
        if new:
            change.note_bulk(self.model, root_label)
            super().bulk_create(new, batch_size=BULK_BATCH)
        return new


class WriteOnceManager(models.Manager[Record]):
    """Default manager of write-once models."""

    def get_queryset(self) -> WriteOnceQuerySet[Record]:
        return WriteOnceQuerySet(self.model, using=self._db)

    def record_many(self, rows: Iterable[Record], change: Change, *, root_label: str) -> list[Record]:
        """Insert ``rows`` under one Merkle root in the event of ``change``; see ``WriteOnceQuerySet.record_many``."""
        return self.get_queryset().record_many(rows, change, root_label=root_label)


class WriteOnceModel(models.Model):
    """A row that is written once and never changes: it is its own history, and its event says who and why."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Deferred to commit on both databases: the event is written when its change ends, after its rows.
    event = models.ForeignKey("compliance.Event", on_delete=models.PROTECT, related_name="+", editable=False)

    objects = WriteOnceManager()

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert the row into the running change. Raises AppendOnly for a stored row, UnrecordedChange outside."""
        if not self._state.adding or force_update or update_fields is not None:
            raise append_only(type(self))
        change = current_change()
        self.event_id = change.event_id
        super().save(force_insert=True, using=using)
        change.note(self)

    def _do_insert(
        self, manager: models.Manager[Any], using: str, fields: Fields, returning_fields: Fields, raw: bool
    ) -> list[tuple[Any, ...]]:
        """Insert the row as Django does, without compiling the statement anew."""
        return [insert_and_hold(self, fields=fields, returning=returning_fields, using=using)]

    def delete(self, using: Any = None, keep_parents: bool = False) -> Never:
        raise append_only(type(self))


class OperationalModel(models.Model):
    """A row that runs the service (a job, a lease, a token) and is never evidence."""

    class Meta:
        abstract = True


def _name_the_way(model: type[models.Model]) -> str:
    return (
        f"a stored {model.__name__} changes only by compare-and-swap inside a change: "
        "use qaservice.common.transitions (step or amend)"
    )
