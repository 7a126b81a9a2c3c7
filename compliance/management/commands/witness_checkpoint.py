"""Co-sign a checkpoint as a witness: an auditor's command, on the auditor's machine, without the database."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.ledger.note import COSIGNATURE, Checkpoint, Note, NoteError, VerifierKey
from compliance.signers import FileSigner
from compliance.witness import NotWitnessed, witness


class Command(BaseCommand):
    help = (
        "Checks that a checkpoint continues the last one signed here, and signs it. The signed checkpoint is printed "
        "and remembered; the service keeps it with manage.py checkpoint --add."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--key-file", required=True, help="the witness's own key")
        parser.add_argument(
            "--create", metavar="NAME", help="make that key under a name, print it, and do nothing more"
        )
        parser.add_argument("--checkpoint", help="the checkpoint to sign")
        parser.add_argument("--log-key", help="the ledger's key, as the site told you")
        parser.add_argument("--last", help="file that remembers the last checkpoint signed here")
        parser.add_argument("--proof", help="what manage.py consistency_proof printed from the last one to this one")

    def handle(self, *args: Any, **options: Any) -> None:
        key_file = Path(options["key_file"])
        try:
            if options["create"]:
                made = FileSigner.create(key_file, name=options["create"], kind=COSIGNATURE)
                self.stdout.write(str(made.key))
                return
            missing = [name for name in ("checkpoint", "log_key", "last") if not options[name]]
            if missing:
                raise CommandError(f"--{missing[0].replace('_', '-')} is missing", returncode=2)
            signed = self._sign(FileSigner.load(key_file), options)
        except FileExistsError as error:
            raise CommandError("a key is there already") from error
        except (NoteError, NotWitnessed, OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"not signed: {error}") from error
        self.stdout.write(str(signed), ending="")

    def _sign(self, signer: FileSigner, options: dict[str, Any]) -> Note:
        if signer.key.kind != COSIGNATURE:
            raise NoteError("this is not a witness's key")
        remembered = Path(options["last"])
        last = Checkpoint.parse(Note.parse(remembered.read_bytes()).text) if remembered.exists() else None
        proof = json.loads(Path(options["proof"]).read_bytes())["proof"] if options["proof"] else []
        note = Note.parse(Path(options["checkpoint"]).read_bytes())
        given = witness(
            note=note,
            log_key=VerifierKey.parse(options["log_key"]),
            last=last,
            proof=[bytes.fromhex(step) for step in proof],
            signer=signer,
            seconds=int(time.time()),
        )
        signed = Note(note.text, (*note.signatures[:1], given))
        # Remembered before it is handed out: a signature that nobody remembers could be followed by a fork's.
        partial = remembered.with_name(remembered.name + ".new")
        partial.write_bytes(str(signed).encode())
        partial.replace(remembered)
        return signed
