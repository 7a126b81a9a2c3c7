"""Our checks' issues as flags."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.checks.base import CHEST_CT_NODULES
from imaging.phantom.label_errors import ErrorKind
from imaging.pipeline import AnalysisParameters, analyse
from imaging.scoring.subjects import concerns_set, is_ambiguous
from imaging.training.spoilt import SpoiltCase
from imaging.training.spoken import OF_SETS, spoken_of
from imaging.types import LabelIssue
from tests.benchmarks.labels.flags import Flag

NAME = "our checks"
PARAMETERS = AnalysisParameters(checks=CHEST_CT_NODULES)


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
        spoken |= spoken_of(check=name, empty_place=issue.finding_id is None)
    return spoken
