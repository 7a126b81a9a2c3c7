"""Scans whose nodules are known exactly: phantoms, and real chests with nodules of the trial renderer put in.

The ranges of seeds that are in use elsewhere stand here too, so that nobody measures on what was learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from imaging.geometry.regions import lung_region
from imaging.masks.build import full_voxels
from imaging.masks.place import centre_of, radius_of
from imaging.phantom.chest import PhantomCase, TrueNodule, chest_phantom, synthetic_uid
from imaging.phantom.neighbours import with_neighbours
from imaging.phantom.nodules import Attenuation, Site
from imaging.readers.lidc import read_lidc_xml
from imaging.training.scans import Scan, read_member, read_scan
from imaging.training.trial_nodules import TrialNodule, insert_trial_nodules
from imaging.types import Grid, Mask, PointMm, Sphere, Volume

FIT_SEEDS = range(40_000_000, 50_000_000)
"""Scores are fitted, thresholds frozen and peers tuned on these."""

BENCHMARK_SEEDS = range(50_000_000, 60_000_000)
"""Measured on, and used for nothing else."""

OTHER_SEEDS = (range(0, 40_000_000), range(70_000_000, 80_000_000))
"""Training pools and the detector's calibration; held-out judging and the check of its calibration."""

NODULES = 12
NEIGHBOURS_MM = ((5.2, 8.0), (5.2, 12.0), (8.0, 12.0))
"""Diameters of the nodules that touch another one; each row for three scans in turn."""

INSERTED_MM = (4.6, 5.2, 5.8, 6.5, 7.2, 8.0, 9.0, 10.5, 12.0, 14.0, 17.0)
SLAB_MM = 85.0
AROUND_LUNGS_MM = 14.0
OWN_MARGIN_MM = 8.0
VESSEL_ABOVE_HU = -400
SAMPLINGS = (((72, 288, 288), (2.5, 1.2, 1.2)), ((100, 300, 300), (1.25, 1.0, 1.0)), ((80, 288, 288), (2.0, 1.1, 1.1)))
"""(slices, rows, columns) and spacing in mm, taken in turn over the scans."""


@dataclass(frozen=True, slots=True)
class Background:
    """A real scan to put nodules in. ``usable_mm``: from its lowest slice; ``marks``: its LIDC file, if it has one."""

    name: str
    usable_mm: float
    marks: str = ""


# Fitting and measuring use different patients. Both apices of lungfcp hold lesions that nobody outlined.
FIT_BACKGROUNDS = (Background("4dlung", 1000.0), Background("acrin-chest", 1000.0))
BENCHMARK_BACKGROUNDS = (Background("lungfcp", 50.0), Background("lidc-0001", 1000.0, "annotations-lidc.xml"))


@dataclass(frozen=True, slots=True, eq=False)
class KnownScan:
    """A scan and its nodules. ``ground``: "phantom" or the background's name; ``own``: what else may be a lesion."""

    ground: str
    scan: PhantomCase
    own: tuple[Sphere, ...]


def check_seeds(seeds: range) -> None:
    """Raise ValueError unless all seeds belong to fitting, or all to the benchmark, and to nothing else."""
    if not any(seeds.start >= whole.start and seeds.stop <= whole.stop for whole in (FIT_SEEDS, BENCHMARK_SEEDS)):
        raise ValueError(f"seeds {seeds.start} to {seeds.stop} are neither for fitting nor for the benchmark")


def known_scan(*, seed: int, backgrounds: Path | None) -> KnownScan:
    """Return the scan of a seed, deterministic in it.

    Of five consecutive seeds three are phantoms and two are real backgrounds out of the folder ``backgrounds``
    (``NAME`` or ``NAME.zip``); where there is no such folder or scan all are phantoms.
    """
    own_range = FIT_BACKGROUNDS if seed in FIT_SEEDS else BENCHMARK_BACKGROUNDS
    place = seed % 5 - 3
    scan = None
    if backgrounds is not None and place >= 0:
        scan = read_scan(folder=backgrounds, name=own_range[place].name, usable_mm=own_range[place].usable_mm)
    if scan is None:
        return KnownScan("phantom", _with_neighbours(_phantom(seed), seed), ())
    background = own_range[place]
    own = tuple(_ball(low, high) for low, high in scan.lesion_boxes)
    if background.marks:
        assert backgrounds is not None
        own = (*own, *_marked(background, scan.volume, backgrounds))
    case = _inserted(scan, own, seed)
    return KnownScan(background.name, _with_neighbours(case, seed), own)


def _phantom(seed: int) -> PhantomCase:
    shape, spacing = SAMPLINGS[seed % len(SAMPLINGS)]
    return chest_phantom(seed=seed, shape=shape, spacing_mm=spacing, nodule_count=NODULES)


