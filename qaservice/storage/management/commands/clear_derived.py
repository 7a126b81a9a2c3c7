"""Drop cached arrays to free disk space."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from compliance.recording import SYSTEM
from qaservice.storage import derived


class Command(BaseCommand):
    help = "Drop everything that can be computed again (volumes, masks of lungs); nothing recorded is lost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        freed = derived.clear(actor=SYSTEM, reason=options["reason"])
        self.stdout.write(f"{freed / 1e6:.1f} MB of derived data dropped; they are computed again when needed.")
