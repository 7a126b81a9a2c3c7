"""``manage.py record_training USERNAME --project P --document FILE --document-version V --valid-until DATE``."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.accounts.selectors import user_by_name
from qaservice.common.clock import now
from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key
from qaservice.projects.training import GENERAL, record_training


class Command(BaseCommand):
    help = "Record that somebody was trained for a project: the way in for the first QA lead of a regulated project."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--training", default=GENERAL, help="as the project's training policy names it")
        parser.add_argument("--document", required=True, help="file that was taught; its SHA-256 is kept, not the file")
        parser.add_argument("--document-version", required=True)
        parser.add_argument("--completed-on", help="YYYY-MM-DD, today unless given")
        parser.add_argument("--valid-until", required=True, help="YYYY-MM-DD, the last day on which it holds")
        parser.add_argument("--reason", default="recorded on the command line by the operator of the server")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = user_by_name(options["username"])
        if user is None:
            raise CommandError(f"there is no account {options['username']!r}")
        document = Path(options["document"])
        try:
            completed = date.fromisoformat(options["completed_on"]) if options["completed_on"] else now().date()
            record = record_training(
                project=project_by_key(key=options["project"]),
                user=user,
                training=options["training"],
                document=document.name,
                document_version=options["document_version"],
                document_sha256=hashlib.sha256(document.read_bytes()).hexdigest(),
                completed_on=completed,
                valid_until=date.fromisoformat(options["valid_until"]),
                actor=OPERATOR,
                reason=options["reason"],
            )
        except (ServiceError, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user.username}: {record.training} until {record.valid_until}")
