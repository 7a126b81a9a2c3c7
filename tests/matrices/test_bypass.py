"""PostgreSQL: every way around the record, at every table that it watches, is refused before it commits (REQ-10).

Each attempt is a transaction of its own, made by the tables' owner, who is a superuser; then as the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F, signals

from compliance.errors import LostRace, RecordError
from compliance.models import Event
from compliance.recording import change, compare_and_swap
from compliance.registry import TableClass, classes_of, models_of
from tests.matrices.altering import REGULATED, insert, name, remove, run, values_of
from tests.matrices.rows import FILLER, KIND, REASON, make, record
from tests.matrices.runtime import as_the_service

pytestmark = [pytest.mark.postgres, pytest.mark.requirement("REQ-10"), pytest.mark.usefixtures("on_postgres")]

# The words of the record's own triggers: a foreign key that objects first would prove nothing.
OURS = re.compile(
    r"is refused|left no history|is not the row as it stands|without an event of its own transaction|"
    r"which is not stored|values that are not stored|does not say what became|was changed$"
)
NO_RIGHT = re.compile(r"permission denied|must be owner")


@dataclass(frozen=True)
class Target:
    """One table, and a row of it to which nothing refers."""

    model: type[models.Model]
    row: Any

    @property
    def plain(self) -> models.QuerySet:
        """A queryset past the model's own guard, on that row."""
        return models.QuerySet(self.model).filter(pk=self.row.pk)

    @property
    def column(self) -> str:
        """A column that any value fits, so that nothing but the record objects."""
        (kind,) = classes_of(self.model)
        return "revision" if kind is TableClass.VERSIONED else str(self.model._meta.pk.column)

    def alike(self) -> dict[str, Any]:
        """The columns of a further row that the table would take."""
        (kind,) = classes_of(self.model)
        if kind is TableClass.HISTORY:
            values = values_of(self.row)
            del values["history_id"]
            return values
        values = values_of(make(self.model))
        if kind is TableClass.WRITE_ONCE:
            values["event_id"] = self.row.event_id
        return values


def targets(*kinds: TableClass) -> Iterator[Target]:
    for model in models_of(*kinds):
        (kind,) = classes_of(model)
        if kind in (TableClass.VERSIONED, TableClass.WRITE_ONCE):
            yield Target(model, record(model))
        else:
            yield Target(model, models.QuerySet(model).order_by("pk").last())


Way = Callable[[Target], object]


def outcome(way: Way, target: Target, *, words: re.Pattern[str] = OURS) -> str:
    """Return "" if the record refused, else what happened."""
    try:
        with transaction.atomic():
            way(target)
    except RecordError:
        return ""
    except DatabaseError as error:
        said = str(error).splitlines()[0]
        return "" if words.search(said) else f"refused by something else: {said}"
    return "let through"


def outcomes(ways: dict[str, Way], *kinds: TableClass, words: re.Pattern[str] = OURS) -> list[str]:
    """Try every way at every table; return what was not refused, and the tables in which anything is otherwise now."""
    found = []
    tried = list(targets(*kinds))
    before = contents()
    for target in tried:
        for title, way in ways.items():
            if what := outcome(way, target, words=words):
                found.append(f"{target.model._meta.db_table}, {title}: {what}")
    return found + sorted(f"{table}: changed" for table, digest in contents().items() if digest != before[table])


def new_row(target: Target) -> Any:
    row = target.model()
    for column, value in target.alike().items():
        (field,) = [one for one in target.model._meta.concrete_fields if one.column == column]
        setattr(row, field.attname, value)
    return row


def copy_in(target: Target) -> None:
    values = target.alike()
    fields = {str(field.column): field for field in target.model._meta.concrete_fields}
    prepared = [fields[column].get_db_prep_save(value, connection) for column, value in values.items()]
    columns = ", ".join(map(name, values))
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {name(target.model._meta.db_table)} ({columns}) FROM STDIN") as stream,
    ):
        stream.write_row(prepared)


def as_replica(way: Way) -> Way:
    def attempt(target: Target) -> None:
        run("SET LOCAL session_replication_role = replica")
        way(target)

    return attempt


def sql(statement: str) -> Way:
    return lambda target: run(statement.format(table=name(target.model._meta.db_table), column=name(target.column)))


