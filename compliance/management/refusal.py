"""The refusal that stands in place of the history package's commands."""

from __future__ import annotations

from typing import Any, Never

from django.core.management.base import BaseCommand, CommandError


class RefusedCommand(BaseCommand):
    help = "Refused: history rows are evidence. They are written by changes alone and are never purged or rewritten."

    def run_from_argv(self, argv: list[str]) -> None:
        # Without its options: any call of the command gets the same answer.
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> Never:
        raise CommandError(self.help)
