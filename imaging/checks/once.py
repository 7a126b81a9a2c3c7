"""What several checks need of one case is computed once and kept as long as the case lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

from imaging.types import Case

_Value = TypeVar("_Value")

_KEPT: WeakKeyDictionary[Case, dict[Hashable, object]] = WeakKeyDictionary()


def once(*, case: Case, key: Hashable, compute: Callable[[], _Value]) -> _Value:
    """Return ``compute()``, which is called the first time that ``key`` is asked for on this very case.

    A case is frozen, so that the answer cannot change; another case, equal or not, is computed anew. ``key`` names the
    computation and everything it depends on beside the case. The value must not refer to the case itself, or neither
    would ever be released. An exception is raised again by computing again, never kept. Two threads that ask at the
    same time may both compute; they get equal values.
    """
    kept = _KEPT.setdefault(case, {})
    if key not in kept:
        kept[key] = compute()
    # The key decides the type: each is used by one function alone.
    return cast(_Value, kept[key])
