"""``manage.py proof_card --project P --flag N``: prove one flag's or finding's last event to an outsider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.errors import RecordError
from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key
from qaservice.reports.proof_cards import export_proof_card


class Command(BaseCommand):
    help = (
        "Writes proof-card.json and proof-card.pdf: that the last state of one flag or finding stands in the ledger. "
        "They show nothing of any other patient."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("--flag", type=int, help="number of the flag")
        wanted.add_argument("--finding", help="tracking UID of the finding")
        parser.add_argument("--show", action="append", default=[], help="a payload field to disclose; may be repeated")
        parser.add_argument("--output", default=".", help="folder to write to; made where it is missing")
        parser.add_argument("--reason", default="proof asked for on the command line")

    def handle(self, *_args: Any, **options: Any) -> None:
        folder = Path(options["output"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            project = project_by_key(key=options["project"])
            card = export_proof_card(
                project=project,
                flag=options["flag"],
                finding=options["finding"] or "",
                show=options["show"],
                actor=OPERATOR,
                reason=options["reason"],
            )
            (folder / "proof-card.json").write_bytes(card.data)
            (folder / "proof-card.pdf").write_bytes(card.pdf)
        except ServiceError as error:
            raise CommandError(error.message) from error
        except RecordError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{folder} cannot be written to: {error.strerror}") from error
        self.stdout.write(f"event {card.index} of {card.size}, key {card.key}")
        self.stdout.write(f"verify offline: python verify_proof.py {folder / 'proof-card.json'}")
