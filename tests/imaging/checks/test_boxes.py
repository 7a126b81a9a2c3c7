"""What each check makes of boxes: marks with a place and a size, never outlines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imaging.checks.base import CHEST_CT_NODULES, Check
from imaging.checks.boundary import Boundary
from imaging.checks.duplicate_mark import DuplicateMark
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.checks.incomplete_contour import IncompleteContour
from imaging.checks.missing_nodule import MissingNodule
from imaging.checks.reader_disagreement import ReaderDisagreement
from imaging.checks.spurious_label import SpuriousLabel
from imaging.checks.wrong_category import WrongCategory
from imaging.errors import NotApplicable
from imaging.geometry.affine import to_patient
from imaging.types import Box, Case, Category, Finding, LabelIssue
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    ball,
    boxed,
    candidate,
    case,
    chest_grid,
    nodule,
    point,
    prediction,
    reader,
)

SEEN = prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=0.94))


def box_at(name: str, centre: tuple[float, float, float], size: float) -> Finding:
    return boxed(finding_id=name, mask=ball(centre_mm=centre, diameter_mm=size))


def on_slice(name: str, index: int, half_mm: float) -> Finding:
    """A box on one slice, as tools that draw slice by slice leave it."""
    grid = chest_grid()
    half = half_mm / grid.spacing_mm[1]
    low, high = (
        to_patient(grid, (index - 0.5, 32 - half, 45 - half)),
        to_patient(grid, (index + 0.5, 32 + half, 45 + half)),
    )
    return Finding(name, Category.NODULE_GE_3MM, box=Box(corner_mm=low, opposite_corner_mm=high))


def issues(check: Check, looked_at: Case) -> tuple[LabelIssue, ...]:
    return check.run(case=looked_at, parameters=CHEST_CT_NODULES)


def codes(check: Check, looked_at: Case) -> set[str]:
    return {one.code for one in check.abstentions(case=looked_at, parameters=CHEST_CT_NODULES)}


@pytest.mark.parametrize("size", [10.0, 20.0], ids=["tight", "wide"])
def test_a_box_around_what_the_model_sees_counts_as_marked(size: float) -> None:
    assert issues(MissingNodule(), case(reader("a", box_at("a-1", LEFT_LUNG, size)), predicted=SEEN)) == ()


def test_a_box_elsewhere_does_not() -> None:
    [issue] = issues(MissingNodule(), case(reader("a", box_at("a-1", RIGHT_LUNG, 10.0)), predicted=SEEN))
    assert issue.annotation_set_id == "a"


def test_a_box_at_which_the_model_is_silent_is_questioned_by_its_size() -> None:
    [issue] = issues(SpuriousLabel(), case(reader("a", box_at("a-1", LEFT_LUNG, 10.0)), predicted=prediction()))
    assert issue.evidence["label_diameter_mm"] == pytest.approx(10.0, abs=1.5)


def test_another_readers_box_confirms_a_mark() -> None:
    alone = case(reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)), predicted=prediction())
    [doubted] = issues(SpuriousLabel(), alone)
    confirmed = replace(alone, annotation_sets=(*alone.annotation_sets, reader("b", box_at("b-1", LEFT_LUNG, 14.0))))
    assert all(issue.score < doubted.score for issue in issues(SpuriousLabel(), confirmed))


def test_a_box_is_never_compared_as_an_outline() -> None:
    boxes = case(reader("a", box_at("a-1", LEFT_LUNG, 20.0)), reader("b", box_at("b-1", LEFT_LUNG, 9.0)))
    with pytest.raises(NotApplicable, match="no label on this case has an outline"):
        issues(Boundary(), boxes)
    with pytest.raises(NotApplicable, match="no label on this case has an outline"):
        issues(IncompleteContour(), boxes)
    outlined = reader("c", nodule(finding_id="c-1", centre_mm=LEFT_LUNG, diameter_mm=10.0))
    beside = replace(boxes, annotation_sets=(*boxes.annotation_sets, outlined))
    assert issues(Boundary(), beside) == (), "a wide box says nothing against an outline in it"
    assert "box-without-outline" in codes(Boundary(), beside)


def test_no_volume_is_made_of_a_box() -> None:
    outlines = [reader(name, nodule(finding_id=name, centre_mm=LEFT_LUNG, diameter_mm=10.0)) for name in "abc"]
    looked_at = case(*outlines, reader("d", box_at("d-1", LEFT_LUNG, 20.0)))
    assert all(issue.evidence["kind"] != "volume" for issue in issues(ReaderDisagreement(), looked_at))
    assert "box-without-outline" in codes(ReaderDisagreement(), looked_at)


def test_readers_who_drew_boxes_have_marked_the_lesion() -> None:
    boxes = [reader(name, box_at(name, LEFT_LUNG, 10.0)) for name in "abc"]
    [issue] = issues(ReaderDisagreement(), case(*boxes, reader("d")))
    assert (issue.annotation_set_id, issue.finding_id) == ("d", None)
    assert issue.proposals[0].sphere is not None, "boxes leave a sketch, not an outline that nobody drew"


def test_two_boxes_on_one_thing_are_one_mark_too_many() -> None:
    looked_at = case(reader("a", box_at("a-1", LEFT_LUNG, 12.0), box_at("a-2", LEFT_LUNG, 9.0)))
    [issue] = issues(DuplicateMark(), looked_at)
    assert issue.finding_id == "a-2"


def test_a_box_around_a_readers_own_outline_is_a_second_mark() -> None:
    own = nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)
    assert len(issues(DuplicateMark(), case(reader("a", own, box_at("a-2", LEFT_LUNG, 12.0))))) == 1


def test_boxes_on_neighbouring_slices_are_no_duplicates() -> None:
    looked_at = case(reader("a", on_slice("a-1", 20, 5.0), on_slice("a-2", 21, 5.0), on_slice("a-3", 22, 5.0)))
    assert issues(DuplicateMark(), looked_at) == ()


@pytest.mark.parametrize(
    ("category", "half_mm", "suspect"),
    [
        (Category.NODULE_LT_3MM, 5.0, True),
        (Category.NODULE_LT_3MM, 2.5, False),
        (Category.NODULE_GE_3MM, 5.0, False),
        (Category.NODULE_GE_3MM, 1.1, False),
    ],
)
def test_a_box_bounds_the_size_of_what_is_in_it_and_no_more_is_concluded(
    category: Category, half_mm: float, suspect: bool
) -> None:
    finding = replace(on_slice("a-1", 20, half_mm), category=category)
    found = issues(WrongCategory(), case(reader("a", finding)))
    assert bool(found) is suspect
    assert all(issue.evidence["measured"] == "that its own box allows" for issue in found)


def test_a_box_beside_the_image_is_off_it_and_one_that_ends_at_its_edge_is_not() -> None:
    grid = chest_grid()
    at_edge = Box(corner_mm=to_patient(grid, (9.5, -0.5, -0.5)), opposite_corner_mm=to_patient(grid, (12.5, 7.5, 7.5)))
    beyond = Box(corner_mm=to_patient(grid, (9.5, -6.0, 9.5)), opposite_corner_mm=to_patient(grid, (12.5, 14.0, 20.5)))
    far = Box(corner_mm=(400.0, 0.0, 0.0), opposite_corner_mm=(410.0, 10.0, 10.0))
    findings = [
        Finding(name, Category.STRUCTURE, box=box)
        for name, box in (("edge", at_edge), ("beyond", beyond), ("far", far))
    ]
    found = {issue.finding_id: issue for issue in issues(GeometryMismatch(), case(reader("a", *findings)))}
    assert set(found) == {"beyond", "far"}
    assert "reaches beyond the image" in found["beyond"].reason
    assert "lies outside the image" in found["far"].reason


def test_a_point_in_a_box_is_the_box() -> None:
    looked_at = case(
        reader("a", box_at("a-1", LEFT_LUNG, 14.0)),
        reader("b", point(finding_id="b-1", place_mm=(LEFT_LUNG[0] + 4.0, *LEFT_LUNG[1:]))),
    )
    assert issues(ReaderDisagreement(), looked_at) == ()
