"""Label errors by type, and what the reveal did to verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from compliance.rendering.document import LabelErrorRow, LabelErrors, ReaderEffect
from imaging.errors import NotApplicable
from qaservice.analysis.models import Flag, FlagState
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.reports.sections.statistics import PLACES, by_patient, proportion_of
from qaservice.review.models import Decision, Phase, Verdict

EXPLANATION = (
    "n counts the flags on which the reviewers' consensus was that the label is wrong. N counts the flags of that kind "
    "that are settled, whatever the outcome; flags still open or disputed are in neither. What several checks suspect "
    "of one label is one flag, counted under the check that was surest when it was raised or opened again. A label "
    "that is called ambiguous as well has a flag of its own for that.",
    "These are errors found where a check pointed. Material that no check pointed to was not reviewed, so the figures "
    "say how often a suspicion was right. They are not the rate of label errors in the dataset, which may be lower or "
    "higher (verification bias). Estimating that rate takes a random audit of unflagged material, which this report "
    "does not contain.",
    "Intervals are two-sided with 95 % confidence: Wilson's score interval, and Clopper-Pearson's exact one where "
    "none or all of the settled flags were errors. They treat flags as independent; flags of one patient may not be, "
    "and the interval by patient, where there are patients enough, allows for that.",
)


@dataclass(frozen=True, slots=True)
class VerdictPair:
    """A reader's blind and final verdict on one round of one flag."""

    patient: str
    blind: Verdict
    final: Verdict

    @property
    def changed(self) -> bool:
        return self.blind.decision != self.final.decision


def checks_of(evidence: Evidence) -> list[str]:
    """Return the names of the checks that ran or raised flags, in the report's order."""
    names = {flag.check_name for flag in evidence.flags}
    for result in evidence.results:
        names |= {str(check["check"]) for check in result.checks if check["status"] == "ran"}
    return sorted(names, key=words.suspicion_order)


def label_errors(evidence: Evidence) -> LabelErrors:
    """Return the table of suspicions with n/N, and how corrections changed the reference standard."""
    actions = Counter(words.ACTIONS[one.action] for one in evidence.corrections.values())
    return LabelErrors(
        explanation=EXPLANATION,
        rows=tuple(
            _row(evidence, name, [flag for flag in evidence.flags if flag.check_name == name])
            for name in checks_of(evidence)
        ),
        corrections_by_action=tuple((action, actions[action]) for action in words.ACTIONS.values() if actions[action]),
    )


def reader_effect(evidence: Evidence) -> ReaderEffect:
    """Return how verdicts moved between the blind and the final phase."""
    pairs = verdict_pairs(evidence)
    changes = Counter((pair.blind.decision, pair.final.decision) for pair in pairs)
    changed = [pair for pair in pairs if pair.changed]
    towards = sum(pair.final.decision == Decision.LABEL_WRONG for pair in changed)
    away = sum(pair.blind.decision == Decision.LABEL_WRONG for pair in changed)
    interval, how = by_patient(units=[(pair.patient, pair) for pair in pairs], statistic=_share_changed)
    direction = (
        f"Of {words.counted(len(changed), 'changed verdict')}, {towards} moved to “label is wrong”, as the check "
        f"suspected, and {away} moved away from it."
        if changed
        else "No verdict changed after the reveal."
        if pairs
        else "There is nothing to compare yet."
    )
    if interval is not None:
        lower, upper = (words.decimal(100 * limit, 1) for limit in (interval.lower, interval.upper))
        direction += f" By patient the share of changed verdicts lies between {lower} % and {upper} % ({how})."
    return ReaderEffect(
        explanation="Every reader decides twice: blind, seeing the image and the label under review, and again after "
        "the model's opinion and the other readers' labels were shown. Both verdicts stay on record. The table counts "
        "pairs of verdicts of one reader on one round of a flag.",
        changes=tuple(
            (words.decision(blind), words.decision(final), number)
            for (blind, final), number in sorted(changes.items(), key=lambda item: (-item[1], item[0]))
        ),
        changed=proportion_of(count=len(changed), total=len(pairs), nothing="nothing to compare"),
        towards_model=direction,
    )


def verdict_pairs(evidence: Evidence) -> list[VerdictPair]:
    """Return the blind and final verdicts that belong together."""
    pairs: list[VerdictPair] = []
    for flag in evidence.flags:
        blind = {
            (verdict.round, verdict.reader_id): verdict
            for verdict in evidence.verdicts.get(flag.pk, ())
            if verdict.phase == Phase.BLIND
        }
        patient = evidence.patient_of(flag.series_id)
        for verdict in evidence.verdicts.get(flag.pk, ()):
            first = blind.get((verdict.round, verdict.reader_id))
            if verdict.phase == Phase.FINAL and first is not None:
                pairs.append(VerdictPair(patient=patient, blind=first, final=verdict))
    return pairs


def _row(evidence: Evidence, check_name: str, flags: Sequence[Flag]) -> LabelErrorRow:
    settled = [flag for flag in flags if flag.state == FlagState.SETTLED]
    wrong = sum(flag.outcome == Decision.LABEL_WRONG for flag in settled)
    outcomes = Counter(flag.outcome for flag in settled)
    if settled:
        interval, how = by_patient(
            units=[(evidence.patient_of(flag.series_id), flag) for flag in settled], statistic=_share_wrong
        )
    else:
        interval, how = None, "no interval: none is settled"
    return LabelErrorRow(
        kind=words.suspicion(check_name),
        raised=len(flags),
        open=sum(flag.state == FlagState.OPEN for flag in flags),
        disputed=sum(flag.state == FlagState.DISPUTED for flag in flags),
        settled=len(settled),
        decisions=tuple(
            (str(decision.label), outcomes[decision.value]) for decision in Decision if outcomes[decision.value]
        ),
        errors=proportion_of(
            count=wrong,
            total=len(settled),
            nothing="none of this kind is settled" if flags else "none of this kind was raised",
        ),
        by_patient=words.sentence(how if interval is None else f"{_limits(interval.lower, interval.upper)} ({how})"),
    )


def _limits(lower: float, upper: float) -> str:
    low, high = (100 * words.decimal(limit, PLACES) for limit in (lower, upper))
    return f"{low.quantize(Decimal('0.1'))} % to {high.quantize(Decimal('0.1'))} %"


def _share_wrong(flags: Sequence[Flag]) -> float:
    if not flags:
        raise NotApplicable("no-flags", "no settled flag was drawn")
    return sum(flag.outcome == Decision.LABEL_WRONG for flag in flags) / len(flags)


def _share_changed(pairs: Sequence[VerdictPair]) -> float:
    if not pairs:
        raise NotApplicable("no-pairs", "no pair of verdicts was drawn")
    return sum(pair.changed for pair in pairs) / len(pairs)
