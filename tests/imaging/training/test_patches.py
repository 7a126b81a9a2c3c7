"""Patches are what the loss thinks they are, and trials count as the rules say."""

import numpy as np
import pytest
import torch

from imaging.inference.sampling import WorkingVolume
from imaging.phantom.chest import chest_phantom
from imaging.training.backgrounds import WORKING_MM, Ground, make_ground
from imaging.training.log_filter import blob_candidates
from imaging.training.losses import centre_loss, mask_loss
from imaging.training.patches import SIZE, draw_patch
from imaging.training.pool import POOL_SIZE, RENEW_EVERY_STEPS, pool_seeds
from imaging.training.trial_nodules import insert_trial_nodules
from imaging.training.trials import Trial, calibration_of, judge, threshold_at
from imaging.types import Candidate, Sphere


@pytest.fixture(scope="module")
def ground() -> Ground:
    case = chest_phantom(seed=2, shape=(96, 160, 160), spacing_mm=(2.0, 2.0, 2.0), nodule_count=0)
    working = WorkingVolume(
        case.volume.hounsfield.astype(np.float32).repeat(1, axis=0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), WORKING_MM
    )
    silent = np.zeros(case.lungs.shape, dtype=np.bool_)
    silent[:, :, :40] = True
    return make_ground(
        name="small",
        uid="2.25.7",
        working=working,
        silent=silent,
        lesions=np.zeros_like(silent),
        centres=np.zeros((0, 4)),
        slice_blur_mm=0.6,
        smallest=SIZE,
    )


def test_the_same_draw_gives_the_same_patch(ground: Ground) -> None:
    first, second = (draw_patch(ground=ground, generator=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.heat, second.heat)


def test_patches_have_nodules_with_centres_in_them_and_some_have_none(ground: Ground) -> None:
    patches = [draw_patch(ground=ground, generator=np.random.default_rng(seed)) for seed in range(24)]
    filled = [patch for patch in patches if patch.mask.any()]
    assert 6 <= len(filled) < 24
    for patch in patches:
        assert patch.image.shape == (SIZE, SIZE, SIZE)
        assert patch.image.min() >= -1.0
        assert patch.image.max() <= 1.0
        assert set(np.unique(patch.weight)) <= {0.0, 1.0}
        assert not (patch.heat[patch.mask == 0] > 0.999).sum() > 2, "a centre lies in its nodule, or beside a crescent"
    centres = sum(int((patch.heat > 0.999).any()) for patch in filled)
    assert centres >= 0.8 * len(filled)


def test_losses_prefer_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, 8, 8, 8, generator=generator) > 0.8).float()
    heat = torch.zeros(1, 8, 8, 8)
    heat[0, 4, 4, 4] = 1.0
    weight = torch.ones_like(mask)
    right, wrong = 8.0 * (2.0 * mask - 1.0), -8.0 * (2.0 * mask - 1.0)
    assert mask_loss(logits=right, mask=mask, weight=weight) < 0.2
    assert mask_loss(logits=wrong, mask=mask, weight=weight) > 1.0
    peak = 8.0 * (2.0 * heat - 1.0)
    assert centre_loss(logits=peak, heat=heat, weight=weight) < centre_loss(logits=-peak, heat=heat, weight=weight)


def test_silent_voxels_cost_nothing() -> None:
    mask, weight = torch.zeros(1, 4, 4, 4), torch.ones(1, 4, 4, 4)
    weight[:, :2] = 0.0
    quiet, loud = torch.full_like(mask, -8.0), torch.full_like(mask, -8.0)
    loud[:, :2] = 8.0
    assert mask_loss(logits=loud, mask=mask, weight=weight) == mask_loss(logits=quiet, mask=mask, weight=weight)
    heat = torch.zeros_like(mask)
    assert centre_loss(logits=loud, heat=heat, weight=weight) == centre_loss(logits=quiet, heat=heat, weight=weight)


def test_the_pool_renews_one_phantom_at_a_time() -> None:
    first = pool_seeds(seed=1, step=0)
    later = pool_seeds(seed=1, step=RENEW_EVERY_STEPS)
    assert len(set(first)) == POOL_SIZE
    assert len(set(first) & set(later)) == POOL_SIZE - 1


def test_trial_nodules_are_found_where_they_were_put() -> None:
    case = chest_phantom(seed=6, shape=(60, 160, 160), spacing_mm=(2.5, 2.0, 2.0), nodule_count=0)
    clear = (Sphere((-60.0, 0.0, 0.0), 40.0),)
    volume, nodules = insert_trial_nodules(volume=case.volume, diameters_mm=(8.0, 12.0, 18.0), keep_clear=clear, seed=3)
    assert len(nodules) >= 2
    for nodule in nodules:
        assert np.linalg.norm(np.subtract(nodule.centre_mm, clear[0].centre_mm)) > 20.0
    outcome = judge(trial=Trial("t", volume, nodules, ()), candidates=blob_candidates(volume=volume))
    assert any(score is not None for _, score, _ in outcome.hits), "even a blob filter sees a large one"


def test_a_nodule_is_found_once_and_a_second_candidate_on_it_is_not_counted_false() -> None:
    case = chest_phantom(seed=6, shape=(60, 160, 160), spacing_mm=(2.5, 2.0, 2.0), nodule_count=0)
    volume, nodules = insert_trial_nodules(volume=case.volume, diameters_mm=(12.0,), keep_clear=(), seed=3)
    x, y, z = nodules[0].centre_mm
    candidates = [
        Candidate((x, y, z), 10.0, 0.9),
        Candidate((x + 1.0, y, z), 10.0, 0.8),
        Candidate((x + 60.0, y, z), 10.0, 0.7),
        Candidate((x, y + 50.0, z), 10.0, 0.6),
    ]
    ignored = (Sphere((x, y + 50.0, z), 12.0),)
    outcome = judge(trial=Trial("t", volume, nodules, ignored), candidates=candidates)
    assert [score for _, score, _ in outcome.hits] == [0.9]
    assert outcome.false_scores == (0.7,)
    assert threshold_at(outcomes=[outcome], false_per_scan=1.0) == 0.0
    assert threshold_at(outcomes=[outcome], false_per_scan=0.0) == 0.7


def test_calibration_rises_and_follows_the_share_of_hits() -> None:
    from imaging.training.trials import Outcome

    generator = np.random.default_rng(0)
    raw = generator.uniform(0.05, 0.95, 4000)
    hit = generator.random(4000) < raw**2
    outcome = Outcome(
        tuple((5.0, float(score), None) for score in raw[hit]), tuple(float(score) for score in raw[~hit])
    )
    curve = calibration_of([outcome])
    values = [probability for _, probability in curve]
    assert values == sorted(values)
    assert np.interp(0.5, *zip(*curve, strict=True)) == pytest.approx(0.25, abs=0.08)
