"""Every kind of issue: planted once, found once, and nothing else with it; clean marks raise nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from imaging.marks.contours import enclosed, loops
from imaging.marks.registry import RULES
from imaging.marks.survey import survey_scan
from imaging.marks.types import MarkIssue
from imaging.masks.polygons import polygon_interior
from tests.imaging.marks.made import SHEET, Nodule, Reader, Roi, ball, point, ring, scan


def found(readers: Sequence[Reader]) -> tuple[MarkIssue, ...]:
    return survey_scan(scan=scan(readers)).issues


def without(nodule: Nodule, *slices: int) -> Nodule:
    return replace(nodule, rois=[roi for roi in nodule.rois if roi.at not in slices])


def with_roi(nodule: Nodule, *rois: Roi) -> Nodule:
    return replace(nodule, rois=[*nodule.rois, *rois])


def redrawn(nodule: Nodule, at: int, points: Sequence[tuple[int, int]]) -> Nodule:
    return replace(nodule, rois=[replace(roi, points=points) if roi.at == at else roi for roi in nodule.rois])


def rated(**changes: int) -> dict[str, int]:
    return {**SHEET, **changes}


# Readers 2 and 3 see the same ball a pixel aside, as hands differ.
SECOND, THIRD = Reader([ball(x=201)]), Reader([ball(y=201)])
# From where the ball's contour ends, round a loop the other way.
BACKWARDS = [*reversed(ring(211, 200, 4)[:9]), *reversed(ring(211, 200, 4)[8:])]
SMALL = Reader([point(200, 200, 2)])

PLANTED: dict[str, tuple[list[Reader], int]] = {
    "gap_in_outline": ([Reader([without(ball(), 2)]), SECOND], 1),
    "several_parts": ([Reader([with_roi(ball(), *ball(x=240, low=1, high=4).rois)])], 1),
    "stacked_outlines": ([Reader([ball(high=2), ball(low=3)])], 1),
    "marked_twice": ([Reader([point(200, 200, 2), point(202, 200, 2)])], 1),
    "two_categories": ([Reader([ball()], [point(200, 201, 3)])], 1),
    "stray_contour": ([Reader([with_roi(ball(), Roi(2, [(260, 200)]))])], 1),
    "open_contour": ([Reader([redrawn(ball(), 2, ring(200, 200, 7)[:-8])])], 1),
    "crossing_contour": ([Reader([redrawn(ball(), 2, [*ring(200, 200, 7), *BACKWARDS])])], 1),
    "doubled_contour": ([Reader([with_roi(ball(), Roi(2, ring(200, 200, 5)))])], 1),
    "slice_unlike_neighbours": ([Reader([redrawn(ball(), 2, ring(200, 200, 2))])], 1),
    "exclusion_astray": ([Reader([with_roi(ball(), Roi(2, ring(230, 200, 3), inclusion=False))])], 1),
    "too_small_for_its_class": ([Reader([Nodule([Roi(2, ring(200, 200, 1))]), ball(x=300)])], 1),
    "point_in_several_places": ([Reader([Nodule([Roi(1, [(200, 200)]), Roi(2, [(200, 200)])], {})])], 1),
    "outside_the_image": ([Reader([ball(x=510)])], 1),
    "slice_position": ([Reader([point(200, 200, 2)]), Reader([Nodule([Roi(2, [(100, 100)], z=90.0)], {})])], 1),
    "duplicate_id": ([Reader([ball(name="7"), ball(x=300, name="7")])], 1),
    "ratings_missing": ([Reader([ball(ratings={})])], 1),
    "ratings_misplaced": ([Reader([point(200, 200, 2, ratings=SHEET)])], 1),
    "rating_out_of_range": ([Reader([ball(ratings=rated(margin=7))])], 1),
    "ratings_contradict": ([Reader([ball(ratings=rated(texture=1, calcification=3))])], 1),
    "category_against_others": ([Reader([], [point(200, 200, 2)]), SECOND, THIRD], 1),
    "size_class_against_others": ([SMALL, SECOND, THIRD], 1),
    "joined_or_split": (
        [Reader([ball(radius=14)]), Reader([ball(x=194, radius=4), ball(x=206, radius=4)])],
        1,
    ),
    "slices_against_others": ([Reader([ball(high=2)]), SECOND, THIRD], 1),
    "slice_off_the_others": ([Reader([redrawn(ball(), 5, ring(213, 200, 5))]), SECOND, THIRD], 1),
    "extent_against_others": ([Reader([ball(radius=14)]), SECOND, THIRD], 1),
    "identical_outlines": ([Reader([ball()]), Reader([ball()])], 1),
    "empty_reading": ([Reader(), SECOND, THIRD], 1),
    "scale_inverted": (
        [Reader([ball(ratings=rated(lobulation=5, spiculation=4))]), SECOND, THIRD],
        1,
    ),
    "rating_against_others": ([Reader([ball(ratings=rated(subtlety=1))]), SECOND, THIRD], 1),
}
# What is broken besides, by necessity.
ALSO = {
    "slices_against_others": {"extent_against_others"},
    "scale_inverted": {"rating_against_others"},
    # A slice that lies elsewhere touches nothing of its own nodule either.
    "slice_off_the_others": {"several_parts"},
}


def test_a_fault_of_every_kind_is_planted() -> None:
    assert set(PLANTED) == {rule.kind.name for rule in RULES}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_found_once_and_nothing_else_with_it(kind: str) -> None:
    readers, number = PLANTED[kind]
    issues = found(readers)
    assert [issue.kind for issue in issues].count(kind) == number
    assert {issue.kind for issue in issues} - {kind} <= ALSO.get(kind, set())
    for issue in issues:
        assert 0 < issue.strength < 1
        assert 1 <= issue.reader <= len(readers)
        assert issue.reason.endswith((".", "?"))


def test_four_readers_who_differ_by_a_pixel_raise_nothing() -> None:
    readers = [
        Reader([ball(), point(100, 300, 2)], [point(300, 100, 1)]),
        Reader([ball(x=201, ratings=rated(margin=3)), point(101, 300, 2)], [point(301, 100, 1)]),
        Reader([ball(y=201, low=1), point(100, 301, 3)], [point(300, 101, 1)]),
        Reader([ball(x=199, high=4, ratings=rated(malignancy=4)), point(100, 299, 2)], []),
    ]
    assert found(readers) == ()


def test_an_exclusion_within_a_nodule_even_of_one_pixel_is_no_strong_issue() -> None:
    assert found([Reader([with_roi(ball(), Roi(2, ring(200, 200, 2), inclusion=False))])]) == ()
    (issue,) = found([Reader([with_roi(ball(), Roi(2, [(200, 200)], inclusion=False))])])
    assert issue.kind == "stray_contour" and issue.strength < 0.5


def test_the_end_of_a_nodule_may_be_small_and_a_waist_of_one_pixel_is_no_crossing() -> None:
    assert found([Reader([redrawn(redrawn(ball(), 0, ring(200, 200, 1)), 2, ring(200, 200, 8))])]) == ()
    waist = [*ring(200, 200, 4), *ring(192, 200, 4)[:-1], (196, 200)]
    assert not any(issue.kind == "crossing_contour" for issue in found([Reader([redrawn(ball(), 2, waist)])]))


def test_a_gap_that_all_readers_share_is_weak_and_one_that_others_filled_is_strong() -> None:
    shared = [Reader([without(ball(), 2)]), Reader([without(ball(x=201), 2)]), Reader([without(ball(y=201), 2)])]
    weak = [issue.strength for issue in found(shared) if issue.kind == "gap_in_outline"]
    strong = [issue.strength for issue in found([Reader([without(ball(), 2)]), SECOND, THIRD])]
    assert weak == [0.3] * 3 and strong == [0.95]


def test_two_marks_are_weaker_where_another_reader_also_made_two() -> None:
    pair = Reader([point(200, 200, 2), point(204, 200, 2)])
    alone = found([pair])
    shared = found([pair, pair])
    assert len(alone) == 1 and len(shared) == 2
    assert all(issue.strength < alone[0].strength for issue in shared)


def test_an_inverted_scale_speaks_over_a_whole_reading_and_names_its_sheets() -> None:
    inverted = rated(lobulation=5, spiculation=5)
    readers = [Reader([ball(ratings=inverted), ball(x=300, ratings=inverted)])]
    readers += [Reader([ball(x=x), ball(x=x + 100)]) for x in (201, 199)]
    (issue,) = [one for one in found(readers) if one.kind == "scale_inverted"]
    assert issue.reader == 1 and issue.marks == (1, 2) and issue.others == (2, 3)
    assert issue.features["points_nearer"] == 16.0


def test_the_order_of_readers_changes_whom_is_asked_and_nothing_else() -> None:
    readers = [Reader([without(ball(), 2)]), SECOND, THIRD]
    one, other = found(readers), found(readers[::-1])
    assert [(issue.kind, issue.strength) for issue in one] == [(issue.kind, issue.strength) for issue in other]
    assert [issue.reader for issue in one] == [4 - issue.reader for issue in other]


@pytest.mark.parametrize(
    "points",
    [
        ring(20, 20, 6),
        [*ring(20, 20, 6), *ring(20, 20, 6)],
        [*ring(20, 20, 6), *reversed(ring(30, 20, 4))],
        ring(20, 20, 6)[:-7],
        [(3, 3), (4, 3), (5, 3)],
        [(0, 0), (9, 0), (0, 9)],
    ],
)
def test_what_a_contour_encloses_is_what_the_masks_room_says(points: list[tuple[int, int]]) -> None:
    inside, (top, left) = polygon_interior(vertices=[(y, x) for x, y in points])
    expected = {(left + x, top + y) for y, row in enumerate(inside.tolist()) for x, held in enumerate(row) if held}
    assert enclosed(points) == expected


def test_a_simple_contour_is_one_loop_of_its_own_area() -> None:
    (loop,) = loops(ring(20, 20, 6))
    # Pick's theorem: what is enclosed, and half of the 24 pixels of the contour, less one.
    assert abs(loop.area) == len(enclosed(ring(20, 20, 6))) + 12 - 1
