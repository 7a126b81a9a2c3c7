"""What is told by going through neighbours alone is what going through everything tells."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest

from imaging.checks.displacement import best_overlaps
from imaging.checks.near import Others, Places
from imaging.masks import matching
from imaging.masks.build import mask_from_voxels
from imaging.masks.overlap import jaccard
from imaging.types import AnnotationSet, Category, Finding, Grid, Mask, SetKind

GRID = Grid(
    (60, 90, 90),
    ((0.0, 0.0, 0.8, 0.0), (0.0, 0.8, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
    "1.2.3",
)
PLACES = [(float(x), float(y), float(z)) for x, y, z in np.random.default_rng(5).integers(0, 20, size=(80, 3)).tolist()]


def _ball(origin: tuple[int, int, int], size: int) -> Mask:
    return mask_from_voxels(grid=GRID, voxels=np.ones((2, size, size), dtype=np.bool_), origin=origin)


def test_places_within_a_distance_are_those_that_every_distance_says() -> None:
    reaches = [number % 4 for number in range(len(PLACES))]
    places = Places(PLACES, reaches)

    for centre in PLACES[:20]:
        for mm in (0.0, 2.0, 5.0):
            wanted = tuple(
                number
                for number, (place, reach) in enumerate(zip(PLACES, reaches, strict=True))
                if math.dist(centre, place) <= reach + mm
            )
            assert places.within(place_mm=centre, mm=mm) == wanted


def test_the_nearest_place_is_the_first_of_equals() -> None:
    places = Places([(4.0, 0.0, 0.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)])

    assert places.nearest(place_mm=(0.0, 0.0, 0.0)) == (1, 1.0)
    with pytest.raises(ValueError, match="no place"):
        Places([]).nearest(place_mm=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("values", [[3.0, 1.0], [2.0, 2.0, 5.0], [4.0, 1.0, 3.0, 3.0], [9.0, 7.0, 1.0, 2.0, 4.0]])
def test_the_median_of_the_others_is_that_of_what_is_left(values: list[float]) -> None:
    others = Others(values)

    for number, own in enumerate(values):
        rest = [value for place, value in enumerate(values) if place != number]
        assert others.median_without(own) == median(rest)


def test_nothing_can_be_compared_with_one_number_alone() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        Others([1.0]).median_without(1.0)


def test_outlines_in_common_cells_alone_are_compared_and_none_is_lost() -> None:
    outlines = [_ball((number % 50, 3 * number % 70, 7 * number % 70), 5 + number % 9) for number in range(40)]
    references = [_ball((number % 48 + 1, 3 * number % 69, 7 * number % 68), 6) for number in range(0, 40, 2)]

    wanted = tuple(max(jaccard(one, other) for other in references) for one in outlines)

    assert best_overlaps(outlines=outlines, references=references) == wanted
    assert any(wanted)


def test_lesions_are_matched_without_comparing_what_lies_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = tuple(
        AnnotationSet(
            set_id=f"reader-{reader}",
            reader_label="",
            kind=SetKind.READER,
            read=True,
            findings=tuple(
                Finding(
                    f"reader-{reader}/{number}",
                    Category.NODULE_GE_3MM,
                    mask=_ball((8 * (number // 9) + 1, 28 * (number % 3) + 3 + reader, 28 * (number // 3 % 3) + 3), 5),
                )
                for number in range(54)
            ),
        )
        for reader in (0, 1)
    )
    compared: list[tuple[str, str]] = []
    told = matching._closeness

    def counted(first: matching._Member, second: matching._Member) -> tuple[int, float] | None:
        compared.append(first.key)
        return told(first, second)

    monkeypatch.setattr(matching, "_closeness", counted)

    lesions = matching.match_lesions(sets)

    assert [len(lesion.members) for lesion in lesions] == [2] * 54
    # All pairs are 5,778; a label has its twin and its nearest neighbours to be compared with.
    assert len(compared) < 1500
