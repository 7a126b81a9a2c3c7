"""Several checks about one label become one issue: one question to an expert, with all that speaks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from imaging.checks.words import CLOSING
from imaging.scoring.calibrator import expit, logit
from imaging.scoring.subjects import Subject, same_subject, subject_of
from imaging.types import LabelIssue, PointMm, Proposal

_READERS = "the readers"
_MODEL = "the QA model"
_LABEL = "the label itself"
SOURCES = {
    "missing_nodule": _MODEL,
    "spurious_label": _MODEL,
    "boundary": _MODEL,
    "merged_lesions": _MODEL,
    "reader_disagreement": _READERS,
    "geometry_mismatch": _LABEL,
    "incomplete_contour": _LABEL,
    "duplicate_mark": _LABEL,
    "wrong_category": _LABEL,
    "rules": "the project's rules",
    "confident_learning": "the other labels",
    "taxonomy_drift": "the other labels",
    "out_of_distribution": "the other labels",
    "near_duplicate": "the other series",
}
"""Where each check's evidence comes from. Two checks with one source repeat each other and support nothing."""

MOST_SUPPORT = 2
"""No more further sources than this count: the fit has seen few labels that three kinds of evidence speak against."""


def merged(*, issues: Sequence[LabelIssue], support_gain: float) -> tuple[LabelIssue, ...]:
    """Return the issues with one for each subject (``scoring.subjects``), surest first.

    The surest leads and gives check, place, radius and blind reason: the label is wrong at least as probably as its
    surest reason says. ``support_gain`` in log-odds is added for each further source of evidence (``SOURCES``), two at
    the most. Reasons are joined, proposals kept once each, implicated sets united; the evidence names every check
    that spoke under ``checks`` and keeps what the others rest on under ``also_raised``. What is ambiguous is never
    joined to a claim: it stays an issue of its own. Merging what is merged changes nothing.
    """
    ordered = sorted(issues, key=surest_first)
    groups: list[list[LabelIssue]] = []
    # Only what agrees in these can be one subject, so that most issues are compared with few others.
    leads: dict[tuple[str, bool, bool, str | None], list[tuple[Subject, list[LabelIssue]]]] = {}
    for issue in ordered:
        subject = subject_of(issue)
        alike = leads.setdefault((subject.set_id, subject.ambiguous, subject.whole_set, subject.finding_id), [])
        for lead, members in alike:
            if same_subject(first=lead, second=subject):
                members.append(issue)
                break
        else:
            alike.append((subject, [issue]))
            groups.append(alike[-1][1])
    joined = [_joined(members, support_gain) for members in groups]
    return tuple(sorted(joined, key=surest_first))


def surest_first(issue: LabelIssue) -> tuple[float, str, str, str, PointMm, str]:
    """Return the key that sorts issues by score, ties by what they are about."""
    # Scores that agree to nine digits are ties; what is left of them depends on the order of floating-point sums.
    finding = issue.finding_id or ""
    return (-round(issue.score, 9), issue.check, issue.annotation_set_id, finding, issue.place_mm, issue.reason)


def checks_of(issue: LabelIssue) -> tuple[str, ...]:
    """Return the names of all checks that speak in an issue, its lead first."""
    return tuple(dict.fromkeys(str(entry["check"]) for entry in _spoken(issue)))


def _joined(members: list[LabelIssue], support_gain: float) -> LabelIssue:
    lead, *rest = members
    if not rest:
        return lead if "checks" in lead.evidence else replace(lead, evidence={**lead.evidence, "checks": _spoken(lead)})
    reasons = dict.fromkeys(issue.reason.removesuffix(CLOSING).strip() for issue in members)
    spoken = [entry for issue in members for entry in _spoken(issue)]
    also = [*_joined_before(lead), *(entry for issue in rest for entry in (_aside(issue), *_joined_before(issue)))]
    sources = dict.fromkeys(SOURCES.get(str(entry["check"]), str(entry["check"])) for entry in spoken)
    gain = support_gain * min(len(sources) - 1, MOST_SUPPORT)
    # From the checks' own probabilities: what had been joined before holds its gain already.
    surest = max([float(str(entry["score"])) for entry in spoken])
    score = max(lead.score, surest)
    if gain > 0:
        score = max(score, expit(logit(surest) + gain))
    return replace(
        lead,
        score=score,
        reason=" ".join([*reasons, CLOSING]),
        implicated_set_ids=tuple(dict.fromkeys(name for issue in members for name in issue.implicated_set_ids)),
        evidence={**lead.evidence, "checks": spoken, "also_raised": also},
        proposals=_once_each([proposal for issue in members for proposal in issue.proposals]),
    )


def _aside(issue: LabelIssue) -> dict[str, object]:
    return {
        "check": issue.check,
        "check_version": issue.check_version,
        "finding_id": issue.finding_id,
        "score": issue.score,
        "reason": issue.reason.removesuffix(CLOSING).strip(),
        "evidence": {name: value for name, value in issue.evidence.items() if name not in ("checks", "also_raised")},
    }


def _joined_before(issue: LabelIssue) -> list[object]:
    known = issue.evidence.get("also_raised")
    return list(known) if isinstance(known, list) else []


def _spoken(issue: LabelIssue) -> list[dict[str, object]]:
    known = issue.evidence.get("checks")
    if isinstance(known, list):
        return [dict(entry) for entry in known if isinstance(entry, Mapping)]
    raw = issue.evidence.get("raw_score", issue.score)
    return [{"check": issue.check, "version": issue.check_version, "score": issue.score, "raw_score": raw}]


def _once_each(proposals: list[Proposal]) -> tuple[Proposal, ...]:
    kept: dict[tuple[object, ...], Proposal] = {}
    for proposal in proposals:
        mask = proposal.mask
        outline = None if mask is None else (mask.grid.digest, mask.origin, mask.voxels.shape, mask.voxels.tobytes())
        sphere = proposal.sphere
        ball = None if sphere is None else (*_rounded(sphere.centre_mm), round(sphere.diameter_mm, 3))
        kept.setdefault((proposal.action, proposal.category, outline, ball), proposal)
    return tuple(kept.values())


def _rounded(place: PointMm) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in place if math.isfinite(value))
