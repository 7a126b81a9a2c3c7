"""Failed attempts to log in or to sign: counted in the database, locked at the configured number (REQ-07, REQ-29)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from compliance.recording import SYSTEM, Actor, change, record_event
from qaservice.accounts.alerts import raise_alert
from qaservice.accounts.models import AttemptCounter, AttemptKind, User
from qaservice.common.clock import iso, now
from qaservice.common.errors import Conflict, NotPermitted

__all__ = [
    "AttemptKind",
    "LockedOut",
    "attempt_failed",
    "attempt_succeeded",
    "login_failed",
    "refuse_if_locked",
    "refuse_login_if_locked",
    "standing_locks",
    "unlock",
]

NOBODY = Actor(id="anonymous", name="not logged in", role="none")


class LockedOut(NotPermitted):
    """Too many failures; ``details["until"]`` says when the next try will be looked at."""

    code = "locked-out"


def refuse_if_locked(*, user: User, kind: AttemptKind) -> None:
    """Raise LockedOut, which says until when, where ``user`` has failed too often."""
    _refuse(_user_key(user, kind))


def attempt_failed(*, user: User, kind: AttemptKind) -> None:
    """Record and count one failure; at the configured number lock, record it and raise an alert.

    Every failed signing raises an alert. Not to be called inside a transaction: one that is undone would undo the
    count too, so RuntimeError is raised there.
    """
    with transaction.atomic(durable=True):
        _record_failure(user=user, kind=kind)
        _count_for_user(user=user, kind=kind)


def attempt_succeeded(*, user: User, kind: AttemptKind) -> None:
    """Forget the failures of ``user`` of this kind."""
    AttemptCounter.objects.filter(key=_user_key(user, kind)).delete()


def refuse_login_if_locked(*, username: str, known_user: User | None, address: str) -> None:
    """Raise LockedOut where this name, known or not, or this network address has failed too often.

    ``address`` is blank where it is not known.
    """
    if address:
        _refuse(_address_key(address))
    _refuse(_login_key(username, known_user))


def login_failed(*, username: str, known_user: User | None, address: str) -> None:
    """Record and count one refused login; a name that is no account is counted like one that is.

    The name that was typed is not kept: people type passwords into the wrong field. While an address is locked its
    tries are not looked at and not recorded one by one, or nobody could stop it from filling the record.
    """
    with transaction.atomic(durable=True):
        if address and _locked(_address_key(address)) is not None:
            return
        _record_failure(user=known_user, kind=AttemptKind.LOGIN)
        if known_user is not None:
            _count_for_user(user=known_user, kind=AttemptKind.LOGIN)
        elif _count(key=_login_key(username, None), kind=AttemptKind.LOGIN, user=None, limit=settings.LOCKOUT_FAILURES):
            _locked_out(subject=("login", "unknown"), kind=AttemptKind.LOGIN, what="a name that is no account")
        if address and _count(
            key=_address_key(address), kind=AttemptKind.LOGIN, user=None, limit=settings.LOCKOUT_ADDRESS_FAILURES
        ):
            _locked_out(subject=("login", "address"), kind=AttemptKind.LOGIN, what="one network address")


def standing_locks(*, user: User) -> QuerySet[AttemptCounter]:
    """Return the locks that stand on an account now."""
    return AttemptCounter.objects.filter(user=user, locked_until__gt=now()).order_by("kind")


def unlock(*, user: User, by: User, reason: str) -> None:
    """Lift every lock of an account. Raises NotPermitted for all but another administrator, Conflict without a lock."""
    if not by.is_administrator or by.pk == user.pk:
        raise NotPermitted("a lock is lifted by an administrator, and by none on themself", code="administrators-only")
    kinds = [counter.kind for counter in standing_locks(user=user)]
    if not kinds:
        raise Conflict("no lock stands on this account", code="not-locked")
    with change(
        "account.unlocked",
        actor=by.as_actor(role="administrator"),
        reason=reason,
        subject=("user", str(user.pk)),
        payload={"kinds": kinds},
    ):
        AttemptCounter.objects.filter(user=user).delete()


def _count_for_user(*, user: User, kind: AttemptKind) -> None:
    locked = _count(key=_user_key(user, kind), kind=kind, user=user, limit=settings.LOCKOUT_FAILURES)
    if locked:
        _locked_out(subject=("user", str(user.pk)), kind=kind, what="an account")
    elif kind == AttemptKind.SIGNING:
        raise_alert(
            kind="signing-failed",
            about=("user", str(user.pk)),
            words="An attempt to sign failed. Somebody may be trying to sign as another person.",
        )


def _count(*, key: str, kind: AttemptKind, user: User | None, limit: int) -> bool:
    """Add one failure; return whether this one locks. What fails while a lock stands does not make it longer."""
    moment = now()
    AttemptCounter.objects.get_or_create(key=key, defaults={"kind": kind, "user": user, "first_at": moment})
    counter = AttemptCounter.objects.select_for_update().get(key=key)
    if counter.locked_until is not None and counter.locked_until > moment:
        return False
    if counter.locked_until is not None or counter.first_at < moment - timedelta(
        seconds=settings.LOCKOUT_WINDOW_SECONDS
    ):
        counter.failures, counter.first_at, counter.locked_until = 0, moment, None
    counter.failures += 1
    locks = counter.failures >= limit
    if locks:
        counter.locked_until = moment + timedelta(seconds=settings.LOCKOUT_SECONDS)
    counter.save()
    return locks


def _record_failure(*, user: User | None, kind: AttemptKind) -> None:
    signing = kind == AttemptKind.SIGNING and user is not None
    record_event(
        f"account.{kind.value}-failed",
        # Whoever logs in is not known yet; whoever signs sits in a session.
        actor=user.as_actor(role="signer") if signing and user is not None else NOBODY,
        reason=f"{kind.value} refused",
        subject=("user", str(user.pk) if user is not None else "unknown"),
    )


def _locked_out(*, subject: tuple[str, str], kind: AttemptKind, what: str) -> None:
    words = f"Repeated failures to {kind.label} locked {what} for {settings.LOCKOUT_SECONDS} seconds."
    record_event("account.locked", actor=SYSTEM, reason=words, subject=subject, payload={"kind": kind.value})
    raise_alert(kind=f"{kind.value}-locked", about=subject, words=words)


def _locked(key: str) -> AttemptCounter | None:
    return AttemptCounter.objects.filter(key=key, locked_until__gt=now()).first()


def _refuse(key: str) -> None:
    counter = _locked(key)
    if counter is not None and counter.locked_until is not None:
        until = iso(counter.locked_until)
        # The same sentence for an account, a name that is none and an address: it must not tell which exist.
        raise LockedOut(
            f"too many failed tries; the next one is looked at after {until[:19].replace('T', ' ')} UTC, or once an "
            "administrator has lifted the lock",
            details={"until": until},
        )


def _user_key(user: User, kind: AttemptKind) -> str:
    return _key(kind.value, "user", str(user.pk))


def _login_key(username: str, known_user: User | None) -> str:
    if known_user is not None:
        return _user_key(known_user, AttemptKind.LOGIN)
    return _key(AttemptKind.LOGIN.value, "name", User.normalize_username(username))


def _address_key(address: str) -> str:
    return _key(AttemptKind.LOGIN.value, "address", address)


def _key(*parts: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), "\0".join(parts).encode(), hashlib.sha256).hexdigest()
