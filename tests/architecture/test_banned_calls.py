"""Calls that write around the record are banned outside the one place that needs them; each names its replacement."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import pytest

from tests.architecture.sources import calls, files, named, parsed


@dataclass(frozen=True)
class Ban:
    """``name`` may be called, or imported, only in ``homes`` (path prefixes)."""

    name: str
    instead: str
    homes: tuple[str, ...] = ()


# Jobs, sessions and tokens are operational rows: they have no history to bypass.
OPERATIONAL = ("qaservice/jobs/", "qaservice/accounts/tokens.py")
QUERYSET_UPDATE = Ban(
    "update",
    "qaservice.common.transitions.step or amend, which write the history row and the event",
    ("compliance/recording.py", "compliance/swapping.py", "compliance/redaction.py", *OPERATIONAL),
)
BANS = (
    Ban("bulk_create", "Model.objects.record_many, which records the Merkle root of the rows", ("compliance/",)),
    Ban("bulk_update", "qaservice.common.transitions.amend, row by row"),
    Ban("_raw_delete", "nothing: evidence is never deleted"),
    Ban("shared_task", "qaservice.jobs.registry.executor, whose row is the truth about the work"),
    Ban("bulk_create_with_history", "Model.objects.record_many"),
    Ban("bulk_update_with_history", "qaservice.common.transitions.amend, row by row"),
    Ban("update_change_reason", "the reason that compliance.recording.change asks for"),
    Ban("clean_old_history", "nothing: history is never purged"),
    Ban("clean_duplicate_history", "nothing: history is never purged"),
    Ban("populate_history", "nothing: a row without history cannot exist"),
)
QUERYSET_STEPS = frozenset(
    {"all", "filter", "exclude", "order_by", "select_related", "select_for_update", "get_queryset"}
)


def _on_a_queryset(call: ast.Call) -> bool:
    """Tell ``Model.objects.filter(...).update()`` from ``dictionary.update()``."""
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    while receiver is not None:
        if isinstance(receiver, ast.Attribute):
            if receiver.attr in {"objects", "_default_manager", "_base_manager", "history"}:
                return True
            receiver = receiver.value
        elif isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute):
            if receiver.func.attr in QUERYSET_STEPS:
                return True
            receiver = receiver.func.value
        else:
            return False
    return False


def _offences(ban: Ban, *, only_querysets: bool) -> list[str]:
    found = []
    for path in files(folders=("qaservice", "compliance"), endings=(".py",)):
        if named(path).startswith(ban.homes):
            continue
        tree = parsed(path)
        found += [
            f"{named(path)}:{call.lineno}"
            for call, name in calls(tree)
            if name == ban.name and (not only_querysets or _on_a_queryset(call))
        ]
        found += [
            f"{named(path)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and any(alias.name == ban.name for alias in node.names)
        ]
    return found


@pytest.mark.requirement("REQ-10")
@pytest.mark.parametrize("ban", BANS, ids=lambda ban: ban.name)
def test_a_call_that_bypasses_the_record_is_not_made(ban: Ban) -> None:
    assert _offences(ban, only_querysets=False) == [], f"{ban.name} is banned here; use {ban.instead}"


@pytest.mark.requirement("REQ-10")
def test_rows_are_not_changed_by_queryset_update() -> None:
    offences = _offences(QUERYSET_UPDATE, only_querysets=True)
    assert offences == [], f"QuerySet.update is banned here; use {QUERYSET_UPDATE.instead}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Flag.objects.filter(pk=1).update(state='open')", True),
        ("project.flags.all().update(state='open')", True),
        ("type(row)._base_manager.update(x=1)", True),
        ("digest.update(b'bytes')", False),
        ("facts['a'].update({'b': 1})", False),
    ],
)
def test_the_search_tells_a_queryset_from_a_dictionary(source: str, expected: bool) -> None:
    [(call, _)] = [(call, name) for call, name in calls(ast.parse(source)) if name == "update"]
    assert _on_a_queryset(call) is expected
