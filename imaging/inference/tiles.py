"""Running the network over a scan in tiles that fit its lungs, each kept on disk until the scan is done.

Tile outputs are rounded to float16 whether or not they are kept, so that a resumed run gives the same answer.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.inference.bundle import Bundle, Settings
from imaging.inference.network import Field, TileRunner, scale_window, tile_starts
from imaging.types import Index

MOST_VOLUME = 2.0
"""The most voxels of a fitted tile, in cubes of the bundle's own tile: what memory is reckoned with."""

LEAST_SIDE = 0.5
LEAST_SIDE_OF_MANY = 0.75
"""The shortest side of a fitted tile, in sides of the bundle's own, alone along its axis and as one of several."""

_AT_A_TIME = 2
"""Tiles that are taken to be computed at a time when shapes are compared, whatever the machine has."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a bundle is tiled: voxels along each side of its own tile, from one to the next, and what sides divide by."""

    tile: int
    stride: int
    multiple: int

    @property
    def most_voxels(self) -> int:
        """The most that a tile may hold, whatever it is fitted to."""
        return int(MOST_VOLUME * self.tile**3)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Where a scan's tiles lie: all of one ``shape``, each from one of ``starts`` on, (slices, rows, columns)."""

    shape: Index
    starts: tuple[Index, ...]


def tiling_of(settings: Settings) -> Tiling:
    """Return how a bundle's first network is tiled: its sides must halve as often as the network does."""
    return Tiling(settings.tile, settings.stride, math.prod(settings.network.strides))


