"""Running the network over a scan in tiles, each kept on disk until the scan is done.

Tile outputs are rounded to float16 whether or not they are kept, so that a resumed run gives the same answer.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.inference.bundle import Bundle
from imaging.inference.network import Field, TileRunner, scale_window, tile_starts
from imaging.types import Index


def tile_plan(*, region: NDArray[np.bool_], tile: int, stride: int) -> tuple[Index, ...]:
    """Return the first voxels of the tiles that hold any voxel of ``region``, (slices, rows, columns)."""
    starts = [tile_starts(size=size, tile=tile, stride=stride) for size in region.shape]
    return tuple(
        (z, y, x)
        for z in starts[0]
        for y in starts[1]
        for x in starts[2]
        if region[z : z + tile, y : y + tile, x : x + tile].any()
    )


def checkpoint_folder(*, root: Path, bundle: Bundle, input_sha256: str, plan: tuple[Index, ...], backend: str) -> Path:
    """Return the folder for one scan's tiles: named after input, bundle and tiling, and in it after the backend.

    Tiles of two backends, versions or processors differ in their last digits, so they never make one answer.
    """
    key = json.dumps([input_sha256, bundle.identity.bundle_sha256, bundle.settings.tile, plan], separators=(",", ":"))
    return root / f"tiles-{_short(key)}" / _short(backend)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run_tiles(
    *,
    hounsfield: Field,
    plan: tuple[Index, ...],
    tile: int,
    runner: TileRunner,
    threads: int,
    progress: Callable[[int, int], None],
    folder: Path | None,
) -> tuple[Field, Field]:
    """Return (mask, centre) probabilities, each (slices, rows, columns) float32, 0 where no tile lies.

    Overlapping tiles are averaged, their middles weighing most. ``progress`` is told (tiles done, tiles in all) after
    each. ``runner`` is only called for tiles that are not in ``folder`` yet. ``threads`` tiles are computed at a time
    and added up in the order of the plan, so that their number changes nothing. ``hounsfield`` must be at least
    ``tile`` long on each axis.
    """
    total = np.zeros((2, *hounsfield.shape), dtype=np.float32)
    weight = np.zeros(hounsfield.shape, dtype=np.float32)
    ramp = np.minimum(np.arange(tile) + 1, tile - np.arange(tile)).astype(np.float32) / (tile / 2)
    ramp = np.clip(ramp * 2.0, 0.05, 1.0)
    bell = ramp[:, None, None] * ramp[None, :, None] * ramp[None, None, :]
    progress(0, len(plan))
    for number, output in enumerate(_outputs(hounsfield, plan, tile, runner, threads, folder)):
        box = tuple(slice(first, first + tile) for first in plan[number])
        total[(slice(None), *box)] += output.astype(np.float32) * bell
        weight[box] += bell
        progress(number + 1, len(plan))
    total /= np.maximum(weight, np.float32(1e-6))
    return total[0], total[1]


def _outputs(
    hounsfield: Field,
    plan: tuple[Index, ...],
    tile: int,
    runner: TileRunner,
    threads: int,
    folder: Path | None,
) -> Iterator[NDArray[np.float16]]:
    """Yield the tiles' outputs in order, stored ones from disk. Those computed are stored before they are yielded."""
    waiting: deque[tuple[int, NDArray[np.float16] | Future[NDArray[np.float16]]]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for number in range(len(plan) + threads):
            if number < len(plan):
                output = None if folder is None else _stored(folder, number, tile)
                if output is None:
                    box = tuple(slice(first, first + tile) for first in plan[number])
                    waiting.append((number, pool.submit(_computed, runner, hounsfield[box])))
                else:
                    waiting.append((number, output))
            if len(waiting) < threads and number < len(plan) - 1:
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


def _stored(folder: Path, number: int, tile: int) -> NDArray[np.float16] | None:
    path = folder / f"tile-{number:05d}.npy"
    try:
        output = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        # Not there, or cut short by a crash of the machine: computed again either way.
        return None
    if output.shape != (2, tile, tile, tile) or output.dtype != np.float16:
        return None
    return np.asarray(output, dtype=np.float16)


def _store(folder: Path, number: int, output: NDArray[np.float16]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tile-{number:05d}.npy"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, output, allow_pickle=False)
    partial.replace(path)
