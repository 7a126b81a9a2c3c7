"""Scans and phantoms at their own resolution to cut the place network's crops from, and the pool of phantoms.

What the first network falsely reports in them is found once per ground: those are the places that the second has to
know better about.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_index
from imaging.geometry.regions import lung_region
from imaging.inference.backends import BackendName
from imaging.inference.bundle import Bundle
from imaging.inference.predict import predict
from imaging.phantom.chest import PhantomCase, chest_phantom
from imaging.training.backgrounds import SOURCES
from imaging.training.scans import read_scan
from imaging.types import Mask, Volume

POOL_SIZE = 6
RENEW_EVERY_STEPS = 300
FIRST_SEED = 20_000_000
"""Away from the seeds of the first network's phantoms, of calibration and of the held-out ones."""

CLOSING_MM = 8.0
COARSE_MM = 2.0
CLEAR_MM = 3.0
BRIGHT_ABOVE_HU = -500
NODULES = 16
DOUBTFUL: dict[str, tuple[tuple[tuple[int, int, int], float], ...]] = {
    # A dense focus of 5 mm, and spiculated strands beside the outlined tumour.
    "4dlung": (((59, 300, 366), 10.0), ((43, 321, 201), 24.0)),
}
"""Places (index, radius in mm) of real scans that look like lesions and were outlined by nobody: silent too."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceGround:
    """A scan on its own grid. Index order (slice, row, column); (n, 3) arrays hold fractional indices.

    ``depth``: mm below the lungs' surface, on every ``coarse``-th voxel. ``silent``: where lesions may lie that nobody
    outlined or could see, None where there are none. ``lesions``: outlines of all that is known to be there;
    ``lesion_centres``, ``lesion_diameters`` (mm) belong to them, ``lesion_reported``: where the first network saw each,
    NaN where nowhere.
    ``false_places``, ``false_scores``: what it reports where nothing is. ``bright``: flat indices of vessels and walls.
    ``rim``: indices of places on the lungs' surface. ``profile_mm``: standard deviation of the slice profile.
    """

    name: str
    uid: str
    spacing_mm: tuple[float, float, float]
    hounsfield: NDArray[np.int16]
    lungs: NDArray[np.bool_]
    depth: NDArray[np.float16]
    coarse: tuple[int, int, int]
    silent: NDArray[np.bool_] | None
    lesions: tuple[Mask, ...]
    lesion_centres: NDArray[np.float64]
    lesion_diameters: NDArray[np.float64]
    lesion_reported: NDArray[np.float64]
    false_places: NDArray[np.float64]
    false_scores: NDArray[np.float64]
    false_diameters: NDArray[np.float64]
    bright: NDArray[np.int64]
    rim: NDArray[np.int64]
    profile_mm: float

    def depth_at(self, index: NDArray[np.float64]) -> float:
        """Return how deep a place lies below the lungs' surface, mm; 0 outside the lungs or the scan."""
        nearest = np.rint(index).astype(int)
        if np.any(nearest < 0) or np.any(nearest >= self.lungs.shape) or not self.lungs[tuple(nearest)]:
            return 0.0
        at = np.minimum(nearest // np.array(self.coarse), np.array(self.depth.shape) - 1)
        return float(self.depth[tuple(at)])

    def is_silent(self, index: NDArray[np.float64]) -> bool:
        """Whether a place lies where nothing may be learnt."""
        if self.silent is None:
            return False
        nearest = np.clip(np.rint(index).astype(int), 0, np.array(self.silent.shape) - 1)
        return bool(self.silent[tuple(nearest)])

    def gap_mm(self, index: NDArray[np.float64]) -> float:
        """Return how far a place is from the nearest known lesion's ball, mm; infinite where none is known."""
        if not len(self.lesion_centres):
            return float("inf")
        distance = np.linalg.norm((self.lesion_centres - index) * np.array(self.spacing_mm), axis=1)
        return float((distance - 0.5 * self.lesion_diameters).min())


def place_pool_seeds(*, seed: int, step: int) -> list[int]:
    """Return the phantom seeds in the pool at ``step``: the oldest is replaced every 300 steps."""
    first = FIRST_SEED + seed * 10_000 + step // RENEW_EVERY_STEPS
    return list(range(first, first + POOL_SIZE))


class PhantomPool:
    """The phantoms of a step. The next one is made beside the training, so that no step waits for it."""

    def __init__(self, *, seed: int, detector: Bundle) -> None:
        self._seed = seed
        self._detector = detector
        self._maker = ThreadPoolExecutor(max_workers=1)
        self._made: dict[int, Future[PlaceGround]] = {}

    def ground(self, *, step: int, generator: np.random.Generator) -> PlaceGround:
        """Return one of the phantoms of ``step``. The pool fills as it is drawn from."""
        seeds = place_pool_seeds(seed=self._seed, step=step)
        for gone in set(self._made) - {*seeds, seeds[-1] + 1}:
            self._made.pop(gone).cancel()
        seen = seeds[: max(2, min(len(seeds), step // 60))]
        for wanted in [*seen, *(seed for seed in [seen[-1] + 1] if seed <= seeds[-1] + 1)]:
            if wanted not in self._made:
                self._made[wanted] = self._maker.submit(phantom_place_ground, seed=wanted, detector=self._detector)
        return self._made[int(generator.choice(seen))].result()


def phantom_place_ground(*, seed: int, detector: Bundle) -> PlaceGround:
    """Return the phantom of ``seed`` with everything that is known of it."""
    generator = np.random.default_rng([seed, 78])
    step = float(generator.choice([1.0, 1.25, 1.5, 2.0, 2.5, 3.0], p=[0.2, 0.22, 0.15, 0.2, 0.18, 0.05]))
    in_plane = float(generator.uniform(0.72, 0.9))
    # Half a chest at a time: what counts is how many different ones are seen.
    shape = (round(150.0 / step), 380, 440)
    case = chest_phantom(seed=seed, shape=shape, spacing_mm=(step, in_plane, in_plane), nodule_count=NODULES)
    return place_ground(
        name=f"phantom-{seed}",
        volume=case.volume,
        lesions=tuple(nodule.mask for nodule in case.nodules if nodule.shows),
        silent=_swallowed(case),
        profile_mm=(case.volume.slice_thickness_mm or step) / float(np.sqrt(12.0)),
        detector=detector,
    )


def _swallowed(case: PhantomCase) -> NDArray[np.bool_] | None:
    """Where nodules lie that do not show: nothing is learnt there."""
    hidden = [nodule.mask for nodule in case.nodules if not nodule.shows]
    if not hidden:
        return None
    silent = np.zeros(case.volume.grid.shape, dtype=np.bool_)
    for mask in hidden:
        low = np.maximum(np.array(mask.origin) - 1, 0)
        high = np.array(mask.origin) + np.array(mask.voxels.shape) + 1
        silent[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return silent


def real_place_grounds(*, folder: Path, without: Sequence[str], detector: Bundle) -> list[tuple[PlaceGround, float]]:
    """Return (ground, weight of draws) for each known scan in ``folder`` that is not named in ``without``."""
    found = []
    for source in SOURCES:
        if source.name in without:
            continue
        scan = read_scan(folder=folder, name=source.name, usable_mm=source.usable_mm)
        if scan is None:
            continue
        grid = scan.volume.grid
        silent = np.zeros(grid.shape, dtype=np.bool_)
        for box in scan.lesion_boxes:
            corners = np.sort(np.array([to_index(grid, corner) for corner in box]), axis=0)
            silent[
                tuple(
                    slice(max(0, int(np.floor(a))), max(0, int(np.ceil(b)) + 1))
                    for a, b in zip(corners[0], corners[1], strict=True)
                )
            ] = True
        for centre, radius in DOUBTFUL.get(source.name, ()):
            axes = np.ogrid[tuple(slice(size) for size in grid.shape)]
            away = [(axis - at) * step for axis, at, step in zip(axes, centre, grid.spacing_mm, strict=True)]
            silent |= away[0] ** 2 + away[1] ** 2 + away[2] ** 2 <= radius**2
        ground = place_ground(
            name=source.name,
            volume=scan.volume,
            lesions=(),
            silent=silent,
            profile_mm=source.slice_blur_mm,
            detector=detector,
        )
        found.append((ground, source.weight))
    return found


def place_ground(
    *,
    name: str,
    volume: Volume,
    lesions: tuple[Mask, ...],
    silent: NDArray[np.bool_] | None,
    profile_mm: float,
    detector: Bundle,
) -> PlaceGround:
    """Return a volume as a ground. ``lesions``: all that is known to be there; ``silent``: where more may be."""
    spacing = volume.grid.spacing_mm
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=spacing, closing_mm=CLOSING_MM)
    coarse = tuple(max(1, round(COARSE_MM / one)) for one in spacing)
    steps = (coarse[0], coarse[1], coarse[2])
    sampled = lungs[:: steps[0], :: steps[1], :: steps[2]]
    sampling = [step * one for step, one in zip(steps, spacing, strict=True)]
    depth = ndimage.distance_transform_edt(np.pad(sampled, 1, mode="edge"), sampling=sampling)[1:-1, 1:-1, 1:-1]
    known = np.zeros(volume.grid.shape, dtype=np.bool_) if silent is None else silent.copy()
    for mask in lesions:
        known[tuple(slice(a, a + size) for a, size in zip(mask.origin, mask.voxels.shape, strict=True))] |= mask.voxels
    bright = np.flatnonzero((volume.hounsfield > BRIGHT_ABOVE_HU) & lungs & ~known)
    rim = np.argwhere((depth > 0.0) & (depth < 4.0)) * np.array(steps)
    voxel = float(np.prod(spacing))
    ground = PlaceGround(
        name=name,
        uid=volume.series_instance_uid,
        spacing_mm=spacing,
        hounsfield=volume.hounsfield,
        lungs=lungs,
        depth=depth.astype(np.float16),
        coarse=steps,
        silent=silent,
        lesions=lesions,
        lesion_centres=np.array(
            [np.argwhere(mask.voxels).mean(axis=0) + np.array(mask.origin) for mask in lesions]
        ).reshape(-1, 3),
        lesion_diameters=np.array([(6.0 * mask.count * voxel / np.pi) ** (1.0 / 3.0) for mask in lesions]),
        lesion_reported=np.full((len(lesions), 3), np.nan),
        false_places=np.zeros((0, 3)),
        false_scores=np.zeros(0),
        false_diameters=np.zeros(0),
        bright=np.ascontiguousarray(bright[::5]),
        rim=rim[::3],
        profile_mm=profile_mm,
    )
    return _with_reports(ground, volume, detector)


def _with_reports(ground: PlaceGround, volume: Volume, detector: Bundle) -> PlaceGround:
    """Return the ground with what the first network reports there, taken apart into true and false."""
    # Its raw score, on any scan: pieces of chests and thick slices are refused to readers, not to training.
    settings = replace(detector.settings, calibration=((0.0, 0.0), (1.0, 1.0)), applicability=None)
    prediction = predict(
        volume,
        replace(detector, settings=settings),
        places=(),
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=1,
        backend=BackendName.OPENVINO_F32,
    )
    reported = ground.lesion_reported.copy()
    false: list[tuple[float, float, float, float, float]] = []
    for candidate in prediction.candidates:
        index = np.array(to_index(volume.grid, candidate.centre_mm))
        if ground.is_silent(index):
            continue
        if ground.gap_mm(index) > CLEAR_MM:
            false.append((*index.tolist(), candidate.probability, candidate.diameter_mm or CLEAR_MM))
        elif len(reported):
            gaps = np.linalg.norm((ground.lesion_centres - index) * np.array(ground.spacing_mm), axis=1)
            nearest = int(gaps.argmin())
            if gaps[nearest] < 0.5 * ground.lesion_diameters[nearest] and np.isnan(reported[nearest, 0]):
                reported[nearest] = index
    table = np.array(false).reshape(-1, 5)
    return replace(
        ground,
        lesion_reported=reported,
        false_places=table[:, :3],
        false_scores=table[:, 3],
        false_diameters=table[:, 4],
    )
