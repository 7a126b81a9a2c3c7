"""Compare the clocks, and send what waits to the places outside, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from qaservice.retention.watch import look


class Command(BaseCommand):
    help = (
        "Compares the server's clock with the database's and the time-stamps', and catches up with the places outside; "
        "administrators are alerted to what is wrong. The workers do the same once a minute."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = look()
        for finding in found:
            self.stderr.write(finding.words)
        if found:
            raise CommandError(f"{len(found)} findings")
        self.stdout.write("OK: the clocks agree, and the places outside are up to date")
