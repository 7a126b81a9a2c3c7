"""A bundle's opinion on a whole scan: candidates with calibrated probability, and outlines where labels lie."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable
from imaging.geometry.regions import lung_region
from imaging.inference.applicability import check_lungs, check_scan
from imaging.inference.backends import AUTO, Backend, ready_backend, ready_place_backend
from imaging.inference.bundle import Bundle
from imaging.inference.outlines import Outliner, Peak, find_peaks, to_candidates
from imaging.inference.places import Places, Scores, first_sight
from imaging.inference.sampling import WorkingVolume, resample_box
from imaging.inference.tiles import checkpoint_folder, fitted_shape, forget_tiles, run_tiles, tile_plan, tiling_of
from imaging.types import Index, PointMm, Prediction, Volume

CLOSING_MM = 10.0
MARGIN_MM = 12.0


def input_digest(volume: Volume) -> str:
    """Return SHA-256 (hex) over a volume's voxels (int16, little endian, slice-row-column order) and its grid."""
    digest = hashlib.sha256(volume.grid.digest.encode())
    digest.update(np.ascontiguousarray(volume.hounsfield, dtype="<i2").data)
    return digest.hexdigest()


def predict(
    volume: Volume,
    bundle: Bundle,
    *,
    places: Sequence[PointMm],
    progress: Callable[[int, int], None],
    checkpoint_dir: Path | None,
    threads: int,
    backend: str = AUTO,
) -> Prediction:
    """Return the bundle's opinion on ``volume``.

    The first network looks at the whole scan; where the bundle has a place network, that looks again at every candidate
    and at the places asked about.

    ``places``: LPS mm, where an outline is wanted; one ``OutlineOpinion`` each, in order. ``progress`` is told (tiles
    done, tiles in all). ``checkpoint_dir``: where finished tiles are kept until the end, so that a killed run resumes;
    None keeps nothing. ``threads``: tiles computed at a time. ``backend``: of ``backends.CHOICES``. The same volume,
    bundle and backend give the same answer on the same machine, whatever the number of threads. Candidates are inside
    the lungs only, most probable first.
    Raises NotApplicable ``no-lung-region`` if no lungs are found, or a code of ``imaging.inference.applicability``
    where the scan is not of the kind that the bundle was validated for; BundleError if the weights do not fit or
    nothing here runs them as they should.
    """
    prediction, _ = predict_scored(
        volume,
        bundle,
        places=places,
        progress=progress,
        checkpoint_dir=checkpoint_dir,
        threads=threads,
        backend=backend,
    )
    return prediction


def predict_scored(
    volume: Volume,
    bundle: Bundle,
    *,
    places: Sequence[PointMm],
    progress: Callable[[int, int], None],
    checkpoint_dir: Path | None,
    threads: int,
    backend: str = AUTO,
) -> tuple[Prediction, tuple[Scores, ...]]:
    """Return the prediction as ``predict`` does, and what each candidate's probability was made of.

    The scores are in the candidates' order, and none where the bundle has no place network: calibration is fitted to
    them.
    """
    began = time.perf_counter()
    check_scan(volume=volume, applicability=bundle.settings.applicability)
    with ThreadPoolExecutor(max_workers=1) as aside:
        # Compiling and checking the backends takes about as long as finding the lungs.
        loading = aside.submit(ready_backend, bundle=bundle, choice=backend, threads=threads)
        loading_second = aside.submit(ready_place_backend, bundle=bundle, choice=backend, threads=threads)
        digesting = aside.submit(input_digest, volume)
        working, region, shape = _lung_box(volume, bundle, threads)
        chosen, second, digest = loading.result(), loading_second.result(), digesting.result()
    plan = tile_plan(region=region, shape=shape, tiling=tiling_of(bundle.settings))
    folder = None
    if checkpoint_dir is not None:
        folder = checkpoint_folder(
            root=checkpoint_dir, bundle=bundle, input_sha256=digest, plan=plan, backend=chosen.label
        )
    mask_probability, centre_probability = run_tiles(
        hounsfield=working.hounsfield,
        plan=plan,
        runner=chosen.run,
        threads=threads,
        progress=progress,
        folder=folder,
    )
    outliner = Outliner(mask_probability=mask_probability, working=working, grid=volume.grid)
    peaks: list[Peak] = find_peaks(
        centre_probability=centre_probability, region=region, outliner=outliner, spacing_mm=working.spacing_mm
    )
    scores: tuple[Scores, ...] = ()
    if second is None or bundle.settings.places is None:
        candidates = to_candidates(
            peaks=peaks,
            outliner=outliner,
            working=working,
            grid=volume.grid,
            calibration=bundle.settings.calibration,
        )
        outlines = tuple(outliner.opinion(place) for place in places)
    else:
        closely = Places(volume=volume, settings=bundle.settings.places, run=second.run, threads=threads)
        candidates, scores = closely.candidates(peaks=peaks, working=working, outliner=outliner)
        outlines = tuple(
            closely.opinion(
                place_mm=place,
                first=first_sight(
                    place_mm=place,
                    volume=volume,
                    working=working,
                    centre_probability=centre_probability,
                    outliner=outliner,
                ),
            )
            for place in places
        )
    if folder is not None:
        forget_tiles(folder)
    prediction = Prediction(
        model=bundle.identity,
        input_sha256=digest,
        backend=_label(chosen, second),
        threshold=bundle.settings.threshold,
        candidates=candidates,
        outlines=outlines,
        validated_diameters_mm=bundle.settings.validated_diameters_mm,
        sensitivity_by_diameter=bundle.settings.sensitivity_by_diameter,
        seconds=time.perf_counter() - began,
        backend_refusals=tuple(one.message for one in (*chosen.refused, *(() if second is None else second.refused))),
        weights_sha256=bundle.weights_sha256,
    )
    return prediction, scores


