"""The protocol's arithmetic, without a database."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from qaservice.review.consensus import Agreement, Ballot, Protocol, Split, chosen_ballot, decide

TWO_OF_THREE = Protocol(required_votes=3, agreeing_votes=2)
DECISIONS = ["label-right", "label-wrong", "cannot-tell", "guideline-unclear", "exclude"]


def ballots(*decisions: str, action: str = "add") -> list[Ballot]:
    return [
        Ballot(str(number), decision, action if decision == "label-wrong" else "")
        for number, decision in enumerate(decisions)
    ]


def test_one_verdict_decides_nothing():
    assert decide(ballots("label-right"), protocol=TWO_OF_THREE) is None


def test_two_agreeing_of_three_settle():
    decided = decide(ballots("label-right", "label-wrong", "label-right"), protocol=TWO_OF_THREE)
    assert isinstance(decided, Agreement)
    assert decided.outcome == "label-right"
    assert [ballot.verdict_id for ballot in decided.carried_by] == ["0", "2"]


def test_three_different_verdicts_are_a_split_that_names_the_counts():
    decided = decide(ballots("label-right", "label-wrong", "cannot-tell"), protocol=TWO_OF_THREE)
    assert decided == Split(counts=(("cannot-tell", 1), ("label-right", 1), ("label-wrong", 1)))


def test_two_who_would_correct_differently_do_not_agree():
    votes = [Ballot("a", "label-wrong", "remove"), Ballot("b", "label-wrong", "replace-outline")]
    assert decide(votes, protocol=TWO_OF_THREE) is None


def test_the_correction_most_often_accepted_is_taken_and_the_earliest_on_a_tie():
    tie = Agreement(
        "label-wrong", (Ballot("a", "label-wrong", "add", "p2"), Ballot("b", "label-wrong", "add", "p1")), ""
    )
    assert chosen_ballot(tie).verdict_id == "a"
    most = Agreement(
        "label-wrong",
        tuple(
            Ballot(name, "label-wrong", "add", proposal) for name, proposal in (("a", "p1"), ("b", "p2"), ("c", "p2"))
        ),
        "",
    )
    assert chosen_ballot(most).verdict_id == "b"
    sketched = Agreement("label-wrong", (Ballot("a", "label-wrong", "add"), Ballot("b", "label-wrong", "add")), "")
    assert chosen_ballot(sketched).verdict_id == "a"


@given(st.lists(st.sampled_from(DECISIONS), min_size=3, max_size=3))
def test_the_order_of_votes_never_changes_the_outcome(decisions: list[str]):
    outcomes = set()
    for order in itertools.permutations(decisions):
        decided = decide(ballots(*order), protocol=TWO_OF_THREE)
        outcomes.add(decided.outcome if isinstance(decided, Agreement) else "split")
    assert len(outcomes) == 1
