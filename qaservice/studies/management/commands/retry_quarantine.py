"""``manage.py retry_quarantine --project P``: try files again that were refused, from their kept bytes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.jobs.runner import drain, wait_for_workers
from qaservice.projects.selectors import project_by_key
from qaservice.studies.models import Outcome
from qaservice.studies.quarantine import chosen, open_count, reason_groups, retry
from qaservice.studies.reading import TROUBLE
from qaservice.studies.selectors import items_of


class Command(BaseCommand):
    help = "Try files of the quarantine again; with --list, only say what waits there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--code", default="", help="only files with this reason, e.g. images-not-held")
        parser.add_argument("--list", action="store_true", help="say what waits and try nothing")
        parser.add_argument("--reason", default="tried again on the command line")
        parser.add_argument(
            "--workers-only", action="store_true", help="leave the work to running workers and wait for them"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            if options["list"]:
                for group in reason_groups(project=project, state="open"):
                    kept = "" if group.retryable == group.files else f", {group.retryable} with kept bytes"
                    self.stdout.write(f"  {group.files:>6}  {group.code}{kept}\n{'':10}{group.example}")
                self.stdout.write(_waiting(open_count(project)))
                return
            items = chosen(project=project, code=options["code"])
            made = retry(project=project, items=items, actor=OPERATOR, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        if options["workers_only"]:
            wait_for_workers(project_key=project.key, on_progress=lambda _progress: None)
        else:
            drain(project_key=project.key, on_progress=lambda _progress: None)
        labels = dict(Outcome.choices)
        for ingest in made:
            ingest.refresh_from_db()
            self.stdout.write(f"{ingest.source_name}, tried again: {ingest.state}")
            for outcome, count in ingest.summary.items():
                if count:
                    self.stdout.write(f"  {count:>6}  {labels[outcome]}")
            for item in items_of(ingest).filter(outcome__in=TROUBLE):
                self.stdout.write(f"  {item.outcome:<12} {item.name}\n{'':15}{item.code}: {item.message}")
        self.stdout.write(_waiting(open_count(project)))


def _waiting(number: int) -> str:
    return "1 file waits" if number == 1 else f"{number} files wait"
