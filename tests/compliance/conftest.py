"""The record's tests stand on settings and models of their own, and run on SQLite and on PostgreSQL.

Under other settings (a run of the whole tree) one test runs this suite in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.compliance import databases

OWN_SETTINGS = "tests.compliance.settings" in (os.environ.get("DJANGO_SETTINGS_MODULE") or "")
HERE = Path(__file__).parent
BRIDGE = "test_own_suite.py"

if OWN_SETTINGS:
    collect_ignore = [BRIDGE, "rendering"]
elif os.environ.get("QASERVICE_DATABASE_URL", "").startswith("postgres"):
    # The run on SQLite has it, with both databases.
    collect_ignore_glob = ["test_*.py"]
else:
    collect_ignore = [path.name for path in HERE.glob("test_*.py") if path.name != BRIDGE]

assert settings.configured


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    with django_db_blocker.unblock():
        return databases.migrated_sqlite(tmp_path_factory.mktemp("template") / "template.sqlite3")


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, django_db_blocker: object) -> Iterator[str]:
    with django_db_blocker.unblock(), databases.migrated_postgres(postgres_url) as name:
        yield name


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path, django_db_blocker: object) -> Iterator[Path]:
    """A fresh SQLite file with all tables and triggers."""
    with django_db_blocker.unblock(), databases.fresh_sqlite(sqlite_template, tmp_path / "record.sqlite3") as path:
        yield path


@pytest.fixture
def postgres_database(postgres_url: str, postgres_template: str, django_db_blocker: object) -> Iterator[str]:
    """A fresh PostgreSQL database with all tables and triggers; its URL."""
    with django_db_blocker.unblock(), databases.fresh_postgres(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """A fresh database, on SQLite and on PostgreSQL in turn."""
    request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return request.param
