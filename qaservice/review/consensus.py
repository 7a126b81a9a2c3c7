"""From final verdicts to an outcome, by the project's protocol. Pure: verdicts in, decision out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

LABEL_WRONG = "label-wrong"


@dataclass(frozen=True)
class Ballot:
    """One reader's final verdict. ``action`` is what the correction would do, empty unless the label is wrong."""

    verdict_id: str
    decision: str
    action: str = ""
    proposal_id: str = ""


@dataclass(frozen=True)
class Protocol:
    """How many readers are asked and how many must agree; agreement is always a majority of those asked."""

    required_votes: int
    agreeing_votes: int


@dataclass(frozen=True)
class Agreement:
    """The outcome and the ballots that carried it, in the order in which they were given."""

    outcome: str
    carried_by: tuple[Ballot, ...]
    rule: str


@dataclass(frozen=True)
class Split:
    """Everyone asked has voted and no decision has enough votes; the flag stays open and visible."""

    counts: tuple[tuple[str, int], ...]


def decide(ballots: Sequence[Ballot], *, protocol: Protocol) -> Agreement | Split | None:
    """Return the agreement, the split, or None while votes are still to come.

    Two readers who both say "label is wrong" agree only if their corrections would do the same thing: "remove it" and
    "redraw it" are different answers.
    """
    groups: dict[tuple[str, str], list[Ballot]] = {}
    for ballot in ballots:
        groups.setdefault((ballot.decision, ballot.action), []).append(ballot)
    for (decision, _action), group in groups.items():
        if len(group) >= protocol.agreeing_votes:
            rule = (
                f"{len(group)} of {len(ballots)} final verdicts agree; "
                f"the protocol asks {protocol.required_votes} readers and settles on {protocol.agreeing_votes}"
            )
            return Agreement(outcome=decision, carried_by=tuple(group), rule=rule)
    if len(ballots) < protocol.required_votes:
        return None
    counts = Counter(ballot.decision for ballot in ballots)
    return Split(counts=tuple(sorted(counts.items())))


def chosen_ballot(agreement: Agreement) -> Ballot:
    """Return the ballot whose correction is taken: the proposal most often accepted, the earliest where they tie.

    No outline is averaged from several people's, so none is attributed to someone who did not accept it.
    """
    counts = Counter(ballot.proposal_id for ballot in agreement.carried_by if ballot.proposal_id)
    if not counts:
        return agreement.carried_by[0]
    most = max(counts.values())
    favourites = {proposal for proposal, number in counts.items() if number == most}
    return next(ballot for ballot in agreement.carried_by if ballot.proposal_id in favourites)
