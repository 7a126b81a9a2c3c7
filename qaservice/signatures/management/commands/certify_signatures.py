"""``manage.py certify_signatures REFERENCE --sent-on DATE``: note the site's certification to FDA."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.signatures.enrolment import certify


class Command(BaseCommand):
    help = "Note the site's certification to FDA that its electronic signatures are binding (21 CFR 11.100(c))."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", help="how the letter is found: file number, or FDA's receipt")
        parser.add_argument("--sent-on", required=True, type=date.fromisoformat, help="YYYY-MM-DD")
        parser.add_argument("--reason", default="noted on the command line by the operator of the server")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            noted = certify(
                reference=options["reference"], sent_on=options["sent_on"], actor=OPERATOR, reason=options["reason"]
            )
        except ServiceError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"certification {noted.reference}, sent {noted.sent_on.isoformat()}, is on record")
