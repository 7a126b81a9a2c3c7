"""``manage.py approve_model NAME --project P --digest D --reason R``: let a foreign bundle's code run in a project."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.analysis.approvals import approve_model, withdraw_approval
from qaservice.analysis.selectors import registered_model
from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Approve a registered bundle's code for a project. In a regulated project only a logged-in person may."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name, name and version, or digest of the model")
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--digest", default="", help="the whole digest of what you looked at (to approve)")
        parser.add_argument("--reason", required=True, help="why; goes into the record")
        parser.add_argument("--withdraw", action="store_true", help="take the project's approval back")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            model = registered_model(name=options["name"])
            if options["withdraw"]:
                withdraw_approval(project=project, model=model, actor=OPERATOR, reason=options["reason"])
            else:
                approve_model(
                    project=project,
                    model=model,
                    bundle_sha256=options["digest"],
                    actor=OPERATOR,
                    reason=options["reason"],
                )
        except ServiceError as error:
            raise CommandError(error.message) from error
        done = "approval withdrawn" if options["withdraw"] else "approved"
        self.stdout.write(f"{model} {model.bundle_sha256[:12]}: {done} in {project.key}")