def _with_neighbours(case: PhantomCase, seed: int) -> PhantomCase:
    return with_neighbours(case=case, diameters_mm=NEIGHBOURS_MM[seed // 3 % len(NEIGHBOURS_MM)], seed=seed)


def _marked(background: Background, volume: Volume, backgrounds: Path) -> tuple[Sphere, ...]:
    """Return a ball around everything that any reader of the scan marked."""
    content = read_member(folder=backgrounds, name=background.name, member=background.marks)
    found = read_lidc_xml(content, volume).annotation_sets
    return tuple(
        Sphere(centre_of(finding), 2.0 * radius_of(finding) + OWN_MARGIN_MM)
        for annotation_set in found
        for finding in annotation_set.findings
    )


def _inserted(scan: Scan, own: tuple[Sphere, ...], seed: int) -> PhantomCase:
    generator = np.random.default_rng([seed, 83])
    volume = _slab(scan.volume, generator, seed)
    spacing = volume.grid.spacing_mm
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=spacing, closing_mm=4.0)
    vessels = lungs & (volume.hounsfield > VESSEL_ABOVE_HU)
    diameters = [float(size * generator.uniform(0.93, 1.07)) for size in INSERTED_MM]
    changed, placed = insert_trial_nodules(volume=volume, diameters_mm=diameters, keep_clear=own, seed=seed)
    nodules = tuple(_true_nodule(one, number, lungs, vessels, generator) for number, one in enumerate(placed, start=1))
    return PhantomCase(seed, changed, nodules, lungs, vessels)


def _slab(volume: Volume, generator: np.random.Generator, seed: int) -> Volume:
    """Cut a part of the scan: some slices along, and what lies around the lungs within them."""
    step = volume.grid.spacing_mm[0]
    count = min(volume.grid.shape[0], int(np.ceil(SLAB_MM / step)))
    # The outermost slices hold little lung; a slab is drawn from what lies between them.
    spare = volume.grid.shape[0] - count
    first = int(generator.integers(spare // 5, spare - spare // 5 + 1)) if spare else 0
    part = volume.hounsfield[first : first + count]
    lungs = lung_region(hounsfield=part, spacing_mm=volume.grid.spacing_mm, closing_mm=4.0)
    if not lungs.any():
        raise ValueError(f"no lung in the part of the background that seed {seed} drew")
    spans = []
    for axis, other in ((1, 2), (2, 1)):
        filled = np.flatnonzero(lungs.any(axis=(0, other)))
        margin = int(np.ceil(AROUND_LUNGS_MM / volume.grid.spacing_mm[axis]))
        spans.append((max(0, int(filled[0]) - margin), min(lungs.shape[axis], int(filled[-1]) + 1 + margin)))
    (top, bottom), (left, right) = spans
    hounsfield = np.ascontiguousarray(part[:, top:bottom, left:right])
    hounsfield.setflags(write=False)
    matrix = volume.grid.matrix
    matrix[:3, 3] = (matrix @ np.array([first, top, left, 1.0]))[:3]
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)
    shape = (hounsfield.shape[0], hounsfield.shape[1], hounsfield.shape[2])
    return replace(
        volume,
        grid=Grid(shape, rows, volume.grid.frame_of_reference_uid),
        hounsfield=hounsfield,
        series_instance_uid=synthetic_uid(parts=("spoilt", volume.series_instance_uid, seed)),
        sop_instance_uids=volume.sop_instance_uids[first : first + count],
        instance_numbers=volume.instance_numbers[first : first + count],
    )


def _ball(low: PointMm, high: PointMm) -> Sphere:
    x, y, z = ((a + b) / 2.0 for a, b in zip(low, high, strict=True))
    return Sphere((x, y, z), float(np.linalg.norm(np.subtract(high, low))))


def _true_nodule(
    placed: TrialNodule,
    number: int,
    lungs: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    vessels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    generator: np.random.Generator,
) -> TrueNodule:
    attenuation = Attenuation(placed.kind)
    solid = attenuation is Attenuation.SOLID
    return TrueNodule(
        nodule_id=f"N{number:02d}",
        centre_mm=placed.centre_mm,
        diameter_mm=placed.diameter_mm,
        attenuation=attenuation,
        site=_site(placed.mask, lungs, vessels),
        subtlety=int(np.clip(round(placed.diameter_mm / 6.0 + (2.5 if solid else 1.0)), 1, 5)),
        malignancy=int(np.clip(round(1.0 + placed.diameter_mm / 8.0 + generator.normal(0.0, 0.5)), 1, 5)),
        mask=placed.mask,
        shows=placed.shows,
    )


def _site(
    mask: Mask,
    lungs: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    vessels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> Site:
    rim = ndimage.binary_dilation(full_voxels(mask), iterations=1)
    if np.any(rim & ~lungs):
        return Site.JUXTAPLEURAL
    return Site.JUXTAVASCULAR if np.any(rim & vessels) else Site.ISOLATED
