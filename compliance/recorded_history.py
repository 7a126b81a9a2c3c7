"""django-simple-history, held to the record's rules.

History rows are written for creation and for compare-and-swap only, carry the running change's actor, reason and
event, cannot be backdated, skipped, edited or purged, and are ordered by ``history_id``: two rows may share a time.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Never

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, transaction
from django.db.models import OuterRef, sql
from django.db.models.base import ModelBase
from simple_history.manager import HistoricalQuerySet
from simple_history.models import HistoricalRecords

from compliance.errors import AppendOnly, UnrecordedChange
from compliance.rows import row_reader
from compliance.running import current_change

Fields = Sequence["models.Field[Any, Any]"]
_STATEMENTS: dict[tuple[Any, ...], str] = {}

HISTORY_ID = models.BigAutoField()
HISTORY_COLUMNS = frozenset(
    {
        "history_id",
        "history_date",
        "history_type",
        "txid",
        "event_id",
        "actor_id",
        "actor_name",
        "actor_role",
        "reason",
    }
)


def append_only(model: type[models.Model]) -> AppendOnly:
    """Return the refusal of a second write to a row of ``model``."""
    return AppendOnly(f"{model.__name__} rows are written once: they are never changed or removed")


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Reads freely and writes nothing: the record's own modules write past it."""

    def update(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)

    def delete(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)

    def bulk_create(self, *args: object, **kwargs: object) -> Never:
        raise UnrecordedChange(f"{self.model.__name__} rows are written by compliance alone")

    def bulk_update(self, *args: object, **kwargs: object) -> Never:
        raise append_only(self.model)


class AppendOnlyManager(models.Manager[Any]):
    """Default manager of the ledger's own tables and of history tables."""

    def get_queryset(self) -> AppendOnlyQuerySet:
        return AppendOnlyQuerySet(self.model, using=self._db)


class OrderedHistoryQuerySet(HistoricalQuerySet, AppendOnlyQuerySet):  # type: ignore[misc]  # untyped package
    """History of a model, read only, latest by ``history_id``."""

    def latest_of_each(self) -> OrderedHistoryQuerySet:
        """Return the last history row of each object among these, deletions included."""
        later = self.filter(**{self._pk_attr: OuterRef(self._pk_attr)}, history_id__gt=OuterRef("history_id"))
        kept: OrderedHistoryQuerySet = self.filter(~models.Exists(later))
        return kept


class HistoryRow(models.Model):
    """What every history row carries besides the values: from the first migration on, as history cannot be altered."""

    # PostgreSQL's transaction id, set by a trigger; 0 on SQLite, which has none.
    txid = models.BigIntegerField(default=0, editable=False)
    event = models.ForeignKey("compliance.Event", on_delete=models.PROTECT, related_name="+", editable=False)
    actor_id = models.CharField(max_length=200, db_index=True, editable=False)
    actor_name = models.CharField(max_length=200, editable=False)
    actor_role = models.CharField(max_length=100, editable=False)
    reason = models.TextField(editable=False)

    objects = AppendOnlyManager()

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
        """Insert the row with the running change's actor, reason, event and time. Raises AppendOnly if stored."""
        if not self._state.adding or force_update or update_fields is not None:
            raise append_only(type(self))
        change = current_change()
        self.event_id = change.event_id
        self.actor_id, self.actor_name, self.actor_role = change.actor.id, change.actor.name, change.actor.role
        self.reason = change.reason
        # Whatever the caller put into `_history_date`: the time is the server's, and the event's.
        self.history_date = change.occurred_at
        super().save(force_insert=True, using=using)
        change.note(self)

    def _do_insert(
        self, manager: object, using: str, fields: Fields, returning_fields: Fields, raw: bool
    ) -> list[tuple[Any, ...]]:
        """Insert the row as Django does, without compiling the statement anew."""
        return [insert_and_hold(self, fields=fields, returning=returning_fields, using=using)]

    def delete(self, using: Any = None, keep_parents: bool = False) -> Never:
        raise append_only(type(self))


