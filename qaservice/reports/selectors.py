"""The report of a project, assembled from one look at its evidence, and the reports that were made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import metadata

from django.db.models import Max, QuerySet

from compliance.rendering.document import ReportDocument, plain
from qaservice.analysis.models import FlagState
from qaservice.projects.models import Project
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.reports.models import ValidationReport
from qaservice.reports.sections.agreement import agreement
from qaservice.reports.sections.closing import audit, deviations, software
from qaservice.reports.sections.label_errors import checks_of, label_errors, reader_effect, verdict_pairs
from qaservice.reports.sections.listing import corrections, line_listing
from qaservice.reports.sections.opening import identity, scope, synopsis
from qaservice.reports.sections.provenance import provenance, truthing
from qaservice.reports.sections.statistics import CONFIDENCE, LEAST_PATIENTS, RESAMPLES, SEED
from qaservice.review.models import Decision

FACTS_FORMAT = "label-qa/report-facts/1"


def reports_of(*, project: Project) -> QuerySet[ValidationReport]:
    """Return a project's reports, newest first."""
    return ValidationReport.objects.filter(project=project).select_related("dataset_version", "run").order_by("-number")


def next_number(*, project: Project) -> int:
    """Return the number that the project's next report would have."""
    last = ValidationReport.objects.filter(project=project).aggregate(last=Max("number"))["last"]
    return (last or 0) + 1


def report_document(
    *, evidence: Evidence, number: int, made_by: str, progress: Callable[[int, int, str], None] | None
) -> ReportDocument:
    """Return the whole report as data. Reads stored masks and images; changes nothing."""
    errors = label_errors(evidence)
    return ReportDocument(
        identity=identity(evidence, number=number, made_by=made_by),
        synopsis=synopsis(evidence, errors),
        scope=scope(evidence),
        provenance=provenance(evidence),
        truthing=truthing(evidence),
        agreement=agreement(evidence),
        label_errors=errors,
        reader_effect=reader_effect(evidence),
        corrections=corrections(evidence),
        flags=line_listing(evidence, progress=progress),
        deviations=deviations(evidence),
        software=software(evidence, typst_version=metadata.version("typst")),
        audit=audit(evidence),
    )


def renumbered(document: ReportDocument, *, number: int) -> ReportDocument:
    """Return the same report under another number, for when another one was stored first."""
    return replace(document, identity=replace(document.identity, report_number=number))


def report_facts(*, evidence: Evidence, document: ReportDocument) -> dict[str, object]:
    """Return the figures as data: what the report prints, and the counts and keys behind it for whoever recomputes."""
    rows = {row.kind: row for row in document.label_errors.rows}
    pairs = verdict_pairs(evidence)
    return {
        "format": FACTS_FORMAT,
        "project": evidence.project.key,
        "project_id": str(evidence.project.pk),
        "report_number": document.identity.report_number,
        "ledger_size": evidence.ledger_size,
        "ledger_head": evidence.ledger_head,
        "dataset_version": evidence.dataset_version.number,
        "dataset_manifest_sha256": evidence.dataset_version.manifest_id,
        "methods": {
            "confidence": str(CONFIDENCE),
            "interval": "Wilson score; Clopper-Pearson exact where n is 0 or N",
            "bootstrap_resamples": RESAMPLES,
            "bootstrap_seed": SEED,
            "bootstrap_least_patients": LEAST_PATIENTS,
        },
        "label_errors": [
            {
                "check": name,
                "kind": row.kind,
                "raised": row.raised,
                "settled": row.settled,
                "wrong": row.errors.count,
                "lower": plain(row.errors.lower),
                "upper": plain(row.errors.upper),
                "method": row.errors.method,
            }
            for name, row in ((name, rows[kind]) for name, kind in _kinds(evidence))
        ],
        "verdict_pairs": {"total": len(pairs), "changed": sum(pair.changed for pair in pairs)},
        "flags": [
            {
                "id": str(flag.pk),
                "label": str(flag),
                "check": flag.check_name,
                "state": flag.state,
                "outcome": flag.outcome,
                "patient": evidence.patient_of(flag.series_id),
            }
            for flag in evidence.flags
        ],
        "totals": {
            "flags": len(evidence.flags),
            "settled": sum(flag.state == FlagState.SETTLED for flag in evidence.flags),
            "wrong": sum(flag.outcome == Decision.LABEL_WRONG for flag in evidence.flags),
            "verdicts": len(evidence.all_verdicts()),
            "corrections": len(evidence.corrections),
        },
        "document": plain(document),
    }


def _kinds(evidence: Evidence) -> list[tuple[str, str]]:
    return [(name, words.suspicion(name)) for name in checks_of(evidence)]