TRUNCATE = sql("TRUNCATE {table} CASCADE")
DELETE: Way = lambda target: remove(target.row)  # noqa: E731  # ways are written as they are read
BULK_CREATE: Way = lambda target: models.QuerySet(target.model).bulk_create([new_row(target)])  # noqa: E731
INSERT: Way = lambda target: insert(target.model, target.alike())  # noqa: E731

ADDING: dict[str, Way] = {
    "the manager's bulk_create": lambda target: target.model.objects.bulk_create([new_row(target)]),
    "a queryset's bulk_create": BULK_CREATE,
    "INSERT": INSERT,
    "COPY": copy_in,
    "INSERT in the replication role": as_replica(INSERT),
}
REMOVING: dict[str, Way] = {
    "the manager's delete": lambda target: target.model.objects.all().delete(),
    "the row's delete": lambda target: target.row.delete(),
    "_raw_delete": lambda target: target.plain._raw_delete("default"),
    "DELETE": DELETE,
    "DELETE in the replication role": as_replica(DELETE),
    "TRUNCATE": TRUNCATE,
    "TRUNCATE in the replication role": as_replica(TRUNCATE),
}


def muted_save(row: models.Model) -> None:
    """Save a stored row past the model's own save, with no signal sent."""
    with pytest.MonkeyPatch.context() as patch:
        for signal in (signals.pre_save, signals.post_save):
            patch.setattr(signal, "send", lambda *arguments, **named: [])
        models.Model.save(row, force_update=True)


def changed(row: models.Model, value: Any) -> Any:
    stored = models.QuerySet(type(row)).get(pk=row.pk)
    stored.revision = value
    return stored


def taken_back(target: Target) -> None:
    """Have the history row undone by a savepoint, and write the row anew without it."""
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", "3")):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            compare_and_swap(target.model, pk=target.row.pk, expected_revision=1, where={}, changes={})
            raise ZeroDivisionError
        target.plain.update(revision=2)


def written_after(target: Target) -> None:
    """Write the row once more after its history row."""
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", "4")):
        compare_and_swap(target.model, pk=target.row.pk, expected_revision=1, where={}, changes={})
        target.plain.update(revision=7)


def stale(target: Target) -> None:
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", "5")):
        stored = compare_and_swap(target.model, pk=target.row.pk, expected_revision=1, where={}, changes={})
        with pytest.raises(LostRace):
            compare_and_swap(target.model, pk=target.row.pk, expected_revision=1, where={}, changes={})
        assert stored.revision == 2
        muted_save(target.row)


CHANGING: dict[str, Way] = {
    "the manager's update": lambda target: target.model.objects.update(revision=9),
    "the manager's bulk_update": lambda target: target.model.objects.bulk_update([target.row], ["revision"]),
    "save": lambda target: changed(target.row, 9).save(),
    "save_base": lambda target: changed(target.row, 9).save_base(raw=True),
    "save_without_historical_record": lambda target: changed(target.row, 9).save_without_historical_record(),
    "a queryset's update": lambda target: target.plain.update(revision=9),
    "F()": lambda target: target.plain.update(revision=F("revision") + 1),
    "a queryset's bulk_update": lambda target: models.QuerySet(target.model).bulk_update(
        [changed(target.row, 9)], ["revision"]
    ),
    "skipped signals": lambda target: muted_save(changed(target.row, 9)),
    "skipped signals and F()": lambda target: muted_save(changed(target.row, F("revision") + 1)),
    "a stale instance": stale,
    "a savepoint that takes history back": taken_back,
    "a write after its history": written_after,
    "UPDATE": sql("UPDATE {table} SET {column} = {column} + 1"),
    "UPDATE in the replication role": as_replica(sql("UPDATE {table} SET {column} = {column} + 1")),
    "UPDATE of the key": lambda target: run(
        f"UPDATE {name(target.model._meta.db_table)} SET id = gen_random_uuid() WHERE id = %s", target.row.pk
    ),
    "MERGE": sql(
        "MERGE INTO {table} USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET {column} = {column} + 1"
    ),
}
UPDATE = sql("UPDATE {table} SET {column} = {column}")
REWRITING: dict[str, Way] = {
    "the manager's update": lambda target: target.model.objects.update(pk=target.row.pk),
    "the manager's bulk_update": lambda target: target.model.objects.bulk_update([target.row], [first_column(target)]),
    "a queryset's update": lambda target: target.plain.update(**{first_column(target): None}),
    "a queryset's bulk_update": lambda target: models.QuerySet(target.model).bulk_update(
        [target.row], [first_column(target)]
    ),
    "save": lambda target: target.row.save(),
    "skipped signals": lambda target: muted_save(target.row),
    "UPDATE": UPDATE,
    "UPDATE in the replication role": as_replica(UPDATE),
    "INSERT ... ON CONFLICT DO UPDATE": lambda target: run(
        f"INSERT INTO {name(target.model._meta.db_table)} SELECT * FROM {name(target.model._meta.db_table)} "
        f"WHERE {name(target.column)} = %s ON CONFLICT ({name(target.column)}) DO UPDATE SET "
        f"{name(target.column)} = excluded.{name(target.column)}",
        target.row.pk,
    ),
}


