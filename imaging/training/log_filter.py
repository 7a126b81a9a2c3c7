"""An untrained blob filter, for comparison: what any detector has to beat."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from imaging.geometry.affine import to_patient
from imaging.geometry.regions import lung_region
from imaging.inference.sampling import resample_box
from imaging.types import Candidate, Volume

SIGMAS_MM = (1.2, 1.8, 2.7, 4.0, 6.0, 9.0)
STEP_MM = 1.25
MOST = 300


def blob_candidates(*, volume: Volume) -> tuple[Candidate, ...]:
    """Return bright blobs in the lungs, strongest first: maxima of the scale-normalised Laplacian of Gaussian.

    The score stands in ``probability`` divided by the strongest, so it ranks and means nothing else. Diameters follow
    from the scale (2 sqrt(3) sigma for a ball; Lindeberg, Int J Comput Vis 30:79, 1998).
    """
    lungs = lung_region(hounsfield=volume.hounsfield, spacing_mm=volume.grid.spacing_mm, closing_mm=10.0)
    working = resample_box(
        hounsfield=np.clip(volume.hounsfield, -1000, 200),
        spacing_mm=volume.grid.spacing_mm,
        low=(0, 0, 0),
        high=volume.grid.shape,
        target_mm=STEP_MM,
    )
    axes = [
        np.clip(np.rint(first + step * np.arange(size)).astype(int), 0, limit - 1)
        for first, step, size, limit in zip(
            working.first, working.step, working.hounsfield.shape, lungs.shape, strict=True
        )
    ]
    region = lungs[np.ix_(*axes)]
    best = np.zeros(region.shape, dtype=np.float32)
    scale = np.zeros(region.shape, dtype=np.float32)
    for sigma in SIGMAS_MM:
        response = -ndimage.gaussian_laplace(working.hounsfield, sigma / STEP_MM) * (sigma / STEP_MM) ** 2
        higher = response > best
        best[higher] = response[higher]
        scale[higher] = sigma
    peaks = (ndimage.maximum_filter(best, size=7) == best) & region & (best > 0)
    places = np.argwhere(peaks)
    scores = best[tuple(places.T)]
    order = np.argsort(-scores, kind="stable")[:MOST]
    candidates = []
    for number in order:
        index = working.to_scan(places[number][None].astype(np.float64))[0]
        candidates.append(
            Candidate(
                centre_mm=to_patient(volume.grid, [float(value) for value in index]),
                diameter_mm=float(2.0 * np.sqrt(3.0) * scale[tuple(places[number])]),
                probability=float(scores[number] / scores[order[0]]),
            )
        )
    return tuple(candidates)
