"""Put the record's triggers back as they should be."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

from compliance.history import grant_runtime_role, install


class Command(BaseCommand):
    help = "Installs the record's triggers and the runtime role's rights, and names what was not as it should be."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS)

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = install(using=options["database"])
        for difference in wrong:
            self.stdout.write(f"put right: {difference}")
        role = grant_runtime_role(using=options["database"])
        self.stdout.write(f"{len(wrong)} put right" + (f"; {role} has the service's rights" if role else ""))
