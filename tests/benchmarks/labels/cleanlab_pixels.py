"""cleanlab's segmentation scores on the labels and predictions of one scan.

It scores pixels and whole images. A region of pixels in question is given to the label that it touches, or else is an
empty place; that step is ours, for without it nobody could say which lesion is meant. A pixel's probability of being
nodule is that of the surest candidate there, so 3-D regions keep their probabilities.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
from cleanlab.segmentation.filter import find_label_issues
from cleanlab.segmentation.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_patient
from imaging.masks.build import box_of
from imaging.phantom.label_errors import ErrorKind
from imaging.types import Mask
from tests.benchmarks.labels.flags import OF_ABSENCE, OF_OUTLINES, OF_PRESENCE, OF_SETS, Flag
from tests.benchmarks.labels.seen import Seen

BACKGROUND = 0.01
"""Probability of nodule where no candidate is."""

MARGIN = 3
OF_PLACE = OF_OUTLINES | OF_PRESENCE | OF_SETS
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def default_pixels(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return the regions of pixels that ``find_label_issues`` names, as suspect as their mean pixel score is low."""
    del knobs
    drawn = _draw(seen)
    if drawn is None:
        return []
    labels, probabilities, owners, low = drawn
    with contextlib.redirect_stdout(io.StringIO()):
        wrong = find_label_issues(labels, probabilities, n_jobs=1, verbose=False)
    return _regions(seen, np.asarray(wrong, dtype=np.bool_), _pixel_scores(labels, probabilities), owners, low, 0.0)


def tuned_pixels(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return regions of pixels below a score, of a least volume. ``knobs``: the score, and the volume in mm3."""
    score, volume = knobs
    drawn = _draw(seen)
    if drawn is None:
        return []
    labels, probabilities, owners, low = drawn
    scores = _pixel_scores(labels, probabilities)
    return _regions(seen, scores < score, scores, owners, low, volume)


def _pixel_scores(labels: NDArray[np.int64], probabilities: Floats) -> Floats:
    _, scores = get_label_quality_scores(labels, probabilities, n_jobs=1, verbose=False)
    return np.asarray(scores, dtype=np.float64)


def _draw(seen: Seen) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64], NDArray[np.int64]] | None:
    """Return labels (slices, rows, columns), probabilities (slices, 2, rows, columns), owners and the box's corner.

    Everything lies in a box around all labels and predictions: what is outside it is background to both.
    """
    masks = [label.region.mask for label in seen.labels if label.nodule]
    predicted = [region.mask for region in seen.predictions]
    boxes = [box_of(mask) for mask in (*masks, *predicted) if mask.count]
    if not boxes:
        return None
    low = np.maximum(np.min([[part.start for part in box] for box in boxes], axis=0) - MARGIN, 0)
    high = np.minimum(np.max([[part.stop for part in box] for box in boxes], axis=0) + MARGIN, seen.grid.shape)
    shape = tuple(int(size) for size in high - low)
    owners = np.zeros(shape, dtype=np.int64)
    for number, label in enumerate(seen.labels, start=1):
        if label.nodule:
            owners[_inner(label.region.mask, low)][label.region.mask.voxels] = number
    nodule = np.full(shape, BACKGROUND)
    for region, probability in zip(seen.predictions, seen.probabilities, strict=True):
        part = nodule[_inner(region.mask, low)]
        part[region.mask.voxels] = np.maximum(part[region.mask.voxels], probability)
    nodule = np.clip(nodule, BACKGROUND, 1.0 - BACKGROUND)
    return (owners > 0).astype(np.int64), np.stack([1.0 - nodule, nodule], axis=1), owners, low


def _inner(mask: Mask, low: NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(slice(part.start - a, part.stop - a) for part, a in zip(box_of(mask), low, strict=True))


def _regions(
    seen: Seen, wrong: Bools, scores: Floats, owners: NDArray[np.int64], low: NDArray[np.int64], least_mm3: float
) -> list[Flag]:
    voxel = float(np.prod(seen.grid.spacing_mm))
    numbered, _ = ndimage.label(wrong)
    flags = []
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        own = numbered[box] == number
        volume = float(np.count_nonzero(own)) * voxel
        if volume < least_mm3:
            continue
        suspicion = float(1.0 - scores[box][own].mean())
        wider = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
        touched = owners[wider][ndimage.binary_dilation(numbered[wider] == number)]
        touched = touched[touched > 0]
        radius = (3.0 * volume / (4.0 * np.pi)) ** (1.0 / 3.0)
        if len(touched):
            label = seen.labels[int(np.bincount(touched).argmax()) - 1]
            flags.append(_flag(seen, label.finding.finding_id, label.region.place_mm, radius, suspicion, OF_PLACE))
        else:
            middle = np.argwhere(own).mean(axis=0) + [part.start for part in box] + low
            place = to_patient(seen.grid, [float(value) for value in middle])
            flags.append(_flag(seen, None, place, radius, suspicion, OF_ABSENCE))
    return flags


def _flag(
    seen: Seen,
    finding_id: str | None,
    place: tuple[float, float, float],
    radius: float,
    score: float,
    kinds: frozenset[ErrorKind],
) -> Flag:
    return Flag(seen.set_id, finding_id, place, radius, score, kinds)
