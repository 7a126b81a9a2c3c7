"""Ratings against other readers, against what is habitual for the size, and against the reader's own other sheets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.issues import features_of
from imaging.checks.rating_habits import APART, COUNTS, expected_rating, share_apart, tail_share
from imaging.checks.rules_words import said_value
from imaging.checks.wrong_category import WrongCategory
from imaging.types import LIDC_SCALES, AnnotationSet, LabelIssue
from tests.factories.cases import LEFT_LUNG, RIGHT_LUNG, ball, case, outlined, reader
from tests.imaging.scoring.examples import PATIENT

scales = st.sampled_from(sorted(COUNTS))
sizes = st.floats(min_value=1.0, max_value=60.0)


def rated(set_id: str, *ratings: dict[str, int]) -> AnnotationSet:
    places = [(20.0, 3.0, -25.0), LEFT_LUNG, RIGHT_LUNG, (20.0, 3.0, 25.0), (-20.0, -6.0, 15.0)]
    return reader(
        set_id,
        *(
            outlined(
                finding_id=f"{set_id}-{number}",
                mask=ball(centre_mm=place, diameter_mm=9.0),
                characteristics=given_ratings,
            )
            for number, (place, given_ratings) in enumerate(zip(places, ratings, strict=False))
        ),
    )


def unlike(*sets: AnnotationSet, report_from: float = CHEST_CT_NODULES.report_from) -> list[LabelIssue]:
    parameters = replace(CHEST_CT_NODULES, report_from=report_from)
    found = WrongCategory().run(case=case(*sets), parameters=parameters)
    return [issue for issue in found if issue.evidence["kind"] == "rating-unlike"]


@PATIENT
@given(scales, sizes)
def test_shares_are_shares_whatever_the_size(scale: str, diameter: float) -> None:
    low, high = LIDC_SCALES[scale]
    tails = [tail_share(scale=scale, rating=rating, diameter_mm=diameter) for rating in range(low, high + 1)]
    assert all(0 < tail <= 1 for tail in tails)
    assert low < expected_rating(scale=scale, diameter_mm=diameter) < high


@PATIENT
@given(scales, st.floats(min_value=0, max_value=4), st.floats(min_value=0, max_value=4))
def test_the_farther_apart_the_rarer(scale: str, first: float, second: float) -> None:
    nearer, farther = sorted((first, second))
    assert share_apart(scale=scale, points=nearer) >= share_apart(scale=scale, points=farther)


def test_the_seven_ordered_scales_have_habits_and_the_two_that_name_kinds_have_none() -> None:
    assert set(COUNTS) == set(APART) == set(LIDC_SCALES) - {"calcification", "internalStructure"}


def test_a_large_nodule_is_seldom_called_benign_and_a_small_one_seldom_malignant() -> None:
    assert tail_share(scale="malignancy", rating=1, diameter_mm=25.0) < 0.1
    assert tail_share(scale="malignancy", rating=5, diameter_mm=4.0) < 0.1
    assert tail_share(scale="malignancy", rating=5, diameter_mm=25.0) == 1.0


def test_one_rating_far_from_three_others_is_asked_about_with_what_they_gave() -> None:
    (issue,) = unlike(*(rated(name, {"subtlety": 5}) for name in "abc"), rated("d", {"subtlety": 1}))
    assert (issue.annotation_set_id, issue.evidence["characteristic"], issue.evidence["usual"]) == ("d", "subtlety", 5)
    assert "the median of three other readers of the nodule is 5" in issue.reason
    assert features_of(issue=issue)["others_gap"] == 4.0
    assert features_of(issue=issue)["alone_gap"] == 4.0


def test_a_rating_that_one_other_reader_shares_is_less_suspect_than_one_that_nobody_comes_near() -> None:
    def score(*others: int) -> float:
        sets = [rated(name, {"malignancy": given}) for name, given in zip("abc", others, strict=True)]
        return max(
            issue.score
            for issue in unlike(*sets, rated("d", {"malignancy": 5}), report_from=0.001)
            if issue.annotation_set_id == "d"
        )

    assert score(2, 2, 2) > score(2, 2, 5)


@pytest.mark.parametrize("ratings", [(3, 4, 3, 2), (1, 2, 2, 3)])
def test_readers_who_differ_by_a_point_or_two_are_left_alone(ratings: tuple[int, ...]) -> None:
    sets = [rated(name, {"malignancy": value}) for name, value in zip("abcd", ratings, strict=True)]
    assert unlike(*sets) == []


def test_what_all_other_sheets_of_a_reader_contradict_is_stranger_than_what_they_repeat() -> None:
    repeated = unlike(rated("a", *({"malignancy": 5} for _ in range(5))), report_from=0.01)
    single = unlike(rated("a", {"malignancy": 5}, *({"malignancy": 1} for _ in range(4))), report_from=0.01)
    own = {issue.finding_id: features_of(issue=issue).get("own_gap", 0.0) for issue in single}
    assert own["a-0"] >= 3.0
    assert all(features_of(issue=issue)["own_gap"] < 1.0 for issue in repeated)
    assert max(issue.score for issue in single) > max(issue.score for issue in repeated)


def test_a_lobulation_read_backwards_is_left_to_the_whole_reading() -> None:
    assert unlike(*(rated(name, {"lobulation": 1}) for name in "abc"), rated("d", {"lobulation": 5})) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("diameter_mm", 4.2, "the diameter is 4.2 mm"),
        ("category", "non-nodule", "the category is non-nodule"),
        ("features.volume_mm3", 128.0, "the volume is 128 mm³"),
        ("features.box_fill_share", 0.52, "the box fill is 52%"),
        ("features.slices_count", 7.0, "the number of slices is 7"),
        ("characteristics.malignancy", 5, "the malignancy is 5"),
        ("acquisition.kernel", "B30f", "the acquisition's kernel is B30f"),
        ("count.nodule >= 3 mm", 3, "the number of labels (nodule >= 3 mm) is 3"),
        ("most.diameter_mm", 12.0, "the largest diameter is 12 mm"),
        ("second.diameter_mm", 9.0, "the second mark's diameter is 9 mm"),
        ("ratio.features.volume_mm3", 2.5, "the ratio of volume is 2.5"),
    ],
)
def test_a_rules_value_is_said_in_words_with_its_unit(name: str, value: str | float, said: str) -> None:
    assert said_value(name=name, value=value) == said
