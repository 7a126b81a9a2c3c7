"""What the place network learns from is what it is asked for: one lesion, at the place, or none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.inference.bundle import Bundle, load_bundle
from imaging.lineage import lineage_of
from imaging.phantom.chest import chest_phantom
from imaging.training import place_grounds as grounds_module
from imaging.training import run_places as module
from imaging.training.loop import Course
from imaging.training.place_grounds import (
    POOL_SIZE,
    RENEW_EVERY_STEPS,
    PlaceGround,
    place_ground,
    place_pool_seeds,
)
from imaging.training.place_loss import place_loss
from imaging.training.places import draw_place
from imaging.training.run_places import Plan, train
from tests.imaging.inference.conftest import make_bundle

SHAPE, SPACING = (60, 150, 160), (2.5, 2.0, 2.0)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(make_bundle(tmp_path_factory.mktemp("detector")), expected_sha256=None)


@pytest.fixture(scope="module")
def ground(detector: Bundle) -> PlaceGround:
    return small_ground(seed=5, detector=detector)


def small_ground(*, seed: int, detector: Bundle) -> PlaceGround:
    case = chest_phantom(seed=seed, shape=SHAPE, spacing_mm=SPACING, nodule_count=10)
    return place_ground(
        name=f"phantom-{seed}",
        volume=case.volume,
        lesions=tuple(nodule.mask for nodule in case.nodules),
        silent=None,
        profile_mm=0.7,
        detector=detector,
    )


def drawn(ground: PlaceGround, number: int, nodule: bool):
    return draw_place(ground=ground, generator=np.random.default_rng([number, 7]), nodule=nodule)


def test_a_sample_follows_from_its_generator_and_ground_alone(ground: PlaceGround) -> None:
    for number in range(4):
        first, second = drawn(ground, number, number % 2 == 0), drawn(ground, number, number % 2 == 0)
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.mask, second.mask)
    assert not np.array_equal(drawn(ground, 0, True).image, drawn(ground, 2, True).image)


def test_a_nodule_lies_at_the_middle_of_its_crop_and_a_negative_holds_no_outline(ground: PlaceGround) -> None:
    distances = []
    for number in range(40):
        positive, negative = drawn(ground, number, True), drawn(ground, number, False)
        assert (negative.nodule, negative.mask.any()) == (False, False)
        assert positive.image.shape == positive.mask.shape == (48, 48, 48)
        assert np.abs(positive.image).max() <= 1.0
        if positive.nodule and positive.mask.any():
            distances.append(np.linalg.norm(np.argwhere(positive.mask) - 23.5, axis=1).min())
    assert len(distances) > 25
    # At the place or, for small ones pointed at carelessly, next to it: in voxels of at most 1.6 mm.
    assert np.mean(np.array(distances) < 4.0) > 0.95


def test_what_is_outlined_is_brighter_than_its_surroundings(ground: PlaceGround) -> None:
    inside, outside = [], []
    for number in range(30):
        sample = drawn(ground, number, True)
        if sample.mask.sum() > 30:
            near = np.zeros_like(sample.mask, dtype=np.bool_)
            near[12:36, 12:36, 12:36] = True
            inside.append(sample.image[sample.mask > 0].mean())
            outside.append(np.median(sample.image[near & (sample.mask == 0)]))
    assert np.mean(np.array(inside) > np.array(outside)) > 0.9


def test_a_neighbour_is_seen_but_not_outlined(ground: PlaceGround, monkeypatch: pytest.MonkeyPatch) -> None:
    from imaging.training import places

    empty = replace(
        ground, lesions=(), lesion_centres=np.zeros((0, 3)), lesion_diameters=np.zeros(0), rim=ground.rim[:0]
    )
    monkeypatch.setattr(places, "NEIGHBOUR_SHARE", 0.0)
    alone = [drawn(empty, number, False) for number in range(12)]
    monkeypatch.setattr(places, "NEIGHBOUR_SHARE", 1.0)
    beside = [drawn(empty, number, False) for number in range(12)]
    assert any(float(np.abs(one.image - two.image).max()) > 0.1 for one, two in zip(alone, beside, strict=True))
    assert not any(sample.mask.any() for sample in beside)


def test_nothing_is_learnt_where_lesions_may_lie_that_nobody_outlined(ground: PlaceGround) -> None:
    from imaging.training.places import _empty_place, _site

    silent = np.zeros(ground.lungs.shape, dtype=np.bool_)
    silent[:, :, : SHAPE[2] // 2] = True
    half = replace(ground, silent=silent)
    generator = np.random.default_rng(0)
    for _ in range(60):
        place, _ = _empty_place(half, generator)
        assert not half.is_silent(place)
        middle = _site(half, generator, 8.0)
        assert middle is None or middle[2] > SHAPE[2] // 2


def test_no_negative_lies_on_a_known_nodule_and_false_reports_are_far_from_all(ground: PlaceGround) -> None:
    from imaging.training.places import _empty_place

    generator = np.random.default_rng(1)
    assert all(ground.gap_mm(place) > 3.0 for place in ground.false_places)
    assert all(ground.gap_mm(_empty_place(ground, generator)[0]) > 3.0 for _ in range(60))


def test_the_pool_forgets_a_phantom_and_takes_a_new_one() -> None:
    first, later = place_pool_seeds(seed=3, step=0), place_pool_seeds(seed=3, step=RENEW_EVERY_STEPS)
    assert len(first) == POOL_SIZE
    assert later == [seed + 1 for seed in first]
    assert not set(first) & set(place_pool_seeds(seed=4, step=10 * RENEW_EVERY_STEPS))


def test_the_loss_is_low_for_the_truth_and_counts_each_of_its_parts() -> None:
    mask = torch.zeros(2, 8, 8, 8)
    mask[0, 2:5, 2:5, 2:5] = 1.0
    nodule = torch.tensor([1.0, 0.0])
    right, told = (2.0 * mask - 1.0) * 12.0, torch.tensor([12.0, -12.0])

    def loss(mask_logits: torch.Tensor, nodule_logits: torch.Tensor) -> float:
        return float(place_loss(mask_logits=mask_logits, nodule_logits=nodule_logits, mask=mask, nodule=nodule))

    assert loss(right, told) < 0.01
    assert loss(right, -told) > 5.0
    assert loss(torch.stack([-right[0], right[1]]), told) > 1.0
    # An outline where there is no nodule costs something, but less than a wrong outline of one.
    spurious = loss(torch.stack([right[0], right[0]]), told)
    assert 0.01 < spurious < loss(torch.stack([-right[0], right[1]]), told)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_states_all_that_it_saw(
    tmp_path: Path, detector: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounds_module, "phantom_place_ground", small_ground)
    monkeypatch.setattr(module, "BATCH", 2)
    course = Course(
        output=tmp_path / "training",
        start_from=None,
        peak_rate=1e-3,
        steps=2,
        minutes=None,
        resume=False,
        seed=3,
        threads=1,
        half_precision=True,
    )
    plan = Plan(course=course, detector=detector.path, backgrounds=None, without=())
    first = torch.load(train(plan), weights_only=True)
    later = replace(plan, course=replace(course, steps=4, resume=True))
    second = torch.load(train(later), weights_only=True)
    assert (first["step"], second["step"]) == (2, 4)
    assert first["network"].keys() == second["averaged"].keys()
    assert not torch.equal(first["averaged"]["outline.weight"], second["averaged"]["outline.weight"])
    lineage = json.loads((course.output / "lineage.json").read_text())
    seen = lineage_of({"lineage": {"seed": 1, "phantom_seeds": [5, 6], "places": lineage}})
    assert range(5, 7) in seen.phantom_seeds
    assert all(
        any(seed in seeds for seeds in seen.phantom_seeds)
        for seed in place_pool_seeds(seed=3, step=int(second["step"]))
    )
    assert lineage["detector_bundle_sha256"] == detector.identity.bundle_sha256
