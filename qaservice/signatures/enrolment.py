"""Becoming somebody who signs: second factor, attestation; and the loss of a factor (REQ-19, REQ-26, REQ-28)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from compliance.recording import OPERATOR, Actor, change
from qaservice.accounts.models import User, UserKind
from qaservice.accounts.passwords import password_set_by_another
from qaservice.common import clock
from qaservice.common.errors import Conflict, InvalidInput, NotFound, NotPermitted
from qaservice.signatures import factors, proving, totp
from qaservice.signatures.models import Attestation, Certification, FactorState, SecondFactor
from qaservice.signatures.readiness import identity_missing
from qaservice.signatures.selectors import confirmed_factor, living_factor

ATTESTATION_VERSION = "1"
ATTESTATION_TEXT = (
    "My electronic signatures in this service are the legally binding equivalent of my handwritten signature "
    "(21 CFR 11.100). I answer for what is done under them and am responsible for it (21 CFR 11.10(j)). Nobody but me "
    "knows my password or holds my second factor, and I give neither to anybody. If either is lost, stolen or known to "
    "somebody else, I say so at once."
)


@dataclass(frozen=True)
class Enrolment:
    """A factor to be confirmed. ``secret`` and ``uri`` are shown once and kept nowhere in the open."""

    factor: SecondFactor
    secret: str
    uri: str


def begin_enrolment(*, user: User, password: str) -> Enrolment:
    """Hand out a second factor; one that was handed out and never confirmed is revoked with it.

    Raises NotPermitted for whoever is no person or whose identity is not verified, for a password that somebody else
    set, and for a wrong one; Conflict where a factor stands: it is replaced only after an administrator revoked it.
    """
    _require_person(user)
    if password_set_by_another(user):
        raise NotPermitted("somebody else set your password: change it first", code="password-by-another")
    missing = identity_missing(user=user)
    if missing:
        raise NotPermitted(missing, code="identity-missing")
    standing = living_factor(user=user)
    if standing is not None and standing.state == FactorState.CONFIRMED:
        raise Conflict(
            "a second factor stands already; if it is lost, an administrator revokes it", code="second-factor-exists"
        )
    proving.prove_password(user=user, password=password)
    if standing is not None:
        factors.revoke(factor=standing, actor=user.as_actor(role="user"), reason="never confirmed; begun anew")
    factor, secret = factors.hand_out(user=user, reason="enrols a second factor")
    return Enrolment(
        factor=factor,
        secret=totp.spelt(secret),
        uri=totp.provisioning_uri(secret, account=user.username),
    )


def confirm_enrolment(*, user: User, password: str, code: str) -> SecondFactor:
    """Put the factor that was handed out into force, by the password and a code of it.

    Raises Conflict where none waits, NotPermitted for a wrong password or code.
    """
    waiting = living_factor(user=user)
    if waiting is None or waiting.state != FactorState.PENDING:
        raise Conflict("no second factor waits to be confirmed", code="no-second-factor")
    proving.prove_both(user=user, password=password, code=code, factor=waiting)
    return factors.confirm(factor=waiting)


def attest(*, user: User, password: str, code: str, version: str) -> Attestation:
    """Record that ``user`` attested the text of ``version``, with both factors (REQ-19).

    Raises InvalidInput for another version than the present one, NotPermitted for a wrong password or code, for one
    that somebody else set, and without a confirmed factor.
    """
    _require_person(user)
    if version != ATTESTATION_VERSION:
        raise InvalidInput("the text has changed; read it again", code="attestation-changed")
    if password_set_by_another(user):
        raise NotPermitted("somebody else set your password: change it first", code="password-by-another")
    factor = confirmed_factor(user=user)
    if factor is None:
        raise NotPermitted("enrol a second factor first", code="no-second-factor")
    proving.prove_both(user=user, password=password, code=code, factor=factor)
    given = Attestation(
        user=user, second_factor=factor, version=version, text=ATTESTATION_TEXT, attested_at=clock.now()
    )
    with change(
        "signature.attested",
        actor=user.as_actor(role="user"),
        reason="answers for their signatures",
        subject=("user", str(user.pk)),
        payload={"version": version},
    ):
        given.save()
    return given


def revoke_lost_factor(*, user: User, by: User, reason: str) -> SecondFactor:
    """Take a lost factor out of force at once (21 CFR 11.300(c)). Its owner enrols another once identified anew.

    Raises NotPermitted for anybody but another administrator, NotFound where there is no factor.
    """
    if not by.is_administrator or by.pk == user.pk:
        raise NotPermitted(
            "a second factor is revoked by an administrator, and by none for themself", code="administrators-only"
        )
    return _revoke(user, by.as_actor(role="administrator"), reason)


def revoke_from_the_server(*, user: User, reason: str) -> SecondFactor:
    """Take a factor out of force from the command line, for a site whose administrators cannot. Raises NotFound."""
    return _revoke(user, OPERATOR, reason)


def certify(*, reference: str, sent_on: date, actor: Actor, reason: str) -> Certification:
    """Note the site's certification to FDA (21 CFR 11.100(c)). Raises InvalidInput for a blank or future one."""
    if not 0 < len(reference.strip()) <= 200 or sent_on > clock.now().date():
        raise InvalidInput(
            "a certification has a reference of 1 to 200 characters and was sent today or before",
            code="certification-incomplete",
        )
    noted = Certification(reference=reference.strip(), sent_on=sent_on, noted_at=clock.now())
    with change(
        "signature.certified",
        actor=actor,
        reason=reason,
        subject=("certification", str(noted.pk)),
        payload={"reference": noted.reference, "sent_on": sent_on.isoformat()},
    ):
        noted.save()
    return noted


def _revoke(user: User, actor: Actor, reason: str) -> SecondFactor:
    factor = living_factor(user=user)
    if factor is None:
        raise NotFound("this account has no second factor", code="no-second-factor")
    return factors.revoke(factor=factor, actor=actor, reason=reason)


def _require_person(user: User) -> None:
    if user.kind != UserKind.PERSON or not user.is_active:
        raise NotPermitted("simulated actors and integrations never sign", code="not-a-person")