def fitted_shape(*, size: Sequence[int], tiling: Tiling) -> Index:
    """Return the shape of the tiles that cover a box of ``size`` voxels with the fewest voxels computed.

    Neighbours overlap by at least as much as the bundle's own tiles do, in voxels and as a share of a tile. A shape
    has at most twice the voxels of the bundle's own tile, and may reach beyond a box that is smaller.
    """
    best: tuple[float, Index] | None = None
    for choice in itertools.product(*(_sides(one, tiling) for one in size)):
        shape = (choice[0][1], choice[1][1], choice[2][1])
        voxels, count = math.prod(shape), math.prod(number for number, _ in choice)
        if voxels > tiling.most_voxels:
            continue
        rounds = -(-count // _AT_A_TIME)
        rated = (float(rounds * voxels), shape)
        if best is None or rated < best:
            best = rated
    return (tiling.tile, tiling.tile, tiling.tile) if best is None else best[1]


def _sides(size: int, tiling: Tiling) -> Iterator[tuple[int, int]]:
    """Yield (how many, how long) for tiles that cover an axis."""
    least = _up(LEAST_SIDE * tiling.tile, tiling.multiple)
    yield 1, max(least, _up(size, tiling.multiple))
    least = _up(LEAST_SIDE_OF_MANY * tiling.tile, tiling.multiple)
    for side in range(least, size, tiling.multiple):
        yield len(tile_starts(size=size, tile=side, stride=_stride(side, tiling))), side


def _stride(side: int, tiling: Tiling) -> int:
    """Neighbours share what the bundle's own tiles share, in voxels as well as in shares of a tile."""
    return min(side * tiling.stride // tiling.tile, side - (tiling.tile - tiling.stride))


def _up(size: float, multiple: int) -> int:
    return -(-math.ceil(size) // multiple) * multiple


def tile_plan(*, region: NDArray[np.bool_], shape: Index, tiling: Tiling) -> TilePlan:
    """Return the tiles of ``shape`` that hold any voxel of ``region``, which is at least as long on each axis."""
    slices, rows, columns = (
        tile_starts(size=size, tile=side, stride=_stride(side, tiling))
        for size, side in zip(region.shape, shape, strict=True)
    )
    starts = itertools.product(slices, rows, columns)
    return TilePlan(shape, tuple(first for first in starts if region[_box(first, shape)].any()))


def _box(first: Index, shape: Index) -> tuple[slice, slice, slice]:
    z, y, x = (slice(start, start + side) for start, side in zip(first, shape, strict=True))
    return z, y, x


def checkpoint_folder(*, root: Path, bundle: Bundle, input_sha256: str, plan: TilePlan, backend: str) -> Path:
    """Return the folder for one scan's tiles: named after input, bundle and tiling, and in it after the backend.

    Tiles of two backends, versions or processors differ in their last digits, so they never make one answer.
    """
    key = json.dumps([input_sha256, bundle.identity.bundle_sha256, plan.shape, plan.starts], separators=(",", ":"))
    return root / f"tiles-{_short(key)}" / _short(backend)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run_tiles(
    *,
    hounsfield: Field,
    plan: TilePlan,
    runner: TileRunner,
    threads: int,
    progress: Callable[[int, int], None],
    folder: Path | None,
) -> tuple[Field, Field]:
    """Return (mask, centre) probabilities, each (slices, rows, columns) float32, 0 where no tile lies.

    Overlapping tiles are averaged, their middles weighing most. ``progress`` is told (tiles done, tiles in all) after
    each. ``runner`` is only called for tiles that are not in ``folder`` yet. ``threads`` tiles are computed at a time
    and added up in the order of the plan, so that their number changes nothing. ``hounsfield`` must be at least as
    long as a tile on each axis.
    """
    total = np.zeros((2, *hounsfield.shape), dtype=np.float32)
    weight = np.zeros(hounsfield.shape, dtype=np.float32)
    ramps = [_ramp(side) for side in plan.shape]
    bell = ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]
    count = len(plan.starts)
    progress(0, count)
    for number, output in enumerate(_outputs(hounsfield, plan, runner, threads, folder)):
        box = _box(plan.starts[number], plan.shape)
        total[(slice(None), *box)] += output.astype(np.float32) * bell
        weight[box] += bell
        progress(number + 1, count)
    total /= np.maximum(weight, np.float32(1e-6))
    return total[0], total[1]


def _ramp(side: int) -> Field:
    ramp = np.minimum(np.arange(side) + 1, side - np.arange(side)).astype(np.float32) / (side / 2)
    return np.asarray(np.clip(ramp * 2.0, 0.05, 1.0), dtype=np.float32)


def _outputs(
    hounsfield: Field,
    plan: TilePlan,
    runner: TileRunner,
    threads: int,
    folder: Path | None,
) -> Iterator[NDArray[np.float16]]:
    """Yield the tiles' outputs in order, stored ones from disk. Those computed are stored before they are yielded."""
    waiting: deque[tuple[int, NDArray[np.float16] | Future[NDArray[np.float16]]]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for number in range(len(plan.starts) + threads):
            if number < len(plan.starts):
                output = None if folder is None else _stored(folder, number, plan.shape)
                if output is None:
                    box = _box(plan.starts[number], plan.shape)
                    waiting.append((number, pool.submit(_computed, runner, hounsfield[box])))
                else:
                    waiting.append((number, output))
            if len(waiting) < threads and number < len(plan.starts) - 1:
                continue
            if not waiting:
                break
            first, given = waiting.popleft()
            if isinstance(given, Future):
                done = given.result()
                if folder is not None:
                    _store(folder, first, done)
                yield done
            else:
                yield given


def _computed(runner: TileRunner, hounsfield: Field) -> NDArray[np.float16]:
    return np.asarray(runner(scale_window(hounsfield)), dtype=np.float16)


def forget_tiles(folder: Path) -> None:
    """Remove a finished scan's tiles, those that another backend left behind as well."""
    scan = folder.parent
    for path in scan.glob("*/tile-*"):
        path.unlink(missing_ok=True)
    for place in (*scan.glob("*"), scan):
        # Whatever else lies there was not put there by this module.
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def _stored(folder: Path, number: int, shape: Index) -> NDArray[np.float16] | None:
    path = folder / f"tile-{number:05d}.npy"
    try:
        output = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        # Not there, or cut short by a crash of the machine: computed again either way.
        return None
    if output.shape != (2, *shape) or output.dtype != np.float16:
        return None
    return np.asarray(output, dtype=np.float16)


def _store(folder: Path, number: int, output: NDArray[np.float16]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tile-{number:05d}.npy"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, output, allow_pickle=False)
    partial.replace(path)
