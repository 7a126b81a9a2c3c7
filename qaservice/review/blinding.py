"""What one reader may see of one case. Blindness is enforced here and nowhere else: API and portal show this alone."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.geometry.affine import to_index
from qaservice.accounts.models import User
from qaservice.analysis.calibration import checks_in, lead_of, past_precision, precision_of, probability_of
from qaservice.analysis.models import Flag, FlagObservation
from qaservice.analysis.said import silence_of
from qaservice.analysis.standing import Worth, worth_of
from qaservice.common.errors import NotFound
from qaservice.labels.models import AnnotationSet, FindingRevision
from qaservice.labels.selectors import current_revisions
from qaservice.projects.selectors import require
from qaservice.review.models import Assignment, AssignmentState, Verdict
from qaservice.review.selectors import observation_for, other_sets, round_is_closed_for, verdicts_of
from qaservice.studies.selectors import grid_of, image_number_at


@dataclass(frozen=True)
class LabelView:
    """One label as a reader sees it. ``revision_id`` is the key of its overlay."""

    revision_id: str
    title: str
    category: str
    diameter_mm: float | None
    under_review: bool


@dataclass(frozen=True)
class ProposalView:
    """One proposed correction, in words and with the key of its overlay."""

    id: str
    action: str
    origin: str
    category: str | None
    text: str


@dataclass(frozen=True)
class RevealedView:
    """The opinions, shown only after the blind verdict.

    ``score``: probability that the label is wrong; ``basis`` says what it rests on, ``reported_from`` below which
    probability nothing is reported, ``precision`` how often flags of this check were right in the project.
    ``threshold``: the model's own operating point.
    """

    reason: str
    score: float
    basis: str
    reported_from: float | None
    precision: str
    threshold: float | None
    check: str
    check_version: str
    model: str
    model_sha256: str
    silence: str
    evidence: dict[str, object]
    worth: Worth
    others: tuple[LabelView, ...]
    proposals: tuple[ProposalView, ...]


@dataclass(frozen=True)
class VerdictView:
    """A verdict as shown to people."""

    reader: str
    simulated: bool
    phase: str
    round: int
    decision: str
    decision_text: str
    rationale: str
    proposal_id: str
    correction: dict[str, object] | None
    shown: dict[str, object]
    given_at: str


@dataclass(frozen=True)
class CaseView:
    """One case as its reader may see it now."""

    id: str
    flag_number: int
    flag_label: str
    project: str
    series: str
    state: str
    blind: bool
    place_mm: tuple[float, float, float]
    slice_index: int
    image_number: int | None
    radius_mm: float
    blind_reason: str
    labels: tuple[LabelView, ...]
    revealed: RevealedView | None
    verdicts: tuple[VerdictView, ...]
    other_verdicts: tuple[VerdictView, ...]
    next_step: str
    outcome: str


DOUBTED_FOR_SILENCE = "spurious_label"
"""The check that doubts a mark because the model sees nothing there."""

NEXT_STEP = {
    AssignmentState.ASSIGNED.value: "blind",
    AssignmentState.BLIND_VOTED.value: "reveal",
    AssignmentState.REVEALED.value: "final",
    AssignmentState.DONE.value: "none",
    AssignmentState.RELEASED.value: "none",
}
ACTION_WORDS = {
    "add": "Add a finding here",
    "remove": "Take this finding out",
    "replace-outline": "Replace the outline",
    "recategorise": "Change the category",
}
# Before the reveal every place is circled with one radius: its own would tell what was measured there.
BLIND_RADIUS_MM = 15.0


def assignment_for(*, user: User, assignment_id: str) -> Assignment:
    """Return the reader's own assignment. Raises NotFound for anybody else's, as if it did not exist."""
    assignment = (
        Assignment.objects.select_related("flag__series__study", "flag__annotation_set", "flag__finding", "project")
        .filter(pk=assignment_id, reader=user)
        .first()
    )
    if assignment is None:
        raise NotFound("there is no such case for you", code="no-such-assignment")
    require(user=user, project=assignment.project, action="review")
    return assignment


def may_see_opinions(*, assignment: Assignment) -> bool:
    """Return whether the model's and other annotators' opinions may be shown: only after the blind verdict (REQ-33).

    A reader released before voting sees them too: the round no longer takes a verdict.
    """
    return assignment.state in {AssignmentState.REVEALED, AssignmentState.DONE, AssignmentState.RELEASED}


def case_view(*, assignment: Assignment) -> CaseView:
    """Return what the assignment's reader may see now; before the reveal no score, check, model or other mark."""
    flag = assignment.flag
    observation = observation_for(assignment=assignment)
    revealed = may_see_opinions(assignment=assignment)
    slice_index = slice_at(flag)
    verdicts = list(verdicts_of(flag=flag).filter(round=assignment.round))
    own = tuple(verdict_view(verdict) for verdict in verdicts if verdict.reader_id == assignment.reader_id)
    others: tuple[VerdictView, ...] = ()
    if round_is_closed_for(assignment=assignment):
        others = tuple(verdict_view(verdict) for verdict in verdicts if verdict.reader_id != assignment.reader_id)
    return CaseView(
        id=str(assignment.pk),
        flag_number=flag.number,
        flag_label=str(flag),
        project=assignment.project.key,
        series=str(flag.series_id),
        state=assignment.state,
        blind=not revealed,
        place_mm=(flag.x_mm, flag.y_mm, flag.z_mm),
        slice_index=slice_index,
        image_number=image_number_at(series=flag.series, slice_index=slice_index),
        radius_mm=flag.radius_mm if revealed else BLIND_RADIUS_MM,
        blind_reason=observation.blind_reason,
        labels=tuple(_label_views(set_id=str(flag.annotation_set_id), flag=flag, title="label under review")),
        revealed=_revealed(flag=flag, observation=observation) if revealed else None,
        verdicts=own,
        other_verdicts=others,
        next_step=NEXT_STEP[assignment.state],
        outcome=flag.outcome if round_is_closed_for(assignment=assignment) else "",
    )


