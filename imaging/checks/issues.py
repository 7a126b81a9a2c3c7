"""How an issue is put together, and issues about one label joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from imaging.checks.base import Check, CheckParameters
from imaging.checks.places import centre_of, finding_diameter_mm
from imaging.checks.probability import SCORE_BASIS
from imaging.checks.words import CLOSING, blind_reason, place_on_case
from imaging.types import Case, Finding, LabelIssue, PointMm, Proposal

Features = Mapping[str, float | None]
"""Numbers that a score rests on, names with units; None, and what is not finite, is left out of the evidence."""

COMMON_FEATURES = {
    "score": "the check's own reasoned score, probability in [0, 1]",
    "readers": "label sets on the case that were read",
    "diameter_mm": "size of the thing, of the label or else of what is proposed in its place",
    "slice_step_mm": "distance between slices",
    "kinds": "of how many kinds the issue is, where a check joins several objections to one label",
}
"""What the builder puts into every check's features, and what each number is."""


def described(*, case: Case, place_mm: PointMm, parameters: CheckParameters) -> str:
    """Return a place in words for a reason; "outside the image" where it lies there."""
    words = place_on_case(
        case=case,
        place_mm=place_mm,
        body_threshold_hu=parameters.body_threshold_hu,
        midline_margin_mm=parameters.midline_margin_mm,
    )
    return words or "outside the image"


@dataclass(frozen=True, slots=True, eq=False)
class IssueBuilder:
    """Puts one check's issues on one case together, so that each check says only what is its own.

    ``names``: the check's ``FEATURES``, what each of its numbers is.
    """

    check: Check
    case: Case
    parameters: CheckParameters
    names: Mapping[str, str]

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
        features: Features,
        proposals: tuple[Proposal, ...] = (),
    ) -> LabelIssue:
        """Return an issue with its blind reason and the note on what its score rests on; ``reason`` lacks its closing.

        The radius is half of ``diameter_mm``, and never less than what counts as one place. Raises KeyError for a
        feature that ``names`` does not describe.
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
            evidence={
                **evidence,
                "features": self._features(features, score, diameter_mm),
                "score_basis": SCORE_BASIS,
            },
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
        features: Features,
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
            features=features,
            proposals=proposals,
        )

    def _features(self, features: Features, score: float, diameter_mm: float | None) -> dict[str, float]:
        unknown = set(features) - set(self.names)
        if unknown:
            raise KeyError(f"{self.check.name} does not describe its features {sorted(unknown)}")
        every: dict[str, float | None] = {name: 0.0 for name in self.names if name.startswith("kind_")}
        every |= dict(features)
        every |= {
            "score": score,
            "readers": float(sum(item.read for item in self.case.annotation_sets)),
            "diameter_mm": diameter_mm,
            "slice_step_mm": self.case.volume.grid.spacing_mm[0],
            "kinds": 1.0,
        }
        return {
            name: float(value) for name, value in sorted(every.items()) if value is not None and math.isfinite(value)
        }


def merged(*, issues: Sequence[LabelIssue]) -> tuple[LabelIssue, ...]:
    """Return one check's issues with at most one for each finding, or for each place of a set where none is marked.

    The surest leads and gives score, place and radius: the label is wrong at least as probably as its surest reason
    says. The others' reasons, proposals and evidence (under ``further``) are kept with it; their features fill what
    the surest has none of, and all kinds are marked.
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
        evidence={
            **lead.evidence,
            "features": _joined_features(group),
            "further": [_without_features(issue) for issue in rest],
        },
        proposals=tuple(proposal for issue in group for proposal in issue.proposals),
    )


def _joined_features(group: Sequence[LabelIssue]) -> dict[str, float]:
    joined: dict[str, float] = {}
    for issue in group:
        for name, value in features_of(issue=issue).items():
            known = joined.setdefault(name, value)
            if name.startswith("kind_"):
                joined[name] = max(known, value)
    joined["kinds"] = float(len(group))
    return dict(sorted(joined.items()))


def _without_features(issue: LabelIssue) -> dict[str, object]:
    return {name: value for name, value in issue.evidence.items() if name != "features"}


def features_of(*, issue: LabelIssue) -> Mapping[str, float]:
    """Return the numbers that an issue's score rests on; empty for one of a check that states none."""
    found = issue.evidence.get("features", {})
    return found if isinstance(found, dict) else {}
