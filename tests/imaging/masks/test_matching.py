"""Which findings of different readers are one lesion."""

from __future__ import annotations

import random

import pytest

from imaging.masks.matching import match_lesions
from imaging.types import AnnotationSet, Category, Finding, Lesion, PointMm, SetKind, Sphere
from tests.imaging.masks.shapes import a_ball, a_grid

GRID = a_grid()


def outlined(name: str, centre: PointMm, diameter: float) -> Finding:
    return Finding(name, Category.NODULE_GE_3MM, mask=a_ball(GRID, centre, diameter))


def marked(name: str, place: PointMm, category: Category = Category.NODULE_LT_3MM) -> Finding:
    return Finding(name, category, point_mm=place)


def reader(set_id: str, *findings: Finding) -> AnnotationSet:
    return AnnotationSet(set_id, set_id, SetKind.READER, True, findings)


def groups(lesions: tuple[Lesion, ...]) -> set[frozenset[str]]:
    return {frozenset(finding for _, finding in lesion.members) for lesion in lesions}


def test_outlines_that_share_a_voxel_are_one_lesion() -> None:
    lesions = match_lesions(
        [reader("a", outlined("a1", (15, 15, 20), 8.0)), reader("b", outlined("b1", (20, 15, 20), 8.0))]
    )
    assert groups(lesions) == {frozenset({"a1", "b1"})}
    assert lesions[0].centre_mm == pytest.approx((17.5, 15.0, 20.0), abs=0.1)


def test_a_mark_inside_an_outline_belongs_to_it() -> None:
    lesions = match_lesions([reader("a", outlined("a1", (15, 15, 20), 12.0)), reader("b", marked("b1", (20, 15, 20)))])
    assert groups(lesions) == {frozenset({"a1", "b1"})}


def test_point_marks_meet_within_two_and_a_half_millimetres_and_not_beyond() -> None:
    near = match_lesions([reader("a", marked("a1", (10, 10, 10))), reader("b", marked("b1", (12.4, 10, 10)))])
    far = match_lesions([reader("a", marked("a1", (10, 10, 10))), reader("b", marked("b1", (12.6, 10, 10)))])
    assert groups(near) == {frozenset({"a1", "b1"})}
    assert groups(far) == {frozenset({"a1"}), frozenset({"b1"})}


def test_a_sphere_reaches_as_far_as_its_radius() -> None:
    ball = Finding("a1", Category.NODULE_GE_3MM, sphere=Sphere((10, 10, 10), 12.0))
    lesions = match_lesions([reader("a", ball), reader("b", marked("b1", (15.5, 10, 10)))])
    assert groups(lesions) == {frozenset({"a1", "b1"})}


def test_one_reader_never_has_two_findings_in_one_lesion() -> None:
    lesions = match_lesions(
        [
            reader("a", outlined("a1", (15, 15, 20), 14.0)),
            reader("b", outlined("b1", (12, 15, 20), 5.0), outlined("b2", (18.5, 15, 20), 5.0)),
        ]
    )
    assert groups(lesions) == {frozenset({"a1", "b1"}), frozenset({"b2"})}


def test_a_chain_of_marks_is_not_drawn_into_one_lesion() -> None:
    lesions = match_lesions(
        [
            reader("a", marked("a1", (10, 10, 10))),
            reader("b", marked("b1", (12, 10, 10))),
            reader("c", marked("c1", (13.9, 10, 10))),
        ]
    )
    assert groups(lesions) == {frozenset({"a1"}), frozenset({"b1", "c1"})}


def test_a_nodule_and_a_non_nodule_mark_at_one_place_meet() -> None:
    lesions = match_lesions(
        [
            reader("a", marked("a1", (10, 10, 10))),
            reader("b", marked("b1", (10.5, 10, 10), category=Category.NON_NODULE)),
        ]
    )
    assert groups(lesions) == {frozenset({"a1", "b1"})}


def test_the_answer_does_not_depend_on_the_order_of_readers_or_findings() -> None:
    chance = random.Random(11)
    sets = [
        [marked(f"{name}{number}", tuple(chance.uniform(5, 25) for _ in range(3))) for number in range(8)]
        for name in "abcd"
    ]
    expected = match_lesions([reader(name, *findings) for name, findings in zip("abcd", sets, strict=True)])
    shuffled = [reader(name, *chance.sample(findings, 8)) for name, findings in zip("abcd", sets, strict=True)]
    chance.shuffle(shuffled)
    again = match_lesions(shuffled)
    assert [(one.lesion_id, one.members, one.centre_mm) for one in again] == [
        (one.lesion_id, one.members, one.centre_mm) for one in expected
    ]
    assert sum(len(lesion.members) for lesion in expected) == 32
    assert len({lesion.lesion_id for lesion in expected}) == len(expected)


def test_readers_without_findings_make_no_lesions() -> None:
    assert match_lesions([reader("a"), reader("b")]) == ()
