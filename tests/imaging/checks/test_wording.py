"""How places and numbers are said to people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.words import counted, millimetres, percent, place_in_words, who_marked
from imaging.types import PointMm, Volume
from tests.factories.cases import LEFT_LUNG, RIGHT_LUNG, chest_volume


def where(place_mm: PointMm, volume: Volume) -> str:
    return place_in_words(volume=volume, place_mm=place_mm, body_threshold_hu=-400.0, midline_margin_mm=15.0)


def test_the_image_number_is_the_instance_number_and_the_side_the_patients() -> None:
    # Slice 23 of 40 lies at z = 7 mm; instance numbers run from the head downwards.
    assert where(LEFT_LUNG, chest_volume()) == "image 17, patient's left side"
    assert where(RIGHT_LUNG, chest_volume()) == "image 25, patient's right side"


def test_the_side_is_told_from_the_middle_of_the_body_not_of_the_image() -> None:
    volume = chest_volume()
    rows = [list(row) for row in volume.grid.affine]
    rows[0][3] += 200.0
    moved = replace(volume, grid=replace(volume.grid, affine=tuple(tuple(row) for row in rows)))  # type: ignore[arg-type]  # rows of four
    assert where((180.0, 0.0, 0.0), moved).endswith("patient's right side")


def test_without_instance_numbers_slices_are_counted_from_one() -> None:
    unnumbered = replace(chest_volume(), instance_numbers=(None,) * 40)
    assert where(LEFT_LUNG, unnumbered) == "slice 24 of 40, patient's left side"


def test_no_side_is_named_near_the_middle_or_without_a_body() -> None:
    assert where((5.0, 0.0, 7.0), chest_volume()) == "image 17"
    air = replace(chest_volume(), hounsfield=np.full((40, 64, 64), -1000, dtype=np.int16))
    assert where(LEFT_LUNG, air) == "image 17"


def test_a_place_outside_the_image_has_no_words() -> None:
    assert where((0.0, 0.0, 900.0), chest_volume()) == ""


@pytest.mark.parametrize(
    ("marked", "total", "said"),
    [
        (0, 1, "the only reader did not mark it"),
        (0, 2, "neither of the two readers marked it"),
        (0, 4, "none of the four readers marked it"),
        (1, 4, "one of the four readers marked it"),
        (2, 2, "both readers marked it"),
        (4, 4, "all four readers marked it"),
        (13, 14, "13 of the 14 readers marked it"),
    ],
)
def test_who_marked_a_place_reads_as_a_sentence(marked: int, total: int, said: str) -> None:
    assert who_marked(marked=marked, total=total) == said


def test_numbers_are_said_without_false_precision_or_certainty() -> None:
    assert [percent(probability=value) for value in (0.0, 0.944, 1.0)] == ["1 %", "94 %", "99 %"]
    assert [millimetres(value=value) for value in (2.3, 7.4, 12.0)] == ["2.5 mm", "7 mm", "12 mm"]
    assert [counted(number=value, noun="slice") for value in (1, 3, 20)] == ["one slice", "three slices", "20 slices"]
