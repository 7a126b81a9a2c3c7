"""``manage.py create_user NAME --display-name "Dr A. Reader" [--kind simulated] [--project P --role reader]``."""

from __future__ import annotations

import getpass
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.accounts.models import UserKind
from qaservice.accounts.services import create_user, issue_token
from qaservice.common.errors import ServiceError


class Command(BaseCommand):
    help = "Open an account. The password is asked for, or taken from QASERVICE_NEW_PASSWORD."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--display-name", required=True)
        parser.add_argument("--kind", choices=UserKind.values, default=UserKind.PERSON)
        parser.add_argument("--credentials", default="")
        parser.add_argument("--email", default="")
        parser.add_argument("--administrator", action="store_true")
        parser.add_argument("--token", action="store_true", help="also issue a bearer token and print it once")

    def handle(self, *_args: Any, **options: Any) -> None:
        password = os.environ.get("QASERVICE_NEW_PASSWORD") or getpass.getpass("Password (12 characters or more): ")
        try:
            user = create_user(
                username=options["username"],
                display_name=options["display_name"],
                password=password,
                kind=options["kind"],
                credentials=options["credentials"],
                email=options["email"],
                is_administrator=options["administrator"],
                actor=OPERATOR,
                reason="opened on the command line by the operator of the server",
            )
            self.stdout.write(f"account {user.username} opened")
            if options["token"]:
                token = issue_token(user=user, label="command line", actor=OPERATOR, reason="asked for on opening")
                self.stdout.write(f"token {token}")
        except ServiceError as error:
            raise CommandError(error.message) from error
