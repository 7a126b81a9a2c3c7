"""Clusters of alike flags, and what is not one."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.scoring.patterns import LabelPlace, Sighting, direction_of, patterns
from imaging.scoring.subgroups import Member, fisher, subgroup_notes

READERS = ("anna", "ben", "carla", "dan")


def labels(*, each: int = 14) -> list[LabelPlace]:
    return [
        LabelPlace(f"{reader}-{number}", "label", {"reader": reader, "scanner": f"ct-{number % 3}", "delivery": ""})
        for reader in READERS
        for number in range(each)
    ]


def outside(reader: str, number: int, millimetres: float = 2.0) -> Sighting:
    key = f"{reader}-{number}"
    return Sighting(f"flag-{key}", key, f"set-{key}", "boundary", "boundary, outside", deviation_mm=millimetres)


def moved(number: int, way: tuple[float, float, float], *, set_key: str = "") -> Sighting:
    of_set = set_key or f"set-{number}"
    return Sighting(f"flag-{number}", of_set, of_set, "geometry_mismatch", "geometry_mismatch", None, way)


def test_a_readers_habit_is_one_pattern_with_its_size_and_a_likely_cause() -> None:
    seen = [outside("anna", number, 1.8 + 0.1 * (number % 5)) for number in range(12)] + [outside("ben", 3)]
    (pattern,) = patterns(labels=labels(), sightings=seen)
    assert (pattern.grouping, pattern.group, pattern.labels) == ("reader", "anna", 14)
    assert len(pattern.flags) == 12
    assert pattern.words == (
        "12 of 14 labels of reader “anna” run 2.0 mm outside (1 of 42 elsewhere): a display window or the margin that "
        "the guideline asks for may be understood differently."
    )
    assert pattern.p_value < 0.001


def test_flags_spread_evenly_are_no_pattern() -> None:
    seen = [outside(reader, number) for reader in READERS for number in range(6)]
    assert patterns(labels=labels(), sightings=seen) == ()


def test_four_flags_that_chance_explains_are_no_pattern() -> None:
    seen = [outside("anna", number) for number in range(4)] + [outside("ben", 1), outside("dan", 2)]
    assert patterns(labels=labels(), sightings=seen) == ()


def test_where_everything_is_one_readers_there_is_nothing_to_compare_with() -> None:
    alone = [one for one in labels() if one.groups["reader"] == "anna"]
    alone = [LabelPlace(one.key, one.unit, {"reader": "anna"}) for one in alone]
    assert patterns(labels=alone, sightings=[outside("anna", number) for number in range(12)]) == ()


def test_a_significant_trifle_in_a_large_group_is_no_pattern() -> None:
    many = labels(each=400)
    seen = [outside("anna", number) for number in range(40)]
    assert fisher(here=40, outside=0, inside=400, total=1600) < 1e-6
    assert patterns(labels=many, sightings=seen) == ()


def test_chance_alone_seldom_shows_a_pattern() -> None:
    generator = np.random.default_rng(5)
    shown = 0
    for _ in range(200):
        chosen = generator.choice(4 * 14, size=16, replace=False)
        seen = [outside(READERS[place // 14], int(place % 14)) for place in chosen]
        shown += bool(patterns(labels=labels(), sightings=seen))
    assert shown <= 4


def test_what_is_missing_is_counted_among_sets_and_what_is_wrong_among_labels() -> None:
    sets = [LabelPlace(f"set-{reader}-{n}", "set", {"reader": reader}) for reader in READERS for n in range(10)]
    seen = [Sighting(f"m-{n}", f"set-dan-{n}", f"set-dan-{n}", "missing_nodule", "missing_nodule") for n in range(9)]
    (pattern,) = patterns(labels=[*labels(), *sets], sightings=seen)
    assert pattern.words.startswith("9 of 10 sets of reader “dan” are flagged for “missing nodule” (0 of 30 elsewhere)")


def test_labels_of_several_sets_displaced_alike_are_one_pattern() -> None:
    others = [moved(number + 20, (0.0, 0.0, 2.5 * number)) for number in range(1, 4)]
    seen = [moved(number, (0.1, -0.2, -5.0 + 0.1 * number)) for number in range(5)] + others
    (pattern,) = patterns(labels=labels(), sightings=seen)
    assert (pattern.grouping, len(pattern.flags)) == ("way", 5)
    assert pattern.words.startswith("5 labels of 5 sets are displaced alike, by (0.1, -0.2, -4.8) mm (LPS)")


def test_the_labels_of_one_displaced_set_are_one_error_and_no_pattern() -> None:
    seen = [moved(number, (0.0, 0.0, -5.0), set_key="one set") for number in range(8)]
    assert patterns(labels=labels(), sightings=seen) == ()


@pytest.mark.parametrize(
    ("millimetres", "kind"),
    [(1.2, "boundary, outside"), (-0.4, "boundary, inside"), (None, "boundary"), (0.0, "boundary")],
)
def test_an_outline_too_wide_and_one_too_narrow_are_two_kinds(millimetres: float | None, kind: str) -> None:
    assert direction_of(check="boundary", deviation_mm=millimetres) == kind


def members() -> list[Member]:
    return [
        Member(f"m{number}", {"category": "ground-glass" if number < 12 else "solid", "reader": READERS[number % 4]})
        for number in range(100)
    ]


def test_a_check_that_mostly_fires_on_a_rare_group_is_named() -> None:
    flagged = [("boundary", f"m{number}") for number in (*range(8), 40, 50)]
    (note,) = subgroup_notes(members=members(), flagged=flagged)
    assert (note.check, note.grouping, note.group) == ("boundary", "category", "ground-glass")
    assert note.words.startswith(
        "8 of the 10 flags of the check “boundary” are of category “ground-glass”, which has 12 of 100 labels."
    )


@pytest.mark.parametrize(
    "flagged",
    [
        [("boundary", f"m{number}") for number in (0, 1, 2, 3)],
        [("boundary", f"m{number}") for number in (0, 1, 2, *range(20, 40))],
        [("boundary", f"m{number}") for number in range(20, 60)],
        [("boundary", f"unknown{number}") for number in range(20)],
    ],
    ids=["too few", "not mostly", "not small", "no members"],
)
def test_nothing_is_said_of_a_group_without_need(flagged: list[tuple[str, str]]) -> None:
    assert subgroup_notes(members=members(), flagged=flagged) == ()