def first_column(target: Target) -> str:
    """A field that is not the key."""
    return next(field.name for field in target.model._meta.concrete_fields if not field.primary_key)


def contents() -> dict[str, str]:
    """Digest every regulated table."""
    found = {}
    with connection.cursor() as cursor:
        for model in models_of(*REGULATED):
            table = name(model._meta.db_table)
            cursor.execute(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")
            (found[model._meta.db_table],) = cursor.fetchone()
    return found


def test_no_versioned_row_is_written_past_its_history() -> None:
    assert outcomes({**CHANGING, **ADDING, **REMOVING}, TableClass.VERSIONED) == []


def test_no_row_that_is_written_once_is_changed_removed_or_added_past_its_event() -> None:
    assert outcomes({**REWRITING, **ADDING, **REMOVING}, TableClass.WRITE_ONCE, TableClass.HISTORY) == []


@pytest.mark.requirement("REQ-05")
def test_nothing_of_the_ledger_is_changed_or_removed() -> None:
    assert outcomes({**REWRITING, **REMOVING}, TableClass.LEDGER) == []


UPDATE_ONE: Way = lambda target: (  # noqa: E731  # as above
    target.plain.update(revision=9) if target.column == "revision" else UPDATE(target)
)

BY_THE_SERVICE: dict[str, Way] = {
    "TRUNCATE": TRUNCATE,
    "DELETE": sql("DELETE FROM {table}"),
    "the replication role": lambda target: run("SET session_replication_role = replica"),
    "DISABLE TRIGGER": sql("ALTER TABLE {table} DISABLE TRIGGER ALL"),
    "DROP TRIGGER": sql("DROP TRIGGER compliance_no_truncate ON {table}"),
    "DROP TABLE": sql("DROP TABLE {table} CASCADE"),
    "another owner": sql("ALTER TABLE {table} OWNER TO CURRENT_USER"),
    "a rule instead": sql("CREATE RULE quiet AS ON INSERT TO {table} DO INSTEAD NOTHING"),
}


@pytest.mark.requirement("REQ-09")
def test_the_role_that_runs_the_service_can_neither_switch_the_record_off_nor_go_around_it() -> None:
    last = {model: models.QuerySet(model).order_by("pk").last() for model in models_of(*REGULATED)}
    found = []
    with as_the_service():
        for model, row in last.items():
            (kind,) = classes_of(model)
            target = Target(model, row)
            ways = {**BY_THE_SERVICE, "UPDATE": UPDATE_ONE}
            for title, way in ways.items():
                words = OURS if title == "UPDATE" and kind is TableClass.VERSIONED else NO_RIGHT
                if what := outcome(way, target, words=words):
                    found.append(f"{model._meta.db_table}, {title}: {what}")
    assert found == []


def test_an_event_by_nobody_or_without_a_reason_is_refused() -> None:
    row = models.QuerySet(Event).order_by("pk").first()
    for column in ("actor_id", "actor_name", "actor_role", "reason"):
        values = {**values_of(row), "id": "00000000-0000-4000-8000-000000000001", column: " \t"}
        assert outcome(lambda target, values=values: insert(Event, values), Target(Event, row)) == "", column
