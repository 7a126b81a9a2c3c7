"""Missing and spurious labels, and readers against each other: who is suspected, how strongly, of what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.issues import features_of
from imaging.checks.missing_nodule import MissingNodule
from imaging.checks.reader_disagreement import ReaderDisagreement
from imaging.checks.spurious_label import SpuriousLabel
from imaging.errors import NotApplicable
from imaging.types import Action, Case, Category, LabelIssue, OutlineOpinion, Prediction
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    ball,
    candidate,
    case,
    four_readers,
    nodule,
    outlined,
    painted,
    point,
    prediction,
    reader,
    united,
    without_finding,
)


def missing(looked_at: Case) -> tuple[LabelIssue, ...]:
    return MissingNodule().run(case=looked_at, parameters=CHEST_CT_NODULES)


def spurious(looked_at: Case) -> tuple[LabelIssue, ...]:
    return SpuriousLabel().run(case=looked_at, parameters=CHEST_CT_NODULES)


def disagreement(looked_at: Case) -> tuple[LabelIssue, ...]:
    return ReaderDisagreement().run(case=looked_at, parameters=CHEST_CT_NODULES)


def sees(*, diameter_mm: float, probability: float) -> Prediction:
    return prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=diameter_mm, probability=probability))


def test_a_missed_nodule_is_reported_below_the_confidence_at_which_cleanlab_begins() -> None:
    issue = missing(case(reader("a"), predicted=sees(diameter_mm=7.0, probability=0.90)))[0]
    assert (issue.annotation_set_id, issue.finding_id) == ("a", None)
    assert issue.place_mm == LEFT_LUNG
    assert issue.score > 0.5


def test_a_candidate_that_touches_a_label_only_at_its_edge_is_still_missing() -> None:
    beside = (LEFT_LUNG[0], LEFT_LUNG[1] + 11.0, LEFT_LUNG[2])
    big = nodule(finding_id="a-1", centre_mm=beside, diameter_mm=16.0)
    issue = missing(case(reader("a", big), predicted=sees(diameter_mm=7.0, probability=0.90)))[0]
    assert issue.evidence["touches_findings"] == ["a-1"]
    assert "only at its edge" in issue.reason


def test_a_label_drawn_much_larger_or_smaller_than_the_candidate_is_not_missing() -> None:
    for diameter in (4.0, 18.0):
        here = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=diameter)
        assert missing(case(reader("a", here), predicted=sees(diameter_mm=8.0, probability=0.99))) == ()


def test_only_the_reader_without_the_mark_is_suspected_and_gets_both_proposals() -> None:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0), set_id="b", finding_id="b-1")
    issues = missing(case(*sets, predicted=sees(diameter_mm=7.0, probability=0.8)))
    assert [issue.annotation_set_id for issue in issues] == ["b"]
    model, others = issues[0].proposals
    assert (model.origin, others.origin) == ("model outline", "majority outline of 3 other readers")
    assert model.action is others.action is Action.ADD
    assert others.mask is not None
    assert others.mask.count == ball(centre_mm=LEFT_LUNG, diameter_mm=9.0).count


def test_a_reader_who_called_the_place_a_non_nodule_has_not_missed_it() -> None:
    other = outlined(finding_id="a-1", mask=ball(centre_mm=LEFT_LUNG, diameter_mm=7.0), category=Category.NON_NODULE)
    assert missing(case(reader("a", other), predicted=sees(diameter_mm=7.0, probability=0.9))) == ()


def test_a_reader_who_did_not_read_the_case_has_missed_nothing() -> None:
    looked_at = case(reader("a"), reader("b", read=False), predicted=sees(diameter_mm=7.0, probability=0.9))
    assert [issue.annotation_set_id for issue in missing(looked_at)] == ["a"]


def test_the_reason_says_what_the_model_and_the_readers_say() -> None:
    sets = [reader(name) for name in "abcd"]
    reason = missing(case(*sets, predicted=sees(diameter_mm=7.0, probability=0.94)))[0].reason
    assert reason.startswith(
        "The model gives 94 % for a 7 mm nodule here (image 17, patient's left side); "
        "none of the four readers marked it."
    )


def test_nothing_is_said_about_candidates_of_sizes_that_were_not_validated() -> None:
    looked_at = case(
        reader("a"),
        predicted=prediction(
            candidate(centre_mm=LEFT_LUNG, diameter_mm=35.0, probability=0.99),
            candidate(centre_mm=RIGHT_LUNG, diameter_mm=2.5, probability=0.99),
        ),
    )
    assert missing(looked_at) == ()
    abstained = MissingNodule().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)
    assert ["35.0 mm" in abstained[0].message, "2.5 mm" in abstained[1].message] == [True, True]


def test_a_candidate_that_measures_a_little_too_small_is_judged_and_what_is_surer_stays_surer() -> None:
    scores = []
    for probability in (0.3, 0.9, 0.99, 0.999, 0.9999):
        small = candidate(centre_mm=LEFT_LUNG, diameter_mm=3.2, probability=probability)
        (issue,) = MissingNodule().run(
            case=case(reader("a"), predicted=prediction(small)),
            parameters=replace(CHEST_CT_NODULES, report_from=0.01),
        )
        scores.append(issue.score)
    assert scores == sorted(set(scores))


def test_a_label_without_any_prediction_near_it_is_the_first_to_be_doubted() -> None:
    lonely = nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=10.0)
    found = nodule(finding_id="a-2", centre_mm=LEFT_LUNG, diameter_mm=10.0)
    issues = spurious(case(reader("a", lonely, found), predicted=sees(diameter_mm=10.0, probability=0.9)))
    assert [issue.finding_id for issue in issues] == ["a-1"]
    assert issues[0].score > 0.5
    assert [proposal.action for proposal in issues[0].proposals] == [Action.REMOVE]


def test_silence_on_a_small_label_means_less_than_on_a_large_one() -> None:
    scores = {}
    for diameter in (7.0, 10.0):
        label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=diameter)
        scores[diameter] = spurious(case(reader("a", label), predicted=prediction()))[0].score
    assert scores[7.0] < scores[10.0]


def test_a_large_tumour_is_never_spurious_because_the_model_is_silent() -> None:
    mass = nodule(finding_id="a-1", centre_mm=(0.0, 0.0, 0.0), diameter_mm=44.0)
    with pytest.raises(NotApplicable, match="silence would mean something"):
        spurious(case(reader("a", mass), predicted=prediction()))
    wide = replace(prediction(), validated_diameters_mm=(4.0, 80.0))
    with pytest.raises(NotApplicable):
        spurious(case(reader("a", mass), predicted=wide))


def test_the_silence_of_a_model_without_a_stated_sensitivity_means_nothing() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)
    unstated = replace(prediction(), sensitivity_by_diameter=())
    with pytest.raises(NotApplicable, match="states no sensitivity"):
        spurious(case(reader("a", label), predicted=unstated))


def test_a_point_mark_is_passed_over_and_said_so() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)
    looked_at = case(reader("a", label, point(finding_id="a-2", place_mm=RIGHT_LUNG)), predicted=prediction())
    assert [issue.finding_id for issue in spurious(looked_at)] == ["a-1"]
    abstained = SpuriousLabel().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)
    assert [rejection.subjects for rejection in abstained] == [("a-2",)]


def test_one_mark_of_four_is_disagreement_and_never_more_likely_wrong_than_right() -> None:
    looked_at = sole_mark_on_something(predicted=prediction())
    assert spurious(looked_at)[0].score <= 0.5
    assert disagreement(looked_at)[0].score <= 0.5
    assert "one reader alone may still be right" in spurious(looked_at)[0].reason


def sole_mark_on_something(*, predicted: Prediction, readers: str = "abcd") -> Case:
    """One of several readers marked something dense: a nodule, or a vessel."""
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    others = [reader(name) for name in readers[1:]]
    return painted(case(reader("a", outlined(finding_id="a-1", mask=mask)), *others, predicted=predicted), mask)


def says(probability: float) -> Prediction:
    asked = OutlineOpinion(
        place_mm=LEFT_LUNG, mask=None, mean_probability=0.0, nodule_probability=probability, probability=None
    )
    return prediction(outlines=(asked,))


def test_a_model_that_was_asked_at_the_very_place_lifts_the_ceiling_on_a_sole_mark() -> None:
    (issue,) = spurious(sole_mark_on_something(predicted=says(0.02)))
    assert issue.score > 0.9
    assert "asked about this very place, gives a nodule 2 %" in issue.reason
    doubted = spurious(sole_mark_on_something(predicted=says(0.9)))
    assert all(one.score < 0.5 for one in doubted)


@pytest.mark.parametrize("readers", ["a", "ab", "abcd"])
def test_an_invented_label_reaches_a_high_score_with_any_number_of_readers(readers: str) -> None:
    (issue,) = spurious(sole_mark_on_something(predicted=says(0.01), readers=readers))
    assert issue.score > 0.8


def test_the_silence_of_three_weighs_more_than_that_of_one_and_less_than_three_times_as_much() -> None:
    odds = {}
    for readers in ("a", "ab", "abcd"):
        (issue,) = spurious(sole_mark_on_something(predicted=says(0.2), readers=readers))
        odds[readers] = issue.score / (1 - issue.score)
    assert odds["a"] < odds["ab"] < odds["abcd"] < odds["a"] * (odds["ab"] / odds["a"]) ** 3


def test_a_label_on_plain_lung_is_likelier_spurious_than_one_on_something_dense() -> None:
    on_something = sole_mark_on_something(predicted=prediction(), readers="a")
    on_nothing = case(*on_something.annotation_sets, predicted=prediction())
    (dense,), (plain,) = spurious(on_something), spurious(on_nothing)
    assert plain.score > dense.score + 0.1
    assert "little there that differs from the lung" in plain.reason
    assert features_of(issue=dense)["contrast_hu"] > 800


def test_a_label_on_a_vessel_is_told_by_what_runs_on_outside_it() -> None:
    on_nodule = sole_mark_on_something(predicted=prediction(), readers="a")
    vessel = united(*(ball(centre_mm=(20.0, 3.0, 7.0 + 3.0 * step), diameter_mm=6.0) for step in range(-6, 7)))
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=8.0)
    on_vessel = painted(case(reader("a", label), predicted=prediction()), vessel)
    running = [features_of(issue=spurious(one)[0])["running_on"] for one in (on_nodule, on_vessel)]
    assert running[0] < 0.1
    assert running[1] > 0.4


def test_a_label_that_a_second_reader_confirms_is_not_spurious() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    assert spurious(painted(case(*sets[:2], predicted=prediction()), mask)) == ()


def test_the_missing_reader_of_four_is_named_with_the_majority_outline() -> None:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0), set_id="d", finding_id="d-1")
    (issue,) = disagreement(case(*sets))
    assert (issue.annotation_set_id, issue.finding_id) == ("d", None)
    assert issue.score > 0.8
    assert issue.implicated_set_ids == ("a", "b", "c", "d")
    assert issue.proposals[0].mask is not None
    assert issue.place_mm == pytest.approx(LEFT_LUNG, abs=1.0)


def test_two_of_four_is_ambiguous() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    issues = disagreement(case(*sets[:2], reader("c"), reader("d")))
    assert [issue.annotation_set_id for issue in issues] == ["c", "d"]
    assert all(issue.score == pytest.approx(0.5) and issue.evidence["ambiguous"] for issue in issues)
    assert "Neither side can be called wrong" in issues[0].reason


def test_the_marker_is_the_suspect_where_most_marked_nothing() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0)
    (issue,) = disagreement(case(reader("a", label), reader("b"), reader("c"), reader("d")))
    assert (issue.annotation_set_id, issue.finding_id) == ("a", "a-1")
    assert [proposal.action for proposal in issue.proposals] == [Action.REMOVE]


def test_a_sole_mark_that_the_model_sees_too_is_left_alone() -> None:
    label = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0)
    sets = (reader("a", label), reader("b"), reader("c"), reader("d"))
    assert disagreement(case(*sets, predicted=sees(diameter_mm=9.0, probability=0.95))) == ()


def test_a_missing_mark_under_three_millimetres_weighs_less() -> None:
    marks = [reader(name, point(finding_id=f"{name}-1", place_mm=LEFT_LUNG)) for name in "abc"]
    (small,) = disagreement(case(*marks, reader("d")))
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0), set_id="d", finding_id="d-1")
    (large,) = disagreement(case(*sets))
    assert 0.5 < small.score < large.score
    assert small.proposals[0].sphere is not None
    assert small.proposals[0].category is Category.NODULE_LT_3MM


def test_a_second_mark_of_a_reader_on_one_lesion_is_no_disagreement() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=12.0)
    again = nodule(finding_id="a-2", centre_mm=LEFT_LUNG, diameter_mm=8.0)
    doubled = replace(sets[0], findings=(*sets[0].findings, again))
    assert [issue for issue in disagreement(case(doubled, *sets[1:])) if issue.evidence["kind"] == "marking"] == []


def test_a_volume_far_from_the_others_is_reported_with_their_outline() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    wide = reader("d", nodule(finding_id="d-1", centre_mm=LEFT_LUNG, diameter_mm=18.0))
    (issue,) = disagreement(case(*sets[:3], wide))
    assert (issue.finding_id, issue.evidence["kind"]) == ("d-1", "volume")
    assert issue.proposals[0].mask is not None
    assert issue.proposals[0].mask.count == ball(centre_mm=LEFT_LUNG, diameter_mm=9.0).count


def test_a_small_nodule_one_voxel_wider_is_not_a_volume_far_apart() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=4.0)
    wider = reader("d", nodule(finding_id="d-1", centre_mm=LEFT_LUNG, diameter_mm=6.0))
    assert disagreement(case(*sets[:3], wider)) == ()


def test_a_malignancy_rating_far_from_the_others_is_reported() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    rated = {"a": 5, "b": 5, "c": 4, "d": 1}
    sets = [
        reader(name, outlined(finding_id=f"{name}-1", mask=mask, characteristics={"malignancy": value}))
        for name, value in rated.items()
    ]
    (issue,) = disagreement(case(*sets))
    assert (issue.finding_id, issue.evidence["kind"], issue.evidence["others_median"]) == ("d-1", "rating", 5)


def test_a_single_reader_has_nobody_to_disagree_with() -> None:
    with pytest.raises(NotApplicable, match="nobody to disagree with"):
        disagreement(case(reader("a"), reader("b", read=False)))


def test_the_model_of_another_grid_does_not_stop_the_checks() -> None:
    foreign = ball(centre_mm=LEFT_LUNG, diameter_mm=7.0)
    elsewhere = replace(foreign, grid=replace(foreign.grid, frame_of_reference_uid="2.25.999"))
    found = replace(candidate(centre_mm=LEFT_LUNG, diameter_mm=7.0, probability=0.9), mask=elsewhere)
    (issue,) = missing(case(reader("a"), predicted=prediction(found)))
    assert issue.proposals[0].sphere is not None
    assert np.isclose(issue.proposals[0].sphere.diameter_mm, 7.0)
