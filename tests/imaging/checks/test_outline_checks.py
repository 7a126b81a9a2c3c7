"""Outlines: too wide, too tight, shifted, incomplete, drawn twice, displaced, and classes that contradict them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.agreement.overlap import dice
from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.boundary import Boundary
from imaging.checks.deviation import measure_deviation
from imaging.checks.displacement import Displacement, displace
from imaging.checks.duplicate_mark import DuplicateMark
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.checks.incomplete_contour import IncompleteContour
from imaging.checks.wrong_category import WrongCategory
from imaging.types import Action, AnnotationSet, Case, Category, LabelIssue, Mask, PointMm, Rejection
from tests.factories.cases import (
    CHEST_WALL,
    LEFT_LUNG,
    RIGHT_LUNG,
    ball,
    candidate,
    case,
    chest_grid,
    four_readers,
    nodule,
    opinion,
    outlined,
    point,
    prediction,
    reader,
    shifted,
    without_slices,
)

Evidence = dict[str, dict[str, object]]


def boundary(looked_at: Case) -> tuple[LabelIssue, ...]:
    return Boundary().run(case=looked_at, parameters=CHEST_CT_NODULES)


def geometry(looked_at: Case) -> tuple[LabelIssue, ...]:
    return GeometryMismatch().run(case=looked_at, parameters=CHEST_CT_NODULES)


def category(looked_at: Case) -> tuple[LabelIssue, ...]:
    return WrongCategory().run(case=looked_at, parameters=CHEST_CT_NODULES)


def one_label(diameter_mm: float, *, centre_mm: PointMm = LEFT_LUNG) -> AnnotationSet:
    return reader("a", nodule(finding_id="a-1", centre_mm=centre_mm, diameter_mm=diameter_mm))


MODEL_10_MM = prediction(outlines=(opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9),))


def compared(issue: LabelIssue, name: str) -> dict[str, object]:
    evidence = issue.evidence["compared_with"]
    assert isinstance(evidence, dict)
    entry = evidence[name]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(
    ("diameter", "kind", "sign", "words"),
    [(18.0, "over", 1, "outside the model's outline"), (5.0, "under", -1, "inside the model's outline")],
)
def test_too_wide_and_too_tight_are_told_apart_with_their_sign(
    diameter: float, kind: str, sign: int, words: str
) -> None:
    (issue,) = boundary(case(one_label(diameter), predicted=MODEL_10_MM))
    told = compared(issue, "model")
    assert told["kind"] == kind
    signed = told["signed_mean_mm"]
    assert isinstance(signed, float)
    # Radii of 9 and 2.5 mm against 5 mm.
    assert signed == pytest.approx(diameter / 2 - 5.0, abs=0.8)
    assert np.sign(signed) == sign
    assert words in issue.reason
    assert issue.proposals[0].action is Action.REPLACE_OUTLINE


def test_a_shift_is_named_with_its_direction_and_length() -> None:
    place = (LEFT_LUNG[0], LEFT_LUNG[1] + 4.5, LEFT_LUNG[2])
    (issue,) = boundary(case(one_label(10.0, centre_mm=place), predicted=MODEL_10_MM))
    told = compared(issue, "model")
    assert told["kind"] == "shift"
    assert told["shift_mm"] == pytest.approx([0.0, 4.5, 0.0], abs=0.3)
    assert "4.5 mm towards the back" in issue.reason


def test_an_outline_one_voxel_off_is_within_the_tolerance() -> None:
    for diameter in (8.5, 10.0, 11.5):
        assert boundary(case(one_label(diameter), predicted=MODEL_10_MM)) == ()
    nudged = (LEFT_LUNG[0] + 1.5, LEFT_LUNG[1], LEFT_LUNG[2])
    assert boundary(case(one_label(10.0, centre_mm=nudged), predicted=MODEL_10_MM)) == ()


def test_readers_who_agree_with_a_label_speak_against_a_model_that_does_not() -> None:
    alone = boundary(case(one_label(14.0), predicted=MODEL_10_MM))[0]
    supported = case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=14.0), predicted=MODEL_10_MM)
    together = boundary(supported)
    assert alone.score > 0.5
    assert all(issue.score < alone.score - 0.2 for issue in together)


def test_the_odd_reader_out_gets_the_majority_outline_without_any_model() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    issues = boundary(case(*sets[:3], reader("d", nodule(finding_id="d-1", centre_mm=LEFT_LUNG, diameter_mm=17.0))))
    assert [issue.finding_id for issue in issues] == ["d-1"]
    (proposal,) = issues[0].proposals
    assert proposal.origin == "majority outline of 3 other readers"
    assert proposal.mask is not None
    assert dice(proposal.mask, ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)) == 1.0


def test_the_model_has_no_say_on_sizes_it_is_not_validated_for_and_nobody_on_masses() -> None:
    narrow = replace(MODEL_10_MM, validated_diameters_mm=(4.0, 12.0))
    assert boundary(case(one_label(18.0), predicted=narrow)) == ()
    mass = case(one_label(40.0, centre_mm=(0.0, 0.0, 0.0)), predicted=MODEL_10_MM)
    assert boundary(mass) == ()
    assert Boundary().abstentions(case=mass, parameters=CHEST_CT_NODULES)[0].code == "mass"


def test_one_reader_without_a_model_has_no_second_outline_and_it_is_said() -> None:
    alone = case(one_label(10.0))
    assert boundary(alone) == ()
    [abstained] = Boundary().abstentions(case=alone, parameters=CHEST_CT_NODULES)
    assert (abstained.code, abstained.subjects) == ("no-second-outline", ("a-1",))


def test_a_deviation_grows_more_suspicious_with_its_size() -> None:
    reference = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    scores = [
        measure_deviation(
            label=ball(centre_mm=LEFT_LUNG, diameter_mm=diameter),
            reference=reference,
            parameters=CHEST_CT_NODULES,
        ).score
        for diameter in (10.0, 12.0, 14.0, 16.0, 20.0)
    ]
    assert scores == sorted(scores)
    assert scores[0] < 0.05
    assert scores[-1] > 0.95


@pytest.mark.parametrize("slices", [-4, -3, 3, 4])
def test_a_whole_slice_shift_is_found_with_the_shift_that_would_undo_it(slices: int) -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    moved = shifted(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=9.0), slices=slices)
    issues = geometry(case(*sets[:3], reader("d", outlined(finding_id="d-1", mask=moved))))
    (issue,) = [issue for issue in issues if issue.evidence["kind"] == "displaced"]
    assert issue.finding_id == "d-1"
    assert issue.evidence["suggested_shift_slices"] == -slices
    assert issue.proposals[0].mask is not None
    assert dice(issue.proposals[0].mask, ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)) == 1.0


def test_a_label_mirrored_left_to_right_is_found_against_the_model_alone() -> None:
    place = (LEFT_LUNG[0] + 1.5, LEFT_LUNG[1], LEFT_LUNG[2])
    true = ball(centre_mm=place, diameter_mm=9.0)
    mirrored = displace(mask=true, displacement=Displacement(slices=0, mirrored="columns"))
    assert mirrored is not None
    seen = prediction(candidate(centre_mm=place, diameter_mm=9.0, probability=0.9))
    (issue,) = geometry(case(reader("a", outlined(finding_id="a-1", mask=mirrored)), predicted=seen))
    assert issue.evidence["suggested_mirroring"] == "columns"
    assert "mirrored along the columns" in issue.reason
    assert issue.proposals[0].mask is not None
    assert dice(issue.proposals[0].mask, true) == 1.0


def test_two_readers_who_each_found_another_nodule_are_not_displaced() -> None:
    other = (RIGHT_LUNG[0], RIGHT_LUNG[1], RIGHT_LUNG[2])
    second = reader("b", nodule(finding_id="b-1", centre_mm=other, diameter_mm=9.0))
    assert geometry(case(one_label(9.0), second)) == ()


def test_a_displacement_out_of_the_image_gives_no_mask() -> None:
    mask = ball(centre_mm=(20.0, 0.0, 35.0), diameter_mm=8.0)
    assert displace(mask=mask, displacement=Displacement(slices=5, mirrored=None)) is None


def test_a_point_outside_the_image_and_a_mask_of_another_grid_are_mismatches() -> None:
    elsewhere = replace(chest_grid(), frame_of_reference_uid="2.25.999")
    foreign = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    issues = geometry(
        case(
            reader(
                "a",
                point(finding_id="a-1", place_mm=(0.0, 0.0, 900.0)),
                outlined(finding_id="a-2", mask=Mask(grid=elsewhere, origin=foreign.origin, voxels=foreign.voxels)),
            )
        )
    )
    assert {issue.finding_id: issue.evidence["centre_on_image"] for issue in issues} == {"a-1": False, "a-2": True}
    assert all(issue.score > 0.9 for issue in issues)
    assert "lies outside the image" in issues[0].reason


def test_a_label_on_slices_that_the_series_does_not_have_is_a_mismatch() -> None:
    label = replace(
        nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=9.0), sop_instance_uids=("2.25.103.3", "2.25.7")
    )
    (issue,) = geometry(case(reader("a", label)))
    assert issue.evidence["unknown_sop_instance_uids"] == ["2.25.7"]
    assert "1 of 2 slices" in issue.reason


def test_a_label_in_the_chest_wall_is_far_from_the_lungs_and_one_on_the_pleura_is_not() -> None:
    wall = nodule(finding_id="a-1", centre_mm=CHEST_WALL, diameter_mm=5.0)
    pleural = nodule(finding_id="a-2", centre_mm=(LEFT_LUNG[0], 30.0, 0.0), diameter_mm=8.0)
    # The chest of these tests is a child's: its wall is nowhere as thick as the tolerance for real ones.
    narrow = replace(CHEST_CT_NODULES, lung_distance_mm=8.0)
    issues = GeometryMismatch().run(case=case(reader("a", wall, pleural)), parameters=narrow)
    assert [(issue.finding_id, issue.evidence["kind"]) for issue in issues] == [("a-1", "outside-lungs")]
    assert "from the nearest lung" in issues[0].reason


def test_objections_of_an_import_to_a_geometry_become_one_issue_for_each_label_they_name() -> None:
    refused = (
        Rejection("label-outside-image", "3 of 9 points lie outside the image.", ("a-1", "2.25.103.3")),
        Rejection("z-disagrees", "A mark lies 2.5 mm from its slice.", ("a-1", "2.25.103.3")),
        Rejection("dangling-reference", "4 of 4 marks name images that are not in the series.", ("a/nodule-7",)),
        Rejection("empty-mark", "A mark has no points.", ("a-1",)),
    )
    issues = geometry(case(one_label(9.0), rejections=refused))
    assert [(issue.annotation_set_id, issue.finding_id) for issue in issues] == [("a", "a-1"), ("a", None)]
    assert issues[0].evidence["codes"] == ["label-outside-image", "z-disagrees"]
    assert issues[0].place_mm == pytest.approx(LEFT_LUNG, abs=1.0)
    assert "4 of 4 marks name images that are not in the series." in issues[1].reason


def test_an_import_refused_whole_is_recorded_but_blamed_on_no_reader() -> None:
    refused = Rejection("orientation-disagrees", "The planes lie at 30 degrees to the image.", ("2.25.5",))
    looked_at = case(one_label(9.0), rejections=(refused,))
    assert geometry(looked_at) == ()
    abstentions = GeometryMismatch().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)
    (abstained,) = [one for one in abstentions if one.code != "fit-not-told"]
    assert "30 degrees" in abstained.message


def test_one_reader_who_marks_a_lesion_twice_is_told_which_mark_is_the_smaller() -> None:
    label = reader(
        "a",
        nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=8.0),
        nodule(finding_id="a-2", centre_mm=LEFT_LUNG, diameter_mm=12.0),
        point(finding_id="a-3", place_mm=LEFT_LUNG),
        point(finding_id="a-4", place_mm=RIGHT_LUNG),
        point(finding_id="a-5", place_mm=(RIGHT_LUNG[0] + 1.0, RIGHT_LUNG[1], RIGHT_LUNG[2])),
    )
    issues = DuplicateMark().run(case=case(label), parameters=CHEST_CT_NODULES)
    pairs = {(issue.finding_id, issue.evidence["other_finding"]) for issue in issues}
    assert pairs == {("a-1", "a-2"), ("a-3", "a-1"), ("a-5", "a-4")}
    (thrice,) = [issue for issue in issues if issue.finding_id == "a-3"]
    further = thrice.evidence["further"]
    assert isinstance(further, list)
    assert [entry["other_finding"] for entry in further] == ["a-2"]


def test_neighbours_that_touch_and_marks_of_two_readers_are_no_duplicates() -> None:
    beside = (LEFT_LUNG[0], LEFT_LUNG[1] + 9.0, LEFT_LUNG[2])
    apart = reader(
        "a",
        nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0),
        nodule(finding_id="a-2", centre_mm=beside, diameter_mm=10.0),
    )
    other = reader("b", nodule(finding_id="b-1", centre_mm=LEFT_LUNG, diameter_mm=10.0))
    assert DuplicateMark().run(case=case(apart, other), parameters=CHEST_CT_NODULES) == ()


def test_a_skipped_slice_is_found_and_filled_from_its_neighbours() -> None:
    whole = ball(centre_mm=LEFT_LUNG, diameter_mm=12.0)
    label = outlined(finding_id="a-1", mask=without_slices(mask=whole, dropped=(2,)))
    (issue,) = IncompleteContour().run(case=case(reader("a", label)), parameters=CHEST_CT_NODULES)
    assert issue.evidence["empty_slices"] == [whole.origin[0] + 2]
    assert "leaves out one slice" in issue.reason
    assert issue.proposals[0].mask is not None
    assert dice(issue.proposals[0].mask, whole) > 0.95


def test_two_blobs_that_do_not_meet_are_not_called_incomplete_with_confidence() -> None:
    low, high = ball(centre_mm=LEFT_LUNG, diameter_mm=6.0), ball(centre_mm=(20.0, 21.0, 19.0), diameter_mm=6.0)
    voxels = np.zeros(chest_grid().shape, dtype=bool)
    for mask in (low, high):
        s, r, c = mask.origin
        depth, height, width = mask.voxels.shape
        voxels[s : s + depth, r : r + height, c : c + width] |= mask.voxels
    label = outlined(finding_id="a-1", mask=Mask(grid=chest_grid(), origin=(0, 0, 0), voxels=voxels))
    (issue,) = IncompleteContour().run(case=case(reader("a", label)), parameters=CHEST_CT_NODULES)
    assert issue.score == 0.5
    assert "may be two lesions" in issue.reason


def test_a_complete_outline_is_left_alone() -> None:
    assert IncompleteContour().run(case=case(one_label(12.0)), parameters=CHEST_CT_NODULES) == ()


def test_a_size_class_beyond_the_measurement_error_is_reported_and_within_it_is_not() -> None:
    for diameter, expected in ((3.5, 0), (6.0, 1)):
        small = outlined(
            finding_id="a-1", mask=ball(centre_mm=LEFT_LUNG, diameter_mm=diameter), category=Category.NODULE_LT_3MM
        )
        assert len(category(case(reader("a", small)))) == expected
    voxel = outlined(finding_id="a-1", mask=ball(centre_mm=LEFT_LUNG, diameter_mm=1.0))
    # One voxel of 1.5 mm is 1.5 mm short of the border, which is just its measurement error.
    assert category(case(reader("a", voxel))) == ()


def test_a_point_mark_that_the_model_measures_larger_is_to_be_recategorised() -> None:
    seen = prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.9))
    (issue,) = category(case(reader("a", point(finding_id="a-1", place_mm=LEFT_LUNG)), predicted=seen))
    assert issue.proposals[0].category is Category.NODULE_GE_3MM
    assert "of the model's outline here" in issue.reason


def test_a_rating_outside_its_scale_is_a_broken_rule() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    fine = {"calcification": 6, "internalStructure": 4, "malignancy": 1}
    wrong = {"calcification": 7, "internalStructure": 5, "malignancy": 0}
    assert category(case(reader("a", outlined(finding_id="a-1", mask=mask, characteristics=fine)))) == ()
    (issue,) = category(case(reader("a", outlined(finding_id="a-1", mask=mask, characteristics=wrong))))
    assert issue.evidence["out_of_scale"] == wrong
    assert issue.score > 0.9


def test_several_objections_to_one_label_are_one_issue_with_all_reasons() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    label = outlined(finding_id="a-1", mask=mask, category=Category.NODULE_LT_3MM, characteristics={"texture": 9})
    (issue,) = category(case(reader("a", label)))
    assert "longest axis" in issue.reason
    assert "outside its scale" in issue.reason
    assert issue.reason.count("Could we look at it together?") == 1
    assert issue.evidence["kind"] == "size"
    assert issue.proposals[0].category is Category.NODULE_GE_3MM


def test_the_smaller_side_of_a_contradiction_is_the_suspect() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    other = outlined(finding_id="d-1", mask=mask, category=Category.NON_NODULE)
    issues = category(case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)[:3], reader("d", other)))
    assert [issue.finding_id for issue in issues] == ["d-1"]
    assert issues[0].proposals[0].category is Category.NODULE_GE_3MM
    assert "three other readers who marked the place say nodule >= 3 mm" in issues[0].reason
