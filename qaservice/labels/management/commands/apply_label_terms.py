"""``manage.py apply_label_terms --project P``: understand labels that are held already under the project's terms."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.labels.terms import apply_label_terms
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Give held labels the categories that the project's terms (set_policy --label) say of their names."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--reason", default="the project's terms were changed by the operator of the server")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            renamed = apply_label_terms(project=project, actor=OPERATOR, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(error.message) from error
        for name, number in sorted(renamed.names.items()):
            self.stdout.write(f"  {number:>6}  {name}")
        self.stdout.write(f"{renamed.findings} findings are understood anew")