def overlay_sources(*, assignment: Assignment) -> list[tuple[str, str, FindingRevision]]:
    """Return the labels whose shapes may be drawn now: (role, title, revision); role is "label" or "other"."""
    flag = assignment.flag
    sources = [
        ("label", "label under review", revision) for revision in current_revisions(set_id=str(flag.annotation_set_id))
    ]
    if may_see_opinions(assignment=assignment):
        for set_id in other_sets(flag=flag):
            title = set_title(set_id)
            sources += [("other", title, revision) for revision in current_revisions(set_id=set_id)]
    return sources


def proposal_sources(*, assignment: Assignment) -> list[dict[str, object]]:
    """Return the proposals whose shapes may be drawn now; none before the reveal."""
    if not may_see_opinions(assignment=assignment):
        return []
    return list(observation_for(assignment=assignment).proposals)


def slice_at(flag: Flag) -> int:
    """Return the index of the slice nearest to the flag's place, within the volume."""
    grid = grid_of(flag.series)
    index = to_index(grid, (flag.x_mm, flag.y_mm, flag.z_mm))
    return max(0, min(grid.shape[0] - 1, round(index[0])))


def set_title(set_id: str) -> str:
    """Return how an annotation set is called on screens; simulated readers carry the word."""
    row = AnnotationSet.objects.get(pk=set_id)
    return f"{row.reader_label} (simulated)" if row.simulated else row.reader_label


def proposal_text(proposal: dict[str, object]) -> str:
    """Return a proposal in plain words."""
    words = ACTION_WORDS[str(proposal["action"])]
    category = f" as {proposal['category']}" if proposal.get("category") else ""
    return f"{words}{category}: {proposal['origin']}"


def verdict_view(verdict: Verdict) -> VerdictView:
    """Return a stored verdict as people read it."""
    return VerdictView(
        reader=verdict.reader.display_name,
        simulated=verdict.simulated,
        phase=verdict.phase,
        round=verdict.round,
        decision=verdict.decision,
        decision_text=verdict.get_decision_display(),
        rationale=verdict.rationale,
        proposal_id=verdict.proposal_id,
        correction=verdict.correction,
        shown=verdict.shown,
        given_at=verdict.given_at.isoformat(),
    )


def _revealed(*, flag: Flag, observation: FlagObservation) -> RevealedView:
    model = observation.run.model
    probability, lead = probability_of(observation), lead_of(observation)
    others: list[LabelView] = []
    for set_id in other_sets(flag=flag):
        others += _label_views(set_id=set_id, flag=flag, title=set_title(set_id))
    return RevealedView(
        reason=observation.reason,
        score=observation.score,
        basis=probability.basis,
        reported_from=probability.reported_from,
        precision=precision_of(check=lead, known=past_precision(project=flag.project)).words,
        threshold=observation.threshold,
        check=lead,
        check_version=observation.check_version,
        model=str(model),
        model_sha256=observation.model_sha256,
        silence=_silence(flag=flag, observation=observation),
        evidence=observation.evidence,
        worth=worth_of(observation),
        others=tuple(others),
        proposals=tuple(
            ProposalView(
                id=str(proposal["id"]),
                action=str(proposal["action"]),
                origin=str(proposal["origin"]),
                category=str(proposal["category"]) if proposal.get("category") else None,
                text=proposal_text(proposal),
            )
            for proposal in observation.proposals
        ),
    )


def _silence(*, flag: Flag, observation: FlagObservation) -> str:
    """Return what the model's silence is worth where it is the reason for the flag, empty where it is not."""
    if DOUBTED_FOR_SILENCE not in checks_in(observation) or observation.threshold is None:
        return ""
    return silence_of(model=observation.run.model, slice_step_mm=grid_of(flag.series).spacing_mm[0])


def _label_views(*, set_id: str, flag: Flag, title: str) -> list[LabelView]:
    return [
        LabelView(
            revision_id=str(revision.pk),
            title=title,
            category=revision.category,
            diameter_mm=revision.diameter_mm,
            under_review=revision.finding_id == flag.finding_id,
        )
        for revision in current_revisions(set_id=set_id)
    ]
