"""The printed manifestation of a report's signatures, and the same as data for its evidence kit (REQ-21, REQ-22)."""

from __future__ import annotations

from django.db import connection

from compliance.ledger.canonical import Json
from compliance.models import LedgerEntry
from compliance.rendering import wording
from compliance.rendering.card_pdf import CardFact
from compliance.rendering.signature_pdf import SignaturePage, SignatureRow, render_signatures
from compliance.rendering.typesetting import RenderingError
from compliance.rendering.typst_pdf import EMBEDDED_DATABASE
from compliance.sealing import head
from qaservice.common.errors import Unavailable
from qaservice.reports import words
from qaservice.reports.models import ValidationReport
from qaservice.reports.signing import DATASET_VERSION, REPORT, REPORTS, Approval, approval_of
from qaservice.signatures.selectors import certification, signatures_on
from qaservice.signatures.signables import load_record
from qaservice.signatures.standing import JudgedSignature, Standing, binding, judged

FORMAT = "label-qa/signatures/1"
DRAFT_MARK = "DRAFT - not approved"
FACTORS = {"password": "password", "totp": "one-time code of a second factor"}
INTRODUCTION = (
    "These electronic signatures are on the document whose SHA-256 is given below, and on no other. Signing did not "
    "change the document: its own pages read as they did when it was made. Whether the signatures stand was computed "
    "when this page was printed."
)
INSTRUCTIONS = (
    "Compute the SHA-256 of the report's PDF and compare it with the one on this page. If they differ, these "
    "signatures are on another document.",
    "Take the report's evidence kit. Run python -I verify.py KIT: it shows that nothing in the kit was altered. Run "
    "python -I recompute.py KIT: it shows that each signature is on the very files of the kit, under the ledger entry "
    "given here.",
)


def signature_page(report: ValidationReport) -> bytes:
    """Return the signature page of a report as PDF, as its signatures stand now.

    Raises Unavailable where the report's files are missing or altered, or the page cannot be typeset.
    """
    record = load_record(subject_type=REPORT, subject_id=str(report.pk))
    approval = approval_of(report)
    size, root = head()
    sent = certification()
    marks = ([] if approval.approved else [DRAFT_MARK]) + ([EMBEDDED_DATABASE] if connection.vendor == "sqlite" else [])
    page = SignaturePage(
        title=record.title,
        status="APPROVED" if approval.approved else "DRAFT: not approved. It supports no release and no claim.",
        good=approval.approved,
        introduction=INTRODUCTION,
        # All are over the record named above; where one is not, its row says over which.
        document=(
            CardFact("Project", f"{report.project.title} ({report.project.key})"),
            CardFact("Dataset", f"Version {report.dataset_version.number}"),
            CardFact("Made", f"{wording.moment(report.created_at)} by {report.event.actor_name}"),
            CardFact("Document, SHA-256", str(record.content["document_sha256"]), exact=True),
            CardFact("Figures, SHA-256", str(record.content["facts_sha256"]), exact=True),
            CardFact("Signed record, SHA-256", record.sha256, exact=True),
            CardFact("Ledger at printing", f"{size} sealed events"),
            CardFact("Its root", root, exact=True),
            CardFact(
                "Certification to FDA",
                f"{sent.reference}, sent {sent.sent_on.isoformat()}" if sent else "none on record (21 CFR 11.100(c))",
            ),
        ),
        signatures=tuple(_row(one, record_sha256=record.sha256) for one in approval.signatures),
        missing=_missing(approval),
        instructions=INSTRUCTIONS,
        marks=tuple(marks),
        code=f"{record.content['document_sha256']}\n{size}\n{root}",
        timestamp=int(max([report.created_at, *(one.signature.signed_at for one in approval.signatures)]).timestamp()),
    )
    try:
        return render_signatures(page)
    except RenderingError as error:
        raise Unavailable(str(error), code="not-typeset") from error


def signature_data(report: ValidationReport, *, size: int) -> dict[str, Json]:
    """Return the signatures on a report and on its dataset version that are sealed below ``size``, with the signed
    records' content: what a kit holds, and recompute.py checks.
    """
    records: list[Json] = []
    signatures: list[Json] = []
    for kind, key in ((REPORT, str(report.pk)), (DATASET_VERSION, str(report.dataset_version_id))):
        record = load_record(subject_type=kind, subject_id=key)
        records.append(
            {
                "type": kind,
                "id": key,
                "version": record.version,
                "title": record.title,
                "sha256": record.sha256,
                "content": dict(record.content),
            }
        )
        signatures += [
            _data(one)
            for one in judged(signatures_on(subject_type=kind, subject_id=key))
            if one.index is not None and one.index < size
        ]
    standing = "approved" if approval_of(report).approved else "draft"
    return {"format": FORMAT, "report": standing, "records": records, "signatures": signatures}


def _data(one: JudgedSignature) -> dict[str, Json]:
    entry = LedgerEntry.objects.get(event_id=one.signature.event_id)
    return {
        **binding(one.signature),
        "standing": one.standing.value,
        "event": {"id": str(entry.event_id), "index": entry.index, "leaf_hash": entry.leaf_hash},
    }


def _row(one: JudgedSignature, *, record_sha256: str) -> SignatureRow:
    signature = one.signature
    fault = {Standing.VOID: "Void", Standing.UNVERIFIED: "Does not verify"}.get(one.standing, "")
    facts = [
        CardFact("Role", words.role(signature.role)),
        CardFact("Shown for it", words.listed([FACTORS.get(name, name) for name in signature.factors])),
        CardFact("Ledger entry", "not sealed yet" if one.index is None else f"index {one.index}"),
        CardFact("Signature", str(signature.pk), exact=True),
    ]
    if signature.record_sha256 != record_sha256:
        facts.append(CardFact("Over record, SHA-256", signature.record_sha256, exact=True))
    return SignatureRow(
        name=signature.printed_name,
        meaning=signature.meaning_words,
        signed_at=wording.moment(signature.signed_at),
        fault=f"{fault}: {one.why}." if fault else "",
        facts=tuple(facts),
    )


def _missing(approval: Approval) -> str:
    said = {one.signature.meaning for one in approval.signatures if one.valid}
    missing = [one.words for one in REPORTS.meanings if one.code not in said]
    return f"Not signed: {words.listed(missing)}." if missing else ""
