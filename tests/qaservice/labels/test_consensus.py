"""What a majority of readers marked: which lesions enter a reference standard, as what, and where."""

from __future__ import annotations

import pytest

from imaging.masks.boxes import box_around
from imaging.masks.build import full_voxels, mask_from_voxels
from imaging.types import AnnotationSet, Category, Finding, Mask, Sphere
from qaservice.labels.consensus import consensus_of
from tests.factories.cases import LEFT_LUNG, RIGHT_LUNG, ball, nodule, outlined, point, reader

GE3, LT3, NON = Category.NODULE_GE_3MM, Category.NODULE_LT_3MM, Category.NON_NODULE
STRUCTURE = Category.STRUCTURE


def marks(*categories: Category | None) -> tuple[AnnotationSet, ...]:
    """One reader for each category, all at one place; None for a reader who marked nothing."""
    sets = []
    for number, category in enumerate(categories):
        findings: tuple[Finding, ...] = ()
        if category is GE3:
            findings = (nodule(finding_id=f"{number}", centre_mm=LEFT_LUNG, diameter_mm=8.0),)
        elif category is not None:
            findings = (point(finding_id=f"{number}", place_mm=LEFT_LUNG, category=category),)
        sets.append(reader(f"reader-{number}", *findings))
    return tuple(sets)


@pytest.mark.requirement("REQ-32")
@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ((GE3, GE3, GE3, None), [GE3]),
        ((GE3, GE3, None, None), []),
        ((GE3, LT3, None), [GE3]),
        ((LT3, LT3, GE3), [LT3]),
        ((NON, NON, NON, GE3), [NON]),
        ((NON, NON, GE3, GE3), []),
        ((GE3,), [GE3]),
        ((None, None), []),
    ],
)
def test_a_lesion_enters_by_majority_and_is_called_what_most_call_it(
    categories: tuple[Category | None, ...], expected: list[Category]
) -> None:
    assert [one.category for one in consensus_of(marks(*categories))] == expected


def test_a_reader_who_did_not_read_is_not_counted_against_a_lesion() -> None:
    sets = (*marks(GE3, GE3, None), reader("away", read=False))
    [one] = consensus_of(sets)
    assert (one.marked_by, one.readers) == (2, 3)


def test_the_outline_is_what_more_than_half_of_the_outlines_hold() -> None:
    sizes = (6.0, 8.0, 12.0)
    sets = [reader(f"r{size}", nodule(finding_id=str(size), centre_mm=LEFT_LUNG, diameter_mm=size)) for size in sizes]
    [one] = consensus_of(sets)
    assert isinstance(one.shape, Mask)
    assert one.shape.count == ball(centre_mm=LEFT_LUNG, diameter_mm=8.0).count


def test_readers_who_share_no_voxel_leave_a_place_and_no_outline() -> None:
    whole, hole, core = (ball(centre_mm=LEFT_LUNG, diameter_mm=size) for size in (16.0, 10.0, 6.0))
    shell = mask_from_voxels(grid=whole.grid, voxels=full_voxels(whole) & ~full_voxels(hole))
    sets = [
        reader("a", outlined(finding_id="a", mask=shell)),
        reader("b", outlined(finding_id="b", mask=core)),
    ]
    [one] = consensus_of(sets)
    assert one.category is GE3 and not isinstance(one.shape, Mask)
    assert one.shape == pytest.approx(LEFT_LUNG, abs=1.0)


def test_spheres_give_a_sphere_of_the_middle_size() -> None:
    sets = [
        reader(
            f"r{size}",
            Finding(finding_id=str(size), category=GE3, sphere=Sphere(centre_mm=RIGHT_LUNG, diameter_mm=size)),
        )
        for size in (5.0, 6.0, 9.0)
    ]
    [one] = consensus_of(sets)
    assert isinstance(one.shape, Sphere) and one.shape.diameter_mm == 6.0
    assert one.shape.centre_mm == pytest.approx(RIGHT_LUNG)


def structure(finding_id: str) -> Finding:
    return outlined(finding_id=finding_id, mask=ball(centre_mm=LEFT_LUNG, diameter_mm=12.0), category=STRUCTURE)


def test_an_outlined_organ_is_no_vote_for_a_nodule_and_who_outlined_organs_alone_is_no_reader() -> None:
    read = [reader(name, nodule(finding_id=name, centre_mm=LEFT_LUNG, diameter_mm=8.0)) for name in "ab"]
    organs = [reader(f"organs {number}", structure(f"organ {number}")) for number in range(3)]
    [one] = consensus_of([*read, *organs])
    assert (one.category, one.marked_by, one.readers) == (GE3, 2, 2)
    assert {set_id for set_id, _ in one.members} == {"a", "b"}
    assert consensus_of(organs) == ()


def test_a_reader_who_outlined_an_organ_beside_a_nodule_is_a_reader() -> None:
    both = reader("a", structure("organ"), nodule(finding_id="a", centre_mm=RIGHT_LUNG, diameter_mm=8.0))
    assert consensus_of([both, reader("b"), reader("c")]) == ()


def test_boxes_give_the_box_drawn_nearest_to_the_others_and_no_outline() -> None:
    drawn = {
        name: box_around(ball(centre_mm=(LEFT_LUNG[0] + shift, *LEFT_LUNG[1:]), diameter_mm=9.0))
        for name, shift in (("a", -3.0), ("b", 0.0), ("c", 1.5))
    }
    sets = [reader(name, Finding(finding_id=name, category=GE3, box=box)) for name, box in drawn.items()]
    [one] = consensus_of(sets)
    assert one.shape == drawn["b"]


def test_an_outline_goes_before_the_boxes_around_it() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    boxed = [reader(name, Finding(finding_id=name, category=GE3, box=box_around(mask))) for name in "ab"]
    [one] = consensus_of([*boxed, reader("c", outlined(finding_id="c", mask=mask))])
    assert isinstance(one.shape, Mask)
