"""Re-authentication: who is at the keyboard proves it again; failures count towards the lock (11.200, 11.300(d))."""

from __future__ import annotations

from typing import NoReturn

from qaservice.accounts.attempts import AttemptKind, attempt_failed, attempt_succeeded, refuse_if_locked
from qaservice.accounts.models import User
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.signatures.factors import take_code
from qaservice.signatures.models import SecondFactor

PASSWORD, TOTP = "password", "totp"
REFUSED = "the password or the code is wrong, or the code was used before; nothing was signed or changed"


def prove_password(*, user: User, password: str) -> tuple[str, ...]:
    """Return what was shown: the password. Raises NotPermitted ``not-proven`` or the lock's own refusal.

    Not for use inside a transaction that an error would undo: the failure has to stay.
    """
    refuse_if_locked(user=user, kind=AttemptKind.SIGNING)
    _require(password, "the password")
    if not user.check_password(password):
        _fail(user)
    attempt_succeeded(user=user, kind=AttemptKind.SIGNING)
    return (PASSWORD,)


def prove_both(*, user: User, password: str, code: str, factor: SecondFactor) -> tuple[str, ...]:
    """Return what was shown: the password and a code of ``factor``, used up by this. Raises as ``prove_password``."""
    refuse_if_locked(user=user, kind=AttemptKind.SIGNING)
    _require(password, "the password")
    _require(code, "the code of your second factor")
    # Which of the two was wrong is not told: each would be guessed alone.
    if not user.check_password(password):
        _fail(user)
    try:
        take_code(factor=factor, code=code)
    except NotPermitted:
        _fail(user)
    attempt_succeeded(user=user, kind=AttemptKind.SIGNING)
    return (PASSWORD, TOTP)


def _require(given: str, what: str) -> None:
    if not given.strip():
        raise InvalidInput(f"give {what}", code="proof-missing")


def _fail(user: User) -> NoReturn:
    attempt_failed(user=user, kind=AttemptKind.SIGNING)
    raise NotPermitted(REFUSED, code="not-proven")