class RecordedHistory(HistoricalRecords):  # type: ignore[misc]  # untyped package
    """HistoricalRecords without its ways around: no skipping, no user key, no backdating, order by ``history_id``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(historical_queryset=OrderedHistoryQuerySet, **options)

    def add_extra_methods(self, cls: type[models.Model]) -> None:
        """Refuse the package's ``save_without_historical_record``."""

        def save_without_historical_record(row: models.Model, *args: object, **kwargs: object) -> Never:
            raise UnrecordedChange(f"{type(row).__name__} is never saved without its history")

        cls.save_without_historical_record = save_without_historical_record  # type: ignore[attr-defined]  # added here

    def finalize(self, sender: type[models.Model], **kwargs: Any) -> None:
        """Attach the history model, and keep this object where compare-and-swap finds it."""
        super().finalize(sender, **kwargs)
        if hasattr(sender._meta, "simple_history_manager_attribute"):
            # The package hears of a save only after it was committed: what is not allowed is refused before.
            models.signals.pre_save.connect(self.pre_save, sender=sender, weak=False)
            sender._recorded_history = self  # type: ignore[attr-defined]  # read by compliance.recording

    def fields_included(self, model: type[models.Model] | models.Model) -> list[models.Field[Any, Any]]:
        """Return the fields that history keeps: all but the operational ones."""
        operational = model.operational_fields  # type: ignore[union-attr]  # every caller is a VersionedModel
        return [field for field in model._meta.concrete_fields if field.name not in operational]

    def create_history_model(self, model: type[models.Model], inherited: bool) -> type[models.Model]:
        """Return the history model. Raises ImproperlyConfigured where a field's name belongs to the history row."""
        taken = HISTORY_COLUMNS & {column for field in model._meta.concrete_fields for column in _names(field)}
        if taken:
            raise ImproperlyConfigured(f"{model.__name__}: {', '.join(sorted(taken))} is the history row's own name")
        made: type[models.Model] = super().create_history_model(model, inherited)
        made._history_excluded_fields = sorted(model.operational_fields)  # type: ignore[attr-defined]  # as above
        return made

    def pre_save(self, instance: models.Model, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
        """Let through a creation inside a change, and a save of operational fields alone; no fixtures."""
        if instance._state.adding and not raw:
            current_change()
        elif raw or not operational_only(instance, update_fields):
            raise UnrecordedChange(f"{type(instance).__name__} cannot be saved past its record")

    def post_save(self, instance: models.Model, created: bool, using: str | None = None, **kwargs: Any) -> None:
        """Write the "+" row of a creation. Raises UnrecordedChange where a "new" row overwrote a stored one."""
        if created:
            self.create_historical_record(instance, "+", using=using)
        elif not operational_only(instance, kwargs.get("update_fields")):
            transaction.set_rollback(True, using)
            raise UnrecordedChange(f"{type(instance).__name__} was saved past its record; the transaction is undone")

    def create_historical_record(self, instance: models.Model, history_type: str, using: str | None = None) -> None:
        """Write one history row. The package would make a manager class for each, to find the model it belongs to."""
        values = {field.attname: getattr(instance, field.attname) for field in self.fields_included(instance)}
        _history_of(type(instance))(history_type=history_type, **values).save(using=using)

    def post_delete(self, instance: models.Model, using: str | None = None, **kwargs: Any) -> Never:
        """Refuse: the deletion is rolled back with the transaction that the collector opened."""
        raise UnrecordedChange(f"{type(instance).__name__} rows are never deleted")

    def get_history_user(self, instance: models.Model) -> None:
        """Return nobody: the actor comes from the running change, never from a request."""

    def get_extra_fields(self, model: type[models.Model], fields: dict[str, Any]) -> dict[str, Any]:
        """Return the package's columns, with its two attributions turned into views of ours."""
        extra: dict[str, Any] = super().get_extra_fields(model, fields)
        extra["history_date"] = models.DateTimeField(db_index=True)
        extra["next_record"] = property(lambda row: _neighbour(row, "history_id__gt", "history_id"))
        extra["prev_record"] = property(lambda row: _neighbour(row, "history_id__lt", "-history_id"))
        return extra

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        """Return the history model's Meta, ordered by ``history_id``."""
        options: dict[str, Any] = super().get_meta_options(model)
        return {**options, "ordering": ("-history_id",), "get_latest_by": "history_id"}

    def _get_history_change_reason_field(self) -> property:
        return property(lambda row: row.reason, _ignore)

    def _get_history_user_fields(self) -> dict[str, Any]:
        return {"history_user": property(lambda row: row.actor_id, _ignore)}


@functools.cache
def _history_of(model: type[models.Model]) -> type[models.Model]:
    versioned: Any = model
    found: type[models.Model] = versioned.history.model
    return found


def insert(row: models.Model, *, fields: Fields, returning: Fields, using: str) -> tuple[Any, ...]:
    """Insert ``fields`` of a new row by a statement that Django compiled once, and return the columns asked for.

    ``returning`` are keys that the database gives: plain numbers. Compiling the same INSERT again for each row took
    longer than carrying it out does.
    """
    connection: Any = connections[using]
    values: Sequence[Any] = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    if any(hasattr(value, "as_sql") for value in values):
        # What the database works out has a statement of its own.
        text, values = _compiled(row, fields, returning, using)
    else:
        key = (type(row), connection.vendor, *fields, None, *returning)
        text = _STATEMENTS.get(key) or _STATEMENTS.setdefault(key, _compiled(row, fields, returning, using)[0])
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return tuple(connection.ops.fetch_returned_insert_columns(cursor, ())) if returning else ()


def insert_and_hold(row: models.Model, *, fields: Fields, returning: Fields, using: str) -> tuple[Any, ...]:
    """Insert a new row by ``insert``; the running change holds what PostgreSQL says it stored, triggers included.

    SQLite says it before it rounds: there the row is read back when the change ends.
    """
    if connections[using].vendor != "postgresql":
        return insert(row, fields=fields, returning=returning, using=using)
    model, every = type(row), row._meta.concrete_fields
    found = list(insert(row, fields=fields, returning=every, using=using))
    for place, converters, column in _converters(model, using):
        for converter in converters:
            found[place] = converter(found[place], column, connections[using])
    stored = dict(zip(every, found, strict=True))
    current_change().held[(model, stored[model._meta.pk])] = row_reader(model)(found)
    return tuple(stored[field] for field in returning)


@functools.cache
def _converters(model: type[models.Model], using: str) -> list[tuple[int, Any, Any]]:
    """Return (place, converters, column) of the columns that Django does not take as the database gives them."""
    compiler: Any = sql.InsertQuery(model).get_compiler(using)
    columns = [field.get_col(model._meta.db_table) for field in model._meta.concrete_fields]
    return [(place, *found) for place, found in compiler.get_converters(columns).items()]


def insert_together(model: type[models.Model], rows: Sequence[Mapping[str, Any]], *, using: str) -> None:
    """Insert rows into PostgreSQL by one statement with one parameter; ``rows`` hold JSON values by column name.

    Times and keys go in as text. A parameter a value takes twice as long to write, for two rows and more.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_insertion(model, tuple(rows[0]), using), [json.dumps(rows)])


@functools.cache
def _insertion(model: type[models.Model], names: tuple[str, ...], using: str) -> str:
    quote = connections[using].ops.quote_name
    types = {str(field.column): field.db_type(connections[using]) for field in model._meta.concrete_fields}
    columns = ", ".join(map(quote, names))
    typed = ", ".join(f"{quote(name)} {types[name]}" for name in names)
    read = f"jsonb_to_recordset(%s::jsonb) AS given({typed})"
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) SELECT {columns} FROM {read}"  # noqa: S608  # our names


def _compiled(row: models.Model, fields: Fields, returning: Fields, using: str) -> tuple[str, Sequence[Any]]:
    query = sql.InsertQuery(type(row))
    query.insert_values(fields, [row])
    compiler: Any = query.get_compiler(using)
    compiler.returning_fields = returning
    ((text, values),) = compiler.as_sql()
    return text, values


def operational_only(row: models.Model, fields: Iterable[str] | None) -> bool:
    """Return whether a save of these fields of a versioned row touches operational fields alone, and at least one."""
    named = frozenset(fields or ())
    return bool(named) and named <= row.operational_fields  # type: ignore[attr-defined]  # versioned models have it


def write_history(row: models.Model, history_type: str) -> None:
    """Write the history row of a stored row through the package's own way; for compare-and-swap alone."""
    row._recorded_history.create_historical_record(row, history_type)  # type: ignore[attr-defined]  # see finalize


def _ignore(row: models.Model, value: object) -> None:
    """Take the package's assignment and drop it: the running change says who and why."""


def _names(field: models.Field[Any, Any]) -> tuple[str, str, str]:
    return field.name, field.attname, str(field.column)


def _neighbour(row: Any, condition: str, order: str) -> Any:
    key = row.instance_type._meta.pk.attname
    rows = type(row).objects.filter(**{key: getattr(row, key), condition: row.history_id})
    return rows.order_by(order).first()
