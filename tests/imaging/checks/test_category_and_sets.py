"""Classes against the model, ratings against voxels and other readers, whole sets astray, and recorded parameters."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from time import process_time

import pytest

from imaging.checks.base import CHEST_CT_NODULES, parameters_from_record
from imaging.checks.displacement import Displacement, displace
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.checks.issues import features_of
from imaging.checks.registry import REGISTRY
from imaging.checks.wrong_category import WrongCategory
from imaging.errors import NotApplicable
from imaging.types import AnnotationSet, Case, Category, LabelIssue, PointMm
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    ball,
    candidate,
    case,
    four_readers,
    nodule,
    opinion,
    outlined,
    painted,
    point,
    prediction,
    reader,
)

MASK = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0)


def category(looked_at: Case) -> tuple[LabelIssue, ...]:
    return WrongCategory().run(case=looked_at, parameters=CHEST_CT_NODULES)


def asked(probability: float) -> Case:
    non_nodule = point(finding_id="a-1", place_mm=LEFT_LUNG, category=Category.NON_NODULE)
    answer = replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=9.0, certainty=0.9), nodule_probability=probability)
    return case(reader("a", non_nodule), predicted=prediction(outlines=(answer,)))


def test_a_non_nodule_in_which_the_model_sees_a_nodule_is_to_be_recategorised() -> None:
    (issue,) = category(asked(0.97))
    assert issue.evidence["kind"] == "model"
    assert issue.score > 0.5
    assert issue.proposals[0].category is Category.NODULE_GE_3MM
    assert category(asked(0.1)) == ()


def test_the_model_decides_between_two_readers_who_contradict_each_other() -> None:
    other = outlined(finding_id="b-1", mask=MASK, category=Category.NON_NODULE)
    scores = {}
    for probability in (0.05, 0.95):
        answer = replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=9.0, certainty=0.9), nodule_probability=probability)
        sets = (reader("a", outlined(finding_id="a-1", mask=MASK)), reader("b", other))
        found = category(case(*sets, predicted=prediction(outlines=(answer,))))
        scores[probability] = max((issue.score for issue in found), default=0.0)
    assert scores[0.05] < 0.5 < scores[0.95]


def test_a_point_mark_is_measured_by_the_other_readers_outlines() -> None:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    (issue,) = category(case(*sets[:3], reader("d", point(finding_id="d-1", place_mm=LEFT_LUNG))))
    assert issue.finding_id == "d-1"
    assert "of the outline of three other readers here" in issue.reason


@pytest.mark.parametrize(
    ("ratings", "hounsfield", "suspect"),
    [
        ({"calcification": 6}, 700, True),
        ({"calcification": 6}, 30, False),
        ({"calcification": 3}, 20, True),
        ({"calcification": 3}, 700, False),
        ({"texture": 5}, -700, True),
        ({"texture": 5}, 30, False),
        ({"texture": 1}, 60, True),
        ({"texture": 1}, -600, False),
        ({"internalStructure": 4}, 30, True),
        ({"internalStructure": 1}, 30, False),
    ],
)
def test_a_rating_that_the_voxels_contradict_is_asked_about(
    ratings: dict[str, int], hounsfield: int, suspect: bool
) -> None:
    label = outlined(finding_id="a-1", mask=MASK, characteristics=ratings)
    found = category(painted(case(reader("a", label)), MASK, hounsfield=hounsfield))
    assert [issue.evidence["kind"] for issue in found] == (["rating-against-image"] if suspect else [])
    assert all(issue.score > 0.5 for issue in found)


def rated(name: str, ratings: tuple[int, int], places: tuple[PointMm, ...]) -> AnnotationSet:
    return reader(
        name,
        *(
            outlined(
                finding_id=f"{name}-{number}",
                mask=ball(centre_mm=place, diameter_mm=9.0),
                characteristics={"spiculation": ratings[0], "lobulation": ratings[1]},
            )
            for number, place in enumerate(places)
        ),
    )


def test_a_scale_read_backwards_is_told_by_several_lesions_and_hardly_by_one() -> None:
    scores = []
    for places in ((LEFT_LUNG,), (LEFT_LUNG, RIGHT_LUNG)):
        found = category(case(*(rated(name, (1, 1), places) for name in "abc"), rated("d", (5, 5), places)))
        inverted = [issue for issue in found if issue.evidence["kind"] == "inverted-scale"]
        assert {issue.annotation_set_id for issue in inverted} <= {"d"}
        scores.append(max((issue.score for issue in inverted), default=0.0))
        assert all(features_of(issue=issue)["gap_inverted"] == 0.0 for issue in inverted)
    assert scores[0] < 0.5 < scores[1]


def test_ratings_that_differ_by_a_step_are_no_inverted_scale() -> None:
    places = (LEFT_LUNG, RIGHT_LUNG)
    assert category(case(*(rated(name, (2, 3), places) for name in "abc"), rated("d", (3, 4), places))) == ()


PLACES: tuple[PointMm, ...] = ((21.5, 3.0, 7.0), (-20.0, -9.0, -9.0), (20.0, -12.0, -15.0))
TRUE = tuple(ball(centre_mm=place, diameter_mm=9.0) for place in PLACES)


@pytest.mark.parametrize(
    "displacement",
    [Displacement(slices=5, mirrored=None), Displacement(slices=0, mirrored="rows"), Displacement(0, "columns")],
    ids=lambda one: one.words(),
)
@pytest.mark.parametrize("with_model", [True, False])
def test_one_readers_displaced_set_is_found_by_the_model_or_by_the_image_alone(
    displacement: Displacement, with_model: bool
) -> None:
    moved = [displace(mask=mask, displacement=displacement) for mask in TRUE]
    labels = [outlined(finding_id=f"a-{number}", mask=mask) for number, mask in enumerate(moved) if mask is not None]
    seen = prediction(*(candidate(centre_mm=place, diameter_mm=9.0, probability=0.9) for place in PLACES))
    looked_at = painted(case(reader("a", *labels), predicted=seen if with_model else None), *TRUE)
    found = GeometryMismatch().run(case=looked_at, parameters=CHEST_CT_NODULES)
    told = [issue for issue in found if issue.evidence["kind"] in ("displaced", "misfit")]
    assert {issue.finding_id for issue in told} == {"a-0", "a-1", "a-2"}
    assert all(issue.score > 0.5 for issue in told)


def test_a_set_of_which_nothing_lies_on_anything_may_belong_to_another_image() -> None:
    labels = [outlined(finding_id=f"a-{number}", mask=mask) for number, mask in enumerate(TRUE)]
    looked_at = case(reader("a", *labels), predicted=prediction())
    found = GeometryMismatch().run(case=looked_at, parameters=CHEST_CT_NODULES)
    assert [issue.evidence["kind"] for issue in found] == ["elsewhere"] * 3
    assert all(issue.score > 0.9 for issue in found)
    one_fits = painted(looked_at, TRUE[0])
    assert GeometryMismatch().run(case=one_fits, parameters=CHEST_CT_NODULES) == ()


def test_a_runs_record_gives_its_parameters_back_and_another_versions_none() -> None:
    record = json.loads(json.dumps(asdict(CHEST_CT_NODULES)))
    assert parameters_from_record(record=record) == CHEST_CT_NODULES
    del record["neck_share"]
    with pytest.raises(ValueError, match=r"another version of the checks.*neck_share"):
        parameters_from_record(record=record)


def crowded(per_lung: int) -> Case:
    """Four readers who all marked every place of a lattice in both lungs."""
    steps = range(per_lung)
    places = [(side * 20.0, 12.0 * (step % 4) - 18.0, 12.0 * (step // 4) - 24.0) for side in (-1, 1) for step in steps]
    sets = [
        reader(
            name,
            *(
                nodule(finding_id=f"{name}-{number:02d}", centre_mm=place, diameter_mm=8.0 + number % 3)
                for number, place in enumerate(places)
            ),
        )
        for name in "abcd"
    ]
    seen = [candidate(centre_mm=place, diameter_mm=8.0, probability=0.8) for place in places]
    answers = tuple(
        replace(opinion(centre_mm=place, diameter_mm=8.0, certainty=0.9), nodule_probability=0.8) for place in places
    )
    return case(*sets, predicted=prediction(*seen, outlines=answers))


def seconds(looked_at: Case) -> float:
    began = process_time()
    for check in REGISTRY:
        try:
            check.run(case=looked_at, parameters=CHEST_CT_NODULES)
            check.abstentions(case=looked_at, parameters=CHEST_CT_NODULES)
        except NotApplicable:
            continue
    return process_time() - began


def test_all_checks_together_grow_about_linearly_with_the_findings() -> None:
    seconds(crowded(1))
    # The quickest of several: a busy machine only ever adds to what a run takes.
    few = min(seconds(crowded(5)) for _ in range(3))
    many = min(seconds(crowded(20)) for _ in range(3))
    # 40 findings against 160: linear is 4, quadratic 16; the rest is what a busy machine needs.
    assert many < 7 * few
