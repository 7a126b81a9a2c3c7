"""What follows from final verdicts: a settled flag with its correction, or a visible split."""

from __future__ import annotations

from compliance.recording import SYSTEM, change
from imaging.masks.canonical import read_mask
from imaging.types import Action, Mask, Sphere
from qaservice.analysis.models import Flag, FlagState
from qaservice.analysis.states import FLAG
from qaservice.common.clock import now
from qaservice.common.transitions import step
from qaservice.labels.services import correct_reference, fix_dataset_version
from qaservice.review.consensus import Agreement, Ballot, Protocol, Split, chosen_ballot, decide
from qaservice.review.models import (
    Assignment,
    AssignmentState,
    Consensus,
    Correction,
    Decision,
    Phase,
    Verdict,
)
from qaservice.review.states import ASSIGNMENT
from qaservice.storage.selectors import read_blob
from qaservice.studies.selectors import grid_of


def settle_if_agreed(*, flag: Flag) -> None:
    """Apply the project's protocol to the final verdicts of the flag's round; runs inside the last verdict's change."""
    verdicts = list(Verdict.objects.filter(flag=flag, round=flag.round, phase=Phase.FINAL).order_by("given_at", "id"))
    ballots = [
        Ballot(
            verdict_id=str(verdict.pk),
            decision=verdict.decision,
            action=str(verdict.correction["action"]) if verdict.correction else "",
            proposal_id=verdict.proposal_id,
        )
        for verdict in verdicts
    ]
    protocol = Protocol(required_votes=flag.project.required_votes, agreeing_votes=flag.project.agreeing_votes)
    decided = decide(ballots, protocol=protocol)
    if isinstance(decided, Agreement):
        _settle(flag=flag, agreement=decided, verdicts=verdicts)
    elif isinstance(decided, Split) and flag.state == FlagState.OPEN:
        _dispute(flag=flag, split=decided)


def _settle(*, flag: Flag, agreement: Agreement, verdicts: list[Verdict]) -> None:
    consensus = Consensus(
        flag=flag,
        round=flag.round,
        outcome=agreement.outcome,
        rule=agreement.rule,
        verdicts=[ballot.verdict_id for ballot in agreement.carried_by],
        reached_at=now(),
    )
    with change(
        "flag.settled",
        actor=SYSTEM,
        reason=agreement.rule,
        subject=("flag", str(flag.pk)),
        project_key=flag.project.key,
        payload={"outcome": agreement.outcome, "round": flag.round},
    ):
        consensus.save()
        flag = step(
            flag,
            machine=FLAG,
            name="settle",
            expected_revision=flag.revision,
            changes={"outcome": agreement.outcome},
        )
    if agreement.outcome == Decision.LABEL_WRONG:
        chosen = chosen_ballot(agreement)
        verdict = next(verdict for verdict in verdicts if str(verdict.pk) == chosen.verdict_id)
        _correct(flag=flag, consensus=consensus, verdict=verdict)
    _release(flag=flag)


def _dispute(*, flag: Flag, split: Split) -> None:
    counts = ", ".join(f"{decision}: {number}" for decision, number in split.counts)
    with change(
        "flag.disputed",
        actor=SYSTEM,
        reason=f"all readers asked have voted and no decision has enough votes ({counts})",
        subject=("flag", str(flag.pk)),
        project_key=flag.project.key,
        payload={"counts": dict(split.counts), "round": flag.round},
    ):
        step(flag, machine=FLAG, name="dispute", expected_revision=flag.revision)


def _correct(*, flag: Flag, consensus: Consensus, verdict: Verdict) -> None:
    """Carry the chosen correction into the reference standard; a reader's own record never changes."""
    correction = verdict.correction
    if correction is None:  # a final "label is wrong" is refused without one
        raise ValueError("a final verdict that the label is wrong carries a correction")
    action = Action(str(correction["action"]))
    with change(
        "reference.corrected",
        actor=SYSTEM,
        reason=f"consensus on {flag}: {consensus.rule}",
        subject=("series", str(flag.series_id)),
        project_key=flag.project.key,
        payload={
            "flag": str(flag.pk),
            "consensus": str(consensus.pk),
            "verdict": str(verdict.pk),
            "action": action.value,
        },
    ) as running:
        before, after = correct_reference(
            series=flag.series,
            action=action,
            before_finding=flag.finding,
            place_mm=(flag.x_mm, flag.y_mm, flag.z_mm),
            shape=_shape_of(flag=flag, correction=correction),
            category=str(correction["category"]) if correction.get("category") else None,
            origin=f"{correction['origin']}, accepted by consensus on {flag}",
        )
        if after is None:
            # The reference standard, which begins as the readers' majority, said so already.
            running.payload["already_so"] = True
            return
        version = fix_dataset_version(
            project=flag.project, note=f"after {flag}", actor=SYSTEM, reason=f"consensus on {flag}"
        )
        Correction(consensus=consensus, action=action.value, before=before, after=after, dataset_version=version).save()


def _shape_of(*, flag: Flag, correction: dict[str, object]) -> Mask | Sphere | None:
    digest = correction.get("mask")
    if digest:
        return read_mask(read_blob(str(digest)), grid_of(flag.series))
    centre = correction.get("centre_mm")
    diameter = correction.get("diameter_mm")
    if isinstance(centre, list) and isinstance(diameter, int | float):
        x, y, z = (float(part) for part in centre)
        return Sphere(centre_mm=(x, y, z), diameter_mm=float(diameter))
    return None


def _release(*, flag: Flag) -> None:
    """Free the readers who had not finished when others' verdicts settled the flag."""
    waiting = Assignment.objects.filter(
        flag=flag,
        round=flag.round,
        state__in=[AssignmentState.ASSIGNED, AssignmentState.BLIND_VOTED, AssignmentState.REVEALED],
    )
    for assignment in waiting:
        with change(
            "assignment.released",
            actor=SYSTEM,
            reason="the flag was settled by agreeing verdicts of others",
            subject=("flag", str(flag.pk)),
            project_key=flag.project.key,
            payload={"reader": str(assignment.reader_id)},
        ):
            step(assignment, machine=ASSIGNMENT, name="release", expected_revision=assignment.revision)
