"""Prove that one checkpoint continues another."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.merkle import IncompleteTree
from compliance.proofs import consistency_proof
from compliance.sealing import size


class Command(BaseCommand):
    help = "Prints the proof that the ledger of one size continues that of another; verify_proof.py checks it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("first", type=int, help="number of events at the earlier checkpoint")
        parser.add_argument("second", type=int, nargs="?", help="at the later one; all that are sealed if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        second = size() if options["second"] is None else options["second"]
        try:
            proof = consistency_proof(first=options["first"], second=second)
        except (IncompleteTree, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(canonical_bytes(proof).decode())
