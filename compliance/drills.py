"""Restore drills: a backup is restored aside and verified there against the checkpoints outside (REQ-05).

A backup ends earlier than the checkpoints outside go, so those beyond it are left aside, and counted: so many events a
real restore would lose. The live database is only read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import DatabaseError, load_backend

from compliance.checkpoint_files import kept_sizes, require_place
from compliance.errors import RecordError
from compliance.history import differences
from compliance.kinds import DRILLED
from compliance.ledger.merkle import IncompleteTree
from compliance.recording import Actor, record_event
from compliance.sealing import root_at, seal_all, size
from compliance.verification import VerificationResult, verify_backup

SQLITE_FILE, POSTGRESQL_DUMP = b"SQLite format 3\0", b"PGDMP"
READ_SIZE = 1024 * 1024
SHOWN = 5


class DrillRefused(RecordError):
    """A backup that cannot be restored here; the message says why."""


@dataclass(frozen=True)
class Drill:
    """What a drill found. ``problems`` are in words, few of them; ``behind``: events that the backup does not hold."""

    sealed: int
    root: str
    checkpoints: int
    behind: int
    problems: tuple[str, ...]
    problem_count: int

    @property
    def passed(self) -> bool:
        """Whether the backup is whole and belongs to this ledger."""
        return self.problem_count == 0


def drill(backup: Path, *, actor: Actor, reason: str, server: Mapping[str, Any] | None = None) -> Drill:
    """Restore a backup aside, verify it, record the outcome, and remove what was restored.

    A copy of an SQLite file, or a dump by ``pg_dump --format=custom``; the latter is restored into a new database on
    ``server`` (settings of a database there, by default the service's own), whose role has to be allowed to make one.
    Raises DrillRefused where it cannot be restored; that is recorded too.
    """
    digest = _sha256(backup)
    seal_all()
    try:
        with _restored(backup, server) as settings:
            with _in_place_of_the_live(settings):
                result = verify_backup()
                wrong = [str(one) for one in differences()]
            found = _judged(result, wrong)
    except DrillRefused as error:
        _record(Drill(0, "", 0, 0, (str(error),), 1), digest, actor=actor, reason=reason)
        raise
    _record(found, digest, actor=actor, reason=reason)
    return found


def _judged(result: VerificationResult, triggers: list[str]) -> Drill:
    problems = [one.message for one in result.problems]
    problems += [f"the restored database lacks a guard: {one}" for one in triggers]
    if not result.checkpoints:
        problems.append("there is no checkpoint outside that the backup could be compared with")
    try:
        if size() >= result.sealed and root_at(result.sealed).hex() != result.head:
            problems.append(f"the live ledger has another root over {result.sealed} events")
    except IncompleteTree as error:
        problems.append(f"the live ledger cannot be compared: {error}")
    newest = max((size(), *kept_sizes(require_place())), default=0)
    return Drill(
        sealed=result.sealed,
        root=result.head,
        checkpoints=result.checkpoints,
        behind=max(0, newest - result.sealed),
        problems=tuple(problems[:SHOWN]),
        problem_count=result.problem_count + len(problems) - len(result.problems),
    )


def _record(found: Drill, digest: str, *, actor: Actor, reason: str) -> None:
    record_event(
        DRILLED,
        actor=actor,
        reason=reason,
        subject=("backup", digest),
        payload={
            "result": "passed" if found.passed else "failed",
            "sha256": digest,
            "size": found.sealed,
            "root": found.root,
            "checkpoints": found.checkpoints,
            "behind": found.behind,
            "problems": list(found.problems),
        },
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(READ_SIZE):
                digest.update(piece)
    except OSError as error:
        raise DrillRefused(f"the backup cannot be read: {error.strerror}") from error
    return digest.hexdigest()


@contextmanager
def _restored(backup: Path, server: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Give the settings of the restored database, and remove it afterwards."""
    with backup.open("rb") as stream:
        begins = stream.read(len(SQLITE_FILE))
    if begins == SQLITE_FILE:
        with tempfile.TemporaryDirectory(prefix="restore-drill-") as folder:
            yield _sqlite_copy(backup, Path(folder) / "restored.sqlite3")
    elif begins.startswith(POSTGRESQL_DUMP):
        with _postgresql_copy(backup, server) as settings:
            yield settings
    else:
        raise DrillRefused("the backup is neither an SQLite file nor a dump by pg_dump --format=custom")


def _sqlite_copy(backup: Path, copy: Path) -> dict[str, Any]:
    shutil.copy(backup, copy)
    log = backup.with_name(backup.name + "-wal")
    if log.exists():
        shutil.copy(log, copy.with_name(copy.name + "-wal"))
    try:
        opened = sqlite3.connect(copy)
        (said,) = opened.execute("PRAGMA integrity_check").fetchone()
        opened.close()
    except sqlite3.DatabaseError as error:
        raise DrillRefused(f"the SQLite file is damaged: {error}") from error
    if said != "ok":
        raise DrillRefused(f"the SQLite file is damaged: {said}")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(copy)}


@contextmanager
def _postgresql_copy(backup: Path, server: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    own = dict(connections.settings[DEFAULT_DB_ALIAS] if server is None else server)
    if not str(own["ENGINE"]).endswith("postgresql"):
        raise DrillRefused("a dump of PostgreSQL needs a server: name one with --server")
    name = f"restore_drill_{uuid.uuid4().hex}"
    restored = {**own, "NAME": name, "CONN_MAX_AGE": 0}
    with _administering(own) as cursor:
        try:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        except DatabaseError as error:
            raise DrillRefused("no database can be made on this server: use --server with a role that may") from error
        try:
            _pg_restore(backup, restored)
            yield restored
        finally:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _administering(own: Mapping[str, Any]) -> Iterator[Any]:
    """Give a cursor of a connection of its own: databases are not made inside a transaction of the live one's."""
    connection = _connection(own)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _pg_restore(backup: Path, own: Mapping[str, Any]) -> None:
    places = {"--host": own.get("HOST"), "--port": own.get("PORT"), "--username": own.get("USER")}
    arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "--dbname", str(own["NAME"]), str(backup)]
    arguments += [part for name, value in places.items() if value for part in (name, str(value))]
    environment = {**os.environ, **({"PGPASSWORD": str(own["PASSWORD"])} if own.get("PASSWORD") else {})}
    try:
        done = subprocess.run(  # noqa: S603  # the server's own program, without a shell
            ["pg_restore", *arguments],  # noqa: S607
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except FileNotFoundError as error:
        raise DrillRefused("pg_restore is not installed here") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DrillRefused(f"pg_restore failed: {said[0] if said else done.returncode}")


@contextmanager
def _in_place_of_the_live(settings: Mapping[str, Any]) -> Iterator[None]:
    """Let every query of this thread go to another database."""
    live = connections[DEFAULT_DB_ALIAS]
    aside = _connection(settings)
    connections[DEFAULT_DB_ALIAS] = aside
    try:
        yield
    except DatabaseError as error:
        raise DrillRefused(f"what was restored is not this service's database: {error}") from error
    finally:
        connections[DEFAULT_DB_ALIAS] = live
        aside.close()


def _connection(settings: Mapping[str, Any]) -> Any:
    whole = connections.configure_settings({DEFAULT_DB_ALIAS: dict(settings)})[DEFAULT_DB_ALIAS]
    return load_backend(str(whole["ENGINE"])).DatabaseWrapper(whole, DEFAULT_DB_ALIAS)
