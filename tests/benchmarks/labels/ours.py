"""Our checks' issues as flags."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.checks.base import CHEST_CT_NODULES
from imaging.phantom.label_errors import ErrorKind
from imaging.pipeline import AnalysisParameters, analyse
from imaging.scoring.subjects import concerns_set, is_ambiguous
from imaging.training.spoilt import SpoiltCase
from imaging.types import LabelIssue
from tests.benchmarks.labels.flags import OF_ABSENCE, OF_CLASS, OF_OUTLINES, OF_PRESENCE, OF_SETS, Flag

NAME = "our checks"
PARAMETERS = AnalysisParameters(checks=CHEST_CT_NODULES)

EVERY_KIND = frozenset(ErrorKind)
SPEAKS_OF: Mapping[str, frozenset[ErrorKind]] = {
    "missing_nodule": OF_ABSENCE,
    "spurious_label": OF_PRESENCE,
    "boundary": OF_OUTLINES,
    "incomplete_contour": OF_OUTLINES,
    "merged_lesions": frozenset({ErrorKind.MERGED, ErrorKind.RUN_ON}),
    "duplicate_mark": frozenset({ErrorKind.DUPLICATED}),
    "wrong_category": OF_CLASS,
    "confident_learning": OF_CLASS,
    "rules": OF_CLASS,
    "geometry_mismatch": OF_SETS | {ErrorKind.SHIFTED},
}
"""What each check may mean. Readers' disagreement may mean anything about a label, or a missing one."""


def our_flags(case: SpoiltCase) -> list[Flag]:
    """Return the issues of an analysis; what only asks for adjudication claims nothing and is no flag."""
    outcome = analyse(case=case.case, parameters=PARAMETERS)
    return [_flag(issue) for issue in outcome.issues if not is_ambiguous(issue)]


def _flag(issue: LabelIssue) -> Flag:
    whole = concerns_set(issue) or (issue.finding_id is None and issue.check == "geometry_mismatch")
    return Flag(
        set_id=issue.annotation_set_id,
        finding_id=issue.finding_id,
        place_mm=issue.place_mm,
        radius_mm=issue.radius_mm,
        score=issue.score,
        kinds=OF_SETS if whole else _kinds(issue),
        whole_set=whole,
    )


def _kinds(issue: LabelIssue) -> frozenset[ErrorKind]:
    entries = issue.evidence.get("checks", ())
    names = {issue.check}
    if isinstance(entries, list | tuple):
        names |= {str(entry["check"]) if isinstance(entry, Mapping) else str(entry) for entry in entries}
    spoken: frozenset[ErrorKind] = frozenset()
    for name in names:
        if name == "reader_disagreement":
            spoken |= OF_ABSENCE if issue.finding_id is None else EVERY_KIND - {ErrorKind.MISSING}
        else:
            spoken |= SPEAKS_OF.get(name, EVERY_KIND)
    return spoken
