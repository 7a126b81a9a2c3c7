"""A survey of marks for machines: JSON with everything, and CSV with one row for each question to a reader."""

from __future__ import annotations

import csv
import hashlib
import io
import json

from imaging.audit.marks_run import MarksAudit
from imaging.marks.survey import STRENGTH_BANDS, Survey
from imaging.marks.types import MarkedScan, MarkIssue

SCHEMA = "marks-audit/1"

COLUMNS = (
    "number", "issue_id", "strength", "kind", "nature", "file", "series_instance_uid", "reader", "marks", "mark_ids",
    "x_pixel", "y_pixel", "z_mm", "sop_instance_uid", "against_readers", "question", "answer", "remark",
)  # fmt: skip
"""``answer`` and ``remark`` are empty: for the reader, "corrected", "confirmed" or "cannot tell"."""


def issue_id(scan: MarkedScan, issue: MarkIssue) -> str:
    """Return an id that the same issue on the same file has in every survey by the same version of its rule."""
    place = (issue.place.sop_instance_uid, f"{issue.place.x:.1f}", f"{issue.place.y:.1f}", issue.place.z_mm)
    named = (scan.sha256, issue.kind, issue.kind_version, issue.reader, issue.marks, issue.others, place)
    return hashlib.sha256(repr(named).encode()).hexdigest()[:12]


def counts(survey: Survey) -> dict[str, object]:
    """Return how many issues of each kind there are, by reader and strength: what a later survey is compared with."""
    return {
        "files": len(survey.scans) + len(survey.not_surveyed),
        "scans": len(survey.scans),
        "set_aside": len(survey.set_aside),
        "refused": len(survey.refused),
        "issues": len(survey.issues),
        "scans_with_issues": sum(bool(one.issues) for one in survey.scans),
        "nodules_unmarked_by_one_reader": survey.unmarked_by_one,
        "kinds": {
            one.kind.name: {
                "version": one.kind.version,
                "nature": one.kind.nature.name.lower(),
                "issues": one.issues,
                "scans": one.scans,
                "by_reader": list(one.by_reader),
                "by_strength": dict(zip((name for name, _, _ in STRENGTH_BANDS), one.by_band, strict=True)),
                "by_coincidence": one.coincidences,
            }
            for one in survey.kinds
        },
    }


def marks_as_json(audit: MarksAudit) -> str:
    """Return one JSON object, keys sorted: pixels in the plane, millimetres along z, strengths reasoned."""
    found = audit.survey
    content = {
        "schema": SCHEMA,
        "clinical_use": False,
        "source": audit.source_name,
        "made_at": audit.made_at,
        "version": audit.version,
        "counts": counts(found),
        "kinds": [
            {
                "name": one.kind.name,
                "version": one.kind.version,
                "title": one.kind.title,
                "nature": one.kind.nature.value,
                "measures": one.kind.measures,
                "strength_basis": one.kind.basis,
            }
            for one in found.kinds
        ],
        "patterns": [
            {
                "kind": one.kind,
                "file": one.file_name,
                "reader": one.reader,
                "issues": one.issues,
                "sentence": one.sentence,
            }
            for one in found.patterns
        ],
        "issues": [_issue(number, one.scan, issue, found) for number, (one, issue) in enumerate(found.issues, start=1)],
        "remarks": {one.scan.file_name: list(one.remarks) for one in found.scans if one.remarks},
        "not_surveyed": [
            {"file": one.file_name, "code": one.code, "message": one.message} for one in found.not_surveyed
        ],
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


def marks_as_csv(audit: MarksAudit) -> str:
    """Return one row for each issue, strongest first, as RFC 4180 has it, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for number, (one, issue) in enumerate(audit.survey.issues, start=1):
        row = _issue(number, one.scan, issue, audit.survey)
        row |= {"answer": "", "remark": ""}
        writer.writerow({name: _cell(row[name]) for name in COLUMNS})
    return text.getvalue()


def _issue(number: int, scan: MarkedScan, issue: MarkIssue, survey: Survey) -> dict[str, object]:
    nature = next(one.kind.nature for one in survey.kinds if one.kind.name == issue.kind)
    return {
        "number": number,
        "issue_id": issue_id(scan, issue),
        "kind": issue.kind,
        "kind_version": issue.kind_version,
        "nature": nature.value,
        "strength": round(issue.strength, 3),
        "file": scan.file_name,
        "series_instance_uid": scan.series_instance_uid,
        "reader": issue.reader,
        "marks": list(issue.marks),
        "mark_ids": [mark.source_id for mark in scan.of(issue.reader) if mark.number in issue.marks],
        "x_pixel": round(issue.place.x, 1),
        "y_pixel": round(issue.place.y, 1),
        "z_mm": issue.place.z_mm,
        "sop_instance_uid": issue.place.sop_instance_uid,
        "against_readers": list(issue.others),
        "question": issue.reason,
        "features": {name: round(float(value), 4) for name, value in issue.features.items()},
    }


def _cell(value: object) -> object:
    """Keep a spreadsheet from running a text of a file: what begins like a formula gets an apostrophe before it."""
    if isinstance(value, list):
        value = " ".join(str(part) for part in value)
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
