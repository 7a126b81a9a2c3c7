"""Making reports and handing out evidence kits. Both are exports, and recorded as such (REQ-03, REQ-40)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from django.db import transaction

from compliance.checkpoints import publish
from compliance.evidence import build_kit
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.note import Checkpoint
from compliance.outside import stamp_of
from compliance.recording import Actor, change, record_event
from compliance.rendering.document import ReportDocument
from compliance.rendering.typesetting import RenderingError
from compliance.rendering.typst_pdf import DRAFT, EMBEDDED_DATABASE, SIMULATED_READERS, render
from qaservice.common.errors import Conflict, Unavailable
from qaservice.jobs.models import Job
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.reports.evidence import Evidence, gather
from qaservice.reports.models import ValidationReport
from qaservice.reports.selectors import next_number, renumbered, report_document, report_facts
from qaservice.reports.signature_pages import signature_data, signature_page
from qaservice.storage.selectors import read_blob
from qaservice.storage.services import store_blob, write_bytes

EXPORT_KIND = "reports.export"
PDF_TYPE, JSON_TYPE = "application/pdf", "application/json"
NUMBERINGS = 4
"""Tries to store a report under the number that it prints, when others are stored at the same time."""

Progress = Callable[[int, int, str], None]


def request_report(*, project: Project, actor: Actor, reason: str) -> Job:
    """Record that a report was asked for and queue its making; whoever asked is named as the one who exported it."""
    with transaction.atomic():
        request = record_event(
            "report.requested",
            actor=actor,
            reason=reason,
            subject=("project", str(project.pk)),
            project_key=project.key,
        )
        return enqueue(
            kind=EXPORT_KIND,
            subject_id=str(request),
            project_key=project.key,
            dedupe_key=f"{EXPORT_KIND}:{request}",
        )


def export_report(
    *,
    project: Project,
    actor: Actor,
    reason: str,
    progress: Progress | None = None,
    complete: Callable[[], None] | None = None,
) -> ValidationReport:
    """Seal what waits, assemble the evidence of the newest dataset version, render it and store the report.

    ``complete`` marks a worker's job done inside the storing transaction, and may refuse. Not for use inside a
    transaction: sealing commits, and typesetting takes its time.
    Raises Conflict if there is no dataset version or no quiet moment, Unavailable if the report cannot be typeset.
    """
    evidence = gather(project=project)
    # At once for a report: the head that it prints stands signed outside the database.
    publish()
    number = next_number(project=project)
    document = report_document(evidence=evidence, number=number, made_by=actor.name, progress=progress)
    marks = marks_of(evidence)
    for _ in range(NUMBERINGS):
        if progress is not None:
            progress(len(evidence.flags), len(evidence.flags), "typesetting")
        stored = _store(
            evidence=evidence,
            document=document,
            marks=marks,
            actor=actor,
            reason=reason,
            complete=complete,
        )
        if stored is not None:
            return stored
        document = renumbered(document, number=next_number(project=project))
    raise Conflict("other reports of this project are being made at the same time; ask again", code="reports-race")


def export_kit(*, report: ValidationReport, path: Path, actor: Actor, reason: str) -> Path:
    """Write the evidence kit of a report to ``path`` and record that it was handed out, with the kit's SHA-256.

    The kit holds the report, its signatures and their page, its figures, the dataset manifest, the sealed ledger with
    the records it names, and the programs that verify and recompute them offline, under a checkpoint that continues
    the report's head. Not for use inside a transaction: it seals first.
    """
    facts = read_blob(report.facts_id)
    checkpoint = publish()
    signatures = signature_data(report, size=Checkpoint.parse(checkpoint.text).size)
    build_kit(
        path,
        files={
            "data/signatures.json": canonical_bytes(signatures) + b"\n",
            "signature-page.pdf": signature_page(report),
            "report.pdf": read_blob(report.document_id),
            "dataset-manifest.json": read_blob(report.dataset_version.manifest_id),
            "recompute.py": resources.files("qaservice.reports.offline").joinpath("recompute.py").read_bytes(),
        },
        facts=json.loads(facts),
        checkpoint=checkpoint,
        heads=(report.ledger_size,),
        project_key=report.project.key,
        stamp=stamp_of(checkpoint),
    )
    record_event(
        "kit.exported",
        actor=actor,
        reason=reason,
        subject=("report", str(report.pk)),
        project_key=report.project.key,
        payload={"report": report.number, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    )
    return path


def marks_of(evidence: Evidence) -> tuple[str, ...]:
    """Return what every page of the report must say of it."""
    marks = [DRAFT]
    if evidence.on_sqlite:
        marks.append(EMBEDDED_DATABASE)
    if evidence.simulated:
        marks.append(SIMULATED_READERS)
    return tuple(marks)


def facts_bytes(facts: dict[str, object]) -> bytes:
    """Return the figures as the one byte string that is stored: sorted keys, no white space, UTF-8."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _store(
    *,
    evidence: Evidence,
    document: ReportDocument,
    marks: tuple[str, ...],
    actor: Actor,
    reason: str,
    complete: Callable[[], None] | None,
) -> ValidationReport | None:
    """Render and store one report; None if its number was taken meanwhile."""
    project = evidence.project
    try:
        pdf = render(document, marks=marks)
    except RenderingError as error:
        raise Unavailable(str(error), code="not-typeset") from error
    facts = facts_bytes(report_facts(evidence=evidence, document=document))
    # The files lie on disk before the transaction that names them begins.
    write_bytes(data=pdf, media_type=PDF_TYPE)
    write_bytes(data=facts, media_type=JSON_TYPE)
    report = ValidationReport(
        project=project,
        number=document.identity.report_number,
        dataset_version=evidence.dataset_version,
        run=evidence.run,
        ledger_size=evidence.ledger_size,
        ledger_head=evidence.ledger_head,
        draft=True,
        created_at=evidence.taken_at,
    )
    with transaction.atomic():
        # The project's row is the queue in which two reports get two numbers.
        Project.objects.select_for_update().get(pk=project.pk)
        if next_number(project=project) != report.number:
            return None
        with change(
            "report.exported",
            actor=actor,
            reason=reason,
            subject=("report", str(report.pk)),
            project_key=project.key,
            payload={
                "number": report.number,
                "dataset_version": evidence.dataset_version.number,
                "ledger_size": evidence.ledger_size,
                "ledger_head": evidence.ledger_head,
                "marks": list(marks),
            },
        ) as running:
            report.document = store_blob(data=pdf, media_type=PDF_TYPE)
            report.facts = store_blob(data=facts, media_type=JSON_TYPE)
            running.payload.update({"document_sha256": report.document_id, "facts_sha256": report.facts_id})
            report.save()
            if complete is not None:
                complete()
    return report
