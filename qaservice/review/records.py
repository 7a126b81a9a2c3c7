"""The whole record of one flag, for those who lead or inspect. Never shown to someone who still reads it."""

from __future__ import annotations

from dataclasses import dataclass

from qaservice.analysis.calibration import (
    Precision,
    Probability,
    lead_of,
    past_precision,
    precision_of,
    probability_of,
)
from qaservice.analysis.models import Flag, FlagState
from qaservice.analysis.standing import Worth, worth_of
from qaservice.common.clock import iso
from qaservice.review.blinding import VerdictView, proposal_text, slice_at, verdict_view
from qaservice.review.models import Assignment
from qaservice.review.selectors import consensuses_of, verdicts_of
from qaservice.studies.selectors import image_number_at


@dataclass(frozen=True)
class ObservationView:
    """What one run said of the flag. ``probability``: what its score is and rests on."""

    run: int
    model: str
    model_sha256: str
    check: str
    check_version: str
    score: float
    probability: Probability
    threshold: float | None
    blind_reason: str
    reason: str
    evidence: dict[str, object]
    proposals: tuple[str, ...]
    worth: Worth


@dataclass(frozen=True)
class OutcomeView:
    """How one round ended, and what it changed."""

    round: int
    outcome: str
    outcome_text: str
    rule: str
    reached_at: str
    action: str
    revision_before: str
    revision_after: str
    dataset_version: int | None


@dataclass(frozen=True)
class FlagRecord:
    """Everything known of one flag. ``precision``: how often flags of its check were right in the project."""

    id: str
    label: str
    check: str
    state: str
    outcome: str
    score: float
    precision: Precision
    precision_words: str
    round: int
    reopened_because: str
    held: bool
    model_marks: tuple[str, ...]
    patient_key: str
    series: str
    series_instance_uid: str
    reader_label: str
    finding: str
    place_mm: tuple[float, float, float]
    slice_index: int
    image_number: int | None
    radius_mm: float
    observations: tuple[ObservationView, ...]
    asked: tuple[tuple[str, str], ...]
    verdicts: tuple[VerdictView, ...]
    outcomes: tuple[OutcomeView, ...]
    history: tuple[dict[str, object], ...]


def flag_record(*, flag: Flag) -> FlagRecord:
    """Return the whole record of ``flag``: evidence, who was asked, votes with what was shown, outcomes, history."""
    slice_index = slice_at(flag)
    observations = flag.observations.select_related("run__model").order_by("run__number", "part")
    newest = worth_of(list(observations)[-1])
    precision = precision_of(check=flag.check_name, known=past_precision(project=flag.project))
    asked = Assignment.objects.filter(flag=flag).select_related("reader").order_by("round", "reader__username")
    return FlagRecord(
        id=str(flag.pk),
        label=str(flag),
        check=flag.check_name,
        state=flag.state,
        outcome=flag.outcome,
        score=flag.score,
        precision=precision,
        precision_words=precision.words,
        round=flag.round,
        reopened_because=flag.reopened_because,
        held=newest.held and flag.state == FlagState.OPEN,
        model_marks=newest.marks,
        patient_key=flag.series.study.patient_key,
        series=str(flag.series_id),
        series_instance_uid=flag.series.series_instance_uid,
        reader_label=flag.annotation_set.reader_label,
        finding=str(flag.finding_id) if flag.finding_id else "",
        place_mm=(flag.x_mm, flag.y_mm, flag.z_mm),
        slice_index=slice_index,
        image_number=image_number_at(series=flag.series, slice_index=slice_index),
        radius_mm=flag.radius_mm,
        observations=tuple(
            ObservationView(
                run=one.run.number,
                model=str(one.run.model),
                model_sha256=one.model_sha256,
                check=lead_of(one),
                check_version=one.check_version,
                score=one.score,
                probability=probability_of(one),
                threshold=one.threshold,
                blind_reason=one.blind_reason,
                reason=one.reason,
                evidence=one.evidence,
                proposals=tuple(proposal_text(proposal) for proposal in one.proposals),
                worth=worth_of(one),
            )
            for one in observations
        ),
        asked=tuple((str(one.reader), one.get_state_display()) for one in asked),
        verdicts=tuple(verdict_view(verdict) for verdict in verdicts_of(flag=flag)),
        outcomes=tuple(_outcomes(flag)),
        history=tuple(_history(flag)),
    )


def _outcomes(flag: Flag) -> list[OutcomeView]:
    views = []
    for consensus in consensuses_of(flag=flag):
        correction = getattr(consensus, "correction", None)
        views.append(
            OutcomeView(
                round=consensus.round,
                outcome=consensus.outcome,
                outcome_text=consensus.get_outcome_display(),
                rule=consensus.rule,
                reached_at=iso(consensus.reached_at),
                action=correction.action if correction else "",
                revision_before=str(correction.before_id) if correction and correction.before_id else "",
                revision_after=str(correction.after_id) if correction else "",
                dataset_version=correction.dataset_version.number if correction else None,
            )
        )
    return views


def _history(flag: Flag) -> list[dict[str, object]]:
    """Every recorded state of the flag's row, oldest first: when, who, why, and the state it went to."""
    return [
        {
            "at": iso(row.history_date),
            "actor": row.actor_name,
            "role": row.actor_role,
            "reason": row.reason,
            "state": row.state,
            "outcome": row.outcome,
            "revision": row.revision,
        }
        for row in flag.history.order_by("history_id")
    ]
