"""Probabilities are fitted to what is true, and a voxel counts only where a border may be."""

from pathlib import Path

import numpy as np
import pytest

from imaging.inference.bundle import load_bundle
from imaging.inference.places import Scores
from imaging.phantom.chest import chest_phantom
from imaging.training import fit
from imaging.training.fit_places import Told, fit_nodules, fit_outlines, outline_voxels
from imaging.training.trial_nodules import TrialNodule
from imaging.training.trials import Trial
from imaging.types import Grid, Mask, OutlineOpinion, ProbabilityMap
from tests.imaging.inference.conftest import make_bundle, with_places

GRID = Grid(
    (20, 20, 20), ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), "1.2"
)


def logistic(margin: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-margin))


def test_the_fit_finds_what_each_network_is_worth() -> None:
    generator = np.random.default_rng(0)
    first, place = generator.normal(0.0, 1.5, 6000), generator.normal(0.0, 2.0, 6000)
    truth = generator.random(6000) < logistic(-1.0 + 0.4 * first + 0.9 * place)
    told = [
        Told(Scores(float(logistic(a)), float(b)), bool(one)) for a, b, one in zip(first, place, truth, strict=True)
    ]
    # What neither counts for nor against changes nothing, however many there are.
    told.extend(Told(Scores(0.99, 9.0), None) for _ in range(500))
    found = fit_nodules(told)
    assert (found.intercept, found.first, found.place) == pytest.approx((-1.0, 0.4, 0.9), abs=0.12)


def test_a_network_that_is_wrong_is_not_heard_rather_than_turned_round() -> None:
    generator = np.random.default_rng(1)
    first, place = generator.normal(0.0, 1.5, 2000), generator.normal(0.0, 2.0, 2000)
    truth = generator.random(2000) < logistic(place - 0.5 * first)
    told = [
        Told(Scores(float(logistic(a)), float(b)), bool(one)) for a, b, one in zip(first, place, truth, strict=True)
    ]
    assert fit_nodules(told).first == 0.0


def test_outlines_that_are_too_sure_are_made_less_so() -> None:
    generator = np.random.default_rng(2)
    margin = generator.normal(0.0, 2.0, 8000)
    belongs = generator.random(8000) < logistic(margin)
    found = fit_outlines([(logistic(2.0 * margin), belongs)])
    assert (found.scale, found.offset) == pytest.approx((0.5, 0.0), abs=0.06)
    assert fit_outlines([]).scale == 1.0


def test_voxels_are_taken_in_and_near_the_lesion_only() -> None:
    values = np.zeros((12, 12, 12), dtype=np.float32)
    values[4:8, 4:8, 4:8] = 0.8
    opinion = OutlineOpinion((0.0, 0.0, 0.0), None, 0.0, 0.9, ProbabilityMap(GRID, (2, 3, 4), values))
    truth = Mask(GRID, (6, 7, 8), np.ones((4, 4, 4), dtype=np.bool_))
    probability, belongs = outline_voxels(opinion=opinion, truth=truth, generator=np.random.default_rng(0))
    assert int(belongs.sum()) == 64
    assert set(np.round(probability[belongs], 3)) == {0.8}
    assert set(probability[~belongs]) == {0.0}
    assert len(probability) < 64 + 300
    outside = Mask(GRID, (19, 0, 0), np.ones((1, 1, 1), dtype=np.bool_))
    assert len(outline_voxels(opinion=opinion, truth=outside, generator=np.random.default_rng(0))[0]) == 0


def test_a_fit_of_both_networks_is_what_the_export_takes_and_gives_scores_as_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = chest_phantom(seed=21, shape=(40, 112, 112), spacing_mm=(4.0, 3.0, 3.0), nodule_count=6)
    own = tuple(
        TrialNodule(one.centre_mm, one.diameter_mm, one.attenuation.value, one.mask, one.shows) for one in case.nodules
    )
    monkeypatch.setattr(fit, "calibration_trials", lambda scans: iter([Trial("phantom", case.volume, own, ())]))
    bundle = load_bundle(with_places(make_bundle(tmp_path)), expected_sha256=None)
    found = fit.fit_both(bundle=bundle, scans=tmp_path)
    assert set(found.content) == {"calibration", "place_calibration", "outline_calibration"}
    assert found.bundle.settings.places is not None
    fitted = found.bundle.settings.places.calibration
    assert found.content["place_calibration"] == {
        "intercept": fitted.intercept,
        "first": fitted.first,
        "place": fitted.place,
    }
    [outcome] = found.outcomes
    assert len(outcome.hits) == len(own)
    scores = [*outcome.false_scores, *(score for _, score, _ in outcome.hits if score is not None)]
    # An untrained network finds as many nodules as chance does, and is believed accordingly.
    assert len(scores) > 5
    share = sum(score is not None for _, score, _ in outcome.hits) / len(scores)
    assert np.mean(scores) == pytest.approx(share, abs=0.05)
