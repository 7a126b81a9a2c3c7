"""People who may sign, a report to be signed, and a telephone that makes codes; time passes as a test says."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from compliance.recording import SYSTEM, change
from compliance.sealing import head, seal_all
from qaservice.accounts.identity import record_identity
from qaservice.accounts.models import User
from qaservice.accounts.passwords import change_own_password
from qaservice.common import clock
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant
from qaservice.reports.models import ValidationReport
from qaservice.signatures import totp
from qaservice.signatures.enrolment import (
    ATTESTATION_VERSION,
    attest,
    begin_enrolment,
    confirm_enrolment,
)
from qaservice.signatures.models import Signature
from qaservice.signatures.services import prepare, sign
from qaservice.storage.services import store_blob
from tests.factories.records import PASSWORD, Site, make_site, make_user

OWN_PASSWORD = "staple-battery-horse-9"


class Clock:
    """The server's clock, put forward by a test; it never stands still and never goes back."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(tz=UTC) + self.ahead

    def advance(self, seconds: int) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Signer:
    """A person who may sign, their telephone and their login session."""

    user: User
    time: Clock
    secret: bytes = b""
    session: SessionStore = field(default_factory=SessionStore)

    def code(self) -> str:
        """Return a code that was not used: the next step's."""
        self.time.advance(totp.STEP_SECONDS)
        return totp.code_at(self.secret, totp.step_at(clock.now()))

    def log_in(self) -> None:
        """Open a session, as a login does."""
        self.session = SessionStore()
        self.session[SESSION_KEY] = str(self.user.pk)
        self.session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        self.session[HASH_SESSION_KEY] = self.user.get_session_auth_hash()
        self.session.create()

    def enrol(self) -> None:
        """Enrol the telephone as second factor."""
        begun = begin_enrolment(user=self.user, password=OWN_PASSWORD)
        self.secret = base64.b32decode(begun.secret.replace(" ", ""))
        confirm_enrolment(user=self.user, password=OWN_PASSWORD, code=self.code())

    def attest(self) -> None:
        attest(user=self.user, password=OWN_PASSWORD, code=self.code(), version=ATTESTATION_VERSION)

    def sign(self, subject: tuple[str, str], meaning: str) -> Signature:
        """Sign a record with both factors."""
        intent = prepare(
            user=self.user, session=self.session, subject_type=subject[0], subject_id=subject[1], meaning=meaning
        )
        return sign(user=self.user, session=self.session, intent_id=intent.pk, password=OWN_PASSWORD, code=self.code())


@dataclass
class SigningSite:
    """A project with an author, a second lead who approves, an auditor and two administrators."""

    site: Site
    author: Signer
    approver: Signer
    auditor: Signer
    administrators: tuple[User, User]
    report: ValidationReport
    time: Clock

    def approve(self) -> None:
        """Sign everything that makes the report approved."""
        self.author.sign(self.subject, "responsible")
        self.auditor.sign(self.subject, "reviewed")
        self.auditor.sign(self.subject, "trail-reviewed")
        self.approver.sign(self.subject, "approved")

    @property
    def project(self) -> Project:
        return self.site.project

    @property
    def subject(self) -> tuple[str, str]:
        return "report", str(self.report.pk)

    @property
    def version_subject(self) -> tuple[str, str]:
        return "dataset-version", str(self.report.dataset_version_id)


def make_signing_site(*, time: Clock, flags: int = 0) -> SigningSite:
    """Build the site; everybody is ready to sign and logged in."""
    site = make_site(flags=flags)
    return staffed(site, make_report(site), time=time)


def staffed(site: Site, report: ValidationReport, *, time: Clock) -> SigningSite:
    """Give a project that has a report the people who sign it, and identify them."""
    admins = (make_user("admin-a", is_administrator=True), make_user("admin-b", is_administrator=True))
    approver, auditor = make_user("second-lead"), make_user("auditor")
    grant(project=site.project, user=approver, role=Role.QA_LEAD, actor=SYSTEM, reason="approves")
    grant(project=site.project, user=auditor, role=Role.AUDITOR, actor=SYSTEM, reason="audits")
    signers = [make_signer(user, by=admins[0], time=time) for user in (site.lead, approver, auditor)]
    return SigningSite(site, signers[0], signers[1], signers[2], admins, report, time)


def make_signer(user: User, *, by: User, time: Clock) -> Signer:
    """Let a person change the password, be identified, enrol, attest and log in."""
    signer = Signer(change_own_password(user=user, old=PASSWORD, new=OWN_PASSWORD), time)
    identify(user, by=by)
    signer.enrol()
    signer.attest()
    signer.log_in()
    return signer


def identify(user: User, *, by: User) -> None:
    """Record that somebody saw the person's document."""
    record_identity(
        user=user,
        verified_by="the personnel office",
        document_kind="staff-record",
        document_reference="binder signing, sheet of this person",
        verified_on=date(2026, 1, 5),
        certification="letter of 2026",
        by=by,
        reason="will sign",
    )


def make_report(site: Site, *, number: int = 1) -> ValidationReport:
    """Store a report by the site's lead, of few bytes."""
    seal_all()
    size, root = head()
    version = site.run.dataset_version
    report = ValidationReport(
        project=site.project,
        number=number,
        dataset_version=version,
        run=site.run,
        ledger_size=size,
        ledger_head=root,
        created_at=clock.now(),
    )
    with change(
        "report.exported",
        actor=site.lead.as_actor(role="qa_lead"),
        reason="end of the round",
        subject=("report", str(report.pk)),
        project_key=site.project.key,
    ):
        report.document = store_blob(data=f"%PDF-1.7 report {number}".encode(), media_type="application/pdf")
        report.facts = store_blob(data=f'{{"report":{number}}}'.encode(), media_type="application/json")
        report.save()
    return report
