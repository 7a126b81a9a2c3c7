"""How validation reports and dataset versions are signed: what is bound, who may say what of it, and in which order.

A report is approved once "approved" stands on it with everything that has to come before; its own pages are never
changed by signing. A dataset version is released on the strength of an approved report (REQ-14, REQ-31).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from compliance.models import Event
from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagState
from qaservice.common.clock import iso
from qaservice.labels.models import DatasetVersion
from qaservice.projects.models import Role
from qaservice.reports import words
from qaservice.reports.models import ValidationReport
from qaservice.review.duties import why_not_approve
from qaservice.signatures.events import OWN_PREFIX
from qaservice.signatures.selectors import signatures_on
from qaservice.signatures.signables import Meaning, Signable, SignableRecord, register_signable
from qaservice.signatures.standing import JudgedSignature, judged
from qaservice.storage.selectors import read_blob

REPORT, DATASET_VERSION = "report", "dataset-version"
LEAD, LEAD_OR_AUDITOR = frozenset({Role.QA_LEAD.value}), frozenset({Role.QA_LEAD.value, Role.AUDITOR.value})


@dataclass(frozen=True)
class Approval:
    """The signatures on a report, oldest first, and whether they make it approved now."""

    signatures: tuple[JudgedSignature, ...]
    approved: bool

    @property
    def draft(self) -> bool:
        """Whether the report is still a draft: it supports no release and no claim."""
        return not self.approved

    @property
    def standing(self) -> int:
        """The number of signatures that are valid."""
        return sum(one.valid for one in self.signatures)


def approval_of(report: ValidationReport) -> Approval:
    """Return whether a report is approved, computed from its signatures as they stand now."""
    signatures = tuple(judged(signatures_on(subject_type=REPORT, subject_id=str(report.pk))))
    said = {one.signature.meaning for one in signatures if one.valid}
    return Approval(signatures=signatures, approved={APPROVED.code, *APPROVED.after} <= said)


def approved_report_on(version: DatasetVersion) -> ValidationReport | None:
    """Return the newest approved report on a dataset version."""
    reports = ValidationReport.objects.filter(dataset_version=version).order_by("-number")
    return next((one for one in reports if approval_of(one).approved), None)


def load_report(subject_id: str) -> SignableRecord | None:
    """Return a report as it stands, its files read and checked. Raises Unavailable where one is missing or altered."""
    report = (
        ValidationReport.objects.select_related("project", "dataset_version", "event")
        .filter(pk=_key(subject_id))
        .first()
    )
    if report is None:
        return None
    return SignableRecord(
        subject_type=REPORT,
        subject_id=str(report.pk),
        version=str(report.number),
        title=f"Validation report {report.number} of {report.project.title}",
        project=report.project,
        content={
            "type": REPORT,
            "id": str(report.pk),
            "project": report.project.key,
            "number": report.number,
            "dataset_version": report.dataset_version.number,
            "dataset_manifest_sha256": _digest(report.dataset_version.manifest_id),
            "document_sha256": _digest(report.document_id),
            "facts_sha256": _digest(report.facts_id),
            "ledger_size": report.ledger_size,
            "ledger_head": report.ledger_head,
            "made_at": iso(report.created_at),
            "made_by": report.event.actor_id,
            "made_by_name": report.event.actor_name,
        },
    )


def load_dataset_version(subject_id: str) -> SignableRecord | None:
    """Return a dataset version as it stands, its manifest read and checked. Raises as ``load_report`` does."""
    version = DatasetVersion.objects.select_related("project", "guideline").filter(pk=_key(subject_id)).first()
    if version is None:
        return None
    return SignableRecord(
        subject_type=DATASET_VERSION,
        subject_id=str(version.pk),
        version=str(version.number),
        title=f"Dataset version {version.number} of {version.project.title}",
        project=version.project,
        content={
            "type": DATASET_VERSION,
            "id": str(version.pk),
            "project": version.project.key,
            "number": version.number,
            "manifest_sha256": _digest(version.manifest_id),
            "guideline": version.guideline.number,
            "series": version.series_count,
            "findings": version.finding_count,
            "fixed_at": iso(version.created_at),
        },
    )


def _digest(sha256: str) -> str:
    """Return the digest of stored bytes as they are now, not as the database says."""
    return hashlib.sha256(read_blob(sha256)).hexdigest()


def _may_answer_for(user: User, record: SignableRecord) -> str:
    made_by = str(record.content["made_by"])
    if made_by == str(user.pk) or not _is_a_person(made_by):
        return ""
    return "the content is answered for by the person who made the report"


def _is_no_author(user: User, record: SignableRecord) -> str:
    if record.content["made_by"] == str(user.pk):
        return "you made this report; it takes somebody else"
    return ""


def _is_independent(user: User, record: SignableRecord) -> str:
    """Return why somebody is not independent of the trail that a report rests on: they wrote something of it."""
    written = Event.objects.filter(
        project_key=record.project.key, actor_id=str(user.pk), entry__index__lt=int(str(record.content["ledger_size"]))
    )
    # What wrote no row was reading or handing out; signing is not what a trail review looks for in its reviewer.
    number = written.exclude(rows=[]).exclude(kind__startswith=OWN_PREFIX).count()
    if number:
        return (
            f"{number} {'entry' if number == 1 else 'entries'} of this audit trail {'is' if number == 1 else 'are'} "
            "your own; it is reviewed by somebody who wrote nothing in it"
        )
    return _is_no_author(user, record)


def _may_approve(user: User, record: SignableRecord) -> str:
    return why_not_approve(project=record.project, user=user) or _is_no_author(user, record)


def _may_release(user: User, record: SignableRecord) -> str:
    own = why_not_approve(project=record.project, user=user)
    if own:
        return own
    waiting = Flag.objects.filter(project=record.project).exclude(state=FlagState.SETTLED).count()
    if waiting:
        return f"no consensus yet on {words.counted(waiting, 'flag')} of the project"
    version = DatasetVersion.objects.get(pk=record.subject_id)
    if approved_report_on(version) is None:
        return "no report on this dataset version is approved"
    return ""


def _is_a_person(actor_id: str) -> bool:
    """Return whether an actor is an account, and not the service or the operator of its server."""
    return User.objects.filter(pk=_key(actor_id)).exists()


def _key(text: str) -> UUID:
    """Return the key that a text names; what is no key at all becomes one that no row has."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


RESPONSIBLE = Meaning("responsible", "Responsible for the content", LEAD, _may_answer_for)
REVIEWED = Meaning("reviewed", "Reviewed", LEAD_OR_AUDITOR, _is_no_author, after=("responsible",))
TRAIL_REVIEWED = Meaning("trail-reviewed", "Audit trail reviewed", LEAD_OR_AUDITOR, _is_independent)
APPROVED = Meaning(
    "approved",
    "Approved",
    LEAD,
    _may_approve,
    after=("responsible", "reviewed", "trail-reviewed"),
    apart_from=("responsible", "reviewed"),
)
RELEASED = Meaning("released", "Released", LEAD, _may_release)

REPORTS = Signable(REPORT, "validation report", load_report, (RESPONSIBLE, REVIEWED, TRAIL_REVIEWED, APPROVED))
DATASET_VERSIONS = Signable(DATASET_VERSION, "dataset version", load_dataset_version, (RELEASED,))

register_signable(REPORTS)
register_signable(DATASET_VERSIONS)
