"""Make, show and rotate the key that signs checkpoints."""

from __future__ import annotations

import shlex
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.checkpoints import create_key, former_signer, key_history, rotate_key
from compliance.errors import RecordError
from compliance.ledger.note import NoteError
from compliance.recording import OPERATOR


class Command(BaseCommand):
    help = "Shows the ledger's keys, oldest first; with --create or --rotate, makes the first one or the next."

    def add_arguments(self, parser: CommandParser) -> None:
        wanted = parser.add_mutually_exclusive_group()
        wanted.add_argument("--create", metavar="NAME", help="make the site's key under a name such as qa.example.org")
        wanted.add_argument("--rotate", action="store_true", help="replace the key; the old one signs the new")
        parser.add_argument(
            "--signed-by",
            metavar="PROGRAM",
            help="with --rotate: the signing program that goes, where QASERVICE_LEDGER_SIGNER names it no more",
        )
        parser.add_argument("--reason", default="", help="why the key is rotated")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["create"]:
                self.stdout.write(str(create_key(name=options["create"])))
                return
            if options["rotate"]:
                program = options["signed_by"]
                old = former_signer(shlex.split(program)) if program else None
                rotate_key(actor=OPERATOR, reason=options["reason"], old=old)
            for index, key, fault in key_history():
                self.stdout.write(f"event {index}: {key}" + (f" ({fault})" if fault else ""))
        except FileExistsError as error:
            raise CommandError("a key is there already") from error
        except (RecordError, NoteError) as error:
            raise CommandError(str(error)) from error
