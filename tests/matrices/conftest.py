"""Populated projects on SQLite and PostgreSQL: migrated and filled once a session, copied for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.db import connections

from tests.compliance import databases
from tests.matrices import site
from tests.plugins.postgres import database_name, django_settings, temporary_database

Backup = Callable[[], AbstractContextManager[object]]


@pytest.fixture(scope="session")
def sqlite_populated(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> tuple[Path, site.Place]:
    """The file of a populated SQLite database, and where its files lie."""
    folder = tmp_path_factory.mktemp("matrices")
    place = site.Place(folder / "data")
    with django_db_blocker.unblock():
        path = databases.migrated_sqlite(folder / "populated.sqlite3")
        with place.in_force(), databases.in_use(databases.sqlite_settings(path)):
            site.populate()
    return path, place


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, django_db_blocker: object) -> Iterator[str]:
    with django_db_blocker.unblock(), databases.migrated_postgres(postgres_url) as name:
        yield name


@pytest.fixture(scope="session")
def postgres_populated(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object
) -> Iterator[tuple[str, site.Place]]:
    """The name of a populated PostgreSQL database, to be copied, and where its files lie."""
    place = site.Place(tmp_path_factory.mktemp("matrices-postgres"))
    with django_db_blocker.unblock(), temporary_database(postgres_url, template=postgres_template) as url:
        with place.in_force(), databases.in_use(django_settings(url)):
            site.populate()
        yield database_name(url), place


@pytest.fixture(scope="module")
def on_sqlite(
    sqlite_populated: tuple[Path, site.Place], tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object
) -> Iterator[site.Place]:
    """A copy of the populated project on SQLite, in force for this module."""
    path, place = sqlite_populated
    folder = tmp_path_factory.mktemp("copy")
    own = place.copied_to(folder / "data")
    with (
        django_db_blocker.unblock(),
        own.in_force(),
        databases.fresh_sqlite(path, folder / "record.sqlite3"),
    ):
        yield own


@pytest.fixture(scope="module")
def on_postgres(
    postgres_url: str,
    postgres_populated: tuple[str, site.Place],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: object,
) -> Iterator[site.Place]:
    """A copy of the populated project on PostgreSQL, in force for this module."""
    name, place = postgres_populated
    own = place.copied_to(tmp_path_factory.mktemp("copy"))
    with django_db_blocker.unblock(), own.in_force(), databases.fresh_postgres(postgres_url, name):
        yield own


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def populated(request: pytest.FixtureRequest) -> site.Place:
    """A populated project on SQLite and on PostgreSQL in turn."""
    place: site.Place = request.getfixturevalue("on_sqlite" if request.param == "sqlite" else "on_postgres")
    assert connections["default"].vendor == request.param
    return place


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: object
) -> Iterator[tuple[site.Place, Backup]]:
    """A copy of the populated project for one test, on each database, and the way to put another one in force."""
    with django_db_blocker.unblock():
        if request.param == "sqlite":
            path, place = request.getfixturevalue("sqlite_populated")
            own = place.copied_to(tmp_path / "data")
            with own.in_force(), databases.fresh_sqlite(path, tmp_path / "record.sqlite3"):
                yield own, lambda: databases.fresh_sqlite(path, tmp_path / "backup.sqlite3")
        else:
            url = request.getfixturevalue("postgres_url")
            name, place = request.getfixturevalue("postgres_populated")
            own = place.copied_to(tmp_path / "data")
            with own.in_force(), databases.fresh_postgres(url, name):
                yield own, lambda: databases.fresh_postgres(url, name)
