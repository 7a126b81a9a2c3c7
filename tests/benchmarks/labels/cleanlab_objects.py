"""cleanlab's object detection scores (ObjectLab) on labels and predictions of one scan.

Its boxes are two-dimensional. With its defaults a scan is a stack of images in pixels: a label is as suspect as on its
worst slice. Tuned, a scan is one image, and cleanlab's own functions are given overlaps of voxels in 3-D and distances
in mm through ``auxiliary_inputs``, which serves them better: a slice more or less at a pole is then no bad box.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from cleanlab.object_detection.rank import (
    compute_badloc_box_scores,
    compute_overlooked_box_scores,
    compute_swap_box_scores,
)
from numpy.typing import NDArray

from imaging.phantom.label_errors import ErrorKind
from tests.benchmarks.labels.flags import OF_ABSENCE, OF_CLASS, OF_OUTLINES, OF_PRESENCE, OF_SETS, Flag
from tests.benchmarks.labels.seen import Region, Seen

ALPHA, EUCLIDEAN_FACTOR = 0.9, 0.1
"""cleanlab's own weights of overlap and distance, as its defaults have them."""

OF_PLACE = OF_OUTLINES | OF_PRESENCE | OF_SETS
Floats = NDArray[np.float64]


def default_objects(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return the flags with cleanlab's defaults, slice by slice in pixels."""
    del knobs
    on_slice: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number, label in enumerate(seen.labels):
        for slice_ in _slices(label.region):
            on_slice[slice_][0].append(number)
    for number, region in enumerate(seen.predictions):
        for slice_ in _slices(region):
            on_slice[slice_][1].append(number)
    images = sorted(on_slice)
    labels = [
        {
            "bboxes": _boxes([_box(seen.labels[number].region, image) for number in on_slice[image][0]]),
            "labels": np.array([0 if seen.labels[number].nodule else 1 for number in on_slice[image][0]], dtype=int),
        }
        for image in images
    ]
    predictions = []
    for image in images:
        found = [
            [*_box(seen.predictions[number], image), float(seen.probabilities[number])] for number in on_slice[image][1]
        ]
        both = np.empty(2, dtype=object)
        both[0], both[1] = np.array(found, dtype=np.float64).reshape(-1, 5), np.zeros((0, 5))
        predictions.append(both)
    if not images:
        return []
    overlooked = compute_overlooked_box_scores(labels=labels, predictions=predictions)
    badloc = compute_badloc_box_scores(labels=labels, predictions=predictions)
    swap = compute_swap_box_scores(labels=labels, predictions=predictions)
    worst_place: dict[int, float] = {}
    worst_class: dict[int, float] = {}
    worst_absent: dict[int, float] = {}
    for row, image in enumerate(images):
        own, others = on_slice[image]
        for number, place, kind in zip(own, badloc[row], swap[row], strict=True):
            worst_place[number] = min(worst_place.get(number, 1.0), float(place))
            worst_class[number] = min(worst_class.get(number, 1.0), float(kind))
        for number, score in zip(others, overlooked[row], strict=True):
            if np.isfinite(score):
                worst_absent[number] = min(worst_absent.get(number, 1.0), float(score))
    return [
        *(_absent(seen, number, 1.0 - score) for number, score in worst_absent.items()),
        *(_present(seen, number, 1.0 - score, OF_PLACE) for number, score in worst_place.items() if score < 1.0),
        *(_present(seen, number, 1.0 - score, OF_CLASS) for number, score in worst_class.items() if score < 1.0),
    ]


def tuned_objects(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return the flags of cleanlab's functions on 3-D overlaps in mm.

    ``knobs``: probability from which a prediction counts as overlooked, from which it says where a label belongs, and 1
    where overlooked ones are ranked by their probability instead of by how far the next label is.
    """
    high, low, by_probability = knobs
    classes = np.array([0 if label.nodule else 1 for label in seen.labels], dtype=int)
    similarity = ALPHA * seen.iou + (1.0 - ALPHA) * np.exp(-EUCLIDEAN_FACTOR * seen.distance_mm)
    auxiliary: dict[str, Any] = {
        "pred_labels": np.zeros(len(seen.predictions), dtype=int),
        "pred_label_probs": seen.probabilities,
        "pred_bboxes": np.zeros((len(seen.predictions), 4)),
        "lab_labels": classes,
        "lab_bboxes": np.array([_box_mm(label.region) for label in seen.labels]).reshape(-1, 4),
        "similarity_matrix": similarity,
        "iou_matrix": seen.iou,
        "min_possible_similarity": float(similarity[similarity > 0].min()) if similarity.any() else 1.0,
    }
    one_by_one = [_alone(seen, number, auxiliary) for number in range(len(seen.predictions))]
    overlooked = [
        float(scores[0])
        for scores in compute_overlooked_box_scores(auxiliary_inputs=one_by_one, high_probability_threshold=high)
    ]
    badloc = compute_badloc_box_scores(auxiliary_inputs=[auxiliary], low_probability_threshold=low)[0]
    swap = compute_swap_box_scores(auxiliary_inputs=[auxiliary], high_probability_threshold=high)[0]
    flags = []
    for number, score in enumerate(overlooked):
        if np.isfinite(score):
            suspicion = float(seen.probabilities[number]) if by_probability else 1.0 - score
            flags.append(_absent(seen, number, suspicion))
    for number, (place, kind) in enumerate(zip(badloc, swap, strict=True)):
        if place < 1.0:
            flags.append(_present(seen, number, 1.0 - float(place), OF_PLACE))
        if kind < 1.0:
            flags.append(_present(seen, number, 1.0 - float(kind), OF_CLASS))
    return flags


def _alone(seen: Seen, number: int, every: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs for one prediction alone, with boxes that overlap where the voxels do.

    cleanlab asks its own boxes whether a prediction touches any label, whatever overlaps it was given: here a label's
    box lies on the prediction's if they share a voxel in 3-D, and far from it if not.
    """
    here, far = (0.0, 0.0, 1.0, 1.0), (10.0, 10.0, 11.0, 11.0)
    return {
        **every,
        "pred_labels": every["pred_labels"][[number]],
        "pred_label_probs": every["pred_label_probs"][[number]],
        "pred_bboxes": _boxes([here]),
        "lab_bboxes": _boxes([here if shared > 0 else far for shared in seen.iou[:, number]]),
        "similarity_matrix": every["similarity_matrix"][:, [number]],
        "iou_matrix": seen.iou[:, [number]],
    }


def _absent(seen: Seen, number: int, suspicion: float) -> Flag:
    region = seen.predictions[number]
    return Flag(seen.set_id, None, region.place_mm, region.radius_mm, suspicion, OF_ABSENCE)


def _present(seen: Seen, number: int, suspicion: float, kinds: frozenset[ErrorKind]) -> Flag:
    label = seen.labels[number]
    return Flag(seen.set_id, label.finding.finding_id, label.region.place_mm, label.region.radius_mm, suspicion, kinds)


def _slices(region: Region) -> list[int]:
    return [region.mask.origin[0] + int(number) for number in np.flatnonzero(region.mask.voxels.any(axis=(1, 2)))]


def _box(region: Region, slice_: int) -> tuple[float, float, float, float]:
    plane = region.mask.voxels[slice_ - region.mask.origin[0]]
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    top, left = region.mask.origin[1], region.mask.origin[2]
    return (
        float(left + columns[0]),
        float(top + rows[0]),
        float(left + columns[-1] + 1),
        float(top + rows[-1] + 1),
    )


def _box_mm(region: Region) -> tuple[float, float, float, float]:
    """A stand-in for the check whether two labels lie on one another: cleanlab asks it of boxes alone."""
    x, y, z = region.place_mm
    # Slices lie side by side, so that labels above one another do not count as one.
    aside = 10_000.0 * z
    return (x - region.radius_mm + aside, y - region.radius_mm, x + region.radius_mm + aside, y + region.radius_mm)


def _boxes(found: list[tuple[float, float, float, float]]) -> Floats:
    return np.array(found, dtype=np.float64).reshape(-1, 4)
