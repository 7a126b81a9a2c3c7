"""Verify the live record."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.contents import verify_contents
from compliance.verification import verify_live

SHOWN = 10


class Command(BaseCommand):
    help = (
        "Verifies chain, tree, checkpoints, events, rows, live state and stored contents; names the first altered "
        "record, with exit status 1. Exit status 3: nothing was altered, but a place outside could not be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--size", type=int, help="number of events at an earlier head, from a report or a kit")
        parser.add_argument("--head", help="that head, in hexadecimal")
        parser.add_argument(
            "--skip-contents", action="store_true", help="do not read stored files against their digests"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        size, head = options["size"], options["head"]
        if (size is None) != (head is None):
            raise CommandError("--size and --head belong together", returncode=2)
        result = verify_live(checkpoint=None if size is None else (size, head), processes=os.cpu_count() or 1)
        contents = [] if options.get("skip_contents") else verify_contents()
        self.stdout.write(f"{result.sealed} sealed events, {result.unsealed} not sealed yet, {result.rows} rows")
        copies = f", {result.copies} copies in the bucket" if result.copies else ""
        self.stdout.write(f"{result.checkpoints} checkpoints{copies}, {result.redacted} fields redacted")
        self.stdout.write(f"head {result.head}")
        problems = [*result.problems, *contents]
        if result.unreachable:
            self.stderr.write(f"not compared: {result.unreachable}")
        if not problems:
            if result.unreachable:
                raise CommandError("nothing was altered as far as could be compared", returncode=3)
            self.stdout.write("OK: nothing was altered")
            return
        for problem in problems[1:SHOWN]:
            self.stderr.write(f"  also: {problem.message}")
        count = result.problem_count + len(contents)
        raise CommandError(f"{count} problems, the first: {problems[0].message}")
