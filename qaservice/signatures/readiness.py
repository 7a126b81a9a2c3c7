"""What a person has to have done before they may sign, and what of it is missing (REQ-19, REQ-26, REQ-27, REQ-28)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from compliance.models import Event
from qaservice.accounts.identity import current_identity
from qaservice.accounts.models import User, UserKind
from qaservice.accounts.passwords import password_set_by_another
from qaservice.common.errors import NotPermitted
from qaservice.signatures.events import FACTOR_REVOKED
from qaservice.signatures.models import Attestation, SecondFactor
from qaservice.signatures.selectors import confirmed_factor, last_attestation

PASSWORD_RESET = "account.password-reset"  # noqa: S105  # the kind of an event
# Whoever did one of these to an account could act as its owner, if one and the same person also vouched for it.
TAKES_HOLD = ("account.created", PASSWORD_RESET, FACTOR_REVOKED)


@dataclass(frozen=True)
class Step:
    """One thing to have done. ``words`` say that it was done, or what is missing."""

    code: str
    title: str
    done: bool
    words: str


@dataclass(frozen=True)
class Ready:
    """Somebody who may sign, and what they sign with."""

    factor: SecondFactor
    attestation: Attestation


def steps_of(*, user: User) -> tuple[Step, ...]:
    """Return the steps towards the first signature, in their order, each with whether it is done."""
    if user.kind != UserKind.PERSON or not user.is_active:
        return (Step("person", "A person", False, "simulated actors, integrations and closed accounts never sign"),)
    own = not password_set_by_another(user)
    missing = identity_missing(user=user)
    factor = confirmed_factor(user=user)
    attestation = valid_attestation(user=user)
    return (
        Step(
            "password",
            "Your own password",
            own,
            "nobody else set the password that stands"
            if own
            else "somebody else set your password: change it to one that only you know",
        ),
        Step("identity", "Identity verified", not missing, missing or "recorded by an administrator"),
        Step(
            "factor",
            "Second factor",
            factor is not None,
            "enrolled and confirmed" if factor else "enrol an authenticator app, and confirm it by a code",
        ),
        Step(
            "attestation",
            "Accountability attested",
            attestation is not None,
            f"version {attestation.version}" if attestation else _attestation_missing(user),
        ),
    )


def require_ready(*, user: User) -> Ready:
    """Return what ``user`` signs with. Raises NotPermitted ``cannot-sign`` that names the first thing missing."""
    for one in steps_of(user=user):
        if not one.done:
            raise NotPermitted(f"you cannot sign yet: {one.words}", code="cannot-sign", details={"missing": one.code})
    factor, attestation = confirmed_factor(user=user), valid_attestation(user=user)
    if factor is None or attestation is None:
        raise NotPermitted("you cannot sign any more: your second factor was revoked just now", code="cannot-sign")
    return Ready(factor=factor, attestation=attestation)


def identity_missing(*, user: User) -> str:
    """Return why the person's identity does not count as verified, "" where it does.

    Before a second factor is enrolled it takes a verification later than the loss of the one before, recorded by
    somebody else than opened the account or reset its password: no one alone can come to sign in somebody else's name
    (21 CFR 11.200(a)(3)).
    """
    check = current_identity(user=user)
    if check is None:
        return "no administrator has recorded that your identity was verified, or that no longer stands"
    if confirmed_factor(user=user) is not None:
        return ""
    revoked_at = _last(user, (FACTOR_REVOKED,))
    if revoked_at is not None and check.recorded_at <= revoked_at:
        return "your second factor was revoked: your identity has to be verified anew before you enrol another"
    holders = Event.objects.filter(subject_type="user", subject_id=str(user.pk), kind__in=TAKES_HOLD)
    if holders.filter(actor_id=str(check.recorded_by_id)).exists():
        return (
            "the administrator who recorded your identity also opened the account, set its password or revoked its "
            "second factor: another administrator has to record it"
        )
    return ""


def valid_attestation(*, user: User) -> Attestation | None:
    """Return the attestation that holds: given with the factor that stands, after the last reset (REQ-28)."""
    last = last_attestation(user=user)
    factor = confirmed_factor(user=user)
    if last is None or factor is None or last.second_factor_id != factor.pk:
        return None
    reset_at = _last(user, (PASSWORD_RESET,))
    return last if reset_at is None or last.event.occurred_at > reset_at else None


def _attestation_missing(user: User) -> str:
    if last_attestation(user=user) is None:
        return "attest that you answer for your signatures"
    return "your password was reset or your second factor replaced since you attested: attest anew, with a code"


def _last(user: User, kinds: tuple[str, ...]) -> datetime | None:
    """Return when the last event of these kinds befell an account; one's own doing does not count."""
    about = Event.objects.filter(subject_type="user", subject_id=str(user.pk), kind__in=kinds)
    return about.exclude(actor_id=str(user.pk)).order_by("-occurred_at").values_list("occurred_at", flat=True).first()
