"""System checks: every model has one class, nothing writes past history, the triggers stand as they should."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.core.management import get_commands
from django.db import connections, models
from django.db.migrations.executor import MigrationExecutor

from compliance import history
from compliance.registry import TableClass, classes_of, concrete_models, models_of, recorded_models
from compliance.shapes import lost_columns

PURGES = ("clean_old_history", "clean_duplicate_history", "populate_history")
KEEPING = frozenset({models.PROTECT, models.RESTRICT, models.DO_NOTHING})


@checks.register(checks.Tags.models)
def every_table_has_one_class(**kwargs: Any) -> list[checks.CheckMessage]:
    """E001: a model is not of exactly one class of table. E002: one record is spread over two tables."""
    found: list[checks.CheckMessage] = []
    for model in concrete_models():
        kinds = classes_of(model)
        if len(kinds) != 1:
            names = " and ".join(kind.value for kind in kinds) or "none"
            found.append(
                checks.Error(
                    f"{model._meta.label} is of {names} of the classes of table",
                    hint="derive from exactly one of VersionedModel, WriteOnceModel, OperationalModel",
                    obj=model,
                    id="compliance.E001",
                )
            )
        elif kinds[0] not in (TableClass.OPERATIONAL, TableClass.DECLARED) and model._meta.parents:
            found.append(
                checks.Error(
                    f"{model._meta.label} spreads one record over two tables",
                    hint="derive from abstract models only",
                    obj=model,
                    id="compliance.E002",
                )
            )
    return found


@checks.register(checks.Tags.models)
def nothing_writes_past_history(**kwargs: Any) -> list[checks.CheckMessage]:
    """E003: a foreign key whose deletion rule changes or removes records. E004: an operational field that is none."""
    found: list[checks.CheckMessage] = []
    for model in models_of(TableClass.VERSIONED, TableClass.WRITE_ONCE):
        for field in model._meta.concrete_fields:
            if field.remote_field is not None and field.remote_field.on_delete not in KEEPING:
                found.append(
                    checks.Error(
                        f"{model._meta.label}.{field.name} would be changed or removed by a deletion elsewhere",
                        hint="use on_delete=models.PROTECT",
                        obj=model,
                        id="compliance.E003",
                    )
                )
    for model in models_of(TableClass.VERSIONED):
        for name in sorted(_strange_operational_fields(model)):
            found.append(
                checks.Error(
                    f"{model._meta.label}.operational_fields names {name!r}, which no history may leave out",
                    obj=model,
                    id="compliance.E004",
                )
            )
    return found


@checks.register(checks.Tags.models)
def history_cannot_be_switched_off(**kwargs: Any) -> list[checks.CheckMessage]:
    """E005: SIMPLE_HISTORY_ENABLED is off. E006: the history package's own commands are within reach."""
    found: list[checks.CheckMessage] = []
    if not getattr(settings, "SIMPLE_HISTORY_ENABLED", True):
        found.append(checks.Error("SIMPLE_HISTORY_ENABLED is off", id="compliance.E005"))
    commands = get_commands()
    for name in PURGES:
        if commands.get(name) != "compliance":
            found.append(
                checks.Error(
                    f"manage.py {name} of {commands.get(name)} is within reach",
                    hint='put "compliance" before "simple_history" in INSTALLED_APPS',
                    id="compliance.E006",
                )
            )
    return found


@checks.register(checks.Tags.security, deploy=True)
def a_regulated_site_runs_postgresql(**kwargs: Any) -> list[checks.CheckMessage]:
    """E007: SQLite cannot refuse an unrecorded change at commit; it is for trying out, not for a regulated site."""
    return [
        checks.Error(
            f"the database {alias!r} is not PostgreSQL, and only PostgreSQL refuses an unrecorded change at commit",
            hint="set QASERVICE_DATABASE_URL to a PostgreSQL database",
            id="compliance.E007",
        )
        for alias in connections
        if connections[alias].vendor != "postgresql"
    ]


@checks.register(checks.Tags.security, deploy=True)
def checkpoints_lie_apart(**kwargs: Any) -> list[checks.CheckMessage]:
    """W002: checkpoints or the key that signs them lie in the data folder, and are lost or forged with it."""
    data = getattr(settings, "DATA_DIR", None)
    places = {
        "QASERVICE_CHECKPOINT_DIR": getattr(settings, "CHECKPOINT_DIR", None),
        "QASERVICE_LEDGER_KEY_FILE": getattr(settings, "LEDGER_KEY_FILE", None),
    }
    return [
        checks.Warning(
            f"{name} is in the data folder, beside what it is to prove",
            hint="set it to a place outside QASERVICE_DATA_DIR; checkpoints best on another machine",
            id="compliance.W002",
        )
        for name, place in places.items()
        if data and place and Path(data).resolve() in Path(place).resolve().parents
    ]


@checks.register(checks.Tags.database)
def triggers_stand_as_registered(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E008: a trigger of the record is missing, altered, disabled or left over.

    Silent while migrations wait to be applied: ``migrate`` runs this check first, and puts the triggers right last.
    """
    return [
        checks.Error(f"database {alias!r}: {difference}", hint="run manage.py install_triggers", id="compliance.E008")
        for alias in databases or ()
        if not _migrations_wait(alias)
        for difference in history.differences(using=alias)
    ]


@checks.register(checks.Tags.database)
def no_recorded_column_is_lost(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E009: a column that digests of stored rows cover is gone, so that those rows can never be verified again."""
    if "default" not in (databases or ()) or _migrations_wait("default"):
        return []
    return [
        checks.Error(
            f"{table}.{column} is covered by the digests of stored rows, and the model does not have it any more",
            hint="a column of the record is kept for good: add a new one instead of renaming or removing it",
            id="compliance.E009",
        )
        for table, column in lost_columns(recorded_models())
    ]


@checks.register(checks.Tags.database, deploy=True)
def the_service_does_not_own_its_tables(
    *, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """W001: this connection's role could switch the triggers off (it owns the ledger, or is a superuser)."""
    return [
        checks.Warning(
            f"database {alias!r}: this role can switch the record's triggers off",
            hint="run the service as the role that QASERVICE_RUNTIME_DB_ROLE names; only migrations run as the owner",
            id="compliance.W001",
        )
        for alias in databases or ()
        if connections[alias].vendor == "postgresql" and _owns_the_ledger(alias)
    ]


def _migrations_wait(alias: str) -> bool:
    executor = MigrationExecutor(connections[alias])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _owns_the_ledger(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper) OR EXISTS (SELECT 1 "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'compliance_event' "
            "AND n.nspname = current_schema() AND pg_has_role(current_user, c.relowner, 'MEMBER'))"
        )
        return bool(cursor.fetchone()[0])


def _strange_operational_fields(model: type[models.Model]) -> Iterator[str]:
    for name in model.operational_fields:  # type: ignore[attr-defined]  # versioned models have it
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            yield name
        else:
            if not field.concrete or getattr(field, "primary_key", False) or name == "revision":
                yield name
