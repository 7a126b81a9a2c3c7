"""``manage.py grant_role USERNAME ROLE --project P``: give an account a role in a project."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.accounts.selectors import user_by_name
from qaservice.common.errors import ServiceError
from qaservice.projects.models import Role
from qaservice.projects.selectors import project_by_key
from qaservice.projects.services import create_project, grant


class Command(BaseCommand):
    help = "Give an account a role in a project."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("role", choices=Role.values)
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--create", metavar="TITLE", help="open the project first, with this title, if it is new")
        parser.add_argument("--reason", default="granted on the command line by the operator of the server")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = user_by_name(options["username"])
        if user is None:
            raise CommandError(f"there is no account {options['username']!r}; open it with create_user")
        try:
            try:
                project = project_by_key(key=options["project"])
            except ServiceError:
                if not options["create"]:
                    raise
                project = create_project(
                    key=options["project"], title=options["create"], actor=OPERATOR, reason=options["reason"]
                )
            grant(project=project, user=user, role=options["role"], actor=OPERATOR, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{user.username} is {options['role']} in {project.key}")
