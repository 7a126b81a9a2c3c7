"""Spoilt cases: kept on disk, made anew where what was kept no longer fits, with every kind often enough."""

from collections import Counter
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.phantom.chest import chest_phantom
from imaging.phantom.label_errors import ErrorKind, Severity
from imaging.training import spoilt
from imaging.training.spoilt import HIGH_COUNT, Rate, spoilt_cases, wishes_for
from imaging.training.spoilt_grounds import BENCHMARK_SEEDS, FIT_SEEDS

SCANS = 100


def test_a_hundred_scans_ask_for_every_kind_at_least_fifty_times() -> None:
    asked = Counter(
        wish.kind
        for seed in range(BENCHMARK_SEEDS.start, BENCHMARK_SEEDS.start + SCANS)
        for readers in HIGH_COUNT
        for wish in wishes_for(seed=seed, readers=readers)
    )
    assert set(asked) == set(ErrorKind)
    assert min(asked.values()) >= 50
    assert min(count for kind, count in asked.items() if not kind.of_a_whole_set) >= 80


def test_every_kind_is_asked_for_at_every_severity() -> None:
    asked = Counter(
        (wish.kind, wish.severity)
        for seed in range(FIT_SEEDS.start, FIT_SEEDS.start + SCANS)
        for readers in HIGH_COUNT
        for wish in wishes_for(seed=seed, readers=readers)
    )
    assert set(asked) == {(kind, severity) for kind in ErrorKind for severity in Severity}


def test_seeds_outside_both_ranges_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    bundle = load_bundle(shipped_bundle(), expected_sha256=None)
    wrong = spoilt_cases(
        folder=tmp_path / "cases",
        seeds=range(70_000_000, 70_000_001),
        readers=(1,),
        rates=(Rate.CLEAN,),
        bundle=bundle,
        backgrounds=None,
        threads=1,
    )
    with pytest.raises(ValueError, match="neither for fitting nor for the benchmark"):
        next(wrong)
    assert not (tmp_path / "cases").exists()


def test_what_was_kept_comes_back_and_half_a_file_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "kept.bin"
    spoilt.keep(path, (1, "two", np.arange(3)))
    again = spoilt.kept_at(path)
    assert isinstance(again, tuple) and again[:2] == (1, "two")
    assert [one.name for one in tmp_path.iterdir()] == ["kept.bin"]
    assert spoilt.kept_at(tmp_path / "other.bin") is None


def test_what_lacks_a_field_of_today_is_made_anew() -> None:
    @dataclass(frozen=True, slots=True)
    class Inner:
        one: int
        two: int

    whole = make_dataclass("Outer", [("inner", tuple)], frozen=True)((Inner(1, 2),))
    assert spoilt._complete(whole)
    old = object.__new__(Inner)
    object.__setattr__(old, "one", 1)
    assert not spoilt._complete(make_dataclass("Outer", [("inner", tuple)], frozen=True)((old,)))


def test_a_nodule_that_a_vessel_hides_is_in_no_readers_set_and_no_flag_on_it_counts() -> None:
    known = chest_phantom(seed=7, shape=(36, 96, 96), spacing_mm=(2.5, 2.5, 2.5), nodule_count=4)
    first, *rest = known.nodules
    hidden = replace(known, nodules=(replace(first, shows=False), *rest))
    seen, excused = spoilt._that_shows(hidden)
    assert first.nodule_id not in {one.nodule_id for one in seen.nodules}
    assert ("", first.centre_mm) in {(one.set_id, one.place_mm) for one in excused}


def test_places_nearer_than_a_voxel_are_asked_about_once_and_each_label_gets_its_answer() -> None:
    near = [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 3.0, 0.0)]
    assert spoilt.asked_of(near) == (near[0], near[2])
    assert spoilt._nearest(near[1], spoilt.asked_of(near)) == (near[0], 0.5)
