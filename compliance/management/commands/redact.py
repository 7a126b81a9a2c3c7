"""Redact fields of an event's payload."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.errors import RecordError
from compliance.recording import OPERATOR
from compliance.redaction import redact


class Command(BaseCommand):
    help = (
        "Destroys fields of an event's payload for a stated reason; their commitments stay, and the record still "
        "verifies. On PostgreSQL, run it as the role that owns the tables. Backups have to be dealt with apart."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event", type=uuid.UUID, help="id of the event")
        parser.add_argument("field", nargs="+", help="names of the payload fields")
        parser.add_argument("--reason", required=True, help="why; without the data that are to go")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said = redact(event_id=options["event"], fields=options["field"], actor=OPERATOR, reason=options["reason"])
        except RecordError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Redacted {', '.join(sorted(set(options['field'])))}; event {said} says so")
