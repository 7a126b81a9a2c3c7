"""Becoming somebody who signs, losing the telephone, and what a reset password is worth (REQ-19, REQ-26, REQ-28)."""

from __future__ import annotations

import base64
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.accounts.passwords import change_own_password, reset_password
from qaservice.common import clock
from qaservice.common.errors import Conflict, InvalidInput, NotFound, NotPermitted, Unavailable
from qaservice.common.transitions import amend
from qaservice.signatures import totp
from qaservice.signatures.enrolment import (
    attest,
    begin_enrolment,
    certify,
    confirm_enrolment,
    revoke_lost_factor,
)
from qaservice.signatures.models import FactorState, SecondFactor
from qaservice.signatures.readiness import steps_of
from qaservice.signatures.sealed import seal, unseal
from qaservice.signatures.selectors import certification
from tests.factories.records import PASSWORD, make_user
from tests.qaservice.signatures.signing_site import OWN_PASSWORD, Clock, Signer, SigningSite, identify

LATER_PASSWORD = "another-battery-staple-3"


def missing(signer: Signer) -> list[str]:
    return [one.code for one in steps_of(user=signer.user) if not one.done]


@pytest.mark.parametrize(("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_rfc_6238(seconds: int, code: str):
    secret = b"12345678901234567890"
    assert totp.code_at(secret, seconds // totp.STEP_SECONDS) == code


def test_a_code_counts_one_step_either_way_and_no_further():
    secret, now = totp.new_secret(), clock.now()
    step = totp.step_at(now)
    known = {totp.code_at(secret, step + offset): offset for offset in range(-3, 4)}
    for code, offset in known.items():
        assert totp.matching_step(secret, code, moment=now) == (step + offset if abs(offset) <= 1 else None)
    assert totp.matching_step(secret, "", moment=now) is None


def test_a_sealed_secret_opens_for_its_factor_alone_and_while_the_sites_key_is_replaced(settings: Settings):
    sealed = seal(b"secret", purpose="one factor")
    with pytest.raises(Unavailable):
        unseal(sealed, purpose="another factor")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-of-the-site"
    assert unseal(sealed, purpose="one factor") == b"secret"
    settings.SECRET_KEY_FALLBACKS = []
    for damaged in (sealed, "no base64!", ""):
        with pytest.raises(Unavailable, match="revoke"):
            unseal(damaged, purpose="one factor")


@pytest.mark.requirement("REQ-19")
@pytest.mark.requirement("REQ-26")
def test_before_the_first_signature_come_own_password_identity_factor_and_attestation(db: None, time: Clock):
    admin = make_user("admin-a", is_administrator=True)
    signer = Signer(make_user("newcomer"), time)
    assert missing(signer) == ["password", "identity", "factor", "attestation"]
    with pytest.raises(NotPermitted, match="change it first"):
        begin_enrolment(user=signer.user, password=PASSWORD)
    signer.user = change_own_password(user=signer.user, old=PASSWORD, new=OWN_PASSWORD)
    with pytest.raises(NotPermitted, match="identity was verified"):
        begin_enrolment(user=signer.user, password=OWN_PASSWORD)
    identify(signer.user, by=admin)
    with pytest.raises(NotPermitted, match="enrol a second factor first"):
        attest(user=signer.user, password=OWN_PASSWORD, code="000000", version="1")
    with pytest.raises(Conflict, match="no second factor waits"):
        confirm_enrolment(user=signer.user, password=OWN_PASSWORD, code="000000")
    begun = begin_enrolment(user=signer.user, password=OWN_PASSWORD)
    assert begun.uri.startswith("otpauth://totp/Label%20QA:newcomer?") and "digits=6" in begun.uri
    signer.secret = base64.b32decode(begun.secret.replace(" ", ""))
    stored = SecondFactor.objects.get(user=signer.user)
    assert begun.secret.replace(" ", "") not in stored.sealed_secret
    with pytest.raises(NotPermitted, match="wrong"):
        confirm_enrolment(user=signer.user, password=OWN_PASSWORD, code="000")
    code = signer.code()
    confirm_enrolment(user=signer.user, password=OWN_PASSWORD, code=code)
    with pytest.raises(NotPermitted, match="used before"):
        attest(user=signer.user, password=OWN_PASSWORD, code=code, version="1")
    with pytest.raises(InvalidInput, match="read it again"):
        attest(user=signer.user, password=OWN_PASSWORD, code=signer.code(), version="0")
    assert missing(signer) == ["attestation"]
    signer.attest()
    assert missing(signer) == []
    assert not Event.objects.filter(payload__icontains=begun.secret[:9]).exists()


def test_a_factor_that_was_never_confirmed_gives_way_to_the_next_one(db: None, time: Clock):
    user = change_own_password(user=make_user("newcomer"), old=PASSWORD, new=OWN_PASSWORD)
    identify(user, by=make_user("admin-a", is_administrator=True))
    first = begin_enrolment(user=user, password=OWN_PASSWORD)
    begin_enrolment(user=user, password=OWN_PASSWORD)
    states = dict(SecondFactor.objects.filter(user=user).values_list("pk", "state"))
    assert states.pop(first.factor.pk) == FactorState.REVOKED
    assert list(states.values()) == [FactorState.PENDING]
    assert SecondFactor.objects.get(pk=first.factor.pk).sealed_secret == ""


@pytest.mark.requirement("REQ-26")
@pytest.mark.requirement("REQ-29")
def test_a_lost_factor_is_revoked_by_an_administrator_and_replaced_once_identity_was_verified_anew(site: SigningSite):
    author, (admin, other) = site.author, site.administrators
    with pytest.raises(Conflict, match="stands already"):
        begin_enrolment(user=author.user, password=OWN_PASSWORD)
    for by in (author.user, site.approver.user):
        with pytest.raises(NotPermitted, match="by an administrator"):
            revoke_lost_factor(user=author.user, by=by, reason="lost")
    revoke_lost_factor(user=author.user, by=admin, reason="the telephone was stolen")
    with pytest.raises(NotPermitted, match="identity has to be verified anew"):
        author.sign(site.subject, "responsible")
    with pytest.raises(NotPermitted, match="identity has to be verified anew"):
        begin_enrolment(user=author.user, password=OWN_PASSWORD)
    identify(author.user, by=admin)
    with pytest.raises(NotPermitted, match="another administrator has to record it"):
        begin_enrolment(user=author.user, password=OWN_PASSWORD)
    identify(author.user, by=other)
    author.enrol()
    with pytest.raises(NotPermitted, match="attest anew"):
        author.sign(site.subject, "responsible")
    author.attest()
    assert author.sign(site.subject, "responsible").factors == ["password", "totp"]


@pytest.mark.requirement("REQ-28")
def test_an_administrators_reset_signs_nothing_until_the_person_has_attested_anew_with_their_factor(site: SigningSite):
    author = site.author
    given = reset_password(user=author.user, by=site.administrators[0], reason="forgotten")
    author.user.refresh_from_db()
    author.log_in()
    with pytest.raises(NotPermitted, match="somebody else set your password"):
        author.sign(site.subject, "responsible")
    # The administrator knows the password, and so can change it to one of their own.
    author.user = change_own_password(user=author.user, old=given.password, new=LATER_PASSWORD)
    author.log_in()
    with pytest.raises(NotPermitted, match="attest anew, with a code"):
        author.sign(site.subject, "responsible")
    with pytest.raises(NotPermitted, match="wrong"):
        attest(user=author.user, password=LATER_PASSWORD, code="123 45", version="1")
    attest(user=author.user, password=LATER_PASSWORD, code=author.code(), version="1")
    assert missing(author) == []


@pytest.mark.requirement("REQ-26")
def test_a_regulated_project_is_signed_in_only_after_the_certification_to_fda_was_noted(
    site: SigningSite, monkeypatch: pytest.MonkeyPatch
):
    # A regulated project asks for training records too, which are no matter of this test.
    monkeypatch.setattr("qaservice.signatures.services.roles_of", lambda *, user, project: frozenset({"qa_lead"}))
    with change("project.changed", actor=SYSTEM, reason="for a test", subject=("project", str(site.project.pk))):
        site.project.refresh_from_db()
        amend(site.project, expected_revision=site.project.revision, changes={"regulated": True})
    with pytest.raises(NotPermitted, match=r"11.100\(c\)"):
        site.author.sign(site.subject, "responsible")
    for reference, sent_on in ((" ", date(2026, 1, 5)), ("FDA-1", clock.now().date() + timedelta(days=2))):
        with pytest.raises(InvalidInput):
            certify(reference=reference, sent_on=sent_on, actor=SYSTEM, reason="sent")
    call_command("certify_signatures", "letter of January", "--sent-on", "2026-01-05")
    noted = certification()
    assert noted is not None and noted.event.actor_id == "operator"
    assert site.author.sign(site.subject, "responsible")


@pytest.mark.requirement("REQ-26")
def test_the_operator_of_the_server_revokes_a_factor_with_a_reason(site: SigningSite):
    call_command("revoke_second_factor", site.author.user.username, "--reason", "the only administrator lost theirs")
    assert missing(site.author) == ["identity", "factor", "attestation"]
    for name in (site.author.user.username, "nobody"):
        with pytest.raises(CommandError):
            call_command("revoke_second_factor", name, "--reason", "again")
    with pytest.raises(NotFound):
        revoke_lost_factor(user=site.author.user, by=site.administrators[0], reason="again")
