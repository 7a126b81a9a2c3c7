"""Resampling keeps places, values and outlines where they are in the patient."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from imaging.inference.outlines import PEAK_AT, Outliner, _summits, calibrated, find_peaks
from imaging.inference.sampling import resample_box
from imaging.inference.tiles import Tiling, fitted_shape, tile_plan
from imaging.types import Grid

SPACING = (2.5, 0.7, 0.7)
GRID = Grid(
    (40, 120, 120),
    ((0.0, 0.0, 0.7, -40.0), (0.0, 0.7, 0.0, -30.0), (2.5, 0.0, 0.0, 10.0), (0.0, 0.0, 0.0, 1.0)),
    "2.25.1",
)


def ball(centre_mm: tuple[float, float, float], diameter_mm: float) -> np.ndarray:
    z, y, x = np.meshgrid(*[np.arange(size) for size in GRID.shape], indexing="ij")
    places = np.stack([x * 0.7 - 40.0, y * 0.7 - 30.0, z * 2.5 + 10.0], axis=-1)
    return np.linalg.norm(places - np.array(centre_mm), axis=-1) <= diameter_mm / 2.0


def test_a_constant_stays_constant() -> None:
    working = resample_box(
        hounsfield=np.full((20, 31, 47), -700, dtype=np.int16),
        spacing_mm=SPACING,
        low=(2, 3, 5),
        high=(18, 30, 40),
        target_mm=1.25,
    )
    assert np.allclose(working.hounsfield, -700, atol=1e-2)
    assert working.hounsfield.shape == (32, 15, 20)


def test_working_indices_and_scan_indices_are_inverse() -> None:
    working = resample_box(
        hounsfield=np.zeros((20, 31, 47), dtype=np.int16),
        spacing_mm=SPACING,
        low=(2, 3, 5),
        high=(18, 30, 40),
        target_mm=1.25,
    )
    places = np.array([[0.0, 0.0, 0.0], [7.5, 3.25, 11.0]])
    assert np.allclose(working.from_scan(working.to_scan(places)), places)


def test_a_linear_ramp_is_kept_in_its_place() -> None:
    ramp = (10 * np.arange(47))[None, None, :].repeat(31, axis=1).repeat(20, axis=0).astype(np.int16)
    working = resample_box(hounsfield=ramp, spacing_mm=SPACING, low=(0, 0, 0), high=(20, 31, 47), target_mm=1.25)
    columns = working.to_scan(np.array([[5.0, 5.0, float(k)] for k in range(4, 20)]))[:, 2]
    # A fifth of a voxel at most: the widened kernel is not exactly linear.
    assert np.allclose(working.hounsfield[5, 5, 4:20], 10 * columns, atol=2.0)


@pytest.mark.parametrize("diameter", [6.0, 12.0, 24.0])
def test_an_outline_comes_back_on_the_scans_own_grid(diameter: float) -> None:
    truth = ball((3.0, 11.0, 60.0), diameter)
    working = resample_box(
        hounsfield=truth.astype(np.float32), spacing_mm=SPACING, low=(0, 0, 0), high=GRID.shape, target_mm=1.25
    )
    outliner = Outliner(mask_probability=working.hounsfield, working=working, grid=GRID)
    opinion = outliner.opinion((3.0, 11.0, 60.0))
    assert opinion.mask is not None
    found = np.zeros(GRID.shape, dtype=np.bool_)
    origin, shape = opinion.mask.origin, opinion.mask.voxels.shape
    found[tuple(slice(a, a + size) for a, size in zip(origin, shape, strict=True))] = opinion.mask.voxels
    overlap = 2.0 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))
    assert overlap > 0.85
    assert opinion.mean_probability > 0.7


def test_two_peaks_on_one_component_are_one_candidate_and_equal_peaks_keep_their_order() -> None:
    probability = np.zeros((40, 40, 40), dtype=np.float32)
    probability[10:20, 10:30, 10:20] = 0.9
    working = resample_box(
        hounsfield=np.zeros((40, 40, 40), dtype=np.float32),
        spacing_mm=(1.25, 1.25, 1.25),
        low=(0, 0, 0),
        high=(40, 40, 40),
        target_mm=1.25,
    )
    outliner = Outliner(mask_probability=probability, working=working, grid=GRID)
    heat = np.zeros_like(probability)
    heat[15, 13, 15], heat[15, 27, 15] = 0.8, 0.6
    heat[30, 30, 30] = heat[30, 10, 30] = 0.5
    peaks = find_peaks(
        centre_probability=heat, region=np.ones(heat.shape, dtype=np.bool_), outliner=outliner, spacing_mm=1.25
    )
    assert [tuple(peak.index) for peak in peaks] == [(15.0, 13.0, 15.0), (30.0, 10.0, 30.0), (30.0, 30.0, 30.0)]


def test_a_large_outline_without_a_centre_is_still_a_candidate_and_a_small_one_is_not() -> None:
    probability = np.zeros((40, 40, 40), dtype=np.float32)
    probability[10:24, 10:24, 10:24] = 0.95
    probability[34:36, 34:36, 34:36] = 0.95
    working = resample_box(
        hounsfield=probability, spacing_mm=(1.25, 1.25, 1.25), low=(0, 0, 0), high=(40, 40, 40), target_mm=1.25
    )
    outliner = Outliner(mask_probability=probability, working=working, grid=GRID)
    heat, region = np.zeros_like(probability), np.ones(probability.shape, dtype=np.bool_)
    peaks = find_peaks(centre_probability=heat, region=region, outliner=outliner, spacing_mm=1.25)
    assert [tuple(peak.index) for peak in peaks] == [(16.5, 16.5, 16.5)]
    assert peaks[0].raw == pytest.approx(0.9 * 0.95, abs=1e-3)
    assert not find_peaks(centre_probability=heat, region=~region, outliner=outliner, spacing_mm=1.25)


def test_calibration_is_read_between_its_points() -> None:
    curve = ((0.0, 0.0), (0.5, 0.2), (1.0, 0.9))
    assert calibrated(raw=0.25, calibration=curve) == pytest.approx(0.1)
    assert calibrated(raw=1.0, calibration=curve) == pytest.approx(0.9)


TILING = Tiling(tile=32, stride=24, multiple=4)


@pytest.mark.parametrize("size", [(50, 70, 33), (8, 200, 90), (140, 31, 64), (300, 300, 300), (32, 32, 32)])
def test_fitted_tiles_cover_every_voxel_and_overlap_as_the_bundle_says(size: tuple[int, int, int]) -> None:
    shape = fitted_shape(size=size, tiling=TILING)
    assert all(side % TILING.multiple == 0 and side >= 16 for side in shape)
    assert math.prod(shape) <= TILING.most_voxels
    region = np.ones([max(pair) for pair in zip(size, shape, strict=True)], dtype=np.bool_)
    plan = tile_plan(region=region, shape=shape, tiling=TILING)
    covered = np.zeros_like(region)
    for start in plan.starts:
        box = tuple(slice(first, first + side) for first, side in zip(start, shape, strict=True))
        assert covered[box].shape == shape
        covered[box] = True
    assert covered.all()
    for axis, side in enumerate(shape):
        firsts = sorted({start[axis] for start in plan.starts})
        shared = [side - (later - first) for first, later in itertools.pairwise(firsts)]
        assert all(one >= 8 and one >= side // 4 for one in shared)


def test_fitted_tiles_compute_less_than_whole_ones_and_skip_what_holds_no_lung() -> None:
    size = (52, 43, 64)
    whole = tile_plan(region=np.ones((52, 43, 64), dtype=np.bool_), shape=(32, 32, 32), tiling=TILING)
    shape = fitted_shape(size=size, tiling=TILING)
    region = np.zeros([max(pair) for pair in zip(size, shape, strict=True)], dtype=np.bool_)
    region[:, :, :10] = True
    fitted = tile_plan(region=np.ones_like(region), shape=shape, tiling=TILING)
    assert len(fitted.starts) * math.prod(shape) < 0.7 * len(whole.starts) * 32**3
    assert len(tile_plan(region=region, shape=shape, tiling=TILING).starts) < len(fitted.starts)


def test_a_map_that_is_high_all_over_has_the_summits_that_one_that_hardly_shows_has() -> None:
    generator = np.random.default_rng(4)
    values = np.round(generator.random((30, 31, 32)), 2).astype(np.float32)
    shown = np.where(generator.random(values.shape) < 0.02, values, np.float32(0.0))
    for field in (values, shown):
        highest = ndimage.maximum_filter(field, size=5, mode="constant")
        expected = np.argwhere((field == highest) & (field > PEAK_AT))
        assert len(expected)
        assert np.array_equal(_summits(field, 2), expected)
