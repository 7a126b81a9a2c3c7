"""Verification of the live record: chain, tree, events, rows and live state, naming the first altered record."""

from __future__ import annotations

from dataclasses import dataclass

from compliance.ledger_walk import Walk
from compliance.loose_rows import LooseRows
from compliance.problems import Problem
from compliance.read_ahead import stretches
from compliance.reconciliation import reconcile
from compliance.row_checks import shape_problems, unexplained_rows
from compliance.sealing import size
from compliance.tree_checks import Disclosure, KeptCheckpoints, TreeWatch, given_head, kept_checkpoints

SHOWN = 100


@dataclass(frozen=True)
class VerificationResult:
    """What verification found. ``first`` is the earliest problem in ledger order; ``problems`` holds a hundred.

    ``copies`` counts what was compared of the bucket; ``unreachable`` says why a place outside was not.
    """

    ok: bool
    sealed: int
    unsealed: int
    rows: int
    head: str
    first: Problem | None
    problems: tuple[Problem, ...]
    problem_count: int
    redacted: int = 0
    checkpoints: int = 0
    copies: int = 0
    unreachable: str = ""


def verify_live(*, checkpoint: tuple[int, str] | None = None, processes: int = 1) -> VerificationResult:
    """Verify the whole record as it stands, and say what was altered, first in ledger order.

    Checked: the chain without gaps; every event against its leaf, and its payload against its commitments; what is
    missing of a payload against the redactions that say so; every history row and write-once row against the digest
    in its event; rows that no event names, and named rows that are missing; the order of times; the kept nodes of
    the tree; checkpoints on disk and in the bucket against the tree, with their signatures and time-stamps; live
    rows against their last history. ``checkpoint`` is a further (size, root) kept outside, from a report or a kit:
    without any, a ledger whose end was cut off together with its rows still looks whole. ``processes`` says how many
    may read at once; more than one only where no other thread runs and no connection is in use.
    """
    outside = kept_checkpoints()
    return _verified(size(), outside, checkpoint, processes)


def verify_backup() -> VerificationResult:
    """Verify a restored record as ``verify_live`` does, leaving aside the checkpoints that go beyond it."""
    sealed_size = size()
    return _verified(sealed_size, kept_checkpoints(upto=sealed_size), None)


def _verified(
    sealed_size: int, outside: KeptCheckpoints, checkpoint: tuple[int, str] | None, processes: int = 1
) -> VerificationResult:
    watch = TreeWatch(sizes={*outside.wanted, *([checkpoint[0]] if checkpoint else ())})
    disclosure = Disclosure()
    found: list[Problem] = []
    loose = LooseRows()
    with stretches(size=sealed_size, processes=processes) as reader:
        walk = Walk(sealed_size, watch, disclosure, loose, reader)
        found += walk.problems()
    found += disclosure.problems()
    found += watch.problems()
    found += outside.problems(watch)
    if checkpoint:
        found += given_head(checkpoint, watch)
    found += shape_problems()
    found += unexplained_rows(loose)
    found += loose.problems()
    found += reconcile()
    found.sort(key=lambda problem: problem.place)
    return VerificationResult(
        ok=not found,
        sealed=walk.sealed,
        unsealed=walk.unsealed,
        rows=walk.rows,
        head=watch.root.hex(),
        first=found[0] if found else None,
        problems=tuple(found[:SHOWN]),
        problem_count=len(found),
        redacted=disclosure.redacted,
        checkpoints=len(outside.sizes),
        copies=len(outside.compared_copies),
        unreachable=outside.unreachable,
    )
