"""Real databases for the record's tests: each test gets a fresh copy of a migrated one, and really commits."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections

from tests.plugins.postgres import database_name, django_settings, temporary_database

DEFAULTS = {
    "ATOMIC_REQUESTS": False,
    "AUTOCOMMIT": True,
    "CONN_HEALTH_CHECKS": False,
    "CONN_MAX_AGE": 0,
    "TIME_ZONE": None,
    "TEST": {"CHARSET": None, "COLLATION": None, "MIGRATE": True, "MIRROR": None, "NAME": None},
    "USER": "",
    "PASSWORD": "",
    "HOST": "",
    "PORT": "",
    "OPTIONS": {},
}


@contextmanager
def in_use(settings: dict[str, Any]) -> Iterator[None]:
    """Make a database the default one, in every thread, for the duration."""
    before = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = {**DEFAULTS, **settings}
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


def sqlite_settings(path: Path) -> dict[str, Any]:
    pragmas = "PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF;"
    options = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": pragmas}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}


def migrated_sqlite(path: Path) -> Path:
    with in_use(sqlite_settings(path)):
        call_command("migrate", verbosity=0)
    return path


@contextmanager
def fresh_sqlite(template: Path, path: Path) -> Iterator[Path]:
    shutil.copy(template, path)
    with in_use(sqlite_settings(path)):
        yield path


@contextmanager
def migrated_postgres(server_url: str) -> Iterator[str]:
    """Yield the name of a migrated database, to be copied."""
    with temporary_database(server_url) as url:
        with in_use(django_settings(url)):
            call_command("migrate", verbosity=0)
        yield database_name(url)


@contextmanager
def fresh_postgres(server_url: str, template: str) -> Iterator[str]:
    with temporary_database(server_url, template=template) as url, in_use(django_settings(url)):
        yield url


@contextmanager
def past_the_triggers() -> Iterator[Any]:
    """Yield a cursor that can alter what is written once, as an intruder with the owner's rights could."""
    connection = connections["default"]
    if connection.vendor == "sqlite":
        intruder = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        statements = dict(intruder.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
        intruder.execute("PRAGMA ignore_check_constraints = ON")
        for name in statements:
            intruder.execute(f'DROP TRIGGER "{name}"')
        yield intruder
        for statement in statements.values():
            intruder.execute(statement)
        intruder.close()
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
        tables = [table for (table,) in cursor.fetchall()]
        for table in tables:
            cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER ALL')
        yield cursor
        for table in tables:
            cursor.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER ALL')
