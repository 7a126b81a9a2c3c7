"""Publish a checkpoint now, and keep what witnesses sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.checkpoints import add_cosignature, publish, require_place
from compliance.errors import RecordError
from compliance.ledger.note import Note, NoteError


class Command(BaseCommand):
    help = "Seals what waits and prints a signed checkpoint; with --add, keeps a witness's signature beside its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--add", metavar="FILE", help="a checkpoint that a witness signed")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if not options["add"]:
                self.stdout.write(str(publish()), ending="")
                return
            note = Note.parse(Path(options["add"]).read_bytes())
            kept = [add_cosignature(require_place(), text=note.text, signature=one) for one in note.signatures[1:]]
        except (RecordError, NoteError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{len(kept)} signatures kept")
