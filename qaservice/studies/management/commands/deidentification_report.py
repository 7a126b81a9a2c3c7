"""``manage.py deidentification_report --project P``: what was removed from a project's files, without any value."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key
from qaservice.studies.identity import report_of
from qaservice.studies.models import Ingest


class Command(BaseCommand):
    help = "Say what de-identification did to the files of a project, or of one delivery: counts, never a value."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--ingest", help="id of one delivery")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        ingest = None
        if options["ingest"]:
            ingest = next(
                (one for one in Ingest.objects.filter(project=project) if str(one.pk) == options["ingest"]), None
            )
            if ingest is None:
                raise CommandError("there is no such delivery in the project")
        report = report_of(project=project, ingest=ingest)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=1))
            return
        for line in report.lines():
            self.stdout.write(line)
