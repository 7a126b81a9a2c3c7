"""The cases on which every check must hold its contract: each shows something that some check looks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from imaging.predictions import external_prediction
from imaging.types import Box, Case, Category, Rejection
from tests.factories.cases import (
    CHEST_WALL,
    LEFT_LUNG,
    RIGHT_LUNG,
    algorithm,
    ball,
    boxed,
    candidate,
    case,
    four_readers,
    nodule,
    opinion,
    outlined,
    point,
    prediction,
    reader,
    shifted,
    structure,
    united,
    upper_half,
    with_map,
    without_finding,
    without_slices,
)

BEHIND = (LEFT_LUNG[0], LEFT_LUNG[1] + 10.0, LEFT_LUNG[2])
SEEN = prediction(
    candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=0.94),
    outlines=(opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9),),
)


def agreed() -> Case:
    return case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0), predicted=SEEN)


def one_reader_missed_it() -> Case:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0), set_id="c", finding_id="c-1")
    return case(*sets, predicted=SEEN)


def nobody_marked_it() -> Case:
    return case(reader("a"), reader("b"), predicted=SEEN)


def model_is_silent() -> Case:
    return case(reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)), predicted=prediction())


def one_of_four_marked_it() -> Case:
    return case(
        reader("a", nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=10.0)),
        reader("b"),
        reader("c"),
        reader("d"),
        predicted=prediction(),
    )


def outline_too_wide() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    wide = reader("d", nodule(finding_id="d-1", centre_mm=LEFT_LUNG, diameter_mm=20.0))
    return case(*sets[:3], wide, predicted=SEEN)


def moved_by_four_slices() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    moved = shifted(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), slices=4)
    return case(*sets[:3], reader("d", outlined(finding_id="d-1", mask=moved)), predicted=SEEN)


def everything_else_at_once() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=12.0)
    return case(
        reader(
            "a",
            outlined(finding_id="a-1", mask=without_slices(mask=mask, dropped=(1,)), characteristics={"texture": 9}),
            nodule(finding_id="a-2", centre_mm=RIGHT_LUNG, diameter_mm=8.0),
            nodule(finding_id="a-3", centre_mm=CHEST_WALL, diameter_mm=6.0),
            point(finding_id="a-4", place_mm=(500.0, 0.0, 0.0)),
            outlined(
                finding_id="a-5",
                mask=ball(centre_mm=LEFT_LUNG, diameter_mm=9.0),
                category=Category.NODULE_LT_3MM,
                characteristics={"malignancy": 1},
            ),
        ),
        reader("b", outlined(finding_id="b-1", mask=mask, category=Category.NON_NODULE)),
        reader("c", outlined(finding_id="c-1", mask=mask, characteristics={"malignancy": 5})),
        reader("d", read=False),
        predicted=SEEN,
        rejections=(Rejection("outside-image", "the outline lies 40 mm outside the image", ("a",)),),
    )


def boxes_of_every_kind() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=12.0)
    outside = boxed(finding_id="a-4", mask=mask)
    far = replace(outside, box=Box(corner_mm=(500.0, 0.0, 0.0), opposite_corner_mm=(510.0, 10.0, 10.0)))
    return case(
        reader(
            "a",
            boxed(finding_id="a-1", mask=mask),
            boxed(finding_id="a-2", mask=ball(centre_mm=RIGHT_LUNG, diameter_mm=10.0)),
            boxed(finding_id="a-3", mask=mask, category=Category.NODULE_LT_3MM),
            far,
            boxed(finding_id="a-5", mask=ball(centre_mm=CHEST_WALL, diameter_mm=6.0)),
        ),
        reader("b", boxed(finding_id="b-1", mask=mask, category=Category.NON_NODULE)),
        reader("c", outlined(finding_id="c-1", mask=mask, characteristics={"malignancy": 5})),
        reader("d", point(finding_id="d-1", place_mm=RIGHT_LUNG)),
        predicted=SEEN,
    )


def organs_beside_nodules() -> Case:
    around = structure(finding_id="organ", centre_mm=LEFT_LUNG, diameter_mm=24.0)
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    return case(
        replace(sets[0], findings=(around,)),
        replace(sets[1], findings=(*sets[1].findings, around)),
        *sets[2:],
        predicted=SEEN,
    )


def organs_alone() -> Case:
    gaps = without_slices(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), dropped=(1,))
    organ = outlined(finding_id="organ", mask=gaps, category=Category.STRUCTURE)
    return case(reader("a", organ), reader("b", replace(organ, finding_id="organ-b")), predicted=SEEN)


def heard_from_elsewhere() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=9.0)
    said = algorithm(
        "ai",
        replace(outlined(finding_id="p1", mask=mask), confidence=0.97),
        replace(boxed(finding_id="p2", mask=ball(centre_mm=LEFT_LUNG, diameter_mm=8.0)), confidence=0.9),
        replace(point(finding_id="p3", place_mm=(18.0, -10.0, -20.0)), confidence=0.8),
    )
    heard = external_prediction(annotation_set=said, source_sha256="2" * 64, threshold=0.5)
    moved = shifted(mask=mask, slices=3)
    return case(reader("a", outlined(finding_id="a-1", mask=moved)), reader("b"), predicted=heard)


def two_drawn_as_one() -> Case:
    one, other = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0), ball(centre_mm=BEHIND, diameter_mm=8.0)
    both = united(one, other)
    apart = [
        reader(name, outlined(finding_id=f"{name}-1", mask=one), outlined(finding_id=f"{name}-2", mask=other))
        for name in "bc"
    ]
    return case(
        reader("a", outlined(finding_id="a-1", mask=both)),
        *apart,
        predicted=prediction(
            candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.94),
            candidate(centre_mm=BEHIND, diameter_mm=8.0, probability=0.9),
        ),
    )


def nobody_is_sure() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    unsure = replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=9.0, certainty=0.6), nodule_probability=0.5)
    return case(*sets[:2], reader("c"), reader("d"), predicted=prediction(outlines=(unsure,)))


def model_says_no_at_the_place() -> Case:
    says_no = replace(opinion(centre_mm=RIGHT_LUNG, diameter_mm=9.0, certainty=0.1), mask=None, nodule_probability=0.02)
    label = nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=9.0)
    return case(reader("a", label), reader("b"), reader("c"), predicted=prediction(outlines=(says_no,)))


def outline_with_everything_wrong() -> Case:
    whole = ball(centre_mm=LEFT_LUNG, diameter_mm=14.0)
    sure = with_map(opinion(centre_mm=LEFT_LUNG, diameter_mm=14.0, certainty=0.9))
    stray = ball(centre_mm=(LEFT_LUNG[0], LEFT_LUNG[1] + 14.0, LEFT_LUNG[2]), diameter_mm=4.0)
    cut = outlined(finding_id="a-1", mask=united(upper_half(whole), stray))
    box = boxed(finding_id="a-2", mask=ball(centre_mm=RIGHT_LUNG, diameter_mm=22.0))
    asked = opinion(centre_mm=RIGHT_LUNG, diameter_mm=9.0, certainty=0.9)
    return case(reader("a", cut, box), predicted=prediction(outlines=(sure, asked)))


CASES: tuple[Callable[[], Case], ...] = (
    agreed,
    two_drawn_as_one,
    nobody_is_sure,
    model_says_no_at_the_place,
    outline_with_everything_wrong,
    one_reader_missed_it,
    nobody_marked_it,
    model_is_silent,
    one_of_four_marked_it,
    outline_too_wide,
    moved_by_four_slices,
    everything_else_at_once,
    boxes_of_every_kind,
    organs_beside_nodules,
    organs_alone,
    heard_from_elsewhere,
)
