"""How an issue is put together, and issues about one label joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from imaging.checks.base import Check, CheckParameters
from imaging.checks.places import finding_diameter_mm
from imaging.checks.probability import SCORE_BASIS
from imaging.checks.words import CLOSING, blind_reason, place_in_words
from imaging.masks.place import centre_of
from imaging.types import Case, Finding, LabelIssue, PointMm, Proposal


def described(*, case: Case, place_mm: PointMm, parameters: CheckParameters) -> str:
    """Return a place in words for a reason; "outside the image" where it lies there."""
    words = place_in_words(
        volume=case.volume,
        place_mm=place_mm,
        body_threshold_hu=parameters.body_threshold_hu,
        midline_margin_mm=parameters.midline_margin_mm,
    )
    return words or "outside the image"


@dataclass(frozen=True, slots=True, eq=False)
class IssueBuilder:
    """Puts one check's issues on one case together, so that each check says only what is its own."""

    check: Check
    case: Case
    parameters: CheckParameters

    def where(self, place_mm: PointMm) -> str:
        """Return a place in words for a reason."""
        return described(case=self.case, place_mm=place_mm, parameters=self.parameters)

    def issue(
        self,
        *,
        set_id: str,
        finding_id: str | None,
        place_mm: PointMm,
        diameter_mm: float | None,
        score: float,
        reason: str,
        implicated: tuple[str, ...],
        evidence: Mapping[str, object],
        proposals: tuple[Proposal, ...] = (),
    ) -> LabelIssue:
        """Return an issue with its blind reason and the note on what its score rests on; ``reason`` lacks its closing.

        The radius is half of ``diameter_mm``, and never less than what counts as one place.
        """
        return LabelIssue(
            check=self.check.name,
            check_version=self.check.version,
            annotation_set_id=set_id,
            finding_id=finding_id,
            place_mm=place_mm,
            radius_mm=max((diameter_mm or 0.0) / 2, self.parameters.match_margin_mm),
            score=score,
            blind_reason=blind_reason(
                case=self.case,
                place_mm=place_mm,
                body_threshold_hu=self.parameters.body_threshold_hu,
                midline_margin_mm=self.parameters.midline_margin_mm,
            ),
            reason=f"{reason} {CLOSING}",
            implicated_set_ids=implicated,
            evidence={**evidence, "score_basis": SCORE_BASIS},
            proposals=proposals,
        )

    def about(
        self,
        *,
        set_id: str,
        finding: Finding,
        score: float,
        reason: str,
        evidence: Mapping[str, object],
        proposals: tuple[Proposal, ...] = (),
    ) -> LabelIssue:
        """Return an issue on one finding for itself: at its own place, with its own size, its set alone implicated."""
        return self.issue(
            set_id=set_id,
            finding_id=finding.finding_id,
            place_mm=centre_of(finding),
            diameter_mm=finding_diameter_mm(finding=finding),
            score=score,
            reason=reason,
            implicated=(set_id,),
            evidence=evidence,
            proposals=proposals,
        )


def merged(*, issues: Sequence[LabelIssue]) -> tuple[LabelIssue, ...]:
    """Return one check's issues with at most one for each finding, or for each place of a set where none is marked.

    The surest leads and gives score, place and radius: the label is wrong at least as probably as its surest reason
    says. The others' reasons, proposals and evidence (under ``further``) are kept with it.
    """
    groups: dict[tuple[object, ...], list[LabelIssue]] = {}
    for issue in issues:
        place = issue.place_mm if issue.finding_id is None else None
        groups.setdefault((issue.annotation_set_id, issue.finding_id, place), []).append(issue)
    return tuple(_joined(sorted(group, key=lambda issue: -issue.score)) for group in groups.values())


def _joined(group: list[LabelIssue]) -> LabelIssue:
    lead, *rest = group
    if not rest:
        return lead
    reasons = [issue.reason.removesuffix(CLOSING).strip() for issue in group]
    return replace(
        lead,
        reason=" ".join([*dict.fromkeys(reasons), CLOSING]),
        implicated_set_ids=tuple(dict.fromkeys(name for issue in group for name in issue.implicated_set_ids)),
        evidence={**lead.evidence, "further": [dict(issue.evidence) for issue in rest]},
        proposals=tuple(proposal for issue in group for proposal in issue.proposals),
    )
