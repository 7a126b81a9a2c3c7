"""The database role under which the service runs, on PostgreSQL: it can add to the record and do nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test import override_settings

from compliance.history import grant_runtime_role
from tests.compliance.databases import in_use


@contextmanager
def runtime_role() -> Iterator[str]:
    """Make a role with the rights that ``migrate`` gives the service's, and remove it afterwards."""
    role = f"runtime_{uuid.uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'runtime'")
    with override_settings(QASERVICE_RUNTIME_DB_ROLE=role):
        grant_runtime_role()
    try:
        yield role
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@contextmanager
def as_the_service() -> Iterator[None]:
    """Run a block under such a role."""
    owner = dict(connection.settings_dict)
    with runtime_role() as role, in_use({**owner, "USER": role, "PASSWORD": "runtime"}):
        yield
