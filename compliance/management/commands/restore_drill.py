"""Restore a backup aside and verify it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from compliance.drills import drill
from compliance.errors import RecordError
from compliance.recording import OPERATOR


class Command(BaseCommand):
    help = (
        "Restores a backup (an SQLite file, or a dump by pg_dump --format=custom) into a fresh place, verifies the "
        "record there against the checkpoints outside, records the outcome, and removes what was restored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", help="the file")
        parser.add_argument(
            "--server", help="where a dump is restored: postgresql://role:password@host:port/postgres, a role that may"
        )
        parser.add_argument("--reason", default="restore drill", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            server = _settings(options["server"]) if options["server"] else None
            found = drill(Path(options["backup"]), actor=OPERATOR, reason=options["reason"], server=server)
        except ProgrammingError as error:
            raise CommandError("--server is an address such as postgresql://role@host:5432/postgres") from error
        except RecordError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{found.sealed} sealed events, root {found.root}")
        self.stdout.write(f"{found.checkpoints} checkpoints outside compared; {found.behind} events behind")
        if found.passed:
            self.stdout.write("OK: the backup is whole, and of this ledger")
            return
        for message in found.problems[1:]:
            self.stderr.write(f"  also: {message}")
        raise CommandError(f"{found.problem_count} problems, the first: {found.problems[0]}")


def _settings(address: str) -> dict[str, Any]:
    parts = conninfo_to_dict(address)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": str(parts.get("dbname") or "postgres"),
        "USER": str(parts.get("user") or ""),
        "PASSWORD": str(parts.get("password") or ""),
        "HOST": str(parts.get("host") or ""),
        "PORT": str(parts.get("port") or ""),
    }
