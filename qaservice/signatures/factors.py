"""Second factors: handed out, confirmed by a code, revoked by somebody else when they are lost (21 CFR 11.300(c))."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from compliance.recording import Actor, change
from qaservice.accounts.models import User
from qaservice.common import clock
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.common.transitions import StateMachine, Transition, step
from qaservice.signatures import totp
from qaservice.signatures.events import FACTOR_REVOKED
from qaservice.signatures.models import FactorState, SecondFactor, UsedCode
from qaservice.signatures.sealed import seal, unseal

MACHINE = StateMachine(
    field="state",
    transitions=(
        Transition("confirm", frozenset({FactorState.PENDING}), FactorState.CONFIRMED, "REQ-26"),
        Transition("revoke", frozenset({FactorState.PENDING, FactorState.CONFIRMED}), FactorState.REVOKED, "REQ-26"),
    ),
)


def hand_out(*, user: User, reason: str) -> tuple[SecondFactor, bytes]:
    """Return a new factor of ``user``, to be confirmed, and its secret, which is shown this once."""
    secret = totp.new_secret()
    factor = SecondFactor(user=user, begun_at=clock.now())
    factor.sealed_secret = seal(secret, purpose=_purpose(factor))
    try:
        with change(
            "signature.factor-enrolled",
            actor=user.as_actor(role="user"),
            reason=reason,
            subject=("user", str(user.pk)),
        ):
            factor.save()
    except IntegrityError as error:
        raise Conflict("a second factor is enrolled already; reload the page", code="second-factor-exists") from error
    return factor, secret


def confirm(*, factor: SecondFactor) -> SecondFactor:
    """Put a factor into force; whoever calls has checked its code."""
    with change(
        "signature.factor-confirmed",
        actor=factor.user.as_actor(role="user"),
        reason="the person gave a code of it",
        subject=("user", str(factor.user_id)),
    ):
        return step(factor, machine=MACHINE, name="confirm", expected_revision=factor.revision)


def revoke(*, factor: SecondFactor, actor: Actor, reason: str) -> SecondFactor:
    """Take a factor out of force at once, and forget its secret."""
    with change(FACTOR_REVOKED, actor=actor, reason=reason, subject=("user", str(factor.user_id))):
        revoked = step(factor, machine=MACHINE, name="revoke", expected_revision=factor.revision)
        revoked.sealed_secret = ""
        revoked.save(update_fields=["sealed_secret"])
    return revoked


def take_code(*, factor: SecondFactor, code: str) -> None:
    """Use up a code of ``factor``. Raises NotPermitted ``code-wrong``, or ``code-used`` where its time step was used.

    What was taken stays taken, whatever becomes of the act that it was given for.
    """
    secret = unseal(factor.sealed_secret, purpose=_purpose(factor))
    found = totp.matching_step(secret, code, moment=clock.now())
    if found is None:
        raise NotPermitted("the code is wrong", code="code-wrong")
    try:
        with transaction.atomic():
            UsedCode(factor=factor, step=found).save(force_insert=True)
    except IntegrityError as error:
        raise NotPermitted("this code was used already; wait for the next one", code="code-used") from error


def _purpose(factor: SecondFactor) -> str:
    return f"second factor {factor.pk} of {factor.user_id}"
