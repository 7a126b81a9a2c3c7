"""Signing: what it takes, what is refused, and that an intent is used once (21 CFR 11.50, 11.70, 11.200)."""

from __future__ import annotations

import pytest

from compliance.errors import CheckpointRefused
from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.accounts.models import Alert
from qaservice.common.errors import Conflict, InvalidInput, NotFound, NotPermitted
from qaservice.labels.services import identify_reader
from qaservice.projects.models import Membership
from qaservice.projects.services import set_policies, withdraw
from qaservice.reports.signing import approval_of
from qaservice.signatures.models import Signature, SigningIntent
from qaservice.signatures.services import LIFETIME, needs_code, prepare, sign
from qaservice.signatures.signables import Meaning, Signable, load_record, register_signable, signable_of
from qaservice.signatures.standing import judge
from tests.factories.records import make_user
from tests.qaservice.signatures.signing_site import (
    OWN_PASSWORD,
    Clock,
    Signer,
    SigningSite,
    make_report,
    make_signing_site,
)


def prepared(signer: Signer, site: SigningSite, meaning: str = "responsible") -> SigningIntent:
    kind, key = site.subject
    return prepare(user=signer.user, session=signer.session, subject_type=kind, subject_id=key, meaning=meaning)


def signed(signer: Signer, intent: SigningIntent, *, password: str = OWN_PASSWORD, code: str = "") -> Signature:
    return sign(user=signer.user, session=signer.session, intent_id=intent.pk, password=password, code=code)


@pytest.mark.requirement("REQ-22")
@pytest.mark.requirement("REQ-24")
@pytest.mark.requirement("REQ-27")
def test_a_signature_holds_name_role_time_meaning_and_record_and_is_sealed_at_once(site: SigningSite):
    given = site.author.sign(site.subject, "responsible")
    shown = judge(given)
    assert shown.valid and shown.index is not None, shown.why
    assert (given.printed_name, given.role, given.meaning_words) == (
        "Lung-Lead",
        "qa_lead",
        "Responsible for the content",
    )
    assert given.factors == ["password", "totp"]
    event = Event.objects.get(pk=given.event_id)
    assert event.payload["record_sha256"] == given.record_sha256 and event.subject_id == site.subject[1]
    assert approval_of(site.report).draft


@pytest.mark.requirement("REQ-27")
def test_the_first_signature_of_a_session_takes_both_factors_and_later_ones_the_password(site: SigningSite):
    first = prepared(site.author, site)
    assert needs_code(session=site.author.session, factor=site.author.user.second_factors.get())
    with pytest.raises(InvalidInput, match="code"):
        signed(site.author, first)
    site.author.sign(site.subject, "responsible")
    site.auditor.sign(site.subject, "reviewed")
    second = prepared(site.auditor, site, "trail-reviewed")
    with pytest.raises(InvalidInput, match="password"):
        signed(site.auditor, second, password=" ")
    assert signed(site.auditor, second).factors == ["password"]
    site.approver.log_in()
    assert needs_code(session=site.approver.session, factor=site.approver.user.second_factors.get())


@pytest.mark.requirement("REQ-27")
def test_without_the_persons_own_session_nothing_is_signed(site: SigningSite):
    intent = prepared(site.author, site)
    with pytest.raises(NotPermitted, match="own login session"):
        sign(
            user=site.author.user,
            session=site.approver.session,
            intent_id=intent.pk,
            password=OWN_PASSWORD,
            code=site.author.code(),
        )
    assert not Signature.objects.exists()


@pytest.mark.requirement("REQ-27")
def test_an_intent_is_used_once_by_its_person_and_within_its_time(site: SigningSite):
    intent = prepared(site.author, site)
    with pytest.raises(NotFound, match="for you to sign"):
        signed(site.approver, intent, code=site.approver.code())
    signed(site.author, intent, code=site.author.code())
    with pytest.raises(Conflict, match="signed already"):
        signed(site.author, intent, code=site.author.code())
    late = prepared(site.auditor, site, "trail-reviewed")
    site.time.advance(int(LIFETIME.total_seconds()))
    with pytest.raises(Conflict, match="time to sign this is over"):
        signed(site.auditor, late, code=site.auditor.code())
    assert Signature.objects.count() == 1


@pytest.mark.requirement("REQ-27")
def test_a_code_is_taken_once_and_a_wrong_one_is_told_like_a_wrong_password(site: SigningSite):
    intent, code = prepared(site.author, site), site.author.code()
    signed(site.author, intent, code=code)
    site.author.log_in()
    again = prepared(site.approver, site, "trail-reviewed")
    used = site.approver.code()
    signed(site.approver, again, code=used)
    site.approver.log_in()
    site.auditor.sign(site.subject, "reviewed")
    last = prepared(site.approver, site, "approved")
    words = set()
    for password, given in ((OWN_PASSWORD, used), (OWN_PASSWORD, "12345"), ("wrong", site.approver.code())):
        with pytest.raises(NotPermitted) as told:
            signed(site.approver, last, password=password, code=given)
        words.add(told.value.message)
    assert len(words) == 1
    assert signed(site.approver, last, code=site.approver.code())


@pytest.mark.requirement("REQ-29")
def test_five_failed_signings_lock_and_alert_and_a_right_password_then_does_not_sign(site: SigningSite):
    intent = prepared(site.author, site)
    for _ in range(5):
        with pytest.raises(NotPermitted, match="wrong"):
            signed(site.author, intent, password="guessed", code="000000")
    with pytest.raises(NotPermitted, match="too many failed tries"):
        signed(site.author, intent, code=site.author.code())
    about = Alert.objects.filter(about_id=str(site.author.user.pk))
    assert set(about.values_list("kind", flat=True)) == {"signing-failed", "signing-locked"}
    assert Event.objects.filter(kind="account.signing-failed").count() == 5
    assert not Signature.objects.exists()


