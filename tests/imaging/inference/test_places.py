"""The place network outlines the lesion that is asked about, says how sure it is, and is no part of older bundles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imaging.errors import BundleError
from imaging.inference.backends import TOLERANCE, BackendName, ready_place_backend
from imaging.inference.bundle import METADATA, PLACE_GRAPH, PLACE_REFERENCE, PLACE_WEIGHTS, load_bundle
from imaging.inference.network import Field
from imaging.inference.outlines import Outliner, Peak
from imaging.inference.place_settings import (
    PLACE_SIZE,
    UNFITTED_OUTLINE,
    OutlineCalibration,
    PlaceCalibration,
    PlaceSettings,
    PlaceShape,
)
from imaging.inference.places import FirstSight, Places, nodule_probability, voxel_probability
from imaging.inference.predict import predict, predict_scored
from imaging.inference.probe import worst_difference
from imaging.inference.sampling import WorkingVolume
from imaging.phantom.chest import PhantomCase
from imaging.types import Grid, Mask, Prediction, Volume
from tests.imaging.inference.conftest import make_bundle, with_graph, with_places, write_manifest

SHAPE = (60, 128, 120)
SPACING = (1.5, 0.8, 0.8)
SETTINGS = PlaceSettings(
    network=PlaceShape((4, 4, 8, 8), 4),
    voxel_mm=(0.7, 1.4),
    calibration=PlaceCalibration(intercept=0.0, first=1.0, place=1.0),
    outline_calibration=UNFITTED_OUTLINE,
)


class Threshold:
    """In place of the network: whatever is bright is lesion, and the nodule's probability is 0.9. Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: Field) -> Field:
        self.calls += 1
        # Smooth, so that a mirrored answer that is not mirrored back shows in every voxel.
        mask = np.clip(0.5 + 2.0 * image, 0.01, 0.99)
        return np.stack([mask, np.full_like(mask, 0.9)]).astype(np.float32)


def volume_with(*balls: tuple[tuple[float, float, float], float]) -> Volume:
    """Lung with bright balls: (centre as index, diameter in mm)."""
    axes = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    hounsfield = np.full(SHAPE, -900, dtype=np.int16)
    for centre, diameter in balls:
        squared = sum(((axis - at) * step) ** 2 for axis, at, step in zip(axes, centre, SPACING, strict=True))
        hounsfield[squared <= (0.5 * diameter) ** 2] = 40
    hounsfield.setflags(write=False)
    affine = (
        (0.0, 0.0, SPACING[2], -10.0),
        (0.0, SPACING[1], 0.0, 5.0),
        (SPACING[0], 0.0, 0.0, 100.0),
        (0.0, 0.0, 0.0, 1.0),
    )
    grid = Grid(SHAPE, affine, "1.2.3")
    return Volume(grid, hounsfield, "1.2.3.4", "1.2.3.5", (), (), None)


