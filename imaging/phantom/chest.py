"""A synthetic chest CT whose nodules are known exactly: the ground on which checks and models are first tried.

Deterministic: the same arguments give the same voxels and the same UIDs. Index order (slice, row, column), LPS mm.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.phantom.anatomy import Anatomy, thorax
from imaging.phantom.nodules import (
    Attenuation,
    NoduleShape,
    Site,
    blend,
    draw_nodule,
    find_place,
    render_nodule,
)
from imaging.phantom.trees import AxialGrid, Field
from imaging.phantom.visibility import shows
from imaging.types import Category, Finding, Grid, Mask, Volume

SMALLEST_MM = 3.0
LARGEST_MM = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class TrueNodule:
    """A nodule that is really there. ``mask`` holds the voxels of which it fills at least half, inside the lung.

    ``shows``: whether it changed the picture; one inside a vessel as dense as itself does not.
    """

    nodule_id: str
    centre_mm: tuple[float, float, float]
    diameter_mm: float
    attenuation: Attenuation
    site: Site
    subtlety: int
    malignancy: int
    mask: Mask
    shows: bool

    @property
    def finding(self) -> Finding:
        """The nodule as a perfect reader would label it."""
        texture = {Attenuation.PART_SOLID: 3, Attenuation.GROUND_GLASS: 1}.get(self.attenuation, 5)
        return Finding(
            finding_id=self.nodule_id,
            category=Category.NODULE_GE_3MM,
            mask=self.mask,
            source_label=self.nodule_id,
            characteristics={"subtlety": self.subtlety, "texture": texture, "malignancy": self.malignancy},
        )


@dataclass(frozen=True, slots=True)
class WantedNodule:
    """A nodule that a planned phantom is to hold: diameter of the ball of equal volume, look and site."""

    diameter_mm: float
    attenuation: Attenuation
    site: Site


@dataclass(frozen=True, slots=True, eq=False)
class PhantomCase:
    """A synthetic study and the truth about it. ``lungs``, ``vessels``: (slices, rows, columns) bool."""

    seed: int
    volume: Volume
    nodules: tuple[TrueNodule, ...]
    lungs: NDArray[np.bool_]
    vessels: NDArray[np.bool_]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The truth as findings."""
        return tuple(nodule.finding for nodule in self.nodules)


