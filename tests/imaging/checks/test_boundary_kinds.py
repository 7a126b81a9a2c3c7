"""Slices, stray pieces, holes, boxes, the guideline's own margin, and a model that is sure voxel by voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.agreement.overlap import dice
from imaging.checks.base import CHEST_CT_NODULES, BoundaryConvention, CheckParameters, Contour
from imaging.checks.boundary import Boundary
from imaging.checks.deviation import certain_difference, grown
from imaging.checks.incomplete_contour import IncompleteContour
from imaging.checks.issues import features_of
from imaging.checks.outline_parts import fragments, holes
from imaging.masks.boxes import box_around
from imaging.masks.build import mask_from_voxels
from imaging.types import Case, Finding, LabelIssue, Mask, PointMm
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    ball,
    boxed,
    case,
    chest_volume,
    four_readers,
    nodule,
    opinion,
    outlined,
    painted,
    prediction,
    reader,
    united,
    upper_half,
    with_map,
    without_slices,
)

WHOLE = ball(centre_mm=LEFT_LUNG, diameter_mm=16.0)
ASKED = opinion(centre_mm=LEFT_LUNG, diameter_mm=16.0, certainty=0.9)
MODEL = prediction(outlines=(ASKED,))


def boundary(looked_at: Case, parameters: CheckParameters = CHEST_CT_NODULES) -> tuple[LabelIssue, ...]:
    return Boundary().run(case=looked_at, parameters=parameters)


def incomplete(looked_at: Case) -> tuple[LabelIssue, ...]:
    return IncompleteContour().run(case=looked_at, parameters=CHEST_CT_NODULES)


def labelled(mask: Mask) -> Finding:
    return outlined(finding_id="a-1", mask=mask)


def carried_on(mask: Mask, *, slices: int) -> Mask:
    """The mask with its largest slice repeated beyond its upper end."""
    areas = np.count_nonzero(mask.voxels, axis=(1, 2))
    more = np.repeat(mask.voxels[[int(areas.argmax())]], slices, axis=0)
    return mask_from_voxels(grid=mask.grid, voxels=np.concatenate([mask.voxels, more]), origin=mask.origin)


def pierced(mask: Mask) -> Mask:
    voxels = mask.voxels.copy()
    middle = [size // 2 for size in voxels.shape]
    voxels[middle[0], middle[1] - 1 : middle[1] + 2, middle[2] - 1 : middle[2] + 2] = False
    return mask_from_voxels(grid=mask.grid, voxels=voxels, origin=mask.origin)


def test_an_outline_carried_on_for_slices_is_told_as_that_and_not_as_too_wide() -> None:
    (issue,) = boundary(case(reader("a", labelled(carried_on(WHOLE, slices=4))), predicted=MODEL))
    assert features_of(issue=issue)["kind_extra_slices"] == 1.0
    assert "goes on for four slices (8.0 mm)" in issue.reason
    assert issue.score > 0.5


def test_one_slice_more_or_less_is_nobodys_error() -> None:
    assert boundary(case(reader("a", labelled(carried_on(WHOLE, slices=1))), predicted=MODEL)) == ()
    short = without_slices(mask=WHOLE, dropped=(0,))
    assert incomplete(case(reader("a", labelled(short)), predicted=MODEL)) == ()


def test_an_outline_that_ends_before_the_lesion_is_incomplete_and_completed_from_the_model() -> None:
    (issue,) = incomplete(case(reader("a", labelled(upper_half(WHOLE))), predicted=MODEL))
    assert issue.evidence["kind"] == "poles"
    assert issue.score > 0.5
    (proposal,) = issue.proposals
    assert proposal.mask is not None and dice(proposal.mask, WHOLE) == 1.0
    found = features_of(issue=issue)
    assert found["model_missing_mm"] == found["missing_mm"] >= 6.0
    assert found["end_area_share"] > 0.9


def test_missing_poles_are_told_by_three_readers_without_any_model() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=16.0)
    (issue,) = incomplete(case(*sets[1:], reader("a", labelled(upper_half(WHOLE)))))
    assert issue.annotation_set_id == "a"
    assert "the outline of three other readers goes on" in issue.reason


def test_an_outline_too_tight_all_around_is_no_question_of_slices() -> None:
    tight = reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=8.0))
    assert incomplete(case(tight, predicted=MODEL)) == ()
    (issue,) = boundary(case(tight, predicted=MODEL))
    assert issue.evidence["kind"] == "under"


def test_a_stray_piece_is_told_and_taken_off_in_the_proposal() -> None:
    far: PointMm = (LEFT_LUNG[0], LEFT_LUNG[1] + 16.0, LEFT_LUNG[2])
    label = labelled(united(WHOLE, ball(centre_mm=far, diameter_mm=5.0)))
    (issue,) = boundary(case(reader("a", label)))
    assert issue.evidence["kind"] == "fragments"
    assert issue.proposals[0].mask is not None and dice(issue.proposals[0].mask, WHOLE) == 1.0
    found = features_of(issue=issue)
    assert found["pieces"] == 1.0
    assert found["piece_distance_mm"] == pytest.approx(16.0 - 8.0 - 2.5, abs=2.0)


def test_a_stray_piece_where_another_reader_has_something_too_is_in_doubt() -> None:
    far: PointMm = (LEFT_LUNG[0], LEFT_LUNG[1] + 16.0, LEFT_LUNG[2])
    label = labelled(united(WHOLE, ball(centre_mm=far, diameter_mm=5.0)))
    alone, supported = (
        boundary(case(reader("a", label), *others))[0].score for others in ((), (reader("b", replace(label)),))
    )
    assert supported < alone


def test_parts_that_an_empty_slice_divides_are_a_gap_and_no_stray_pieces() -> None:
    assert fragments(mask=without_slices(mask=WHOLE, dropped=(3,))) is None
    assert fragments(mask=WHOLE) is None


def test_a_hole_as_dense_as_the_rest_is_told_and_a_cavity_is_not() -> None:
    label = labelled(pierced(WHOLE))
    solid = painted(case(reader("a", label)), WHOLE)
    (issue,) = boundary(solid)
    assert issue.evidence["kind"] == "holes"
    assert issue.proposals[0].mask is not None and dice(issue.proposals[0].mask, WHOLE) == 1.0
    cavity = painted(case(reader("a", label)), pierced(WHOLE))
    assert boundary(cavity) == ()
    assert holes(mask=WHOLE, volume=chest_volume()) is None


def box_of(mask: Mask, *, wider_mm: float = 0.0, aside_mm: float = 0.0) -> Finding:
    box = box_around(mask)
    sign = [1 if high >= low else -1 for low, high in zip(box.corner_mm, box.opposite_corner_mm, strict=True)]
    shift = (0.0, aside_mm, 0.0)
    corner = [value - way * wider_mm + move for value, way, move in zip(box.corner_mm, sign, shift, strict=True)]
    other = [
        value + way * wider_mm + move for value, way, move in zip(box.opposite_corner_mm, sign, shift, strict=True)
    ]
    made = boxed(finding_id="a-1", mask=mask)
    return replace(
        made,
        box=replace(
            box, corner_mm=(corner[0], corner[1], corner[2]), opposite_corner_mm=(other[0], other[1], other[2])
        ),
    )


@pytest.mark.parametrize(
    ("wider", "aside", "kind"),
    [(6.0, 0.0, "loose-box"), (-5.0, 0.0, "tight-box"), (0.0, 6.0, "shifted-box"), (1.5, 0.0, None), (0.0, 0.0, None)],
)
def test_a_box_is_held_against_the_extents_of_the_models_outline(wider: float, aside: float, kind: str | None) -> None:
    found = boundary(case(reader("a", box_of(WHOLE, wider_mm=wider, aside_mm=aside)), predicted=MODEL))
    assert [issue.evidence["kind"] for issue in found] == ([] if kind is None else [kind])
    for issue in found:
        assert features_of(issue=issue)["box_excess_mm"] == pytest.approx(wider, abs=0.01)
        assert issue.proposals[0].mask is not None
        assert issue.score > 0.8


def with_margin(margin_mm: float, contour: Contour = Contour.OUTSIDE_LEFT_OUT) -> CheckParameters:
    return replace(CHEST_CT_NODULES, boundary_convention=BoundaryConvention(margin_mm=margin_mm, contour=contour))


def test_a_margin_that_the_guideline_asks_for_is_no_deviation_and_its_absence_is_one() -> None:
    wide = case(reader("a", labelled(grown(mask=WHOLE, by_mm=3.0))), predicted=MODEL)
    exact = case(reader("a", labelled(WHOLE)), predicted=MODEL)
    assert boundary(wide)[0].evidence["kind"] == "over"
    assert boundary(wide, with_margin(3.0)) == ()
    (issue,) = boundary(exact, with_margin(3.0))
    assert issue.evidence["kind"] == "under"
    assert "margin of 3 mm that the guideline asks for" in issue.reason
    assert issue.proposals[0].mask is not None
    assert issue.proposals[0].mask.count == grown(mask=WHOLE, by_mm=3.0).count


def test_a_contour_line_kept_in_the_mask_is_allowed_for_by_one_voxel() -> None:
    kept = with_margin(0.0, Contour.OUTSIDE_KEPT)
    assert kept.boundary_convention.offset_mm(grid=WHOLE.grid) == 1.5
    assert CHEST_CT_NODULES.boundary_convention.offset_mm(grid=WHOLE.grid) == 0.0


def test_growing_and_shrinking_move_the_surface_and_never_empty_a_mask() -> None:
    assert grown(mask=WHOLE, by_mm=0.0) is WHOLE
    wider, tighter = grown(mask=WHOLE, by_mm=2.0), grown(mask=WHOLE, by_mm=-2.0)
    assert tighter.count < WHOLE.count < wider.count
    assert dice(wider, ball(centre_mm=LEFT_LUNG, diameter_mm=20.0)) > 0.9
    assert grown(mask=WHOLE, by_mm=-40.0) is WHOLE


def test_only_what_the_map_is_sure_of_counts_as_certain() -> None:
    wide = ball(centre_mm=LEFT_LUNG, diameter_mm=22.0)
    sure, unsure = (with_map(ASKED, sure=value).probability for value in (0.97, 0.6))
    assert sure is not None and unsure is not None
    certain = certain_difference(label=wide, probability=sure, offset_mm=0.0)
    assert certain.held_share == pytest.approx(1 - WHOLE.count / wide.count, abs=0.01)
    assert certain.left_out_share == 0.0
    assert certain.certain_share == pytest.approx(1.0)
    assert certain.over_mm == pytest.approx(1.8, abs=0.5)
    tight = certain_difference(label=ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), probability=sure, offset_mm=0.0)
    assert tight.left_out_share > 1.0 > tight.held_share == 0.0
    doubtful = certain_difference(label=wide, probability=unsure, offset_mm=0.0)
    assert doubtful.certain_share < certain.certain_share
    assert doubtful.uncertain_share > 1.0
    allowed = certain_difference(label=wide, probability=sure, offset_mm=4.0)
    assert allowed.held_share < 0.05


def test_a_model_that_is_sure_of_the_voxels_that_differ_weighs_more() -> None:
    wide = reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=21.0))
    scores = [
        boundary(case(wide, predicted=prediction(outlines=(with_map(ASKED, sure=sure),))))[0].score
        for sure in (0.97, 0.6)
    ]
    assert scores[0] > scores[1] > 0.5


def test_boxes_on_places_that_the_model_was_not_asked_about_are_passed_over() -> None:
    looked_at = case(
        reader("a", labelled(WHOLE), boxed(finding_id="a-2", mask=ball(centre_mm=RIGHT_LUNG, diameter_mm=9.0))),
        predicted=MODEL,
    )
    assert boundary(looked_at) == ()
    codes = {one.code for one in Boundary().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)}
    assert "box-without-outline" in codes