def at(volume: Volume, index: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z, _ = volume.grid.matrix @ np.array([*index, 1.0])
    return (float(x), float(y), float(z))


def whole(mask: Mask) -> np.ndarray:
    filled = np.zeros(SHAPE, dtype=np.bool_)
    filled[tuple(slice(a, a + size) for a, size in zip(mask.origin, mask.voxels.shape, strict=True))] = mask.voxels
    return filled


def places_of(volume: Volume, run: Threshold, threads: int = 2) -> Places:
    return Places(volume=volume, settings=SETTINGS, run=run, threads=threads)


def test_the_outline_is_that_of_the_lesion_at_the_place_and_not_of_its_neighbour() -> None:
    here, there = (30.0, 60.0, 50.0), (30.0, 60.0, 66.0)
    volume = volume_with((here, 8.0), (there, 10.0))
    for place, other in ((here, there), (there, here)):
        opinion = places_of(volume, Threshold()).opinion(place_mm=at(volume, place), first=FirstSight(0.5, 8.0))
        assert opinion.mask is not None
        filled = whole(opinion.mask)
        assert filled[tuple(int(value) for value in place)]
        assert not filled[tuple(int(value) for value in other)]
        # The map keeps what lies beside it: what is meant is said by the mask.
        assert opinion.probability is not None


def test_mirrored_views_are_mirrored_back_before_they_are_averaged() -> None:
    # Nothing about it is the same from left to right, front to back or top to bottom.
    volume = volume_with(((30.0, 60.0, 50.0), 9.0), ((33.0, 68.0, 54.0), 6.0), ((27.0, 57.0, 62.0), 4.0))
    run = Threshold()
    opinion = places_of(volume, run).opinion(place_mm=at(volume, (30.0, 60.0, 50.0)), first=FirstSight(0.5, 9.0))
    assert run.calls == 8
    assert opinion.mask is not None
    assert opinion.probability is not None
    assert opinion.probability.spread is not None
    assert float(opinion.probability.spread.max()) < 1e-6
    bright = volume.hounsfield > -400
    box = tuple(
        slice(a, a + size) for a, size in zip(opinion.probability.origin, opinion.probability.values.shape, strict=True)
    )
    told = opinion.probability.values >= 0.5
    overlap = 2.0 * np.count_nonzero(told & bright[box]) / (np.count_nonzero(told) + np.count_nonzero(bright[box]))
    assert overlap > 0.9


def test_views_that_differ_show_as_spread_where_they_differ() -> None:
    class OneSided(Threshold):
        def __call__(self, image: Field) -> Field:
            answer = super().__call__(image)
            answer[0, :, :, : PLACE_SIZE // 2] = 0.01
            return answer

    volume = volume_with(((30.0, 60.0, 50.0), 12.0))
    opinion = places_of(volume, OneSided()).opinion(place_mm=at(volume, (30.0, 60.0, 50.0)), first=FirstSight(0.5, 9.0))
    assert opinion.probability is not None
    assert opinion.probability.spread is not None
    middle = tuple(place - start for place, start in zip((30, 60, 50), opinion.probability.origin, strict=True))
    assert float(opinion.probability.spread[middle]) > 0.3
    assert float(opinion.probability.spread[0].max()) < 1e-6


@pytest.mark.parametrize(
    ("diameter", "expected", "views"),
    [
        (8.0, 8.0, 8),  # fits the fine crop
        (30.0, 6.0, 16),  # taken for small: its outline reaches the fine crop's border, so the coarse one decides
        (20.0, 6.0, 16),  # within the fine crop, but of a size that the coarse one is for
        (30.0, 30.0, 8),
        (6.0, 30.0, 16),  # taken for large
    ],
)
def test_the_crop_is_as_fine_or_coarse_as_the_lesion_needs(diameter: float, expected: float, views: int) -> None:
    centre = (30.0, 64.0, 60.0)
    volume, run = volume_with((centre, diameter)), Threshold()
    opinion = places_of(volume, run).opinion(place_mm=at(volume, centre), first=FirstSight(0.5, expected))
    assert run.calls == views
    assert opinion.mask is not None
    found = (6.0 * opinion.mask.count * float(np.prod(SPACING)) / np.pi) ** (1.0 / 3.0)
    assert found == pytest.approx(diameter, abs=1.0)


def test_nothing_near_the_place_means_no_outline_but_a_probability() -> None:
    volume = volume_with(((30.0, 60.0, 50.0), 8.0))
    opinion = places_of(volume, Threshold()).opinion(
        place_mm=at(volume, (30.0, 60.0, 66.0)), first=FirstSight(0.001, 4.0)
    )
    assert (opinion.mask, opinion.mean_probability) == (None, 0.0)
    assert opinion.nodule_probability is not None
    assert opinion.nodule_probability < 0.05


def candidates_of(volume: Volume, *peaks: tuple[tuple[float, float, float], float], settings: PlaceSettings = SETTINGS):
    working = WorkingVolume(volume.hounsfield.astype(np.float32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)
    outliner = Outliner(mask_probability=np.zeros(SHAPE, dtype=np.float32), working=working, grid=volume.grid)
    given = [Peak(np.array(index), raw, raw, 0, 4.0) for index, raw in peaks]
    places = Places(volume=volume, settings=settings, run=Threshold(), threads=2)
    return places.candidates(peaks=given, working=working, outliner=outliner)


def test_candidates_that_turn_out_to_be_one_lesion_are_one_at_its_middle() -> None:
    middle = (30.0, 60.0, 50.0)
    volume = volume_with((middle, 12.0))
    candidates, scores = candidates_of(volume, ((31.0, 60.0, 45.0), 0.4), ((29.0, 60.0, 55.0), 0.7))
    [candidate], [score] = candidates, scores
    assert score.raw == 0.7
    assert candidate.mask is not None
    assert candidate.diameter_mm == pytest.approx(12.0, abs=0.7)
    assert np.linalg.norm(np.subtract(candidate.centre_mm, at(volume, middle))) < 0.5


def test_candidates_are_told_most_probable_first_and_what_hardly_counts_is_dropped() -> None:
    one, two, three = (30.0, 40.0, 40.0), (30.0, 80.0, 40.0), (30.0, 60.0, 90.0)
    volume = volume_with((one, 6.0), (two, 6.0), (three, 6.0))
    # Both networks' logits added up: the third falls to 0.0009.
    settings = replace(SETTINGS, calibration=PlaceCalibration(intercept=-4.6, first=1.0, place=1.0))
    candidates, scores = candidates_of(volume, (one, 0.3), (two, 0.8), (three, 0.01), settings=settings)
    assert [score.raw for score in scores] == [0.8, 0.3]
    assert [one.probability for one in candidates] == sorted((one.probability for one in candidates), reverse=True)
    expected = nodule_probability(raw=0.8, nodule_logit=float(np.log(9.0)), calibration=settings.calibration)
    assert candidates[0].probability == pytest.approx(expected, rel=1e-5)


def test_a_calibrated_voxel_keeps_its_order_and_moves_as_the_calibration_says() -> None:
    raw = np.array([0.1, 0.5, 0.9], dtype=np.float32)
    told = voxel_probability(raw=raw, calibration=OutlineCalibration(scale=0.5, offset=0.0))
    np.testing.assert_allclose(told, [0.25, 0.5, 0.75], atol=1e-5)


def opinion_of(scan: PhantomCase, bundle_path: Path, threads: int = 1, backend: str = "auto") -> Prediction:
    return predict(
        scan.volume,
        load_bundle(bundle_path, expected_sha256=None),
        places=[nodule.centre_mm for nodule in scan.nodules[:2]],
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=threads,
        backend=backend,
    )


def told(prediction: Prediction) -> list[object]:
    return [
        *((one.centre_mm, one.diameter_mm, one.probability) for one in prediction.candidates),
        *(
            (
                one.nodule_probability,
                one.mean_probability,
                None if one.mask is None else one.mask.voxels.tobytes(),
                None if one.probability is None else one.probability.values.tobytes(),
            )
            for one in prediction.outlines
        ),
    ]


def test_a_bundle_with_a_place_network_says_more_and_the_same_every_time(scan: PhantomCase, tmp_path: Path) -> None:
    path = with_places(make_bundle(tmp_path))
    first = opinion_of(scan, path)
    assert told(first) == told(opinion_of(scan, path)) == told(opinion_of(scan, path, threads=2))
    assert first.candidates
    for opinion in first.outlines:
        assert opinion.nodule_probability is not None
        assert opinion.probability is not None
        assert opinion.probability.values.shape == opinion.probability.spread.shape
        assert not opinion.probability.values.flags.writeable


def test_a_bundle_without_one_says_nothing_of_voxels_and_nodules(scan: PhantomCase, tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    for opinion in opinion_of(scan, path).outlines:
        assert (opinion.nodule_probability, opinion.probability) == (None, None)
    bundle = load_bundle(path, expected_sha256=None)
    assert (bundle.places, bundle.settings.places) == (None, None)
    _, scores = predict_scored(
        scan.volume, bundle, places=(), progress=lambda done, total: None, checkpoint_dir=None, threads=1
    )
    assert scores == ()


@pytest.mark.parametrize("choice", ["openvino-f32", "torch"])
@pytest.mark.parametrize("carries_graph", [False, True])
def test_every_backend_runs_the_place_network_as_torch_does(tmp_path: Path, choice: str, carries_graph: bool) -> None:
    path = with_places(make_bundle(tmp_path))
    bundle = load_bundle(with_graph(path) if carries_graph else path, expected_sha256=None)
    assert bundle.places is not None
    assert (bundle.places.graph is not None) == carries_graph
    chosen = ready_place_backend(bundle=bundle, choice=choice, threads=2)
    truth = ready_place_backend(bundle=bundle, choice="torch", threads=1)
    assert chosen is not None
    assert truth is not None
    assert (chosen.name, chosen.refused) == (choice, ())
    crop = np.random.default_rng(3).normal(-0.5, 0.4, (PLACE_SIZE,) * 3).astype(np.float32)
    assert worst_difference(answer=chosen.run(crop), reference=truth.run(crop)) <= TOLERANCE[BackendName.OPENVINO_F32]
    # One nodule logit for the whole crop.
    assert np.ptp(chosen.run(crop)[1]) < 1e-6


@pytest.mark.parametrize("name", [PLACE_WEIGHTS, *PLACE_GRAPH, PLACE_REFERENCE])
def test_an_altered_file_of_the_place_network_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = with_graph(with_places(make_bundle(tmp_path)))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-altered", (name,))


def test_a_place_network_that_is_described_but_not_there_is_told(tmp_path: Path) -> None:
    folder = with_places(make_bundle(tmp_path))
    (folder / PLACE_WEIGHTS).unlink()
    write_manifest(folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-incomplete", (PLACE_WEIGHTS,))


@pytest.mark.parametrize(
    "wrong", [{"crop": 64}, {"voxel_mm": [1.4, 0.7]}, {"network": {"channels": [4, 4], "head": 4}}, {"voxel_mm": None}]
)
def test_settings_that_this_program_cannot_follow_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    folder = with_places(make_bundle(tmp_path))
    content = json.loads((folder / METADATA).read_text())
    content["qa_settings"]["places"].update(wrong)
    (folder / METADATA).write_text(json.dumps(content))
    write_manifest(folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, expected_sha256=None)
    assert caught.value.code == "bundle-unreadable"
