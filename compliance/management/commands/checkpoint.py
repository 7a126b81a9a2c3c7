"""Publish a checkpoint now, and keep what witnesses sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.checkpoints import publish
from compliance.errors import RecordError
from compliance.outside import carry_out
from compliance.recording import OPERATOR
from compliance.witnesses import take_cosigned


class Command(BaseCommand):
    help = (
        "Seals what waits and prints a signed checkpoint, copied and time-stamped where that is set up; with --add, "
        "keeps a witness's signature beside its own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--add", metavar="FILE", help="a checkpoint that a witness signed")
        parser.add_argument("--reason", default="co-signed by a witness", help="why, for the record, with --add")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if not options["add"]:
                self.stdout.write(str(publish()), ending="")
                for finding in carry_out():
                    self.stderr.write(finding.words)
                return
            data = Path(options["add"]).read_bytes()
            kept = take_cosigned(data, actor=OPERATOR, reason=options["reason"])
        except (RecordError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"signatures kept: {', '.join(key.name for key in kept)}")
