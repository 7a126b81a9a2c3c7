"""A project's policies: which there are, and how what was asked for becomes what is stored.

One more policy is one more line in ``POLICIES``: the service, the event, the command and the API read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imaging.geometry.policy import UnusablePolicy, policy_from_words
from qaservice.common.errors import InvalidInput


def _gate_policy(asked: object) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise InvalidInput("a gate policy maps findings to accept, warn or quarantine", code="unusable-policy")
    try:
        policy = policy_from_words({str(code): word for code, word in asked.items()})
    except UnusablePolicy as error:
        raise InvalidInput(error.message, code=error.code, details={"finding": list(error.subjects)}) from error
    return {code: str(policy.overrides[code]) for code in sorted(policy.overrides)}


POLICIES: Mapping[str, Callable[[object], object]] = {
    "gate_policy": _gate_policy,
}
"""Field of the project to what checks a wanted value and returns it as it is stored; raises InvalidInput."""


def checked(asked: Mapping[str, object]) -> dict[str, object]:
    """Return wanted policies as they are stored. Raises InvalidInput for one that does not exist or cannot be."""
    unknown = sorted(set(asked) - set(POLICIES))
    if unknown:
        raise InvalidInput(
            f"there is no policy {unknown[0][:60]!r}; policies are {', '.join(POLICIES)}", code="no-such-policy"
        )
    return {name: POLICIES[name](value) for name, value in asked.items()}
