"""Assigning flags, reading them blind, revealing, and deciding. Each service is one use case and one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compliance.recording import Actor, change, record_event
from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagState
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import step
from qaservice.labels.selectors import sets_of_user
from qaservice.projects.models import Project
from qaservice.projects.selectors import require
from qaservice.review.duties import refuse_to_read
from qaservice.review.models import Assignment, AssignmentState, Decision, Phase, Verdict
from qaservice.review.rules import checked_correction, checked_decision, checked_rationale, refuse_own_label
from qaservice.review.selectors import (
    eligible_readers,
    implicated_sets,
    observation_for,
    shown_to,
    unassigned_places,
    undecided,
)
from qaservice.review.settling import settle_if_agreed
from qaservice.review.states import ASSIGNMENT
from qaservice.studies.withdrawn import require_pixels


def assign(*, flag: Flag, reader: User, actor: Actor, reason: str) -> Assignment:
    """Ask ``reader`` to look at ``flag``; asking twice in a round gives the same assignment.

    Raises NotPermitted for someone without review rights, a simulated actor in a regulated project, or somebody who
    has another duty here (``review.duties``); Conflict where the flag is settled, Gone where its images are.
    """
    require(user=reader, project=flag.project, action="review")
    if reader.is_simulated and flag.project.regulated:
        raise NotPermitted("simulated actors are refused in a regulated project", code="simulated-refused")
    if flag.state == FlagState.SETTLED:
        raise Conflict("this flag is settled; nobody needs to read it", code="flag-settled")
    require_pixels(flag.series)
    known = Assignment.objects.filter(flag=flag, round=flag.round, reader=reader).first()
    if known is not None:
        return known
    refuse_to_read(flag=flag, user=reader)
    assignment = Assignment(project=flag.project, flag=flag, round=flag.round, reader=reader)
    with change(
        "assignment.made",
        actor=actor,
        reason=reason,
        subject=("flag", str(flag.pk)),
        project_key=flag.project.key,
        payload={"reader": str(reader.pk), "round": flag.round},
    ):
        assignment.save()
    return assignment


def assign_open_flags(
    *, project: Project, actor: Actor, reason: str, readers: Sequence[User] | None = None
) -> list[Assignment]:
    """Give every open flag the readers its protocol asks for, least burdened first, and return the new assignments.

    ``readers`` narrows the choice; a flag for which too few may read gets those who may.
    """
    made: list[Assignment] = []
    burden: dict[object, int] = {}
    for flag, missing in unassigned_places(project=project):
        candidates = eligible_readers(flag=flag, among=readers)
        candidates.sort(key=lambda reader: (burden.get(reader.pk, 0), reader.username))
        for reader in candidates[:missing]:
            made.append(assign(flag=flag, reader=reader, actor=actor, reason=reason))
            burden[reader.pk] = burden.get(reader.pk, 0) + 1
    return made


def send_to_adjudicator(*, flag: Flag, adjudicator: User, actor: Actor, reason: str) -> Assignment:
    """Ask somebody who has not read ``flag`` to decide it, where the readers asked disagree (REQ-14, REQ-16).

    They read it blind as everybody does, and their final verdict counts with the others. Raises Conflict where readers
    do not disagree or somebody was asked already; else as ``assign`` does.
    """
    if flag.state != FlagState.DISPUTED:
        raise Conflict("no readers disagree on this flag: there is nothing to decide", code="flag-not-disputed")
    waiting = undecided(flag=flag)
    if waiting is not None:
        raise Conflict(f"{waiting.reader} was asked to decide it and has not yet", code="decision-waits")
    # Before ``assign``, which takes a read that was finished for one that was asked for twice.
    refuse_to_read(flag=flag, user=adjudicator)
    return assign(flag=flag, reader=adjudicator, actor=actor, reason=reason)


def record_opening(*, assignment: Assignment, user: User) -> None:
    """Record that the reader opened the case and its images (REQ-40)."""
    _own(assignment=assignment, user=user)
    record_event(
        "read.opened",
        actor=user.as_actor(role="reader"),
        reason="opened the case to read it",
        subject=("flag", str(assignment.flag_id)),
        project_key=assignment.project.key,
        payload={"assignment": str(assignment.pk), "state": assignment.state},
    )


def give_verdict(
    *,
    assignment: Assignment,
    user: User,
    decision: str,
    rationale: str,
    proposal_id: str = "",
    correction: Mapping[str, object] | None = None,
) -> Verdict:
    """Store one verdict: the blind one first, the final one after the reveal. Both stay.

    The rationale is the record's reason. A final "label is wrong" says what the label should be. Once a final verdict
    makes an agreement, the flag is settled in the same transaction.

    Raises NotPermitted (not the reader, own label), InvalidInput (no rationale, no correction) or Conflict (already
    voted, reveal first, flag settled meanwhile).
    """
    role = _own(assignment=assignment, user=user)
    rationale = checked_rationale(rationale)
    decision = checked_decision(decision)
    actor = user.as_actor(role=role)
    with change(
        "verdict.given",
        actor=actor,
        reason=rationale,
        subject=("flag", str(assignment.flag_id)),
        project_key=assignment.project.key,
    ) as running:
        # The flag's row is locked first, so that two last votes cannot both find the round undecided.
        flag = Flag.objects.select_for_update().select_related("project", "series").get(pk=assignment.flag_id)
        assignment = Assignment.objects.select_for_update().get(pk=assignment.pk)
        phase = _phase_of(assignment=assignment, flag=flag)
        refuse_own_label(implicated=implicated_sets(flag=flag), own_sets=sets_of_user(project=flag.project, user=user))
        observation = observation_for(assignment=assignment)
        if phase is Phase.BLIND and proposal_id:
            raise InvalidInput("proposals are shown after the reveal", code="proposal-before-reveal")
        wanted = checked_correction(correction=correction, proposal_id=proposal_id, proposals=observation.proposals)
        if decision != Decision.LABEL_WRONG:
            if wanted is not None:
                raise InvalidInput("only a wrong label has a correction", code="correction-without-error")
        elif phase is Phase.FINAL and wanted is None:
            raise InvalidInput(
                "say what the label should be: accept a proposal or draw a correction", code="correction-missing"
            )
        verdict = Verdict(
            assignment=assignment,
            flag=flag,
            round=flag.round,
            reader=user,
            simulated=user.is_simulated,
            phase=phase,
            decision=decision,
            rationale=rationale,
            observation=observation,
            proposal_id=proposal_id,
            correction=wanted,
            shown=shown_to(flag=flag, observation=observation, phase=phase),
            given_at=now(),
        )
        verdict.save()
        running.payload.update({"phase": phase.value, "decision": decision, "round": flag.round})
        step(
            assignment,
            machine=ASSIGNMENT,
            name="vote-blind" if phase is Phase.BLIND else "vote-final",
            expected_revision=assignment.revision,
        )
        if phase is Phase.FINAL:
            settle_if_agreed(flag=flag)
    return verdict


def reveal(*, assignment: Assignment, user: User) -> Assignment:
    """Show the reader the full reason, the model's and the other annotators' opinions; only after a blind verdict."""
    role = _own(assignment=assignment, user=user)
    observation = observation_for(assignment=assignment)
    with change(
        "opinions.revealed",
        actor=user.as_actor(role=role),
        reason="blind verdict given; the opinions were shown",
        subject=("flag", str(assignment.flag_id)),
        project_key=assignment.project.key,
        payload={"observation": str(observation.pk), "round": assignment.round},
    ):
        return step(assignment, machine=ASSIGNMENT, name="reveal", expected_revision=assignment.revision)


def _own(*, assignment: Assignment, user: User) -> str:
    role = require(user=user, project=assignment.project, action="review")
    if assignment.reader_id != user.pk:
        raise NotPermitted("this case was given to another reader", code="not-your-assignment")
    return role


def _phase_of(*, assignment: Assignment, flag: Flag) -> Phase:
    if flag.state == FlagState.SETTLED or assignment.round != flag.round:
        raise Conflict("this flag has been settled meanwhile; your verdict is no longer needed", code="flag-settled")
    if assignment.state == AssignmentState.ASSIGNED:
        return Phase.BLIND
    if assignment.state == AssignmentState.REVEALED:
        return Phase.FINAL
    if assignment.state == AssignmentState.BLIND_VOTED:
        raise Conflict(
            "your blind verdict is kept; have the opinions revealed before you give the final one", code="reveal-first"
        )
    raise Conflict("you have given your final verdict on this flag; nobody votes twice", code="already-voted")
