"""Two lesions drawn as one, one lesion drawn in two, and places of which nobody is sure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imaging.agreement.overlap import dice
from imaging.checks.ambiguous import Ambiguous
from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.bodies import two_bodies
from imaging.checks.duplicate_mark import DuplicateMark
from imaging.checks.issues import features_of
from imaging.checks.merged_lesions import MergedLesions
from imaging.checks.missing_nodule import MissingNodule
from imaging.errors import NotApplicable
from imaging.types import Action, AnnotationSet, Case, LabelIssue, Mask, OutlineOpinion, Prediction
from tests.factories.cases import (
    LEFT_LUNG,
    ball,
    candidate,
    case,
    four_readers,
    nodule,
    opinion,
    outlined,
    painted,
    prediction,
    reader,
    united,
    with_map,
)

BEHIND = (LEFT_LUNG[0], LEFT_LUNG[1] + 11.0, LEFT_LUNG[2])
ONE, OTHER = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), ball(centre_mm=BEHIND, diameter_mm=9.0)
BOTH = united(ONE, OTHER)


def merged(looked_at: Case) -> tuple[LabelIssue, ...]:
    return MergedLesions().run(case=looked_at, parameters=CHEST_CT_NODULES)


def ambiguous(looked_at: Case) -> tuple[LabelIssue, ...]:
    return Ambiguous().run(case=looked_at, parameters=CHEST_CT_NODULES)


def duplicates(looked_at: Case) -> tuple[LabelIssue, ...]:
    return DuplicateMark().run(case=looked_at, parameters=CHEST_CT_NODULES)


def marked_as_two(name: str) -> AnnotationSet:
    return reader(name, outlined(finding_id=f"{name}-1", mask=ONE), outlined(finding_id=f"{name}-2", mask=OTHER))


def marked_as_one(name: str, mask: Mask = BOTH) -> AnnotationSet:
    return reader(name, outlined(finding_id=f"{name}-1", mask=mask))


TWO_SEEN = prediction(
    candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=0.95),
    candidate(centre_mm=BEHIND, diameter_mm=9.0, probability=0.9),
)


def test_a_ball_is_one_body_and_two_balls_with_a_neck_are_two() -> None:
    for diameter in (5.0, 8.0, 14.0, 24.0):
        assert two_bodies(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=diameter)) is None
    bodies = two_bodies(mask=BOTH)
    assert bodies is not None
    assert bodies.neck_ratio < 0.6
    assert bodies.share == pytest.approx(OTHER.count / (ONE.count + OTHER.count), abs=0.06)
    assert min(dice(bodies.pieces[0], ONE), dice(bodies.pieces[1], OTHER)) > 0.9


def test_two_readers_with_two_marks_and_a_model_with_two_candidates_tell_of_a_merged_label() -> None:
    (issue,) = merged(case(marked_as_one("a"), marked_as_two("b"), marked_as_two("c"), predicted=TWO_SEEN))
    assert (issue.annotation_set_id, issue.finding_id) == ("a", "a-1")
    assert issue.score > 0.9
    assert "two other readers marked two nodules within it" in issue.reason
    assert issue.implicated_set_ids == ("a", "b", "c")
    found = features_of(issue=issue)
    assert (found["readers_with_two"], found["candidates_inside"], found["second_probability"]) == (2.0, 2.0, 0.9)


def test_one_reader_a_neck_and_lung_between_two_bodies_are_enough_to_ask() -> None:
    apart = painted(case(marked_as_one("a"), predicted=TWO_SEEN), ONE, OTHER)
    (issue,) = merged(apart)
    assert issue.score > 0.5
    filled = painted(case(marked_as_one("a"), predicted=TWO_SEEN), BOTH, ball(centre_mm=LEFT_LUNG, diameter_mm=24.0))
    (less,) = merged(filled)
    assert less.score < issue.score


def test_the_proposal_is_one_piece_and_says_that_the_other_is_to_be_added() -> None:
    asked = prediction(outlines=(opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9),))
    (issue,) = merged(case(marked_as_one("a"), marked_as_two("b"), marked_as_two("c"), predicted=asked))
    (proposal,) = issue.proposals
    assert proposal.action is Action.REPLACE_OUTLINE
    assert proposal.mask is not None and dice(proposal.mask, ONE) > 0.9
    assert "is to be added as a finding of its own" in proposal.origin


def test_a_model_that_outlines_one_piece_alone_has_not_said_that_both_are_one_thing() -> None:
    readers = (marked_as_one("a"), marked_as_two("b"), marked_as_two("c"))
    one = opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9)
    (piece,) = merged(case(*readers, predicted=prediction(outlines=(one,))))
    (whole,) = merged(case(*readers, predicted=prediction(outlines=(replace(one, mask=BOTH),))))
    assert piece.score > whole.score
    assert features_of(issue=piece)["model_least_cover"] < 0.2 < 0.9 < features_of(issue=whole)["model_least_cover"]


def test_readers_who_drew_it_as_one_too_and_a_model_that_covers_all_of_it_speak_against() -> None:
    doubted = merged(case(marked_as_one("a"), marked_as_two("b")))
    whole = replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9), mask=BOTH)
    supported = case(
        marked_as_one("a"),
        marked_as_two("b"),
        marked_as_one("c"),
        marked_as_one("d"),
        predicted=prediction(outlines=(whole,)),
    )
    assert doubted[0].score > 0.2
    assert all(issue.score < doubted[0].score for issue in merged(supported))


def test_nothing_is_asked_of_a_ball_that_nobody_sees_as_two() -> None:
    assert merged(case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=12.0))) == ()


def test_a_second_candidate_mostly_outside_the_label_it_touches_is_missing() -> None:
    here = reader("a", outlined(finding_id="a-1", mask=united(ONE, ball(centre_mm=BEHIND, diameter_mm=1.0))))
    beside = (BEHIND[0], BEHIND[1] - 1.0, BEHIND[2])
    seen = prediction(
        candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=0.95),
        candidate(centre_mm=beside, diameter_mm=9.0, probability=0.9),
    )
    (issue,) = MissingNodule().run(case=case(here, predicted=seen), parameters=CHEST_CT_NODULES)
    assert issue.place_mm == pytest.approx(beside)
    assert issue.evidence["touches_findings"] == ["a-1"]
    found = features_of(issue=issue)
    assert (found["touching"], found["model_rank"], found["candidates"]) == (1.0, 2.0, 2.0)
    assert found["touching_diameter_mm"] == pytest.approx(10.0, abs=1.0)


def test_two_touching_outlines_are_one_lesion_if_the_others_drew_it_once() -> None:
    closer = ball(centre_mm=(LEFT_LUNG[0], LEFT_LUNG[1] + 9.0, LEFT_LUNG[2]), diameter_mm=9.0)
    halves = reader("a", outlined(finding_id="a-1", mask=ONE), outlined(finding_id="a-2", mask=closer))
    assert duplicates(case(halves)) == ()
    assert duplicates(case(halves, marked_as_two("b"), predicted=TWO_SEEN)) == ()
    once = prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=26.0, probability=0.9))
    (issue,) = duplicates(case(halves, marked_as_one("b"), marked_as_one("c"), predicted=once))
    assert issue.finding_id == "a-2"
    assert "Two other readers marked it once." in issue.reason
    assert features_of(issue=issue)["readers_with_one"] == 2.0


def says(probability: float) -> OutlineOpinion:
    return replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=9.0, certainty=0.6), nodule_probability=probability)


def split(predicted: Prediction | None, *, marked: int = 2) -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    return case(*sets[:marked], *(reader(name) for name in "abcd"[marked:]), predicted=predicted)


def test_a_place_of_which_neither_model_nor_readers_are_sure_goes_to_adjudication() -> None:
    (issue,) = ambiguous(split(prediction(outlines=(says(0.5),))))
    assert issue.evidence["kind"] == "ambiguous"
    assert issue.score > 0.9
    assert issue.proposals == ()
    assert issue.implicated_set_ids == ("a", "b", "c", "d")
    assert "Nothing here says that a label is wrong; it may be a case for adjudication" in issue.reason


@pytest.mark.parametrize("probability", [0.03, 0.97])
def test_a_model_that_is_sure_leaves_no_ambiguity(probability: float) -> None:
    assert ambiguous(split(prediction(outlines=(says(probability),)))) == ()


def test_readers_who_agree_leave_no_ambiguity() -> None:
    assert ambiguous(split(prediction(outlines=(says(0.5),)), marked=4)) == ()


def test_doubt_falls_as_either_side_grows_surer() -> None:
    by_model = [ambiguous(split(prediction(outlines=(says(value),))))[0].score for value in (0.5, 0.35, 0.3)]
    assert by_model == sorted(by_model, reverse=True)
    even, uneven = (ambiguous(split(prediction(outlines=(says(0.5),)), marked=count))[0].score for count in (2, 1))
    assert uneven < even


def test_a_map_that_is_sure_of_its_edge_takes_from_the_ambiguity() -> None:
    sure = prediction(outlines=(with_map(says(0.5)),))
    unsure = prediction(outlines=(with_map(says(0.5), sure=0.6),))
    assert ambiguous(split(sure))[0].score < ambiguous(split(unsure))[0].score


def test_one_reader_and_a_model_in_doubt_are_held_back_but_asked_about() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0)
    (issue,) = ambiguous(case(reader("a", label), predicted=prediction(outlines=(says(0.5),))))
    assert 0.5 < issue.score < 0.9
    assert "a second reader can be heard" in issue.reason


def test_without_a_model_there_is_only_one_side() -> None:
    with pytest.raises(NotApplicable, match="no model"):
        ambiguous(split(None))
