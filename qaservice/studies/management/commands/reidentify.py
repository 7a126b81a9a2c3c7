"""``manage.py reidentify PSEUDONYM --project P --reason R``: look up who stands behind a pseudonym, on the record."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key
from qaservice.studies.identity import reidentify


class Command(BaseCommand):
    help = "Look up what stands behind a pseudonym or a replaced UID; that it was looked up, and why, is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pseudonym")
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--reason", required=True, help="why this has to be known; it goes into the record")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["reason"].strip():
            raise CommandError("say why this has to be known")
        try:
            found = reidentify(
                project=project_by_key(key=options["project"]),
                pseudonym=options["pseudonym"],
                actor=OPERATOR,
                reason=options["reason"],
            )
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        for one in found:
            self.stdout.write(f"{one.kind}: {one.original}")
