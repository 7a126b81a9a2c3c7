"""A real PostgreSQL for tests: the one that QASERVICE_TEST_POSTGRES_URL names, else a private cluster for the session.

Tests that commit work on a clone of a migrated template database: the record's triggers refuse to be flushed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.services import find_postgres, private_postgres

NONE_HERE = "no PostgreSQL: run `make test`, install postgresql, or set QASERVICE_TEST_POSTGRES_URL"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a server on which the tests may create databases and roles."""
    if named := os.environ.get("QASERVICE_TEST_POSTGRES_URL"):
        yield named
    elif find_postgres() is None:
        pytest.skip(NONE_HERE)
    else:
        with private_postgres() as url:
            yield url


@contextmanager
def temporary_database(server_url: str, *, template: str = "template0") -> Iterator[str]:
    """Create a database as a copy of ``template``, yield its URL, and drop it, whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(create)
        try:
            yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        finally:
            server.execute(drop)


def database_name(url: str) -> str:
    """Return the name of the database in a URL."""
    return unquote(urlsplit(url).path.lstrip("/"))


def django_settings(url: str) -> dict[str, Any]:
    """Return Django's settings of the database at ``url``."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name(url),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
    }
