"""Stored contents against their digests: what holds bytes outside the database announces here how to check them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compliance.problems import Problem

Check = Callable[[], Iterable[Problem]]
_CHECKS: dict[str, Check] = {}


def register_contents(name: str, check: Check) -> None:
    """Announce a check of stored contents; each app that keeps any does so when it is ready.

    Raises ValueError where another check has this name.
    """
    if _CHECKS.setdefault(name, check) is not check:
        raise ValueError(f"contents {name!r} have a check already")


def verify_contents() -> list[Problem]:
    """Read all stored contents and return what is not as its digest says. It takes as long as reading them does."""
    return [problem for name in sorted(_CHECKS) for problem in _CHECKS[name]()]
