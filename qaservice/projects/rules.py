"""Who may do what in a project: one table (REQ-15). An administrator runs the site and has no review rights."""

from __future__ import annotations

from collections.abc import Iterable

from qaservice.projects.models import Role

PERMISSIONS: dict[str, frozenset[str]] = {
    "view": frozenset({Role.READER, Role.ADJUDICATOR, Role.QA_LEAD, Role.INTEGRATOR, Role.AUDITOR}),
    "review": frozenset({Role.READER, Role.ADJUDICATOR}),
    "ingest": frozenset({Role.QA_LEAD, Role.INTEGRATOR}),
    "analyse": frozenset({Role.QA_LEAD, Role.INTEGRATOR}),
    "manage": frozenset({Role.QA_LEAD}),
    # Sees flags with scores, all readers' labels and closed votes: never someone who still reads here.
    "inspect": frozenset({Role.QA_LEAD, Role.AUDITOR}),
    "export": frozenset({Role.QA_LEAD, Role.AUDITOR}),
    "audit": frozenset({Role.QA_LEAD, Role.AUDITOR}),
}

# A reader who could also inspect would not be blind (REQ-33).
INCOMPATIBLE: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset({Role.READER}), frozenset({Role.QA_LEAD, Role.AUDITOR, Role.INTEGRATOR})),
    (frozenset({Role.ADJUDICATOR}), frozenset({Role.QA_LEAD, Role.AUDITOR, Role.INTEGRATOR})),
)


def permits(*, roles: Iterable[str], action: str) -> bool:
    """Return whether someone holding ``roles`` may do ``action``. An unknown action is a fault of the caller."""
    return not PERMISSIONS[action].isdisjoint(roles)


def clash(*, held: Iterable[str], wanted: str) -> str | None:
    """Return a role already held that may not stand beside ``wanted``, or None."""
    for left, right in INCOMPATIBLE:
        for one, other in ((left, right), (right, left)):
            if wanted in one:
                met = other.intersection(held)
                if met:
                    return sorted(met)[0]
    return None
