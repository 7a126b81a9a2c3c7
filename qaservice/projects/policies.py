"""A project's policies: which there are, and how what was asked for becomes what is stored.

One more policy is one more line in ``POLICIES``: the service, the event, the command and the API read the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from imaging.geometry.policy import UnusablePolicy, policy_from_words
from imaging.types import Category
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.projects.models import CrosswalkPolicy, IdentityPolicy, LeakagePolicy, Role

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


def _leakage_policy(asked: object) -> str:
    return _one_of(asked, LeakagePolicy.values, "a leakage policy")


FITNESS_TERMS: Mapping[str, str] = {
    "least_sensitivity": "share of golden nodules found at the operating point, above 0 and at most 1",
    "most_false_positives": "false positives a scan at the operating point, 0 or more",
    "smallest_mm": "diameter in mm from which a golden nodule counts; finding a smaller one is neither right nor wrong",
    "least_nodules": "number of golden nodules below which nothing is proven, 1 or more",
    "judged_on": "estimate or interval: whether the figures themselves or their 95 % limits must hold",
}
"""Every term of a fitness threshold and what it means. None has a default: a threshold states all or there is none."""

JUDGED_ON = ("estimate", "interval")


def _fitness_threshold(asked: object) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise InvalidInput(f"a fitness threshold states {', '.join(FITNESS_TERMS)}", code="unusable-policy")
    if not asked:
        # Taking the threshold back leaves every model unproven.
        return {}
    stray, missing = sorted(set(asked) - set(FITNESS_TERMS)), [name for name in FITNESS_TERMS if name not in asked]
    if stray:
        raise InvalidInput(f"a fitness threshold has no term {str(stray[0])[:60]!r}", code="unusable-policy")
    if missing:
        raise InvalidInput(
            f"a fitness threshold states every term; missing: {', '.join(missing)}", code="threshold-incomplete"
        )
    # As text: the change goes into the record, which holds no fractions.
    return {
        "least_sensitivity": _number(asked, "least_sensitivity", above=0.0, most=1.0),
        "most_false_positives": _number(asked, "most_false_positives", least=0.0),
        "smallest_mm": _number(asked, "smallest_mm", above=0.0),
        "least_nodules": _number(asked, "least_nodules", least=1.0, whole=True),
        "judged_on": _one_of(asked["judged_on"], list(JUDGED_ON), "what a threshold is judged on"),
    }


def _number(
    asked: Mapping[str, object],
    name: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
) -> str:
    try:
        value = float(str(asked[name]))
    except ValueError:
        value = math.nan
    # Comparisons with a number that is none are all false.
    if not (above < value and least <= value <= most and math.isfinite(value)) or (whole and value != int(value)):
        raise InvalidInput(f"{name} cannot be {str(asked[name])[:40]!r}: {FITNESS_TERMS[name]}", code="unusable-policy")
    return repr(value).removesuffix(".0")


MOST_TRAININGS = 10
MOST_TRAINING_CHARACTERS = 100


def _training_policy(asked: object) -> dict[str, list[str]]:
    if not isinstance(asked, Mapping):
        raise InvalidInput("a training policy maps roles to the trainings they need", code="unusable-policy")
    policy: dict[str, list[str]] = {}
    for role, wanted in asked.items():
        _one_of(role, Role.values, "a role")
        named = [str(one).strip() for one in wanted] if isinstance(wanted, list | tuple) else []
        usable = all(0 < len(name) <= MOST_TRAINING_CHARACTERS for name in named)
        if not isinstance(wanted, list | tuple) or not usable or len(named) > MOST_TRAININGS:
            raise InvalidInput(
                f"the trainings of a role are a list of at most {MOST_TRAININGS} names of 1 to "
                f"{MOST_TRAINING_CHARACTERS} characters",
                code="unusable-policy",
            )
        if named:
            policy[role] = sorted(set(named))
    return {role: policy[role] for role in sorted(policy)}


def _one_of(asked: object, words: list[str], what: str) -> str:
    if not isinstance(asked, str) or asked not in words:
        raise InvalidInput(f"{str(asked)[:60]!r} is not {what}; there are {', '.join(words)}", code="unusable-policy")
    return asked


POLICIES: Mapping[str, Callable[[object], object]] = {
    "gate_policy": _gate_policy,
    "label_terms": _label_terms,
    "identity_policy": _identity_policy,
    "crosswalk_policy": _crosswalk_policy,
    "fitness_threshold": _fitness_threshold,
    "leakage_policy": _leakage_policy,
    "training_policy": _training_policy,
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
