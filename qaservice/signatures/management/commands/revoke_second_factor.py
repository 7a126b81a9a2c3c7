"""``manage.py revoke_second_factor USERNAME --reason WHY``: take a lost second factor out of force."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from qaservice.accounts.selectors import user_by_name
from qaservice.common.errors import ServiceError
from qaservice.signatures.enrolment import revoke_from_the_server


class Command(BaseCommand):
    help = "Revoke a lost second factor. Its owner enrols another once their identity was verified anew."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="goes into the record")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = user_by_name(options["username"])
        if user is None:
            raise CommandError(f"there is no account {options['username']!r}")
        try:
            revoke_from_the_server(user=user, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{user.username} cannot sign until another second factor is enrolled")
