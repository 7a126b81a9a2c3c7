"""``manage.py create_identity_key``: make the key that opens projects' secrets and crosswalks, where settings say."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from qaservice.common.errors import ServiceError
from qaservice.studies.sealed import create_key


class Command(BaseCommand):
    help = "Make the site's identity key; never overwrites one."

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            place = create_key()
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self.stdout.write(f"made {place}; back it up apart from the data: without it no crosswalk can be opened")
