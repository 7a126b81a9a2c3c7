"""Number and link committed events."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from compliance.sealing import head, seal


class Command(BaseCommand):
    help = "Numbers committed events and links them into the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=None, help="seal at most this many events")

    def handle(self, *args: Any, **options: Any) -> None:
        sealed = seal(limit=options["limit"])
        size, link = head()
        self.stdout.write(f"Sealed {sealed}; the ledger holds {size} events, head {link}")
