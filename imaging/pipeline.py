"""One analysis of one case: run every check, record what ran and what did not, and say what is worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from imaging.checks.base import Check, CheckParameters
from imaging.checks.context import lesions_of
from imaging.checks.registry import REGISTRY
from imaging.errors import NotApplicable
from imaging.scoring.calibrator import Calibration, calibrated, shipped_calibration
from imaging.scoring.merge import merged
from imaging.scoring.order import ordered
from imaging.scoring.recalibrate import NOTHING_SETTLED, Recalibration, recalibrated
from imaging.types import AnalysisOutcome, Case, CheckOutcome, LabelIssue, Lesion

RAN = "ran"
NOT_APPLICABLE = "not-applicable"

COLLECTED_SHARE = 0.1
"""Checks are asked for what they hold a tenth as likely as the reporting threshold: calibration may raise it."""


@dataclass(frozen=True, slots=True)
class AnalysisParameters:
    """What decides the outcome of an analysis beside the case itself; recorded with every run.

    ``calibration`` turns the checks' scores into probabilities, ``recalibration`` is what the project's verdicts make
    of those.
    """

    checks: CheckParameters
    calibration: Calibration = field(default_factory=shipped_calibration)
    recalibration: Recalibration = NOTHING_SETTLED


def analyse(*, case: Case, parameters: AnalysisParameters, checks: Sequence[Check] = REGISTRY) -> AnalysisOutcome:
    """Return everything that the checks found on a case, by expected value, and how each check ended.

    Every issue's score is the calibrated probability that the label is wrong, as far as there is a calibration for
    its check (``evidence["score_basis"]``); issues of several checks about one label are one. What is less probable
    than ``parameters.checks.report_from`` is not reported. A check that does not apply is recorded with its reason
    and does not stop the others; what a check passed over stands in its outcome's detail.
    The result depends on the arguments alone. Raises ValueError for two checks of one name.
    """
    found, outcomes = collected(case=case, parameters=parameters.checks, checks=checks)
    issues = scored(
        issues=found,
        calibration=parameters.calibration,
        recalibration=parameters.recalibration,
        weights_sha256=case.prediction.weights_sha256 if case.prediction is not None else None,
        report_from=parameters.checks.report_from,
    )
    return AnalysisOutcome(issues=issues, lesions=_lesions(case), checks=_counted(outcomes, issues))


def collected(
    *, case: Case, parameters: CheckParameters, checks: Sequence[Check]
) -> tuple[tuple[LabelIssue, ...], tuple[CheckOutcome, ...]]:
    """Return what the checks say before any calibration, from a tenth of the reporting threshold, and how each ended.

    Raises ValueError for two checks of one name.
    """
    names = [check.name for check in checks]
    if len(set(names)) != len(names):
        raise ValueError(f"two checks share a name: {', '.join(sorted(names))}")
    asked = replace(parameters, report_from=parameters.report_from * COLLECTED_SHARE)
    issues: list[LabelIssue] = []
    outcomes = []
    for check in checks:
        try:
            found = check.run(case=case, parameters=asked)
            abstained = check.abstentions(case=case, parameters=asked)
        except NotApplicable as refusal:
            outcomes.append(CheckOutcome(check.name, check.version, NOT_APPLICABLE, refusal.message, 0))
            continue
        issues.extend(found)
        detail = "; ".join(dict.fromkeys(rejection.message for rejection in abstained))
        outcomes.append(CheckOutcome(check.name, check.version, RAN, detail, len(found)))
    return tuple(issues), tuple(outcomes)


def scored(
    *,
    issues: Sequence[LabelIssue],
    calibration: Calibration,
    recalibration: Recalibration,
    weights_sha256: str | None,
    report_from: float,
) -> tuple[LabelIssue, ...]:
    """Return the issues of one series calibrated, merged and in order; what falls below ``report_from`` is left out.

    ``weights_sha256``: digest of the weights of the QA model that was heard, None where none was.
    """
    probable = [
        recalibrated(
            issue=calibrated(issue=issue, calibration=calibration, weights_sha256=weights_sha256),
            recalibration=recalibration,
        )
        for issue in issues
    ]
    # Below the threshold a check's word is no reason: it must not lengthen what a reader is told.
    kept = [issue for issue in probable if issue.score >= report_from]
    return ordered(issues=merged(issues=kept, support_gain=calibration.support_gain))


def _lesions(case: Case) -> tuple[Lesion, ...]:
    try:
        return lesions_of(case=case)
    except NotApplicable:
        return ()


def _counted(outcomes: tuple[CheckOutcome, ...], issues: tuple[LabelIssue, ...]) -> tuple[CheckOutcome, ...]:
    """Return the outcomes with the number of reported issues in which each check speaks."""
    spoken: dict[str, int] = {}
    for issue in issues:
        entries = issue.evidence["checks"]
        assert isinstance(entries, list)
        for name in {str(entry["check"]) for entry in entries}:
            spoken[name] = spoken.get(name, 0) + 1
    return tuple(replace(outcome, issue_count=spoken.get(outcome.check, 0)) for outcome in outcomes)