def synthetic_uid(*, parts: tuple[object, ...]) -> str:
    """Return a DICOM UID under 2.25 (PS3.5 B.2) that follows from ``parts`` alone."""
    digest = hashlib.sha256("/".join(str(part) for part in ("qaservice-phantom", *parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def chest_phantom(
    *,
    seed: int,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    nodule_count: int | None = None,
    wanted: Sequence[WantedNodule] | None = None,
) -> PhantomCase:
    """Return one synthetic patient.

    ``shape``: (slices, rows, columns). ``spacing_mm``: (between slices, between rows, between columns).
    ``nodule_count``: how many nodules to try to place; None draws 1 to 6. Diameters are 3 to 30 mm, small ones
    commoner; kinds are solid (some calcified), part-solid and ground-glass, isolated, juxtapleural and juxtavascular.
    ``wanted`` names them instead, largest first for their places; one without a free place is left out.
    Raises ValueError if the field of view holds no lung.
    """
    generator = np.random.default_rng([seed, *shape, *(round(1000 * step) for step in spacing_mm)])
    jitter = generator.uniform(-20.0, 20.0)
    slices, rows, columns = shape
    origin = (
        -0.5 * (columns - 1) * spacing_mm[2],
        -0.5 * (rows - 1) * spacing_mm[1],
        -0.5 * (slices - 1) * spacing_mm[0] + jitter,
    )
    grid = AxialGrid(shape, spacing_mm, origin)
    anatomy = thorax(generator=generator, grid=grid, seed=seed)
    thickness = float(spacing_mm[0] * generator.uniform(1.0, 1.3))
    in_plane = float(generator.uniform(0.35, 0.65))
    blur = (thickness / np.sqrt(12.0), in_plane, in_plane)
    count = int(generator.integers(1, 7)) if nodule_count is None else nodule_count
    public = _public_grid(grid, seed)
    hounsfield = anatomy.hounsfield
    nodules: list[TrueNodule] = []
    plan = _plan(generator, seed, count) if wanted is None else _largest_first(wanted)
    for nodule_shape, site in _draw_nodules(generator, anatomy, grid, plan):
        rendered = render_nodule(shape=nodule_shape, grid=grid, blur_mm=(0.0, 0.0, 0.0))
        if rendered is None:
            continue
        mask = _mask(public, rendered.origin, rendered.coverage >= 0.5, anatomy.lungs)
        if mask is None:
            continue
        box = tuple(slice(start, start + size) for start, size in zip(mask.origin, mask.voxels.shape, strict=True))
        before = hounsfield[box].copy()
        blend(hounsfield=hounsfield, rendered=rendered)
        seen = shows(raised=(hounsfield[box] - before)[mask.voxels])
        nodules.append(_true_nodule(generator, f"N{len(nodules) + 1:02d}", nodule_shape, site, mask, seen))
    scanned = _scan(generator, hounsfield, blur, grid)
    volume = _volume(scanned, public, seed, thickness)
    return PhantomCase(seed, volume, tuple(nodules), anatomy.lungs, anatomy.vessels)


def _public_grid(grid: AxialGrid, seed: int) -> Grid:
    z, y, x = grid.spacing_mm
    affine = (
        (0.0, 0.0, x, grid.origin_mm[0]),
        (0.0, y, 0.0, grid.origin_mm[1]),
        (z, 0.0, 0.0, grid.origin_mm[2]),
        (0.0, 0.0, 0.0, 1.0),
    )
    return Grid(grid.shape, affine, synthetic_uid(parts=("frame", seed, grid.shape, grid.spacing_mm)))


def _plan(generator: np.random.Generator, seed: int, count: int) -> Iterator[WantedNodule]:
    """Draw what a phantom holds, one nodule after the other, so that places and kinds come from one stream."""
    # Calcifications were added to the recipe later: a stream of their own leaves every older phantom's rest as it was.
    chalk = np.random.default_rng([seed, 5])
    for _ in range(count):
        # Log-uniform bent towards small ones: the median is about 7 mm.
        share = float(generator.random()) ** 1.4
        diameter = float(SMALLEST_MM * (LARGEST_MM / SMALLEST_MM) ** share)
        attenuation = Attenuation(generator.choice(["solid", "part-solid", "ground-glass"], p=[0.65, 0.15, 0.2]))
        if diameter < 6.0:
            attenuation = Attenuation.SOLID if generator.random() < 0.8 else Attenuation.GROUND_GLASS
        if chalk.random() < 0.08 and attenuation is Attenuation.SOLID:
            attenuation = Attenuation.CALCIFIED
        site = Site(generator.choice(["isolated", "juxtapleural", "juxtavascular"], p=[0.4, 0.3, 0.3]))
        yield WantedNodule(diameter, attenuation, site)


def _largest_first(wanted: Sequence[WantedNodule]) -> Iterator[WantedNodule]:
    return iter(sorted(wanted, key=lambda one: -one.diameter_mm))


def _draw_nodules(
    generator: np.random.Generator, anatomy: Anatomy, grid: AxialGrid, plan: Iterator[WantedNodule]
) -> list[tuple[NoduleShape, Site]]:
    depth = _depth_mm(anatomy.lungs, grid)
    taken: list[tuple[tuple[float, float, float], float]] = []
    drawn: list[tuple[NoduleShape, Site]] = []
    for one in plan:
        place = find_place(
            generator=generator,
            site=one.site,
            diameter_mm=one.diameter_mm,
            lungs=anatomy.lungs,
            depth_mm=depth,
            vessels=anatomy.vessels,
            grid=grid,
            taken=taken,
        )
        if place is None:
            continue
        taken.append((place, one.diameter_mm))
        shape = draw_nodule(
            generator=generator, centre_mm=place, diameter_mm=one.diameter_mm, attenuation=one.attenuation
        )
        drawn.append((shape, one.site))
    return drawn


def _depth_mm(lungs: NDArray[np.bool_], grid: AxialGrid) -> Field:
    """Distance from the lungs' surface, mm, measured on every second voxel, which is exact enough to place nodules."""
    coarse = ndimage.distance_transform_edt(
        np.pad(lungs[::2, ::2, ::2], 1, mode="edge"), sampling=[2 * step for step in grid.spacing_mm]
    )[1:-1, 1:-1, 1:-1]
    full = coarse.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    return np.asarray(full[tuple(slice(size) for size in grid.shape)], dtype=np.float32)


def _mask(grid: Grid, origin: tuple[int, int, int], inside: NDArray[np.bool_], lungs: NDArray[np.bool_]) -> Mask | None:
    box = tuple(slice(start, start + size) for start, size in zip(origin, inside.shape, strict=True))
    kept = inside & lungs[box]
    filled = np.argwhere(kept)
    if len(filled) < 4:
        return None
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    voxels = np.ascontiguousarray(kept[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    voxels.setflags(write=False)
    return Mask(grid, (origin[0] + int(low[0]), origin[1] + int(low[1]), origin[2] + int(low[2])), voxels)


def _true_nodule(
    generator: np.random.Generator, nodule_id: str, shape: NoduleShape, site: Site, mask: Mask, seen: bool
) -> TrueNodule:
    volume = mask.count * float(np.prod(mask.grid.spacing_mm))
    diameter = float((6.0 * volume / np.pi) ** (1.0 / 3.0))
    easy = diameter / 6.0 + (1.5 if shape.attenuation in (Attenuation.SOLID, Attenuation.CALCIFIED) else 0.0)
    malignant = 1.0 + diameter / 8.0 + (1.0 if len(shape.spikes) else 0.0) + generator.normal(0.0, 0.5)
    index = np.argwhere(mask.voxels).mean(axis=0) + np.array(mask.origin)
    x, y, z, _ = mask.grid.matrix @ np.array([*index, 1.0])
    return TrueNodule(
        nodule_id=nodule_id,
        centre_mm=(float(x), float(y), float(z)),
        diameter_mm=diameter,
        attenuation=shape.attenuation,
        site=site,
        subtlety=int(np.clip(round(easy + 1.0), 1, 5)),
        malignancy=int(np.clip(round(malignant), 1, 5)),
        mask=mask,
        shows=seen,
    )


def _scan(
    generator: np.random.Generator, hounsfield: Field, blur_mm: tuple[float, float, float], grid: AxialGrid
) -> NDArray[np.int16]:
    """Return what a scanner makes of it: point spread, correlated noise, whole Hounsfield units."""
    # Voxel averaging already blurs by spacing / sqrt(12); only the rest of the point spread is added.
    sigma = [
        np.sqrt(max(spread**2 - step**2 / 12.0, 0.0)) / step
        for spread, step in zip(blur_mm, grid.spacing_mm, strict=True)
    ]
    scanned = ndimage.gaussian_filter(hounsfield, sigma, mode="nearest", truncate=3.0)
    amount = float(np.exp(generator.uniform(np.log(10.0), np.log(45.0))))
    grain = float(generator.uniform(0.45, 0.9)) / grid.spacing_mm[1]
    noise = generator.standard_normal(grid.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, [0.3, grain, grain], mode="wrap", truncate=3.0)
    if generator.random() < 0.5:
        # Sharp reconstruction kernels suppress low frequencies of the noise.
        wider = ndimage.gaussian_filter(noise, [0.0, 1.5 * grain, 1.5 * grain], mode="wrap", truncate=2.5)
        noise -= 0.7 * wider
    scanned += noise * (amount / float(noise[:: max(1, grid.shape[0] // 8)].std()))
    return np.asarray(np.clip(np.rint(scanned), -1024, 3071), dtype=np.int16)


def _volume(scanned: NDArray[np.int16], grid: Grid, seed: int, thickness_mm: float) -> Volume:
    scanned.setflags(write=False)
    identity = (seed, grid.shape, grid.spacing_mm)
    uids = tuple(synthetic_uid(parts=("instance", *identity, number)) for number in range(grid.shape[0]))
    return Volume(
        grid=grid,
        hounsfield=scanned,
        series_instance_uid=synthetic_uid(parts=("series", *identity)),
        study_instance_uid=synthetic_uid(parts=("study", *identity)),
        sop_instance_uids=uids,
        instance_numbers=tuple(range(1, grid.shape[0] + 1)),
        slice_thickness_mm=round(thickness_mm, 3),
        acquisition={"manufacturer": "SYNTHETIC", "kernel": "none"},
    )