@pytest.mark.requirement("REQ-14")
@pytest.mark.requirement("REQ-31")
def test_a_report_is_approved_in_order_and_by_people_apart(site: SigningSite):
    author, approver, auditor = site.author, site.approver, site.auditor
    with pytest.raises(Conflict, match="comes after 'Responsible"):
        prepared(auditor, site, "reviewed")
    with pytest.raises(NotPermitted, match="answered for by the person who made"):
        prepared(approver, site)
    author.sign(site.subject, "responsible")
    with pytest.raises(NotPermitted, match="you made this report"):
        prepared(author, site, "reviewed")
    with pytest.raises(Conflict, match="comes after 'Reviewed' and 'Audit trail reviewed'"):
        prepared(approver, site, "approved")
    auditor.sign(site.subject, "reviewed")
    with pytest.raises(Conflict, match="signed this already"):
        prepared(auditor, site, "reviewed")
    with pytest.raises(NotPermitted, match="roles in the project: qa_lead"):
        prepared(auditor, site, "approved")
    approver.sign(site.subject, "trail-reviewed")
    assert not approval_of(site.report).approved
    approver.sign(site.subject, "approved")
    assert approval_of(site.report).approved
    with pytest.raises(InvalidInput, match="cannot mean 'released'"):
        prepared(author, site, "released")
    author.sign(site.version_subject, "released")


@pytest.mark.requirement("REQ-15")
@pytest.mark.requirement("REQ-16")
def test_who_labelled_in_a_project_neither_approves_its_report_nor_releases_its_data(site: SigningSite):
    site.author.sign(site.subject, "responsible")
    site.auditor.sign(site.subject, "reviewed")
    site.auditor.sign(site.subject, "trail-reviewed")
    identify_reader(
        project=site.project, reader_label="annotator 1", user=site.approver.user, actor=SYSTEM, reason="a test"
    )
    with pytest.raises(NotPermitted, match="you labelled in this project"):
        prepared(site.approver, site, "approved")
    with pytest.raises(NotPermitted, match="you labelled in this project"):
        site.approver.sign(site.version_subject, "released")


@pytest.mark.requirement("REQ-31")
def test_the_trail_is_reviewed_by_somebody_who_wrote_nothing_in_it(db: None, time: Clock):
    site = make_signing_site(time=time, flags=1)
    with pytest.raises(NotPermitted, match="you made this report"):
        prepared(site.author, site, "trail-reviewed")
    set_policies(
        project=site.project,
        policies={"leakage_policy": "mark"},
        actor=site.approver.user.as_actor(role="qa_lead"),
        reason="tried",
    )
    # What was written after the report's head is not what the report rests on.
    site.approver.sign(site.subject, "trail-reviewed")
    site.report = make_report(site.site, number=2)
    with pytest.raises(NotPermitted, match="1 entry of this audit trail is your own"):
        prepared(site.approver, site, "trail-reviewed")
    site.auditor.sign(site.subject, "trail-reviewed")
    with pytest.raises(NotPermitted, match="no consensus yet on 1 flag"):
        site.author.sign(site.version_subject, "released")


@pytest.mark.requirement("REQ-27")
def test_simulated_actors_integrations_and_strangers_never_sign(site: SigningSite):
    for kind, why in (("simulated", "never sign"), ("service", "never sign"), ("person", "you cannot sign yet")):
        signer = Signer(make_user(f"a-{kind}", kind=kind), site.time)
        signer.log_in()
        with pytest.raises(NotPermitted, match=why):
            prepared(signer, site)


@pytest.mark.requirement("REQ-15")
def test_an_administrator_signs_for_nobody_and_a_lost_role_ends_what_was_prepared(site: SigningSite):
    admin = Signer(site.administrators[0], site.time)
    admin.log_in()
    with pytest.raises(NotPermitted):
        prepared(admin, site)
    intent = prepared(site.author, site)
    with pytest.raises(NotFound):
        signed(admin, intent, code="000000")
    membership = Membership.objects.get(user=site.author.user, project=site.project)
    withdraw(membership=membership, actor=SYSTEM, reason="left the project")
    with pytest.raises(NotFound):
        signed(site.author, intent, code=site.author.code())
    assert not Signature.objects.exists()


def test_a_signature_that_cannot_be_sealed_at_once_stays_and_an_administrator_is_told(
    site: SigningSite, monkeypatch: pytest.MonkeyPatch
):
    def refused() -> None:
        raise CheckpointRefused("the key is gone")

    monkeypatch.setattr("qaservice.signatures.services.publish", refused)
    found = judge(site.author.sign(site.subject, "responsible"))
    assert found.valid and found.index is None
    assert Alert.objects.get().kind == "signature-not-sealed"


def test_a_type_of_record_is_announced_once_and_its_meanings_fit_together(db: None):
    def loaded(_key: str) -> None:
        return None

    stray = Meaning("seen", "Seen", frozenset({"qa_lead"}), lambda _user, _record: "", after=("never announced",))
    for signable in (Signable("memo", "memo", loaded, (stray,)), Signable("report", "report", loaded, ())):
        with pytest.raises(ValueError, match=signable.subject_type):
            register_signable(signable)
    with pytest.raises(NotFound, match="are not signed"):
        signable_of("memo")
    with pytest.raises(NotFound, match="no such validation report"):
        load_record(subject_type="report", subject_id="no key at all")
