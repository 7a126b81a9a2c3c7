"""The audit as JSON, for machines: everything on the page but the pictures."""

from __future__ import annotations

import json

from imaging.audit.labels import LabelFile
from imaging.audit.result import Audit, AuditedSet, Flag, OpinionOutcome, SeriesAudit
from imaging.types import Rejection

SCHEMA = "label-audit/1"


def as_json(audit: Audit) -> str:
    """Return one JSON object, keys sorted, lengths in millimetres, places in DICOM LPS."""
    content = {
        "schema": SCHEMA,
        "clinical_use": False,
        "made_at": audit.made_at,
        "version": audit.version,
        "needs_a_look": audit.needs_a_look,
        "series": [_series(one) for one in audit.series],
        "label_files": [_file(file) for file in audit.label_files],
        "left_out": [
            {"given_as": given, "name": item.name, "code": item.code, "message": item.message}
            for given, items in (("images", audit.left_out_images), ("labels", audit.left_out_labels))
            for item in items
        ],
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


def _series(one: SeriesAudit) -> dict[str, object]:
    grid = one.found.verdict.grid
    return {
        "number": one.number,
        "series_instance_uid": one.found.series_instance_uid,
        "study_instance_uid": one.found.study_instance_uid,
        "images": len(one.found.headers),
        "verdict": one.found.verdict.status.value,
        "verdict_findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "message": finding.message,
                "sop_instance_uids": list(finding.sop_instance_uids),
            }
            for finding in one.found.verdict.findings
        ],
        "refusal": one.refusal,
        "not_analysed": one.not_analysed,
        "shape": None if grid is None else list(grid.shape),
        "spacing_mm": None if grid is None else list(grid.spacing_mm),
        "acquisition": dict(one.acquisition),
        "sets": [_set(item) for item in one.sets],
        "flags": [_flag(flag) for flag in one.flags],
        "opinions": [_opinion(opinion) for opinion in one.opinions],
    }


def _set(one: AuditedSet) -> dict[str, object]:
    fit = one.fit
    return {
        "number": one.number,
        "set_id": one.set_id,
        "reader": one.reader_label,
        "kind": one.kind.value,
        "algorithm": one.algorithm,
        "read": one.read,
        "format": one.title,
        "files": list(one.file_numbers),
        "fit": None
        if fit is None
        else {
            "status": fit.status.value,
            "message": fit.message,
            "suggestion": None if fit.suggestion is None else fit.suggestion.words(),
        },
        "fit_not_asked": one.fit_not_asked,
        "case_probabilities": dict(one.case_probabilities),
        "nodules": one.nodules,
        "not_taken_for_nodules": list(one.other_names),
        "findings": [
            {
                "finding_id": finding.finding_id,
                "source_label": finding.source_label,
                "category": finding.category,
                "shape": finding.shape,
                "place": finding.place,
                "place_mm": None if finding.place_mm is None else list(finding.place_mm),
                "size": finding.size,
                "said": finding.said,
                "round_trip": finding.round_trip,
            }
            for finding in one.findings
        ],
    }


def _flag(flag: Flag) -> dict[str, object]:
    issue = flag.issue
    return {
        "number": flag.number,
        "check": issue.check,
        "check_version": issue.check_version,
        "score": issue.score,
        "set": flag.set_number,
        "set_id": issue.annotation_set_id,
        "finding_id": issue.finding_id,
        "place": flag.place,
        "place_mm": list(issue.place_mm),
        "radius_mm": issue.radius_mm,
        "reason": issue.reason,
        "evidence": dict(issue.evidence),
        "proposals": [{"action": item.action.value, "origin": item.origin} for item in issue.proposals],
    }


def _opinion(opinion: OpinionOutcome) -> dict[str, object]:
    model = opinion.model
    return {
        "title": opinion.title,
        "refusal": opinion.refusal,
        "model": None
        if model is None
        else {"name": model.name, "version": model.version, "bundle_sha256": model.bundle_sha256},
        "threshold": opinion.threshold,
        "candidates": opinion.candidates,
        "reported": opinion.reported,
        "silence": opinion.silence,
        "scope": opinion.scope,
        "backend": opinion.backend,
        "backend_refusals": list(opinion.backend_refusals),
        "validated_diameters_mm": None
        if opinion.validated_diameters_mm is None
        else list(opinion.validated_diameters_mm),
        "seconds": round(opinion.seconds, 2),
        "checks": [
            {
                "check": check.check,
                "version": check.version,
                "status": check.status,
                "detail": check.detail,
                "issues": check.issue_count,
            }
            for check in opinion.checks
        ],
    }


def _file(file: LabelFile) -> dict[str, object]:
    return {
        "number": file.number,
        "name": file.name,
        "sha256": file.sha256,
        "format": file.kind,
        "refusal": file.refusal,
        "refusal_code": file.refusal_code,
        "series": [one.series_instance_uid for one in file.placed],
        "rejections": [_rejection(rejection) for rejection in file.rejections],
    }


def _rejection(rejection: Rejection) -> dict[str, object]:
    return {"code": rejection.code, "message": rejection.message, "subjects": list(rejection.subjects)}
