"""Name, list and dismiss the witnesses whose signatures under checkpoints are taken."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.errors import RecordError
from compliance.recording import OPERATOR
from compliance.witnesses import dismiss_witness, name_witness, witnesses


class Command(BaseCommand):
    help = "Lists the witnesses that the ledger names; with --name or --dismiss, changes them."

    def add_arguments(self, parser: CommandParser) -> None:
        wanted = parser.add_mutually_exclusive_group()
        wanted.add_argument("--name", metavar="KEY", help="what witness_checkpoint --create printed for the auditor")
        wanted.add_argument("--dismiss", metavar="KEY", help="a key whose signatures are no more taken")
        parser.add_argument("--reason", default="", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["name"]:
                name_witness(options["name"], actor=OPERATOR, reason=options["reason"])
            if options["dismiss"]:
                dismiss_witness(options["dismiss"], actor=OPERATOR, reason=options["reason"])
            for one in witnesses():
                last = "nothing signed yet" if one.last is None else f"signed {one.last} events last"
                self.stdout.write(f"{one.key} ({last})")
        except RecordError as error:
            raise CommandError(str(error)) from error
