"""The one place where the state of a versioned row changes: a compare-and-swap with its history row and event.

A state machine is one table. Whoever loses the race gets Conflict and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from compliance.base import VersionedModel
from compliance.recording import LostRace, compare_and_swap
from qaservice.common.errors import Conflict

Row = TypeVar("Row", bound=VersionedModel)


@dataclass(frozen=True)
class Transition:
    """One permitted step. ``requirement`` names the rule it serves, or is empty for plain bookkeeping."""

    name: str
    sources: frozenset[str]
    target: str
    requirement: str = ""


@dataclass(frozen=True)
class StateMachine:
    """All permitted steps of one state field."""

    field: str
    transitions: tuple[Transition, ...]

    def named(self, name: str) -> Transition:
        for transition in self.transitions:
            if transition.name == name:
                return transition
        raise LookupError(f"no transition named {name!r}")


def step(
    row: Row, *, machine: StateMachine, name: str, expected_revision: int, changes: Mapping[str, object] | None = None
) -> Row:
    """Take one named transition inside the running change and return the row as it now stands.

    Raises Conflict if the row is in another state, or someone else changed it since ``expected_revision``.
    """
    transition = machine.named(name)
    state = getattr(row, machine.field)
    if state not in transition.sources:
        raise Conflict(
            f"this is {state!r} now, and {name!r} is possible only from {', '.join(sorted(transition.sources))}",
            code="wrong-state",
            details={"state": state, "step": name},
        )
    return _swap(
        row,
        expected_revision=expected_revision,
        where={machine.field: state},
        changes={**(changes or {}), machine.field: transition.target},
    )


def amend(row: Row, *, expected_revision: int, changes: Mapping[str, object]) -> Row:
    """Change fields that are not state, inside the running change; same race rule as ``step``."""
    return _swap(row, expected_revision=expected_revision, where={}, changes=changes)


def _swap(row: Row, *, expected_revision: int, where: Mapping[str, object], changes: Mapping[str, object]) -> Row:
    try:
        return compare_and_swap(type(row), pk=row.pk, expected_revision=expected_revision, where=where, changes=changes)
    except LostRace as error:
        raise Conflict(
            "someone else changed this first; read it again and decide anew",
            code="stale-revision",
            details={"expected_revision": expected_revision},
        ) from error
