"""A project's policies: which there are, and how what was asked for becomes what is stored.

One more policy is one more line in ``POLICIES``: the service, the event, the command and the API read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imaging.geometry.policy import UnusablePolicy, policy_from_words
from imaging.types import Category
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.projects.models import CrosswalkPolicy, IdentityPolicy

MOST_TERM_CHARACTERS = 200


def _gate_policy(asked: object) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise InvalidInput("a gate policy maps findings to accept, warn or quarantine", code="unusable-policy")
    try:
        policy = policy_from_words({str(code): word for code, word in asked.items()})
    except UnusablePolicy as error:
        raise InvalidInput(error.message, code=error.code, details={"finding": list(error.subjects)}) from error
    return {code: str(policy.overrides[code]) for code in sorted(policy.overrides)}


def _label_terms(asked: object) -> dict[str, str]:
    categories = [category.value for category in Category]
    if not isinstance(asked, Mapping):
        raise InvalidInput("label terms map a source's label names to categories", code="unusable-policy")
    terms: dict[str, str] = {}
    for name, word in asked.items():
        known = str(name).strip()
        if not 0 < len(known) <= MOST_TERM_CHARACTERS:
            raise InvalidInput(f"a label's name has 1 to {MOST_TERM_CHARACTERS} characters", code="unusable-term")
        if word not in categories:
            raise InvalidInput(
                f"{known[:60]!r} cannot mean {str(word)[:60]!r}; categories are {', '.join(categories)}",
                code="no-such-category",
            )
        # Case is ignored when labels are read, so two spellings of one name must not mean two things.
        clash = next((other for other in terms if other.lower() == known.lower()), None)
        if clash is not None and terms[clash] != word:
            raise InvalidInput(f"{known[:60]!r} is given two categories", code="term-twice")
        terms[known] = str(word)
    return {name: terms[name] for name in sorted(terms)}


def _identity_policy(asked: object) -> str:
    return _one_of(asked, IdentityPolicy.values, "an identity policy")


def _crosswalk_policy(asked: object) -> str:
    return _one_of(asked, CrosswalkPolicy.values, "a crosswalk policy")


def _one_of(asked: object, words: list[str], what: str) -> str:
    if not isinstance(asked, str) or asked not in words:
        raise InvalidInput(f"{str(asked)[:60]!r} is not {what}; there are {', '.join(words)}", code="unusable-policy")
    return asked


POLICIES: Mapping[str, Callable[[object], object]] = {
    "gate_policy": _gate_policy,
    "label_terms": _label_terms,
    "identity_policy": _identity_policy,
    "crosswalk_policy": _crosswalk_policy,
}
"""Field of the project to what checks a wanted value and returns it as it is stored; raises InvalidInput."""


# From the policy under which most is held to the one under which least is.
_STRICTER: Mapping[str, tuple[str, ...]] = {
    "identity_policy": (IdentityPolicy.KEEP, IdentityPolicy.REFUSE, IdentityPolicy.DEIDENTIFY),
    "crosswalk_policy": (CrosswalkPolicy.KEPT, CrosswalkPolicy.NOT_KEPT),
}


def require_stricter(*, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """Raise Conflict ``policy-would-loosen`` for a change after which a project with deliveries would hold more of
    people's identities than it said it would."""
    for name, order in _STRICTER.items():
        if name in after and order.index(str(after[name])) < order.index(str(before[name])):
            raise Conflict(
                f"the project has had deliveries under {name} {before[name]!s}; it can only become stricter "
                f"({', then '.join(order)})",
                code="policy-would-loosen",
            )


def checked(asked: Mapping[str, object]) -> dict[str, object]:
    """Return wanted policies as they are stored. Raises InvalidInput for one that does not exist or cannot be."""
    unknown = sorted(set(asked) - set(POLICIES))
    if unknown:
        raise InvalidInput(
            f"there is no policy {unknown[0][:60]!r}; policies are {', '.join(POLICIES)}", code="no-such-policy"
        )
    return {name: POLICIES[name](value) for name, value in asked.items()}