def _label(chosen: Backend, second: Backend | None) -> str:
    if second is None or second.label == chosen.label:
        return chosen.label
    return f"{chosen.label}; places: {second.label}"


def _lung_box(volume: Volume, bundle: Bundle, threads: int) -> tuple[WorkingVolume, NDArray[np.bool_], Index]:
    """Return the box around the lungs on the network's grid, the lungs on it, and the shape of the tiles that fit it.

    The box is at least a tile large.
    """
    spacing, target = volume.grid.spacing_mm, bundle.settings.spacing_mm
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=spacing, closing_mm=CLOSING_MM)
    spans = _spans(lungs)
    if spans is None:
        raise NotApplicable(
            "no-lung-region",
            "No lungs were found in the series: no air-filled region of at least 20 ml inside the body.",
            subjects=(volume.series_instance_uid,),
        )
    check_lungs(
        volume=volume,
        lung_ml=float(np.count_nonzero(lungs)) * float(np.prod(spacing)) / 1000.0,
        length_mm=(spans[0][1] - spans[0][0]) * spacing[0],
        applicability=bundle.settings.applicability,
    )
    margin = [int(np.ceil(MARGIN_MM / step)) for step in spacing]
    low = [max(0, span[0] - pad) for span, pad in zip(spans, margin, strict=True)]
    high = [min(size, span[1] + pad) for span, pad, size in zip(spans, margin, lungs.shape, strict=True)]
    working = resample_box(
        hounsfield=volume.hounsfield,
        spacing_mm=spacing,
        low=(low[0], low[1], low[2]),
        high=(high[0], high[1], high[2]),
        target_mm=target,
        threads=threads,
    )
    shape = fitted_shape(size=working.hounsfield.shape, tiling=tiling_of(bundle.settings))
    pads = [(0, max(0, side - size)) for side, size in zip(shape, working.hounsfield.shape, strict=True)]
    padded = np.pad(working.hounsfield, pads, mode="edge") if any(pad for _, pad in pads) else working.hounsfield
    axes = [
        np.clip(np.rint(first + step * np.arange(size)).astype(int), 0, limit - 1)
        for first, step, size, limit in zip(
            working.first, working.step, working.hounsfield.shape, lungs.shape, strict=True
        )
    ]
    region = np.pad(lungs[np.ix_(*axes)], pads)
    return WorkingVolume(padded, working.first, working.step, working.spacing_mm), region, shape


def _spans(region: NDArray[np.bool_]) -> list[tuple[int, int]] | None:
    """Return where a region begins and ends (excluded) along each axis, None where it is empty."""
    # Slice by slice, so that no axis is walked across the memory.
    shadow = np.asarray(np.any(region, axis=0), dtype=np.bool_)
    filled = [
        np.flatnonzero(np.any(region, axis=(1, 2))),
        np.flatnonzero(np.any(shadow, axis=1)),
        np.flatnonzero(np.any(shadow, axis=0)),
    ]
    if not len(filled[0]):
        return None
    return [(int(one[0]), int(one[-1]) + 1) for one in filled]
